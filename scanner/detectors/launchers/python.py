"""Python that starts programs, forwards through SSH or hands a shell to a socket: read from its syntax tree, never run.

Signatures: the documentation of subprocess, os, pty and asyncio (Python standard library), paramiko.Transport,
asyncssh.SSHClientConnection, sshtunnel.SSHTunnelForwarder, fabric.Connection, pyngrok.ngrok. Lines of `.pth` files: site.
"""

import ast
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from scanner.content import Content
from scanner.detectors.launchers.lines import Lines
from scanner.detectors.launchers.python_values import (
    Evaluator,
    Ref,
    Scope,
    Table,
    Value,
    known,
    named,
    ref,
    text,
    unknown,
)
from scanner.errors import LimitError, ScannerError
from scanner.model import Level, Notification

WHOLE = 1 << 20
"""Bytes of source that are parsed; of a longer file the calls are read one by one."""
WHOLE_HERE = 1 << 18
"""The same where no worker bounds the memory: a tree takes hundreds of bytes for one of source."""
PIECES = 16 << 20
"""Bytes in which calls are looked for one by one."""
COMMANDS = 2000
FORWARDS = 500
CONNECTIONS = 200
WORDS = 400
SHOWN = 4000
"""Characters of one command or host that are kept."""
_TOTAL = 400_000
"""Characters of everything kept: as JSON they must fit through the worker's answer."""
HOST = 300
_NODES = 600_000
"""Parts of the tree that are gone through, again for each way a function is called."""
_NESTED = 3
"""Sources within sources: `exec(b64decode(…))`."""
_NESTED_BYTES = 1 << 20
_BINDINGS = 300
"""Calls of one of the file's own functions that are followed into it."""
_ROUNDS = 3
_PIECE = 4000
_PIECES = 20_000
_PIECES_TEXT = 2 << 20


@dataclass(frozen=True, slots=True)
class PythonCommand:
    """A program that the code starts: `argv`, or `shell` text where a shell reads it; one of them is empty.

    What the text does not tell stands as `$name`. `via` is the function called; `remote`: on the far side of an SSH
    connection; `encoded`: found in source that stands in a string, decoded or plain. `line` from 1, of the call that
    names it; of the outermost one where a function of the file hands it on.
    """

    argv: tuple[str, ...]
    shell: str
    line: int
    via: str
    remote: bool = False
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class PythonForward:
    """A way in or out that the code opens.

    `kind`: remote (a port of the far side leads here), local (a port here, or a channel, leads to the far side),
    dynamic (SOCKS), tun, reverse-ssh (an SSH server on a connection that goes out, or the client that waits for one),
    reverse-shell, bind-shell.
    `host` and `port`: where it listens if remote, dynamic, tun or bind-shell, else what it reaches; `other` the other
    end as `host:port`. `port` is None where it is not told, `host` then `$name` or "". `server` is the SSH server as
    `user@host:port`. `resolved`: the text tells at least one of its arguments.
    """

    kind: str
    host: str
    port: int | None
    other: str
    server: str
    library: str
    line: int
    resolved: bool
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class PythonConnection:
    """An SSH connection that the code makes."""

    host: str
    port: int | None
    user: str
    library: str
    line: int


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """What one Python file starts and opens; `problems` say in words what was not read.

    `main`: it is meant to be run (`#!` or a `__main__` guard). `library`: the known library whose own file it is, by
    its path, else "": such a file defines forwards without asking for them.
    """

    commands: tuple[PythonCommand, ...] = ()
    forwards: tuple[PythonForward, ...] = ()
    connections: tuple[PythonConnection, ...] = ()
    main: bool = False
    parsed: bool = True
    problems: tuple[str, ...] = ()
    library: str = ""
    notes: tuple[Notification, ...] = ()


_TRIGGER = re.compile(
    rb"system\b|popen|Popen|subprocess|spawn|(?<![\w.])(?:exec|eval)[\s(]|\bexec[lv]\w*\s*\(|exec_command|_exec\b|dup2"
    rb"|forward_|_forward|forward\s*\(|Forward|direct.tcpip|open_channel|paramiko|asyncssh|sshtunnel|open_tunnel|pxssh"
    rb"|ngrok|cloudflare|sshuttle|pexpect|plumbum|getoutput|getstatusoutput|run_process|share\s*=\s*True"
    rb"|(?:import|from)[ \t]+(?:fabric|invoke|sh)\b"
    rb"|getattr\s*\([^,()\n]{1,60},[^,()\n]{0,60}[+\[%]"
)
_LIBRARIES = re.compile(
    rb"(?:\A|/)(?:site|dist)-packages/(paramiko|asyncssh|sshtunnel|fabric2?|invoke|pexpect|ptyprocess|plumbum|sh"
    rb"|pyngrok|ngrok|flask_ngrok|pycloudflared|sshuttle|twisted|ssh2|pssh|netmiko|ansible|scrapli|gradio|jupyter_client"
    rb"|zmq|ipykernel|subprocess32|gevent|eventlet|anyio|trio)(?:/|\.py\Z)"
)
_STANDARD = re.compile(
    rb"(?:\A|/)lib/(?:python[23](?:\.\d+)?|pypy[\d.]*)/(?!(?:site|dist)-packages/|(?:site|user)customize\.py\Z)"
)


def library(path: bytes) -> str:
    """The known library, or "stdlib", whose own file lies at this path; "" for any other."""
    found = _LIBRARIES.search(path)
    if found:
        return found[1].decode("ascii")
    return "stdlib" if _STANDARD.search(path) else ""


def read(source: str) -> PythonFacts:
    """The facts of one source, read in this process; never raises."""
    return _facts(parse(source.encode("utf-8", "surrogateescape")))


def python_facts(content: Content) -> PythonFacts:
    """The facts of a Python file or a `.pth` file, read in the worker where there is one; never raises for any bytes.

    What could not be read is a notification in `notes`: a note where Python itself could not read it, else a warning.
    """
    origin = library(content.name)
    head = content.data[:PIECES]
    if _TRIGGER.search(head) is None:
        return PythonFacts(library=origin, notes=_notes(content, _long(content, PIECES)))
    pth = content.name.endswith(b".pth")
    whole = content.size <= (WHOLE if content.worker is not None else WHOLE_HERE)
    raw: dict[str, Any] | None = None
    trouble: str | None = None
    for function in (parse, pieces) if whole else (pieces,):
        try:
            if content.worker is not None:
                raw = content.worker.call(function, head, {"pth": pth})
            else:
                raw = function(bytes(head), pth=pth)
            break
        except (LimitError, MemoryError, RecursionError) as e:
            trouble = str(e) or "its parser needed more memory than there is"
        except ScannerError as e:
            trouble = str(e)
    facts = PythonFacts(parsed=False) if raw is None else _facts(raw)
    notes = [*_long(content, PIECES)]
    if raw is None:
        notes.append((Level.WARNING, f"Python that was not read for what it starts: {trouble}"))
    elif trouble is not None:
        notes.append((Level.WARNING, f"Python of which only single calls were read: {trouble}"))
    elif not whole:
        notes.append((Level.WARNING, f"Python of {content.size} bytes: only single calls of it were read"))
    elif not facts.parsed and not facts.problems:
        notes.append((Level.NOTE, "Python of another version, or broken: its calls were read one by one"))
    notes += [(Level.WARNING, f"Python that was not read whole: {p}") for p in facts.problems]
    return PythonFacts(
        facts.commands,
        facts.forwards,
        facts.connections,
        facts.main,
        facts.parsed,
        facts.problems,
        origin,
        _notes(content, notes),
    )


