"""SSH: the real client's forwards, commands and channels, and that no listener appears when one is granted."""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.answers.answering import Context, Keys, Limits, converse, recognise
from scanner.runtime.sinkhole.answers.protocols.ssh import algorithms, hassh
from tests.engine_fixture import program
from tests.runtime.sinkhole.answers.loopback import Sink, answering

OPTIONS = (
    "-F",
    "none",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "BatchMode=yes",
    "-o",
    "LogLevel=ERROR",
)


@contextlib.contextmanager
def ssh(sink: Sink, *arguments: str):
    client = subprocess.Popen(
        ["ssh", *OPTIONS, "-p", str(sink.port), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield client
    finally:
        client.kill()
        client.communicate()


def listening() -> set[str]:
    """Every listening TCP socket of this network namespace, by address and inode."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(f"{fields[1]} {fields[9]}")
    return found


def held() -> set[str]:
    """The inodes of this process's sockets."""
    links = set()
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.add(str(one.readlink()))
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def ours(before: set[str]) -> set[str]:
    """Listeners of this process that were not there."""
    inodes = held()
    return {one for one in listening() - before if one.split()[1] in inodes}


def test_a_reverse_tunnel_is_told_and_kept_up_without_a_listener():
    with answering(22) as sink:
        before = listening()
        with ssh(
            sink,
            "-N",
            "-o",
            "ExitOnForwardFailure=yes",
            "-R",
            "2222:localhost:22",
            "-R",
            "*:0:db:5432",
            "-R",
            "/run/x.sock:localhost:1",
            "deploy@127.0.0.1",
        ) as client:
            told = sink.until(lambda c: c.details.get("ssh", {}).get("unix_forwards"))
            with pytest.raises(subprocess.TimeoutExpired):
                client.wait(1)
            assert not ours(before)
            assert not Path("/run/x.sock").exists()
        sink.ended()
    said = told.details["ssh"]
    assert told.service == "ssh"
    assert said["forwards"] == [{"bind": "localhost", "port": 2222}, {"bind": "", "port": 0}]
    assert said["unix_forwards"] == ["/run/x.sock"]
    assert said["user"] == "deploy"
    assert said["auth"] == ["none"]
    assert said["client"].startswith("SSH-2.0-OpenSSH_")
    assert len(said["hassh"]) == 32


def test_a_tunnel_lasts_as_long_as_the_time_limit_and_not_longer():
    with answering(22, limits=Limits(seconds=2.5, idle=0.5, silence=0.2)) as sink:
        with ssh(sink, "-N", "-o", "ServerAliveInterval=1", "-R", "2222:localhost:22", "u@127.0.0.1") as client:
            client.wait(8)
        [told] = sink.ended()
    assert told.spoken.end == "time limit"
    assert told.details["ssh"]["forwards"] == [{"bind": "localhost", "port": 2222}]


def test_what_goes_through_a_local_and_a_dynamic_forward_is_heard():
    with answering(443) as sink:
        local, dynamic = free(), free()
        with ssh(sink, "-N", "-L", f"{local}:inside.example:80", "-D", str(dynamic), "u@127.0.0.1"):
            sink.until(lambda c: c.details.get("ssh", {}).get("user"))
            curl(f"http://127.0.0.1:{local}/first")
            curl("http://far.example:8080/second", "-x", f"socks5h://127.0.0.1:{dynamic}")
            told = sink.until(
                lambda c: len([d for d in c.details["ssh"].get("direct", ()) if "http" in d.get("inside", {})]) == 2
            )
        sink.ended()
    direct = told.details["ssh"]["direct"]
    assert [(d["host"], d["port"], d["inside"]["http"]["path"]) for d in direct] == [
        ("inside.example", 80, "/first"),
        ("far.example", 8080, "/second"),
    ]
    assert told.services == ["ssh"]


def test_a_client_of_long_ago_gets_through():
    old = ("KexAlgorithms=diffie-hellman-group1-sha1", "Ciphers=3des-cbc", "HostKeyAlgorithms=ssh-rsa", "MACs=hmac-md5")
    with answering(22) as sink:
        with ssh(sink, *(word for one in old for word in ("-o", one)), "u@127.0.0.1", "id") as client:
            assert client.wait(8) == 0
        [told] = sink.ended()
    assert told.details["ssh"]["exec"] == ["id"]


def test_a_command_is_told_masked_and_succeeds():
    with answering(22) as sink:
        with ssh(sink, "u@127.0.0.1", "curl -H 'Authorization: Bearer abcdef' https://x.example") as client:
            assert client.wait(5) == 0
        [told] = sink.ended()
    assert told.details["ssh"]["exec"] == ["curl -H 'Authorization: Bearer ***' https://x.example"]
    assert told.details["ssh"]["sessions"] == 1


def test_a_shell_shows_what_is_typed_into_it():
    with answering(22) as sink:
        with ssh(sink, "-tt", "u@127.0.0.1") as client:
            sink.until(lambda c: c.details.get("ssh", {}).get("shell"))
            client.stdin.write(b"whoami\n")
            client.stdin.flush()
            told = sink.until(lambda c: c.details["ssh"].get("typed"))
        sink.ended()
    assert told.details["ssh"]["shell"] is True
    assert "pty" in told.details["ssh"]
    assert "whoami" in "".join(told.details["ssh"]["typed"])


def test_sftp_is_told_and_refused(tmp_path):
    with answering(22) as sink:
        done = subprocess.run(
            ["sftp", *OPTIONS, "-P", str(sink.port), "-b", "/dev/null", "u@127.0.0.1"],
            capture_output=True,
            timeout=8,
            check=False,
        )
        [told] = sink.ended()
    assert done.returncode != 0
    assert told.details["ssh"]["subsystems"] == ["sftp"]


def test_ssh_through_a_proxy_command_and_a_jump_is_heard_inside():
    with answering(1080) as sink:
        connect = f'{sys.executable} -c \'import socket,sys,threading,os;s=socket.create_connection(("127.0.0.1",{sink.port}));s.sendall(b"\\5\\1\\0");s.recv(2);s.sendall(b"\\5\\1\\0\\3\\x0cjump.example\\0\\x16");s.recv(10);threading.Thread(target=lambda:[os.write(1,b) for b in iter(lambda:s.recv(9999),b"")],daemon=True).start();[s.sendall(b) for b in iter(lambda:os.read(0,9999),b"")]\''
        with ssh(sink, "-N", "-o", f"ProxyCommand={connect}", "-R", "9000:localhost:9000", "u@jump.example"):
            told = sink.until(lambda c: c.details.get("ssh", {}).get("forwards"))
        sink.ended()
    assert told.details["layers"] == ["socks5", "ssh"]
    assert told.details["socks"]["target"] == "jump.example:22"
    assert told.details["ssh"]["forwards"] == [{"bind": "localhost", "port": 9000}]


@pytest.mark.parametrize("way", ["password", "publickey"])
def test_a_client_that_begins_with_a_secret_is_let_in_and_the_secret_kept(way):
    import asyncio

    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")

    async def connect(port: int) -> None:
        given = {"password": "hunter2"} if way == "password" else {"client_keys": [key], "password": None}
        async with asyncssh.connect(
            "127.0.0.1",
            port,
            username="root",
            known_hosts=None,
            config=[],
            client_version="paramiko_3.4.0",
            preferred_auth=way,
            agent_path=None,
            **({"client_keys": None} | given),
        ) as connection:
            await connection.run("id")

    with answering(2222) as sink:
        asyncio.run(connect(sink.port))
        [told] = sink.ended()
    assert told.details["ssh"]["auth"] == ["password" if way == "password" else f"publickey {key.get_fingerprint()}"]
    assert told.details["ssh"]["user"] == "root"
    assert "hunter2" not in str(told.details)


@pytest.mark.parametrize("port", [22, 31337])
def test_a_client_that_waits_is_greeted_and_heard(port):
    with answering(port) as sink, sink.connect() as client:
        assert client.recv(100) == b"SSH-2.0-OpenSSH_9.6\r\n"
        client.sendall(b"SSH-2.0-Waiting_1.0\r\n")
        assert client.recv(4096)[5] == 20  # its KEXINIT, and no second version
        client.close()
        [told] = sink.ended()
    assert told.service == "ssh"
    assert told.details["ssh"]["client"] == "SSH-2.0-Waiting_1.0"
    assert told.spoken.first.startswith(b"SSH-2.0-Waiting")


def test_without_asyncssh_the_versions_are_exchanged_and_the_rest_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with answering(22) as sink:
        with ssh(sink, "-N", "-R", "1:localhost:1", "u@127.0.0.1") as client:
            client.wait(5)
        [told] = sink.ended()
    assert told.details["unanswered"] == "asyncssh is not installed"
    assert len(told.details["ssh"]["hassh"]) == 32


def test_nothing_is_left_open_after_many_conversations():
    with answering(22) as sink:

        def one() -> None:
            with sink.connect() as client:
                client.sendall(b"SSH-2.0-x\r\n" + bytes(200))
                client.recv(10)

        one()
        sink.ended(1)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(12):
            one()
        sink.ended(13)
        sink.until(lambda _: len(list(Path("/proc/self/fd").iterdir())) <= before, 3)


def test_what_a_list_has_no_room_for_is_counted():
    import asyncio

    import asyncssh

    async def forward(port: int) -> int:
        granted = 0
        async with asyncssh.connect(
            "127.0.0.1", port, username="x", known_hosts=None, config=[], client_keys=None, agent_path=None
        ) as connection:
            for number in range(210):
                with contextlib.suppress(asyncssh.ChannelListenError):
                    await connection.forward_remote_port(f"h{number}", 1000 + number, "127.0.0.1", 1)
                    granted += 1
            for number in range(22):
                with contextlib.suppress(asyncssh.ChannelOpenError):
                    await connection.open_connection(f"t{number}", 80)
        return granted

    with answering(22) as sink:
        assert asyncio.run(forward(sink.port)) == 200
        [told] = sink.ended()
    said = told.details["ssh"]
    assert (len(said["forwards"]), len(said["direct"])) == (20, 20)
    assert said["left_out"] == {"forwards": 190, "direct": 2}


def test_hassh_is_as_its_authors_published_it():
    # salesforce/hassh, README: CyberDuck 6.7.1
    lists = (
        (
            b"curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp521,ecdh-sha2-nistp384,ecdh-sha2-nistp256,"
            b"diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1,diffie-hellman-group14-sha1,diffie-hellman-group14-sha256,"
            b"diffie-hellman-group15-sha512,diffie-hellman-group16-sha512,diffie-hellman-group17-sha512,diffie-hellman-group18-sha512,"
            b"diffie-hellman-group14-sha256@ssh.com,diffie-hellman-group15-sha256,diffie-hellman-group15-sha256@ssh.com,"
            b"diffie-hellman-group15-sha384@ssh.com,diffie-hellman-group16-sha256,diffie-hellman-group16-sha384@ssh.com,"
            b"diffie-hellman-group16-sha512@ssh.com,diffie-hellman-group18-sha512@ssh.com"
        ),
        b"ssh-rsa",
        (
            b"aes128-cbc,aes128-ctr,aes192-cbc,aes192-ctr,aes256-cbc,aes256-ctr,blowfish-cbc,blowfish-ctr,cast128-cbc,cast128-ctr,idea-cbc,"
            b"idea-ctr,serpent128-cbc,serpent128-ctr,serpent192-cbc,serpent192-ctr,serpent256-cbc,serpent256-ctr,3des-cbc,3des-ctr,"
            b"twofish128-cbc,twofish128-ctr,twofish192-cbc,twofish192-ctr,twofish256-cbc,twofish256-ctr,twofish-cbc,arcfour,arcfour128,"
            b"arcfour256"
        ),
        b"none",
        b"hmac-sha1,hmac-sha1-96,hmac-md5,hmac-md5-96,hmac-sha2-256,hmac-sha2-512",
        b"none",
        b"zlib@openssh.com,zlib,none",
        b"none",
    )
    packet = bytes(5) + b"\x14" + bytes(16) + b"".join(len(one).to_bytes(4, "big") + one for one in lists)
    found = algorithms(packet)
    assert found == list(lists)
    assert hassh(found) == "8a8ae540028bf433cd68356c1b9e8d5b"


def test_a_run_that_is_over_ends_a_conversation_at_once_and_leaves_nothing():
    import asyncio

    async def run(client: socket.socket) -> tuple[dict, list[asyncio.Task]]:
        told: dict = {}
        context = Context(Endpoint("192.0.2.1", 22), None, told.update, Keys(), Limits(seconds=60))
        connection, _ = listener.accept()
        connection.setblocking(False)
        task = asyncio.create_task(converse(connection, b"", recognise(b"", 22), context))
        async with asyncio.timeout(10):
            while "forwards" not in told.get("ssh", {}):
                await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        assert connection.fileno() == -1
        return told, [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = held()
        command = ["ssh", *OPTIONS, "-N", "-R", "1:localhost:1", "-p", str(listener.getsockname()[1]), "u@127.0.0.1"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as client:
            told, left = asyncio.run(run(listener))
            client.wait(5)
        assert told["ssh"]["forwards"] == [{"bind": "localhost", "port": 1}]
        assert left == []
        assert held() == before


def test_a_version_with_hostile_bytes_is_shown_safely():
    heard = recognise(b"SSH-2.0-x\x1b[31m\xff\r\n", 22)
    assert heard.details["ssh"]["client"].isprintable()


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def curl(url: str, *more: str) -> None:
    subprocess.run(
        [program("curl"), "-sS", "-m", "5", "--retry", "3", "--retry-connrefused", "-o", "/dev/null", *more, url],
        check=True,
        capture_output=True,
    )
