"""nginx: hands on to what `proxy_pass` and its like name: fixed, by a variable of its own, or by what the client says.

Sources: nginx's documentation of ngx_http_proxy_module, ngx_stream_proxy_module, ngx_http_map_module, ngx_stream_ssl_preread_module,
and of the image (templates); the README of ngx_http_proxy_connect_module.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from scanner.egress.forwarders.plugin import ANYWHERE, Forwarder, Program, Run, Text, target
from scanner.errors import ParseError
from scanner.model.egress import Permit
from scanner.model.launch import Place

_PASSES = frozenset(("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass"))
_TOKEN = re.compile(r"""(?P<skip>\s+|\#[^\n]*)|(?P<sign>[{};])|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<word>(?:\$\{[^}\s]*\}|[^\s{};"'])+)""", re.VERBOSE | re.DOTALL)  # fmt: skip
DEPTH = 20
DIRECTIVES = 50_000


@dataclass(slots=True)
class _Directive:
    words: list[str]
    place: Place
    block: "list[_Directive] | None" = None


def _parsed(text: Text) -> list[_Directive]:
    root: list[_Directive] = []
    stack = [root]
    words: list[str] = []
    line = first = 1
    count = at = 0
    while at < len(text.text):
        token = _TOKEN.match(text.text, at)
        if token is None:
            raise ParseError(f"{text.file}:{line}:1: no configuration of nginx")
        at = token.end()
        kind = token.lastgroup
        if kind == "sign":
            sign = token.group()
            count += 1
            if count > DIRECTIVES:
                raise ParseError(f"{text.file}:{line}:1: more than {DIRECTIVES:,} directives")
            if sign == "}":
                if len(stack) == 1:
                    raise ParseError(f"{text.file}:{line}:1: a brace too many")
                stack.pop()
            elif words:
                one = _Directive(words, text.place(first), [] if sign == "{" else None)
                stack[-1].append(one)
                if one.block is not None:
                    stack.append(one.block)
                    if len(stack) > DEPTH:
                        raise ParseError(f"{text.file}:{line}:1: blocks stand too deep")
            words = []
        elif kind != "skip":
            if not words:
                first = line
            words.append(token[kind or ""])
        line += token.group().count("\n")
    return root


@dataclass(slots=True)
class _Found:
    upstreams: dict[str, list[str]] = field(default_factory=dict)
    constants: dict[str, list[str]] = field(default_factory=dict)
    maps: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    passes: list[tuple[str, Place, _Directive | None]] = field(default_factory=list)
    servers: list[_Directive] = field(default_factory=list)
    tunnels: list[tuple[_Directive, Place, list[str]]] = field(default_factory=list)
    asked: Place | None = None


def read(run: Run) -> Forwarder | None:
    path = run.option("-c") or "/etc/nginx/nginx.conf"
    main = run.file(path)
    texts = [main] if main is not None else []
    folders = (
        "/etc/nginx/conf.d",
        "/etc/nginx/http.d",
        "/etc/nginx/sites-enabled",
        "/etc/nginx/stream.d",
        "/etc/nginx/templates",
    )
    for folder in folders:
        texts += run.files_in(folder)
    if not texts:
        hidden = next((m for p in (path, *folders) if (m := run.covered(p)) is not None), None)
        if hidden is not None:
            return run.untold(
                f"its configuration in {hidden.target} cannot be read", origin=hidden.origin, resolves=False
            )
        if run.official:
            return run.nothing("nginx serves the files of its image alone")
        return run.untold(f"its configuration {path} stands in the image", resolves=False)
    found = _Found()
    for text in texts:
        _gather(_parsed(text), found, None, 0)
    listens = [
        (("udp" if "udp" in d.words else "tcp"), port)
        for server in found.servers
        for d in server.block or ()
        if d.words[0] == "listen" and len(d.words) > 1 and (port := _port(d.words[1]))
    ]
    permits: list[Permit] = []
    unclear: list[str] = []
    place = texts[0].place(1)
    resolves = False
    for value, where, server in found.passes:
        made, dynamic = _passed(value, found, server)
        place = place if permits else where
        resolves = resolves or dynamic
        if made is None:
            unclear.append(f"where {value} leads cannot be read ({where})")
        else:
            permits += made
    for server, where, ports in found.tunnels:
        resolves = True
        place = where
        permits += _tunnelled(found, server, ports)
    if resolves and found.asked is not None:
        return run.untold(f"conditions ({found.asked}) may refuse some of it", listens=listens, origin=place)
    if not (permits or unclear):
        return run.nothing("nginx hands nothing on", place, listens=listens)
    if resolves:
        words = "nginx connects to what its client names"
        return run.result("proxy", dict.fromkeys(permits), words, place, listens=listens, resolves=True)
    return run.relay(permits, "nginx hands on to fixed places", place, listens=listens, unclear="; ".join(unclear))


def _gather(directives: Iterable[_Directive], found: _Found, server: _Directive | None, depth: int) -> None:
    for one in directives:
        name = one.words[0]
        if name == "upstream" and len(one.words) > 1 and one.block is not None:
            found.upstreams[one.words[1]] = [
                d.words[1] for d in one.block if d.words[0] == "server" and len(d.words) > 1
            ]
            continue
        if name == "set" and len(one.words) == 3:
            found.constants.setdefault(one.words[1].lstrip("$"), []).append(one.words[2])
        elif name in ("map", "geo") and one.block is not None and len(one.words) > 1:
            pairs = [(d.words[0], d.words[1]) for d in one.block if len(d.words) == 2 and d.words[0] != "include"]
            found.maps[one.words[-1].lstrip("$")] = pairs
            continue
        elif name in _PASSES and len(one.words) > 1:
            found.passes.append((one.words[1], one.place, server))
        elif name == "proxy_connect" and server is not None:
            allowed = [w for d in server.block or () if d.words[0] == "proxy_connect_allow" for w in d.words[1:]]
            found.tunnels.append((server, one.place, allowed))
        elif name == "if":
            found.asked = found.asked or one.place
        if name == "server" and one.block is not None:
            found.servers.append(one)
        if one.block is not None and depth < DEPTH:
            _gather(one.block, found, one if name == "server" else server, depth + 1)


_CLIENTS = frozenset(
    "host http_host arg_url request_uri uri ssl_preread_server_name ssl_server_name connect_host connect_addr remote_addr "
    "proxy_protocol_addr server_name".split()
)


def _passed(value: str, found: _Found, server: _Directive | None, depth: int = 0) -> tuple[list[Permit] | None, bool]:
    """What a value of proxy_pass reaches (None: cannot be told), and whether the client decides."""
    if value.startswith("unix:") or "//unix:" in value:
        return ([], False) if "docker.sock" not in value else (None, False)
    scheme = re.match(r"(https?|grpcs?)://", value)
    rest = value[scheme.end() :] if scheme else value
    authority = re.match(r"(?:\$\{[^}]*\}|[^/])*", rest)
    host = authority.group() if authority else rest
    variables = re.findall(r"\$\{?(\w+)\}?", host)
    port = {"https": 443, "grpcs": 443}.get(scheme[1], 80) if scheme else None
    if not variables:
        if host in found.upstreams:
            made = [
                target(s.removeprefix("unix:"), port or 80) for s in found.upstreams[host] if not s.startswith("unix:")
            ]
            return [m for m in made if m is not None], False
        one = target(host, port)
        return ([one] if one is not None else None), False
    name = variables[0]
    if depth < 5 and len(variables) == 1 and name in found.constants:
        prefix = value[: value.index("$")]
        tail = re.sub(r"^\$\{?\w+\}?", "", value[value.index("$") :])
        several = [_passed(prefix + constant + tail, found, server, depth + 1) for constant in found.constants[name]]
        return _all(several)
    if depth < 5 and len(variables) == 1 and name in found.maps:
        return _mapped(value, name, found, server, depth)
    clients = all(v in _CLIENTS or v.isdigit() or v.startswith(("arg_", "http_", "cookie_")) for v in variables)
    if not clients:
        if any(v.isupper() for v in variables):
            return None, False  # a template's variable, filled in when it starts
        return None, False
    names = _names(found, server)
    if all(v in ("host", "http_host", "server_name", "connect_host") for v in variables) and names:
        return [Permit(names, "tcp")], True
    fixed = re.search(r":(\d{1,5})$", host)
    ports = ((int(fixed[1]), int(fixed[1])),) if fixed else ((1, 65535),)
    return [Permit(ANYWHERE[0].hosts, "tcp", ports)], True


def _mapped(
    value: str, name: str, found: _Found, server: _Directive | None, depth: int
) -> tuple[list[Permit] | None, bool]:
    several: list[tuple[list[Permit] | None, bool]] = []
    for key, said in found.maps[name]:
        whole = re.sub(r"\$\{?" + name + r"\}?", lambda _, s=said: s, value)  # type: ignore[misc]
        if said in ("", '""'):
            continue
        if "$" in said and not key.startswith("~") and key != "default":
            # the key is the client's name itself
            made, _ = _passed(re.sub(r"\$\{?\w+\}?", key.lstrip("."), whole), found, server, depth + 1)
            if made is not None and key.startswith((".", "*.")):
                made = [Permit((f"*.{key.lstrip('*.')}",), p.protocol, p.ports) for p in made]
            several.append((made, True))
        else:
            several.append(_passed(whole, found, server, depth + 1))
    return _all(several)


def _all(several: list[tuple[list[Permit] | None, bool]]) -> tuple[list[Permit] | None, bool]:
    if any(made is None for made, _ in several):
        return None, any(dynamic for _, dynamic in several)
    return [p for made, _ in several for p in made or ()], any(dynamic for _, dynamic in several)


def _names(found: _Found, server: _Directive | None) -> tuple[str, ...]:
    """The names of a server, () where it takes whatever no other server does."""
    if server is None or server is found.servers[0] or any("default_server" in d.words for d in server.block or ()):
        return ()
    if not any("default_server" in d.words for s in found.servers for d in s.block or ()) and len(found.servers) < 2:
        return ()
    names = [w for d in server.block or () if d.words[0] == "server_name" for w in d.words[1:]]
    plain = [n for n in names if n not in ("_", "") and not n.startswith("~")]
    return tuple(dict.fromkeys(_spread(plain))) if len(plain) == len(names) else ()


def _spread(names: list[str]) -> Iterator[str]:
    for name in names:
        if name.startswith("."):
            yield name[1:]
            yield f"*{name}"
        else:
            yield name


def _tunnelled(found: _Found, server: _Directive, ports: list[str]) -> list[Permit]:
    if "all" in ports:
        spans: tuple[tuple[int, int], ...] = ((1, 65535),)
    else:
        read_ports = [m for w in ports if (m := re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", w))]
        spans = tuple((int(m[1]), int(m[2] or m[1])) for m in read_ports) or ((443, 443), (563, 563))
    return [Permit(_names(found, server) or ANYWHERE[0].hosts, "tcp", spans)]


def _port(text: str) -> int:
    if text.startswith(("127.", "unix:", "[::1]", "localhost")):
        return 0
    port = text.rpartition(":")[2]
    return int(port) if port.isdigit() and len(port) < 6 else 80 if not port.isdigit() and ":" not in text else 0


PLUGIN = Program(
    "nginx",
    images=("nginx", "nginx-unprivileged", "openresty/openresty", "openresty"),
    commands=("nginx", "nginx-debug", "openresty"),
    read=read,
    official=("nginx", "nginxinc/nginx-unprivileged"),
)