def _long(content: Content, most: int) -> list[tuple[Level, str]]:
    if content.size <= most:
        return []
    return [(Level.WARNING, f"Python of {content.size} bytes: only the first {most} were read for what they start")]


def _notes(content: Content, told: list[tuple[Level, str]]) -> tuple[Notification, ...]:
    return tuple(Notification("detector", level, words, content.path, content.inner) for level, words in told)


def _facts(raw: Mapping[str, Any]) -> PythonFacts:
    """The values of what came back as JSON."""
    return PythonFacts(
        tuple(PythonCommand(tuple(c[0]), *c[1:]) for c in raw["commands"]),
        tuple(PythonForward(*f) for f in raw["forwards"]),
        tuple(PythonConnection(*c) for c in raw["connections"]),
        raw["main"],
        raw["parsed"],
        tuple(raw["problems"]),
    )


def parse(data: bytes, pth: bool = False) -> dict[str, Any]:
    """For the worker: the facts of one source as JSON. Source that does not parse is read call by call.

    Raises MemoryError where the tree needs more than there is.
    """
    source = _pth(data) if pth else data
    reader = _Reader()
    tree = _tree(source, reader.problems) or _tree(_modern(source))
    if tree is None:
        return _piecewise(reader, source)
    reader.run(tree.body)
    return reader.result(source, True)


def pieces(data: bytes, pth: bool = False) -> dict[str, Any]:
    """For the worker: the facts of calls, assignments and imports read one by one, each parsed alone."""
    return _piecewise(_Reader(), _pth(data) if pth else data)


def _pth(data: bytes) -> bytes:
    """The lines that site runs, at their places (site, Python standard library)."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return b"\n".join(line if line.startswith((b"import ", b"import\t")) else b"" for line in lines)


def _tree(source: bytes, problems: dict[str, None] | None = None) -> ast.Module | None:
    """The syntax tree; None where this Python's grammar, or its parser's stack or memory, does not take the source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes and comparisons in code that is not ours
        for form in (source, source.decode("latin-1")):
            try:
                return ast.parse(form)
            except SyntaxError as e:
                if "unicode" not in str(e) and "utf-8" not in str(e).lower():
                    return None
            except (RecursionError, MemoryError):
                if problems is not None:
                    problems["it nests deeper, or is larger, than its parser takes"] = None
                return None
            except (ValueError, OverflowError, SystemError, LookupError):
                return None
    return None


_PYTHON2: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"""(?m)((?:^[ \t]*|[:;][ \t]*|\belse[ \t]+)print)(?=[ \t]+[\w"'\[{-]|["'])"""), rb"\1,"),
    (re.compile(rb"""(?m)((?:^[ \t]*|[:;][ \t]*)exec)(?=[ \t]+[\w"'])"""), rb"\1,"),
    (
        re.compile(rb"(?m)^([ \t]*except[ \t]+(?:[\w.]{1,100}|\([^()\n]{0,300}\)))[ \t]*,[ \t]*(\w+)[ \t]*:"),
        rb"\1 as \2:",
    ),
    (re.compile(rb"(?m)((?:^[ \t]*|[:;][ \t]*)raise[ \t]+[\w.]{1,100})[ \t]*,[^\n]*$"), rb"\1"),
    (re.compile(rb"(?<=[,(=])([ \t]?)0([0-7]{1,6})(?=[ \t]*[,)\n])"), rb"\g<1>0o\2"),
    (re.compile(rb"(?<![\w.])(\d{1,18})[lL]\b"), rb"\1"),
    (re.compile(rb"<>"), rb"!="),
    (re.compile(rb"""\b[uU][rR](?=["'])"""), rb"r"),
)


def _modern(source: bytes) -> bytes:
    """Python 2's statements in the form of Python 3, line by line; `print x` becomes a tuple, which starts nothing either."""
    source = source.replace(b"\r\n", b"\n").replace(b"\0", b" ").expandtabs(8)
    for old, new in _PYTHON2:
        source = old.sub(new, source)
    return source


_SHELLS = frozenset("sh bash dash ash zsh ksh fish csh tcsh busybox cmd cmd.exe powershell pwsh".split())
_RUNNERS = ("subprocess", "subprocess32", "gevent.subprocess", "eventlet.green.subprocess", "psutil", "anyio", "trio")

# what runs text through a shell, what takes a list, by the whole path
_SHELL = frozenset(
    """os.system os.popen os.popen2 os.popen3 os.popen4 posix.system posix.popen nt.system commands.getoutput
    commands.getstatusoutput popen2.popen2 popen2.popen3 popen2.popen4 subprocess.getoutput subprocess.getstatusoutput
    asyncio.create_subprocess_shell asyncio.subprocess.create_subprocess_shell invoke.run invoke.sudo fabric.api.local
    fabric.operations.local envoy.run delegator.run platform.popen""".split()
)
_LIST = frozenset(
    """pty.spawn pexpect.spawn pexpect.spawnu pexpect.run pexpect.runu pexpect.popen_spawn.PopenSpawn ptyprocess.PtyProcess.spawn
    distutils.spawn.spawn setuptools.distutils.spawn.spawn ptyprocess.PtyProcessUnicode.spawn""".split()
)
_REMOTE = frozenset("fabric.api.run fabric.api.sudo fabric.operations.run fabric.operations.sudo".split())
_LAST_SHELL = frozenset({"getoutput", "getstatusoutput", "create_subprocess_shell"})
_LAST_RUN = frozenset({"Popen", "check_call", "check_output"})
_EXEC = re.compile(r"^(?:os|posix)\.(exec|spawn)([lv])(p?)(e?)$")

_MEMBERS = frozenset(
    {
        *_SHELL,
        *_LIST,
        *_REMOTE,
        *(f"{m}.{f}" for m in _RUNNERS for f in ("run", "call", "Popen", "check_call", "check_output", "run_process")),
        *(f"os.{k}{v}{p}{e}" for k in ("exec", "spawn") for v in "lv" for p in ("", "p") for e in ("", "e")),
        *(f"os.{n}" for n in "dup2 posix_spawn posix_spawnp environ getenv path fork".split()),
        "socket.socket",
        "socket.create_connection",
        "base64.b64decode",
        "zlib.decompress",
        "shlex.split",
        "fabric.api.remote_tunnel",
        "sshtunnel.open_tunnel",
        "sshtunnel.SSHTunnelForwarder",
    }
)


@dataclass(frozen=True, slots=True)
class _Opens:
    """How a call that opens a forward is written: its parameters, and which of them are the two ends."""

    kind: str
    parameters: tuple[str, ...]
    host: str
    port: str
    other: tuple[str, str]
    library: str


def _opens(kind: str, parameters: str, host: str, port: str, other: tuple[str, str], library: str) -> _Opens:
    return _Opens(kind, tuple(parameters.split()), host, port, other, library)


