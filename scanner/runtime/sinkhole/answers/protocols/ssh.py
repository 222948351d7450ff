"""SSH: a server that lets everybody in and writes down what they ask for (RFC 4252, RFC 4253, RFC 4254; OpenSSH's PROTOCOL).

The server is asyncssh's, behind a socket pair: its bytes pass through our stream and its budget, and it never holds a socket to
anybody. A remote forward is granted with a listener object of our own, because the library would open a real one; what comes
through a local or dynamic forward is conversed with in the channel itself.
"""

import asyncio
import hashlib
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.answers.greeting import SSH_BANNER, SSH_VERSION
from scanner.runtime.sinkhole.answers.protocol import LISTED, Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.stream import ALL_THE_TIME, Over, Stream
from scanner.runtime.sinkhole.answers.values import Heard

if TYPE_CHECKING:
    import asyncssh

_VERSION = re.compile(rb"SSH-\d\.\d{1,2}-[\x20-\x7e]{0,245}")
_KEXINIT = 20
_MODERN = re.compile(rb"ssh-ed25519|ecdsa-sha2-nistp256")
_PATIENCE = 0.5
"""Seconds that a client has for its first packet before ours; nearly all send it at once."""
_PACKET = 36 << 10
"""RFC 4253 6.1: a packet has 35,000 bytes at most."""
_AT_ONCE = 100
"""Servers that run: each costs a key exchange, which a flood of clients would turn into all of our time."""
_GRANTED = 200
"""Remote forwards of one connection; the library remembers each."""
_KEYS_FIRST = ("paramiko", "russh")
"""Clients that begin with a key or a password: they are let in with it, and it is told. All others ask first whether nothing is
enough; it is, for one that has nothing to offer would leave before it showed what it came for."""


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    line = first.partition(b"\n")[0].removesuffix(b"\r")
    if not _VERSION.match(line):
        return None
    return Heard("ssh", {"ssh": {"client": shown(line[:255])}})