_BY_NAME: Mapping[str, _Opens] = {
    "request_port_forward": _opens("remote", "address port handler", "address", "port", ("", ""), "paramiko"),
    "open_forwarded_tcpip_channel": _opens(
        "remote", "src_addr dest_addr", "dest_addr", "", ("src_addr", ""), "paramiko"
    ),
    "forward_local_port": _opens(
        "local",
        "listen_host listen_port dest_host dest_port",
        "dest_host",
        "dest_port",
        ("listen_host", "listen_port"),
        "asyncssh",
    ),
    "forward_local_path": _opens("local", "listen_path dest_path", "dest_path", "", ("listen_path", ""), "asyncssh"),
    "forward_local_port_to_path": _opens(
        "local", "listen_host listen_port dest_path", "dest_path", "", ("listen_host", "listen_port"), "asyncssh"
    ),
    "forward_local_path_to_port": _opens(
        "local", "listen_path dest_host dest_port", "dest_host", "dest_port", ("listen_path", ""), "asyncssh"
    ),
    "forward_remote_port": _opens(
        "remote",
        "listen_host listen_port dest_host dest_port",
        "listen_host",
        "listen_port",
        ("dest_host", "dest_port"),
        "asyncssh",
    ),
    "forward_remote_path": _opens("remote", "listen_path dest_path", "listen_path", "", ("dest_path", ""), "asyncssh"),
    "forward_remote_port_to_path": _opens(
        "remote", "listen_host listen_port dest_path", "listen_host", "listen_port", ("dest_path", ""), "asyncssh"
    ),
    "forward_remote_path_to_port": _opens(
        "remote", "listen_path dest_host dest_port", "listen_path", "", ("dest_host", "dest_port"), "asyncssh"
    ),
    "forward_socks": _opens("dynamic", "listen_host listen_port", "listen_host", "listen_port", ("", ""), "asyncssh"),
    "forward_tun": _opens("tun", "local_unit remote_unit", "", "", ("", ""), "asyncssh"),
    "forward_tap": _opens("tun", "local_unit remote_unit", "", "", ("", ""), "asyncssh"),
    "connect_reverse_ssh": _opens("reverse-ssh", "host port", "host", "port", ("", ""), "asyncssh"),
    "listen_reverse_ssh": _opens("reverse-ssh", "host port", "host", "port", ("", ""), "asyncssh"),
    "forward_remote": _opens(
        "remote",
        "remote_port local_port remote_host local_host",
        "remote_host",
        "remote_port",
        ("local_host", "local_port"),
        "fabric",
    ),
    "forward_local": _opens(
        "local",
        "local_port remote_port remote_host local_host",
        "remote_host",
        "remote_port",
        ("local_host", "local_port"),
        "fabric",
    ),
    "direct_tcpip": _opens("local", "host port", "host", "port", ("", ""), "ssh2"),
    "direct_tcpip_ex": _opens("local", "host port shost sport", "host", "port", ("shost", "sport"), "ssh2"),
    "forward_listen": _opens("remote", "port", "", "port", ("", ""), "ssh2"),
    "forward_listen_ex": _opens("remote", "port host", "host", "port", ("", ""), "ssh2"),
    "requestRemoteForwarding": _opens("remote", "remotePort hostport", "", "remotePort", ("hostport", ""), "conch"),
}
_REMOTE_TUNNEL = _opens(
    "remote",
    "remote_port local_port local_host remote_bind_address",
    "remote_bind_address",
    "remote_port",
    ("local_host", "local_port"),
    "fabric",
)
_BY_PATH: Mapping[str, _Opens] = {
    "asyncssh.connect_reverse": _opens("reverse-ssh", "host port", "host", "port", ("", ""), "asyncssh"),
    "asyncssh.listen_reverse": _opens("reverse-ssh", "host port", "host", "port", ("", ""), "asyncssh"),
    "fabric.api.remote_tunnel": _REMOTE_TUNNEL,
    "fabric.context_managers.remote_tunnel": _REMOTE_TUNNEL,
    "pyngrok.ngrok.connect": _opens("remote", "addr", "addr", "", ("", ""), "pyngrok"),
    "ngrok.connect": _opens("remote", "addr", "addr", "", ("", ""), "ngrok"),
    "ngrok.forward": _opens("remote", "addr", "addr", "", ("", ""), "ngrok"),
    "pycloudflared.try_cloudflare": _opens("remote", "port", "", "port", ("", ""), "pycloudflared"),
    "flask_cloudflared.run_with_cloudflared": _opens("remote", "app", "", "", ("", ""), "flask_cloudflared"),
    "flask_ngrok.run_with_ngrok": _opens("remote", "app", "", "", ("", ""), "flask_ngrok"),
    "sshuttle.cmdline.main": _opens("tun", "", "", "", ("", ""), "sshuttle"),
    "sshuttle.client.main": _opens("tun", "", "", "", ("", ""), "sshuttle"),
}
_BY_CONNECTION: Mapping[str, _Opens] = {
    "open_connection": _opens("local", "remote_host remote_port", "remote_host", "remote_port", ("", ""), "asyncssh"),
    "create_connection": _opens(
        "local", "factory remote_host remote_port", "remote_host", "remote_port", ("", ""), "asyncssh"
    ),
    "start_server": _opens(
        "remote", "handler listen_host listen_port", "listen_host", "listen_port", ("", ""), "asyncssh"
    ),
    "create_server": _opens(
        "remote", "factory listen_host listen_port", "listen_host", "listen_port", ("", ""), "asyncssh"
    ),
    "open_tun": _opens("tun", "", "", "", ("", ""), "asyncssh"),
    "create_tun": _opens("tun", "", "", "", ("", ""), "asyncssh"),
    "open_tap": _opens("tun", "", "", "", ("", ""), "asyncssh"),
}
_HANDS = frozenset(
    "Thread Process Timer submit run_in_executor to_thread start_new_thread register partial call_soon call_later "
    "apply_async".split()
)
_TUNNELS = ("SSHTunnelForwarder", "open_tunnel")


class _Function:
    """A function of the file, where its names come from, and what it was called with.

    `owner`: the class it is a method of. `matters`: something is started or opened in it, or in what it calls or holds.
    """

    __slots__ = ("bound", "callees", "calls", "matters", "more", "node", "outer", "owner", "scope")

    def __init__(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        scope: Scope,
        outer: "_Function | None",
        owner: str,
    ) -> None:
        self.node = node
        self.owner = owner
        self.scope = scope
        self.outer = outer
        self.matters = self.more = False
        self.callees: set[str] = set()
        self.calls: dict[str, tuple[list[Value], dict[str, Value], int, _Function | None]] = {}
        self.bound = False


_LEAVES = frozenset({ast.Constant, ast.Name, ast.Load, ast.Store, ast.Del, ast.arguments, ast.alias, ast.Pass})
_SPECIAL = frozenset(
    {
        *(ast.Call, ast.Tuple, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
        *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.withitem, ast.Lambda),
    }
)

_Key = tuple[int, ...]
_Kept = dict[_Key, dict[tuple[Any, ...], tuple[int, bool]]]
"""Facts by the place of their call, each with the line it is told on and whether a caller gave its values."""


@dataclass(slots=True)
class _Place:
    """Where the reader is: `line` that everything is told on within decoded source (0: its own), and what was decoded."""

    key: _Key = ()
    line: int = 0
    depth: int = 0


class _Reader:
    """Goes through statements in the order in which they stand: functions after the module, then with what they were given."""

    def __init__(self) -> None:
        self.values = Evaluator()
        self.values.members = _MEMBERS
        self.module = Scope()
        self.problems: dict[str, None] = {}
        self._functions: dict[str, _Function] = {}
        self._order: deque[_Function] = deque()
        self._sources: deque[tuple[str, Scope, _Place]] = deque()
        self._nodes = _NODES
        self._total = _TOTAL
        self._nested = _NESTED_BYTES
        self._place = _Place()
        self._site = 0
        self._commands: _Kept = {}
        self._forwards: _Kept = {}
        self._connections: _Kept = {}
        self._sockets: _Kept = {}
        self._current = ("", "")
        self._now: _Function | None = None
        self._again = False
        self._piped = self._ran = self._obeys = False

    # statements

    def run(self, body: list[ast.stmt]) -> None:
        """Read a module's statements, then its functions, then the sources that it decodes."""
        self._walk(body, self.module, "")
        self._rest()
        while self._sources:
            source, outer, self._place = self._sources.popleft()
            raw = source.encode("utf-8", "surrogatepass")
            tree = _tree(raw) or _tree(_modern(raw))
            for part in [tree.body] if tree is not None else _split(raw, self.problems):
                self._walk(part, outer, "")
            self._rest()

    def walk_piece(self, body: list[ast.stmt]) -> None:
        """Read statements that were found alone."""
        self._walk(body, self.module, "")

    def _rest(self) -> None:
        """The functions: each as it stands, then with what it is given, then once more if objects were made with values."""
        seen = self._alone()
        constructed = False
        for _ in range(_ROUNDS):
            self._spread(seen)
            rounds = [(f, list(f.calls.values())) for f in seen if f.calls and f.matters]
            for function, _ in rounds:
                function.calls, function.bound = {}, True
            for function, calls in rounds:
                constructed = constructed or getattr(function.node, "name", "") == "__init__"
                for args, by_name, site, caller in calls:
                    if caller is not None and caller.bound:
                        continue  # it is read again with what the caller itself is given
                    self._site = site
                    self._bind(function, args, by_name)
                    seen += self._alone()
                    self._site = 0
            if not rounds:
                break
        if any(f.more and f.matters for f in seen):
            self.problems[f"a function that is called in more than {_BINDINGS} ways"] = None
        if constructed:
            self._again = True
            for function in seen:
                if function.matters and getattr(function.node, "name", "__init__") != "__init__":
                    self._bind(function, [], {})
            self._alone()
            self._again = False

    def _alone(self) -> list[_Function]:
        """Read the functions met since, without knowing what they are given."""
        seen: list[_Function] = []
        while self._order:
            function = self._order.popleft()
            self._bind(function, [], {})
            seen.append(function)
        return seen

    def _spread(self, seen: list[_Function]) -> None:
        """Tell functions that those they call, or that stand in them, matter: a few steps far."""
        for _ in range(4):
            for function in seen:
                if not function.matters:
                    called = (self._functions.get(c) for c in function.callees)
                    function.matters = any(c is not None and c.matters for c in called)
                if function.matters and function.outer is not None:
                    function.outer.matters = True
                if function.matters and (maker := self._functions.get(f"class {function.owner}")) is not None:
                    maker.matters = True

    def _bind(self, function: _Function, args: list[Value], by_name: dict[str, Value]) -> None:
        scope, node = Scope(function.scope), function.node
        names = [*node.args.posonlyargs, *node.args.args]
        defaults = [None] * (len(names) - len(node.args.defaults)) + [*node.args.defaults]
        pairs = [*zip(names, defaults, strict=True), *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
        method = bool(names) and names[0].arg in ("self", "cls")
        given = ([unknown("self"), *args] if method else args)[:255]
        for number, (name, default) in enumerate(pairs[:255]):
            value: Value = unknown(name.arg) if default is None else self.values.value(default, function.scope)
            if default is not None and not known(value):
                value = unknown(name.arg)
            if number < len(names) and number < len(given):
                value = given[number]
            scope.names[name.arg] = by_name.get(name.arg, value)
        if node.args.vararg is not None:
            scope.names[node.args.vararg.arg] = tuple(given[len(names) :]) or unknown(node.args.vararg.arg)
        if node.args.kwarg is not None:
            scope.names[node.args.kwarg.arg] = Table(by_name)
        body: list[ast.stmt] = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
        outer, self._now = self._now, function
        self._walk(body, scope, "")
        self._now = outer

    def _walk(self, body: list[ast.stmt], scope: Scope, owner: str) -> None:
        stack: list[tuple[ast.AST | Callable[[], None], Scope, str]] = [(s, scope, owner) for s in reversed(body)]
        while stack:
            node, scope, owner = stack.pop()
            if not isinstance(node, ast.AST):
                node()
                continue
            self._nodes -= 1
            if self._nodes < 0:
                self.problems["more code than is read of one file"] = None
                return
            kind = type(node)
            if kind not in _SPECIAL:
                for child in reversed(list(ast.iter_child_nodes(node))):
                    if type(child) not in _LEAVES:
                        stack.append((child, scope, owner))
            elif isinstance(node, ast.Call):
                self._call(node, scope)
                parts = [node.func, *node.args, *(k.value for k in node.keywords)]
                stack += [(p, scope, owner) for p in reversed(parts) if type(p) not in _LEAVES]
            elif isinstance(node, ast.Tuple):
                self._statement(node, scope)
                stack += [(e, scope, owner) for e in reversed(node.elts) if type(e) not in _LEAVES]
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node, scope)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._define(node, scope, owner)
                stack += [(d, scope, owner) for d in node.decorator_list]
            elif isinstance(node, ast.ClassDef):
                scope.names[node.name] = ref(f"class {node.name}", node.name)
                inner = Scope(scope)
                stack += [(s, inner, node.name) for s in reversed(node.body)]
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
                if node.value is not None:
                    stack.append((self._assignment(node, scope, owner), scope, owner))
                    stack.append((node.value, scope, owner))
            elif isinstance(node, ast.For | ast.AsyncFor):
                self._loop(node, scope)
                stack += [(s, scope, owner) for s in reversed([node.iter, *node.body, *node.orelse])]
            elif isinstance(node, ast.withitem):
                if node.optional_vars is not None:
                    self._assign(node.optional_vars, self.values.value(node.context_expr, scope), scope, "")
                stack.append((node.context_expr, scope, owner))
            elif isinstance(node, ast.Lambda):
                self._order.append(_Function(node, scope, self._now, ""))

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.partition(".")[0]
                scope.names[name] = ref(alias.name if alias.asname else name, name)
            elif alias.name == "*":
                if node.module and len(self.values.stars) < 20:
                    self.values.stars.append(node.module)
            else:
                scope.names[alias.asname or alias.name] = ref(f"{node.module or '?'}.{alias.name}", alias.name)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope, owner: str) -> None:
        path = f"def {'.' if owner else ''}{node.name}"
        function = _Function(node, (scope.parent or scope) if owner else scope, self._now, owner)
        if owner:
            if node.name == "__init__":
                self._functions[f"class {owner}"] = function
            self.values.attributes.setdefault(f"self.{node.name}", ref(path, node.name))
        scope.names[node.name] = ref(path, node.name)
        self._functions[path] = function
        self._order.append(function)

    def _assignment(
        self, node: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr, scope: Scope, owner: str
    ) -> Callable[[], None]:
        def bind() -> None:
            assert node.value is not None
            value = self.values.value(node.value, scope)
            if isinstance(node, ast.AugAssign):
                if isinstance(node.op, ast.Add):
                    value = self.values.sum([self.values.value(node.target, scope), value])
                else:
                    value = unknown(named(node.target))
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets[:20]:
                self._assign(target, value, scope, owner)

        return bind

    def _assign(self, target: ast.expr, value: Value, scope: Scope, owner: str) -> None:
        todo: list[tuple[ast.expr, Value]] = [(target, value)]
        while todo:
            target, value = todo.pop()
            if isinstance(target, ast.Name):
                # what is not told keeps the name under which the code goes on with it
                told = (
                    ref(value.path, target.id)
                    if isinstance(value, Ref) and value.path[:4] not in ("def ", "clas")
                    else value
                )
                scope.names[target.id] = told
                if owner:
                    self.values.attributes[f"self.{target.id}"] = told
                    self.values.attributes[f"{owner}.{target.id}"] = told
            elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                owner_name = "self" if target.value.id == "cls" else target.value.id
                told = ref(value.path, target.attr) if isinstance(value, Ref) else value
                full = f"{owner_name}.{target.attr}"
                if not (isinstance(told, Ref) and told.path.startswith("?")) or full not in self.values.attributes:
                    self.values.attributes[full] = told
            elif isinstance(target, ast.Tuple | ast.List):
                same = isinstance(value, tuple) and len(value) == len(target.elts)
                for number, part in enumerate(target.elts[:200]):
                    if same and isinstance(value, tuple):
                        todo.append((part, value[number]))
                    else:
                        path = value.path if isinstance(value, Ref) and number == 0 else "?"
                        todo.append((part, ref(path, named(part))))
            elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                base, key = scope.get(target.value.id), self.values.value(target.slice, scope)
                if isinstance(base, Table) and len(base.items) < 200:
                    scope.names[target.value.id] = Table({**base.items, text(key)[:200]: value})

    def _loop(self, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
        items = self.values.value(node.iter, scope)
        single = isinstance(items, tuple) and len(items) == 1
        value = items[0] if single and isinstance(items, tuple) else unknown(named(node.target))
        self._assign(node.target, value, scope, "")

    def _statement(self, node: ast.Tuple, scope: Scope) -> None:
        """`exec code in names` of Python 2, as _modern writes it."""
        if len(node.elts) > 1 and isinstance(node.elts[0], ast.Name) and node.elts[0].id == "exec":
            code = node.elts[1]
            self._decoded(self.values.value(code.left if isinstance(code, ast.Compare) else code, scope), scope, node)

    # calls

    def _call(self, node: ast.Call, scope: Scope, handed: bool = False) -> None:
        func = node.func
        last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        callee = self.values.value(func, scope)
        path = callee.path if isinstance(callee, Ref) else ""
        if isinstance(func, ast.Name) and path:
            last = path.rpartition(".")[2]  # what an alias stands for
        if isinstance(func, ast.Attribute) and last in ("append", "extend", "insert"):
            self._grown(func, node, scope)
            return
        if path.startswith(("def ", "class ")):
            self._called(path, node, scope)
            return
        if path in ("exec", "eval", "builtins.exec", "builtins.eval", "__builtin__.exec"):
            if node.args:
                self._decoded(self.values.value(node.args[0], scope), scope, node)
            return
        if last in _HANDS and not handed:
            self._handed(node, last, scope)
        self._start(node, path, last or path.rpartition(".")[2], scope)
        self._open(node, path, last or path.rpartition(".")[2], scope)

    def _grown(self, func: ast.Attribute, node: ast.Call, scope: Scope) -> None:
        """A list that is added to in place."""
        base = self.values.value(func.value, scope)
        if not isinstance(base, tuple):
            return
        args, _ = self.values.arguments(node, scope)
        if func.attr == "append" and args:
            made = self.values.sum([base, (args[0],)])
        elif func.attr == "extend" and args:
            made = self.values.sum([base, args[0]])
        elif func.attr == "insert" and len(args) > 1 and isinstance(args[0], int):
            made = self.values.sum([base[: args[0]], (args[1],), base[args[0] :]])
        else:
            return
        self._assign(func.value, made, scope, "")

    def _called(self, path: str, node: ast.Call, scope: Scope) -> None:
        """A function of the file itself: what it is given goes into its body."""
        function = self._functions.get(path)
        if self._now is not None:
            self._now.callees.add(path)
        if function is None:
            return
        args, by_name = self.values.arguments(node, scope)
        given = [*args, *by_name.values()]
        if any(known(v) or (isinstance(v, Ref) and not v.path.startswith("?")) for v in given):
            if len(function.calls) >= _BINDINGS:
                function.more = True
                return
            shown = repr([_print(v) for v in given[:255]]) + repr(list(by_name))
            caller = None if self._site else self._now
            function.calls.setdefault(shown, (args, by_name, self._site or node.lineno, caller))

    def _handed(self, node: ast.Call, last: str, scope: Scope) -> None:
        """A function given to a thread, a pool or a hook is as good as called."""
        target: ast.expr | None = None
        args: list[ast.expr] = []
        if last in ("Thread", "Process"):
            by_name = {k.arg: k.value for k in node.keywords}
            target, given = by_name.get("target"), by_name.get("args")
            args = given.elts if isinstance(given, ast.Tuple | ast.List) else []
        else:
            at = 1 if last in ("run_in_executor", "Timer", "call_later") else 0
            if len(node.args) > at:
                target, args = node.args[at], node.args[at + 1 :]
                if last in ("start_new_thread", "Timer", "apply_async") and args:
                    args = args[0].elts if isinstance(args[0], ast.Tuple | ast.List) else []
        if isinstance(target, ast.Name | ast.Attribute):
            made = ast.Call(target, args, [k for k in node.keywords if last in ("partial", "submit", "to_thread")])
            self._call(ast.copy_location(made, node), scope, handed=True)

    def _decoded(self, value: Value, scope: Scope, node: ast.expr) -> None:
        """Source in a value: read later, in the names of the place that runs it."""
        self._matters()
        if not isinstance(value, str | bytes):
            return
        source = text(value)
        if not re.search(r"[(\n=]|\bimport\b", source[:65536]):
            return
        if self._place.depth >= _NESTED:
            self.problems[f"source within source, more than {_NESTED} deep"] = None
            return
        self._nested -= len(source)
        if self._nested < 0 or len(self._sources) > 200:
            self.problems["more decoded source than is read of one file"] = None
            return
        place = _Place(self._key(node), self._place.line or self._site or node.lineno, self._place.depth + 1)
        self._sources.append((source, scope, place))

    def _matters(self) -> None:
        if self._now is not None:
            self._now.matters = True

    def _start(self, node: ast.Call, path: str, last: str, scope: Scope) -> None:
        if path in _SHELL or last in _LAST_SHELL or (path.endswith(".subprocess_shell") and len(node.args) > 1):
            args, by_name = self.values.arguments(node, scope)
            at = 1 if last == "subprocess_shell" else 0
            command = args[at] if len(args) > at else by_name.get("cmd", by_name.get("command"))
            self._emit(node, (), command, path)
        elif path in _REMOTE or last == "exec_command":
            args, by_name = self.values.arguments(node, scope)
            self._emit(node, (), args[0] if args else by_name.get("command"), path, remote=True)
        elif last == "create_subprocess_exec" or path.endswith(".subprocess_exec"):
            args, by_name = self.values.arguments(node, scope)
            self._piping(by_name)
            self._emit(node, tuple(args[1 if last == "subprocess_exec" else 0 :]), None, path)
        elif found := _EXEC.match(path):
            self._executed(node, found, path, scope)
        elif path in ("os.posix_spawn", "os.posix_spawnp"):
            args, _ = self.values.arguments(node, scope)
            argv = args[1] if len(args) > 1 else None
            self._emit(node, (args[0], *(argv[1:] if isinstance(argv, tuple) else ())) if args else (), None, path)
        elif path in _LIST:
            args, by_name = self.values.arguments(node, scope)
            first = args[0] if args else by_name.get("command", by_name.get("argv"))
            more = args[1] if len(args) > 1 else by_name.get("args")
            if path.startswith("pexpect") and isinstance(first, str) and not isinstance(more, tuple):
                first = _words(first)
            argv = first if isinstance(first, tuple) else (first,) if first is not None else ()
            self._emit(node, (*argv, *(more if isinstance(more, tuple) and "pexpect" in path else ())), None, path)
        elif last in _LAST_RUN or (last in ("run", "call", "run_process", "open_process") and self._runner(path)):
            self._subprocess(node, path, scope)
        elif last in ("run", "sudo", "local") and re.match(r"(?:fabric|invoke)\.", path):
            args, by_name = self.values.arguments(node, scope)
            far = "Connection()" in path and last != "local"
            self._emit(node, (), args[0] if args else by_name.get("command"), path, remote=far)
        elif path.startswith(("sh.", "plumbum.")) or "plumbum.local[" in path:
            self._worded(node, path, scope)
        elif last == "system" and re.search(r"(?i)cdll|get_ipython", path):
            args, _ = self.values.arguments(node, scope)
            self._emit(node, (), args[0] if args else None, path)

    def _runner(self, path: str) -> bool:
        module = path.rpartition(".")[0]
        return module in _RUNNERS or module.endswith(".subprocess")

    def _subprocess(self, node: ast.Call, path: str, scope: Scope) -> None:
        args, by_name = self.values.arguments(node, scope)
        self._piping(by_name)
        command = args[0] if args else by_name.get("args", by_name.get("command"))
        shell = by_name.get("shell", args[8] if len(args) > 8 else False)
        if shell is not False and shell != 0 and shell is not None:
            first = command[0] if isinstance(command, tuple) and command else command
            self._emit(node, (), first, path)
            return
        argv = command if isinstance(command, tuple) else () if command is None else (command,)
        program = by_name.get("executable")
        if program is not None and known(program):
            argv = (program, *argv[1:])
        self._emit(node, argv, None, path)

    def _executed(self, node: ast.Call, found: re.Match[str], path: str, scope: Scope) -> None:
        args, _ = self.values.arguments(node, scope)
        if found[1] == "spawn":
            args = args[1:]
        if not args:
            return
        if found[2] == "v":
            rest = args[1] if len(args) > 1 else ()
            self._emit(node, (args[0], *(rest[1:] if isinstance(rest, tuple) else (rest,))), None, path)
        else:
            self._emit(node, (args[0], *(args[2:-1] if found[4] else args[2:])), None, path)

    def _worded(self, node: ast.Call, path: str, scope: Scope) -> None:
        """`sh.ssh("-N", …)`, `sh.Command("ssh")(…)`, `local["ssh"]["-N"]()`: the program is a name of the module."""
        args, _ = self.values.arguments(node, scope)
        func: ast.expr = node.func
        if path in ("sh.Command", "plumbum.local", "sh.bake"):
            return
        words: list[Value] = []
        for _ in range(20):
            if isinstance(func, ast.Subscript):
                inner = self.values.value(func.slice, scope)
                words[:0] = inner if isinstance(inner, tuple) else (inner,)
                func = func.value
            elif isinstance(func, ast.Call):
                more, _ = self.values.arguments(func, scope)
                words[:0] = more
                func = func.func
            elif isinstance(func, ast.Attribute) and func.attr in ("bake", "run", "popen", "run_fg", "run_bg", "nohup"):
                func = func.value
            else:
                break
        start = self.values.value(func, scope)
        start_path = start.path if isinstance(start, Ref) else ""
        if found := re.fullmatch(r"(?:sh|plumbum\.cmd)\.([a-z]\w*)", start_path):
            words.insert(0, found[1].replace("_", "-"))
        elif start_path not in ("sh.Command", "plumbum.local"):
            return
        self._emit(node, (*words, *args), None, path)

    def _piping(self, by_name: Mapping[str, Value]) -> None:
        for name in ("stdin", "stdout", "stderr"):
            value = by_name.get(name)
            if isinstance(value, Ref) and _is_socket(value.path):
                self._piped = True

    def _key(self, node: ast.AST) -> _Key:
        return (*self._place.key, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))

    def _emit(self, node: ast.Call, argv: tuple[Value, ...], shell: Value, via: str, remote: bool = False) -> None:
        self._matters()
        told = known(shell) if shell is not None else any(known(a) for a in argv)
        whole = [shell] if shell is not None else list(argv)
        if not remote and whole:
            self._ran = True
            first = whole[0]
            if len(whole) == 1 and isinstance(first, Ref) and _is_socket(first.path) and ".recv" in first.path:
                self._obeys = True
        if not told:
            return
        words = tuple(text(a)[:SHOWN] for a in argv[:WORDS]) if shell is None else ()
        line = text(shell) if shell is not None else ""
        if len(line) > SHOWN or len(argv) > WORDS or any(len(text(a)) > SHOWN for a in argv):
            self.problems["a command longer than is kept"] = None
        shown = "" if via.startswith("?") else via
        content = (words, line[:SHOWN], shown.replace("()", "") or named(node.func), remote)
        self._note(self._commands, node, content, sum(map(len, words)) + len(line[:SHOWN]), COMMANDS, "commands")
        name = words[0].rpartition("/")[2] if words else ""
        if re.fullmatch(r"(?:python|pypy)[\d.]*", name) and "-c" in words[:-1]:
            self._decoded(text(argv[words.index("-c") + 1]), Scope(), node)

    def _note(
        self,
        kept: _Kept,
        node: ast.AST,
        content: tuple[Any, ...],
        size: int,
        most: int,
        what: str,
    ) -> None:
        """Keep a fact once: with what a caller gave it rather than without, on the caller's line."""
        own = self._place.line or getattr(node, "lineno", 0)
        found = kept.setdefault(self._key(node), {})
        if content in found:
            return
        self._total -= size + 60
        if self._total < 0 or len(kept) > most or len(found) > _BINDINGS:
            if not found:
                del kept[self._key(node)]
            self.problems[f"more {what} than are read of one file"] = None
            return
        bound = self._site > 0
        if (bound or self._again) and len(found) == 1 and not any(given for _, given in found.values()):
            found.clear()
        found[content] = (self._site if bound and not self._place.line else own, bound)

    # forwards

    def _open(self, node: ast.Call, path: str, last: str, scope: Scope) -> None:
        if last == "open_channel":
            args, by_name = self.values.arguments(node, scope)
            kind = text(args[0]) if args else text(by_name.get("kind", ""))
            dest = args[1] if len(args) > 1 else by_name.get("dest_addr")
            if kind in ("direct-tcpip", "forwarded-tcpip"):
                host, port = _pair(dest)
                self._forward(node, "local" if kind[0] == "d" else "remote", host, port, "", "paramiko", known(dest))
            return
        opens = _BY_PATH.get(path) or _BY_NAME.get(last)
        if opens is not None and (path in _BY_PATH or isinstance(node.func, ast.Attribute)):
            self._opened(node, opens, scope)
        elif last in _TUNNELS:
            self._tunnel(node, scope)
        elif "asyncssh.connect()." in path and last in _BY_CONNECTION:
            self._opened(node, _BY_CONNECTION[last], scope)
        elif last == "launch" and "gradio" in path:
            _, by_name = self.values.arguments(node, scope)
            if by_name.get("share") is True:
                self._forward(node, "remote", "", None, "", "gradio", True)
        else:
            self._connect(node, path, last, scope)

    def _opened(self, node: ast.Call, opens: _Opens, scope: Scope) -> None:
        args, by_name = self.values.arguments(node, scope)
        given = {**dict(zip(opens.parameters, args, strict=False)), **by_name}
        if opens.library == "fabric":
            far = "127.0.0.1" if opens.kind == "remote" else "localhost"
            given = {"local_host": "localhost", "remote_host": far, **given}
            given.setdefault("local_port", given.get("remote_port"))
            given.setdefault("remote_port", given.get("local_port"))
        told = [*args[: len(opens.parameters)], *by_name.values()]
        host, port = _end(given, opens.host, opens.port)
        other = _shown(*_end(given, *opens.other))
        resolved = any(v is not None and known(v) for v in told) or not opens.parameters
        self._forward(node, opens.kind, host, port, other, opens.library, resolved)

    def _tunnel(self, node: ast.Call, scope: Scope) -> None:
        args, by_name = self.values.arguments(node, scope)
        target = by_name.get("remote_bind_address")
        many = by_name.get("remote_bind_addresses")
        listen = by_name.get("local_bind_address")
        server = (
            args[0] if args else by_name.get("ssh_address_or_host", by_name.get("ssh_address", by_name.get("ssh_host")))
        )
        host, port = _pair(server)
        port = _number(by_name.get("ssh_port")) or port
        user = by_name.get("ssh_username")
        shown = (f"{text(user)}@" if user is not None else "") + _shown(host, port)
        targets = list(many[:20]) if isinstance(many, tuple) else [target]
        for one in targets:
            far_host, far_port = _pair(one)
            told = any(v is not None and known(v) for v in (one, server, listen))
            self._forward(node, "local", far_host, far_port, _shown(*_pair(listen)), "sshtunnel", told, shown)

    def _connect(self, node: ast.Call, path: str, last: str, scope: Scope) -> None:
        """Connections: where forwards lead, and the sockets that a shell may be handed."""
        args: list[Value]
        if path in ("asyncssh.connect", "asyncssh.create_connection"):
            args, by_name = self.values.arguments(node, scope)
            args = args[1:] if last == "create_connection" else args
            self._connected(node, {**dict(zip(("host", "port"), args, strict=False)), **by_name}, "host", "asyncssh")
        elif last == "connect" and "SSHClient()" in path:
            args, by_name = self.values.arguments(node, scope)
            given = {**dict(zip(("hostname", "port", "username"), args, strict=False)), **by_name}
            self._connected(node, given, "hostname", "paramiko")
        elif last == "connect" and path.startswith("?"):
            _, by_name = self.values.arguments(node, scope)
            if {"hostname", "username"} <= by_name.keys():
                self._connected(node, by_name, "hostname", "paramiko")
        elif path in ("paramiko.Transport", "paramiko.transport.Transport"):
            args, _ = self.values.arguments(node, scope)
            host, port = _pair(args[0]) if args else ("", None)
            if host:
                self._connected(node, {"host": host, "port": port}, "host", "paramiko")
        elif last == "connect" and path.startswith("paramiko.") and "Transport()" in path:
            args, by_name = self.values.arguments(node, scope)
            user = args[1] if len(args) > 1 else by_name.get("username")
            if user is not None and self._current[0] == "paramiko" and self._current[1]:
                self._current = ("paramiko", f"{text(user)[:HOST]}@{self._current[1].rpartition('@')[2]}")
        elif path in ("fabric.Connection", "fabric2.Connection", "fabric.connection.Connection"):
            args, by_name = self.values.arguments(node, scope)
            given = {**dict(zip(("host", "user", "port"), args, strict=False)), **by_name}
            given["username"] = given.get("user")
            self._connected(node, given, "host", "fabric")
        elif last == "login" and "pxssh()" in path:
            args, by_name = self.values.arguments(node, scope)
            given = {**dict(zip(("server", "username"), args, strict=False)), **by_name}
            self._connected(node, given, "server", "pexpect")
        elif last in ("connect", "connect_ex", "bind") and _is_socket(path.rpartition(".")[0]):
            args, _ = self.values.arguments(node, scope)
            if args:
                self._socket(node, args[0], last == "bind")
        elif path == "socket.create_connection":
            args, by_name = self.values.arguments(node, scope)
            self._socket(node, args[0] if args else by_name.get("address"), False)
        elif path == "os.dup2" and node.args:
            value = self.values.value(node.args[0], scope)
            if isinstance(value, Ref) and _is_socket(value.path):
                self._piped = True

    def _socket(self, node: ast.Call, address: Value, listens: bool) -> None:
        self._matters()
        host, port = _pair(address)
        self._note(self._sockets, node, (host[:HOST], port, listens), len(host[:HOST]), CONNECTIONS, "sockets")

    def _connected(self, node: ast.Call, given: Mapping[str, Value], key: str, library: str) -> None:
        self._matters()
        host, port = _pair(given.get(key))
        port = _number(given.get("port")) or port
        user = given.get("username")
        shown = text(user)[:HOST] if user is not None else ""
        if "@" in host:
            shown, _, host = host[:HOST].rpartition("@")
        if host:
            content = (host[:HOST], port, shown, library)
            self._note(self._connections, node, content, len(host[:HOST]) + len(shown), CONNECTIONS, "connections")
            self._current = (library, _server(content))

    def _forward(
        self,
        node: ast.Call,
        kind: str,
        host: str,
        port: int | None,
        other: str,
        library: str,
        resolved: bool,
        server: str | None = None,
    ) -> None:
        self._matters()
        if server is None:
            server = self._current[1] if self._current[0] == library else ""
        content = (kind, host[:HOST], port, other[:HOST], server[:HOST], library, resolved, self._place.depth > 0)
        self._note(
            self._forwards,
            node,
            content,
            len(host[:HOST]) + len(other[:HOST]) + len(server[:HOST]),
            FORWARDS,
            "forwards",
        )

    # the end

    def result(self, source: bytes, parsed: bool) -> dict[str, Any]:
        """Everything found, as JSON, in the order of lines."""
        if self.values.cut:
            self.problems["its expressions are larger than is worked out for one file"] = None
        commands = [
            [*c[:2], line, *c[2:], len(key) > 2]
            for key, kept in self._commands.items()
            for c, (line, _) in kept.items()
        ]
        connections = sorted(
            ([*c, line] for kept in self._connections.values() for c, (line, _) in kept.items()),
            key=lambda c: int(c[4]),
        )
        forwards: list[list[Any]] = []
        for kept in self._forwards.values():
            for (kind, host, port, other, server, origin, resolved, encoded), (line, _) in kept.items():
                near = server or next((_server((c[0], c[1], c[2], c[3])) for c in connections if c[3] == origin), "")
                forwards.append([kind, host, port, other, near, origin, line, resolved, encoded])
        if (self._piped and self._ran) or self._obeys:
            ways = [(c, line, len(key) > 2) for key, kept in self._sockets.items() for c, (line, _) in kept.items()]
            out = [w for w in ways if not w[0][2]]
            kind = "reverse-shell" if out else "bind-shell"
            forwards += [[kind, h, p, "", "", "socket", line, bool(h or p), e] for (h, p, _), line, e in out or ways]
        main = source.startswith(b"#!") or re.search(rb"__name__\s*==\s*['\"]__main__['\"]", source) is not None
        return {
            "commands": sorted(commands, key=lambda c: int(c[2])),
            "forwards": sorted(forwards, key=lambda f: int(f[6])),
            "connections": connections,
            "main": main,
            "parsed": parsed,
            "problems": list(self.problems),
        }