async def converse(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Exchange versions, and let the client do what it came for until its time is over. Raises Over."""
    if talk.greeted != SSH_BANNER:
        await talk.stream.write(SSH_BANNER)
    version = await talk.stream.line(256)
    talk.tell("ssh", client=shown(version))
    lists = await _kexinit(talk)
    # an RSA key takes long to make, and is made for who knows nothing else
    keys = talk.context.keys.ssh(rsa=lists is not None and not _MODERN.search(lists[1]))
    busy = talk.context.keys.ssh_servers >= _AT_ONCE
    if not keys or busy:
        talk.unanswered(f"more than {_AT_ONCE} SSH clients at once" if busy else "asyncssh is not installed")
        return
    talk.context.keys.ssh_servers += 1
    try:
        await _serve(talk, version, keys)
    finally:
        talk.context.keys.ssh_servers -= 1


async def _kexinit(talk: Talk) -> list[bytes] | None:
    """The client's lists of algorithms, where it tells them without waiting for ours; its HASSH is told. Raises Over."""
    stream = talk.stream
    while (lists := algorithms(bytes(stream.ahead))) is None and len(stream.ahead) <= _PACKET:
        try:
            await stream.more(_PATIENCE)
        except Over as over:
            if over.reason != "silence":
                raise
            return None
    talk.tell("ssh", hassh=hassh(lists) if lists else None)
    return lists


def algorithms(packet: bytes) -> list[bytes] | None:
    """The first eight name lists of a KEXINIT (RFC 4253 7.1): key exchange, host key, then cipher, MAC and compression, each to
    the server and back. None where the packet is no KEXINIT, or not all of it."""
    if len(packet) < 22 or packet[5] != _KEXINIT:
        return None
    lists, at = [], 22
    for _ in range(8):
        size = int.from_bytes(packet[at : at + 4], "big")
        if len(packet) < at + 4 + size:
            return None
        lists.append(packet[at + 4 : at + 4 + size])
        at += 4 + size
    return lists


def hassh(lists: list[bytes]) -> str:
    """HASSH of a client (salesforce/hassh): MD5 of its key exchanges, and of its ciphers, MACs and compressions to the server."""
    wanted = b";".join((lists[0], lists[2], lists[4], lists[6]))
    return hashlib.md5(wanted, usedforsecurity=False).hexdigest()


async def _serve(talk: Talk, version: bytes, keys: list[Any]) -> None:
    """asyncssh on one end of a socket pair, the client's stream on the other. Raises Over."""
    import asyncssh

    asyncssh.set_log_level(logging.CRITICAL)
    ours, library = socket.socketpair()
    ours.setblocking(False)
    library.setblocking(False)

    async def serve() -> asyncssh.SSHServerConnection:
        return await asyncssh.run_server(
            library,
            server_factory=lambda: _server(talk),
            server_host_keys=keys,
            # what a client knows is good enough, however old
            kex_algs="+diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1,diffie-hellman-group1-sha1",
            encryption_algs="+*-cbc",
            mac_algs="+*",
            server_version=SSH_VERSION,
            config=[],
            agent_forwarding=False,
            x11_forwarding=False,
            allow_scp=False,
            compression_algs=["none"],  # a compressed byte would cost more than it counts for
            login_timeout=talk.context.limits.seconds,
            encoding=None,
        )

    loop = asyncio.get_running_loop()
    served = loop.create_task(serve())
    pumps = [loop.create_task(_to_library(talk, ours, version)), loop.create_task(_to_client(talk.stream, ours))]
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        ours.close()
        with suppress(Exception):
            # at the end of its input the server is done with its connection, and closes its socket itself
            async with asyncio.timeout(2):
                await (await served).wait_closed()


async def _to_library(talk: Talk, ours: socket.socket, version: bytes) -> None:
    """The client's bytes, its version first."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(ours, version + b"\r\n")
    while True:
        data = await talk.stream.some(ALL_THE_TIME)
        try:
            await loop.sock_sendall(ours, data)
        except OSError:
            raise Over("answered") from None


async def _to_client(stream: Stream, ours: socket.socket) -> None:
    """The library's bytes less its version, which we have said already."""
    loop = asyncio.get_running_loop()
    banner = len(SSH_BANNER)
    while True:
        try:
            data = await loop.sock_recv(ours, 16 << 10)
        except OSError:
            data = b""
        if not data:
            raise Over("answered")
        skipped = min(banner, len(data))
        banner -= skipped
        if skipped < len(data):
            await stream.write(data[skipped:])


def _server(talk: Talk) -> "asyncssh.SSHServer":
    """The server's half of one connection. Its classes derive from asyncssh's, which is loaded only now."""
    import asyncssh

    class Listener(asyncssh.SSHListener):
        """A listener that is none: the client believes in it, and no socket is opened."""

        def __init__(self, port: int) -> None:
            super().__init__()
            self._port = port or 40022

        def get_port(self) -> int:
            return self._port

        def close(self) -> None:
            pass

        async def wait_closed(self) -> None:
            pass

    class Session(asyncssh.SSHServerSession[bytes]):
        """Says yes, does nothing, and ends a command with success."""

        def connection_made(self, chan: "asyncssh.SSHServerChannel[bytes]") -> None:
            self._channel = chan
            self._stays = False

        def pty_requested(self, term_type: str, term_size: Any, term_modes: Any) -> bool:  # noqa: ARG002
            talk.tell("ssh", pty=shown(term_type, 40))
            return True

        def shell_requested(self) -> bool:
            talk.tell("ssh", shell=True)  # noqa: S604 -- a fact of that name
            self._stays = True
            return True

        def exec_requested(self, command: str) -> bool:
            talk.listed("ssh", "exec", shown(command, 400))
            return True

        def subsystem_requested(self, subsystem: str) -> bool:
            talk.listed("ssh", "subsystems", shown(subsystem, 60))
            return False

        def session_started(self) -> None:
            if not self._stays:
                self._channel.exit(0)

        def data_received(self, data: bytes, datatype: Any) -> None:  # noqa: ARG002
            if self._stays:
                talk.listed("ssh", "typed", shown(data))

        def eof_received(self) -> bool:
            self._channel.exit(0)
            return False

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self._connection = conn
            self._granted = 0
            self._forwarded = _Forwarded(talk)

        def begin_auth(self, username: str) -> bool:
            talk.tell("ssh", user=shown(username, 100))
            client = str(self._connection.get_extra_info("client_version", "")).lower()
            wanted = any(name in client for name in _KEYS_FIRST)
            if not wanted:
                talk.listed("ssh", "auth", "none")
            return wanted

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:  # noqa: ARG002 -- the password is told to nobody
            talk.listed("ssh", "auth", "password")
            return True

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
            talk.listed("ssh", "auth", f"publickey {shown(key.get_fingerprint(), 80)}")
            return True

        def kbdint_auth_supported(self) -> bool:
            return True

        def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> bool:  # noqa: ARG002
            talk.listed("ssh", "auth", "keyboard-interactive")
            return True

        def server_requested(self, listen_host: str, listen_port: int) -> asyncssh.SSHListener | bool:
            self._granted += 1
            if self._granted > _GRANTED:
                talk.left_out("ssh", "forwards")
                return False
            talk.listed("ssh", "forwards", {"bind": shown(listen_host, 255), "port": listen_port})
            return Listener(listen_port)

        def unix_server_requested(self, listen_path: str) -> asyncssh.SSHListener | bool:
            self._granted += 1
            if self._granted > _GRANTED:
                talk.left_out("ssh", "unix_forwards")
                return False
            talk.listed("ssh", "unix_forwards", shown(listen_path))
            return Listener(0)

        def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:  # noqa: ARG002
            target = Endpoint(shown(dest_host, 255), dest_port)
            return self._forwarded.converse("direct", {"host": target.address, "port": dest_port}, target)

        def unix_connection_requested(self, dest_path: str) -> Any:
            target = Endpoint(shown(dest_path))
            return self._forwarded.converse("unix_direct", {"path": target.address}, target)

        def session_requested(self) -> Any:
            count = talk.told.get("ssh", {}).get("sessions")
            talk.tell("ssh", sessions=1 + (count if isinstance(count, int) else 0))
            return Session()

        def tun_requested(self, unit: int | None) -> bool:
            talk.tell("ssh", tun=unit if unit is not None else "any")
            return False

        def tap_requested(self, unit: int | None) -> bool:
            talk.tell("ssh", tap=unit if unit is not None else "any")
            return False

    return Server()


class _Forwarded:
    """Who came through local and dynamic forwards: what it says is told in the forward's entry, as `inside`."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._entries: dict[str, list[dict[str, Json]]] = {}

    def converse(
        self, name: str, entry: dict[str, Json], target: Endpoint
    ) -> Callable[[Any, Any], Awaitable[None]] | bool:
        """asyncssh's handler of a channel; False where there were too many."""
        talk = self._talk
        entries = self._entries.setdefault(name, [])
        if len(entries) >= LISTED:
            talk.left_out("ssh", name)
            return False
        at = len(entries)
        entries.append(entry)
        talk.tell("ssh", **{name: list(entries)})
        inside: dict[str, Json] = {}

        def tell(facts: Mapping[str, Json]) -> None:
            inside.update(facts)
            entries[at] = entry | {"inside": dict(inside)}
            talk.tell("ssh", **{name: list(entries)})

        async def converse(reader: Any, writer: Any) -> None:
            stream = Stream(_Channel(reader, writer, talk))
            context = replace(talk.context, target=target, name=None, tell=tell)
            with suppress(Over):
                await talk.converse(Talk(context, stream, talk.converse, depth=talk.depth + 1))
            writer.close()

        return converse


class _Channel:
    """A forward's channel as a pipe; its bytes are counted where the connection's are."""

    def __init__(self, reader: Any, writer: Any, talk: Talk) -> None:
        self._reader, self._writer, self._limits = reader, writer, talk.context.limits

    async def receive(self, idle: float | None) -> bytes:
        import asyncssh

        try:
            async with asyncio.timeout(self._limits.idle if idle is None else min(idle, self._limits.seconds)):
                return bytes(await self._reader.read(16 << 10))
        except TimeoutError:
            raise Over("silence") from None
        except (asyncssh.Error, OSError):
            raise Over("reset") from None

    async def send(self, data: bytes) -> None:
        import asyncssh

        try:
            self._writer.write(data)
            async with asyncio.timeout(self._limits.idle):
                await self._writer.drain()
        except TimeoutError:
            raise Over("silence") from None
        except (asyncssh.Error, OSError):
            raise Over("reset") from None


PLUGIN = Speaker("ssh", recognise=recognise, converse={"ssh": converse})