def _print(value: Value) -> str:
    """Enough of a value to tell it from another."""
    if isinstance(value, tuple):
        return "\0".join(text(v)[:300] for v in value[:100])
    return value.path if isinstance(value, Ref) else text(value)[:SHOWN]


def _is_socket(path: str) -> bool:
    return "socket.socket()" in path or "socket.create_connection()" in path


def _words(command: str) -> Value:
    import shlex

    try:
        return tuple(shlex.split(command[:SHOWN])[:WORDS])
    except ValueError:
        return tuple(command[:SHOWN].split()[:WORDS])


def _number(value: Value) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 1 << 16 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        return _number(int(value))
    return None


def _pair(value: Value) -> tuple[str, int | None]:
    """Host and port of an address: a tuple, `host:port`, or a host alone."""
    if isinstance(value, tuple):
        return (text(value[0]) if value else ""), _number(value[1]) if len(value) > 1 else None
    if value is None:
        return "", None
    shown = text(value)
    host, colon, port = shown.rpartition(":")
    if colon and ":" not in host and _number(port) is not None:
        return host, _number(port)
    return shown, None


def _end(given: Mapping[str, Value], host: str, port: str) -> tuple[str, int | None]:
    at, number = given.get(host), given.get(port)
    if number is None and isinstance(at, int) and not isinstance(at, bool):
        return "", _number(at)
    name, own = _pair(at)
    return name, own if number is None else _number(number)


def _shown(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def _server(connection: tuple[str, int | None, str, str]) -> str:
    host, port, user, _ = connection
    return (f"{user}@" if user else "") + _shown(host, port)


_CALLED = (
    r"system|p?open[234]?|Popen|run|call|check_call|check_output|getoutput|getstatusoutput|exec[lv]p?e?|spawn[lv]?p?e?"
    r"|posix_spawnp?|create_subprocess_(?:exec|shell)|exec_command|exec|eval|SSHTunnelForwarder|open_tunnel|open_channel"
    r"|connect|connect_ex|bind|create_connection|Transport|Connection|dup2|remote_tunnel|connect_reverse|listen_reverse|forward|launch"
    r"|try_cloudflare|run_with_cloudflared|run_with_ngrok|start_server|open_connection"
    + "".join(f"|{name}" for name in _BY_NAME)
)
_FOUND = r"""(?mx)(?:^|;)[ \t]*(?P<import>(?:import|from)[ \t][^\n#;]{1,300})
    |(?:^|;)[ \t]*(?P<assign>[A-Za-z_][\w.]{0,60}(?:[ \t]*,[ \t]*[A-Za-z_]\w{0,60}){0,4}[ \t]*\+?=(?!=)[ \t]*)
    |^[ \t]*(?P<comment>\#[^\n]*)
    |(?:(?<![\w.])|(?<=[)\]]\.))(?P<call>(?:[A-Za-z_]\w{0,40}(?:\(\))?\.){0,4}(?:CALLED))[ \t]*\("""
_ALIAS = re.compile(r"(?m)^[ \t]*(?:from|import)[ \t][^\n]{1,200}?[ \t]as[ \t]+([A-Za-z_]\w{0,40})")
_ALIASES = 40
_TOKEN = re.compile(
    r"""(?P<string>[rRbBuUfF]{0,2}(?:\"{3}(?:[^\"\\]|\\.|\"(?!\"\"))*+\"{3}|'{3}(?:[^'\\]|\\.|'(?!''))*+'{3}
        |"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'))
    |(?P<comment>\#[^\n]*)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<end>\n|;)|(?P<other>\\\n|[^"'#()\[\]{}\n;\\]++|.)""",
    re.VERBOSE | re.DOTALL,
)


def _split(source: bytes, problems: dict[str, None]) -> Iterator[list[ast.stmt]]:
    """Imports, assignments and calls that parse alone, on their lines, whatever stands between them."""
    whole = source.decode("utf-8", "surrogateescape").replace("\0", " ")
    lines, at, room, count = Lines(whole), 0, _PIECES_TEXT, 0
    aliases = dict.fromkeys(m[1] for m in islice(_ALIAS.finditer(whole), _ALIASES))
    wanted = re.compile(_FOUND.replace("CALLED", "|".join((_CALLED, *aliases))))
    while (found := wanted.search(whole, at)) is not None:
        kind = found.lastgroup or ""
        if kind == "comment":
            at = found.end()
            continue
        begin = found.start(kind)
        end = found.end() if kind == "import" else _close(whole, found.end(), 1 if kind == "call" else 0)
        room -= end - begin
        count += 1
        if room < 0 or count > _PIECES:
            problems["more calls than are read one by one"] = None
            return
        # a method of what a call returned: of what, is not told here
        before = "_." if whole[begin - 1 : begin] == "." else ""
        tree = _tree((before + whole[begin:end].strip()).encode("utf-8", "replace"))
        if tree is None:
            at = found.end()
            continue
        shift = lines.at(begin) - 1
        for statement in tree.body:
            ast.increment_lineno(statement, shift)
        yield tree.body
        at = max(end, found.end())


def _close(whole: str, at: int, depth: int) -> int:
    """Where the bracket that is open, or the statement, ends: within a piece's length."""
    most = min(len(whole), at + _PIECE)
    for token in _TOKEN.finditer(whole, at, most):
        kind = token.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
            if depth <= 0:
                return token.end() if depth == 0 else token.start()
        elif kind == "end" and depth <= 0:
            return token.start()
    return most


def _piecewise(reader: _Reader, source: bytes) -> dict[str, Any]:
    for piece in _split(source, reader.problems):
        reader.walk_piece(piece)
    reader.run([])
    return reader.result(source, False)


__all__ = [
    "PythonCommand",
    "PythonConnection",
    "PythonFacts",
    "PythonForward",
    "library",
    "parse",
    "pieces",
    "python_facts",
    "read",
]
