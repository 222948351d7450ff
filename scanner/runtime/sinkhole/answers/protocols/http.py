"""HTTP/1 (RFC 9110, RFC 9112): who asks for what, a small yes to everything, and what lies behind CONNECT and Upgrade.

Inside: DNS over HTTPS (RFC 8484, and JSON's form), a cloud's metadata service, work for miners over JSON-RPC, websockets (RFC 6455).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.answers import metadata, mining, question, websocket
from scanner.runtime.sinkhole.answers.families import of_host
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.stream import Over, Stream
from scanner.runtime.sinkhole.answers.values import Heard

_METHODS = "GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|REPORT|SEARCH|PURGE"
_BEGIN = re.compile(rb"(?:" + _METHODS.encode() + rb") (?:/|\*|https?://|wss?://|[\w.\[\]:-]{1,255})", re.IGNORECASE)
_LINE = re.compile(r"(\S{1,20}) +(\S{1,8000})(?: +HTTP/(\d(?:\.\d)?))?[ \t]*")
_HEAD, _HEADERS = 32 << 10, 200
_BODY = 64 << 10
"""Of a body, to look into; what is longer is skipped."""
_REQUESTS = 200
_FAMILIES = (
    (re.compile(r"chisel-v\d"), "chisel"),
    (re.compile(r"authorization\.bearer\."), "wstunnel"),
)
_SCHEME = re.compile(r"[A-Za-z][\w-]{0,30}")


@dataclass(frozen=True, slots=True)
class _Request:
    """`headers` by their names in small letters, the last of each; `length` of the body, None for chunked."""

    method: str
    path: str
    version: str
    headers: Mapping[str, str]

    @property
    def url(self) -> str:
        """The path alone, where the target is a whole URL (as a proxy gets it)."""
        if "://" not in self.path[:12]:
            return self.path
        rest = self.path.partition("://")[2]
        return "/" + rest.partition("/")[2]

    @property
    def host(self) -> str:
        if "://" in self.path[:12]:
            return self.path.partition("://")[2].partition("/")[0].rpartition("@")[2]
        return self.headers.get("host", "")


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    line, end, rest = first.lstrip(b"\r\n").partition(b"\n")
    if not _BEGIN.match(line):
        return None
    if end and b"HTTP/" not in line and (line.count(b" ") > 1 or line[:3].upper() != b"GET"):
        return None  # RTSP, SIP, a line of text
    found = _request(line, rest.split(b"\n")[:_HEADERS])
    if found is None and line[:7].upper() == b"CONNECT":
        return Heard("http-connect", {})
    if found is None:
        return Heard("http", {"http": {"method": shown(line.partition(b" ")[0], 20).upper()}})
    if found.method == "CONNECT":
        return Heard("http-connect", {"proxy": _proxy(found)})
    return Heard("http", {"http": _facts(found)})


async def converse(talk: Talk, heard: Heard) -> None:
    """Say yes to each request, and go on inside where one leads there. Raises Over."""
    for number in range(1, _REQUESTS + 1):
        request = await _read(talk.stream)
        if request is None:
            await _respond(talk, "400 Bad Request", "text/plain", b"")
            return
        if request.method == "CONNECT":
            await _connect(talk, request, again=number > 1 or heard.service != "http-connect")
            return
        _tell(talk, request, number)
        if request.headers.get("expect", "").lower() == "100-continue":
            await talk.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "websocket" in request.headers.get("upgrade", "").lower() and "sec-websocket-key" in request.headers:
            await _websocket(talk, request)
            return
        body, whole = await _body(talk.stream, request)
        await _answer(talk, request, body)
        close = request.headers.get("connection", "keep-alive" if request.version == "1.1" else "close").lower()
        if not whole or "close" in close:
            return


def _tell(talk: Talk, request: _Request, number: int) -> None:
    if number == 1:
        talk.tell("http", **_facts(request))
    else:
        talk.listed("http", "more", f"{request.method} {shown(request.host, 100)}{shown(request.url)}")
    target = talk.context.target.address
    whose = metadata.cloud((target, talk.context.name or "", request.host.lower()), request.url, request.headers)
    talk.tell("http", requests=number, metadata=whose)


def _facts(request: _Request) -> dict[str, Json]:
    headers = request.headers
    protocol = headers.get("sec-websocket-protocol", "")
    family = next((name for shape, name in _FAMILIES if shape.search(protocol)), None)
    if family is None and request.url.startswith("/tor/"):
        family = "tor-directory"
    family = family or of_host(request.host)
    known: dict[str, Json] = {
        "method": shown(request.method, 20),
        "host": shown(request.host) or None,
        "path": shown(request.url, 400),
        "version": request.version,
        "agent": _header(headers, "user-agent"),
        "type": _header(headers, "content-type"),
        "length": int(length)
        if (length := headers.get("content-length", ""))[:15].isdecimal() and len(length) < 16
        else None,
        "auth": _scheme(headers.get("authorization")),
        "upgrade": _header(headers, "upgrade"),
        # a token stands here too (wstunnel)
        "protocol": shown(family if family == "wstunnel" else protocol, 60) or None,
        "proxied": True if "://" in request.path[:12] else None,
        "family": family,
    }
    return {key: fact for key, fact in known.items() if fact is not None}


def _proxy(request: _Request) -> dict[str, Json]:
    known = {
        "target": shown(request.path),
        "agent": _header(request.headers, "user-agent"),
        "auth": _scheme(request.headers.get("proxy-authorization")),
    }
    return {key: fact for key, fact in known.items() if fact is not None}


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return shown(headers[name]) if headers.get(name) else None


def _scheme(value: str | None) -> str | None:
    """How somebody is authorised, never with what."""
    found = _SCHEME.match(value or "")
    return found[0].lower() if found and value and " " in value else "unknown" if value else None


# Reading


def _request(line: bytes, headers: list[bytes]) -> _Request | None:
    found = _LINE.fullmatch(line.decode("latin-1").rstrip("\r"))
    if found is None:
        return None
    known: dict[str, str] = {}
    for one in headers:
        name, colon, value = one.decode("utf-8", "replace").partition(":")
        if not name.strip():
            break
        if colon and len(name) <= 100:
            known[name.strip().lower()] = value.strip()[:2000]
    return _Request(found[1].upper(), found[2], found[3] or "0.9", known)


async def _read(stream: Stream) -> _Request | None:
    """The next request's head; None where it is none, or larger than any honest one. Raises Over."""
    line = b""
    for _ in range(10):
        line = await stream.line(_HEAD)
        if line:
            break
    headers: list[bytes] = []
    size = len(line)
    if b"HTTP/" not in line:
        return _request(line, []) if line[:4].upper() == b"GET " else None
    while True:
        header = await stream.line(_HEAD)
        if not header:
            return _request(line, headers)
        size += len(header)
        if size > _HEAD or len(headers) >= _HEADERS:
            return None
        headers.append(header)


async def _body(stream: Stream, request: _Request) -> tuple[bytes, bool]:
    """The beginning of a body, and whether all of it was read: then another request may follow. Raises Over."""
    length = request.headers.get("content-length", "0")
    if "chunked" in request.headers.get("transfer-encoding", "").lower():
        return await _chunks(stream)
    if not length.isdecimal() or len(length) > 15:
        return b"", False
    size = int(length)
    data = await stream.take(min(size, _BODY))
    await stream.skip(size - len(data))
    return data, True


async def _chunks(stream: Stream) -> tuple[bytes, bool]:
    body = b""
    while True:
        line = (await stream.line(200)).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", line):
            return body, False
        size = int(line, 16)
        if size == 0:
            for _ in range(_HEADERS):
                if not await stream.line(_HEAD):
                    return body, True
            return body, False
        wanted = min(size, _BODY - len(body))
        body += await stream.take(wanted)
        await stream.skip(size - wanted)
        await stream.line(200)


# Answering


async def _respond(
    talk: Talk, status: str, kind: str, body: bytes, headers: tuple[str, ...] = (), head: bool = False
) -> None:
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", "")
    await talk.stream.write("\r\n".join(lines).encode() + (b"" if head else body))


async def _answer(talk: Talk, request: _Request, body: bytes) -> None:
    head = request.method == "HEAD"
    if (message := _dns(request, body)) and (asked := question.question(message)):
        talk.tell("http", doh=asked.name)
        talk.tell("dns", name=asked.name, type=asked.type, transport="https")
        reply = question.answer(message, asked, talk.context.resolve)
        await _respond(talk, "200 OK", "application/dns-message", reply, head=head)
        return
    if name := _dns_json(request):
        talk.tell("http", doh=name)
        talk.tell("dns", name=name, transport="https")
        await _respond(talk, "200 OK", "application/dns-json", b'{"Status":0,"Answer":[]}', head=head)
        return
    work = mining.message(body) if body.lstrip().startswith(b"{") else None
    if work and (name := mining.method(work)):
        talk.context.tell({"service": "stratum", "layers": [*talk.layers, "stratum"]})
        mining.tell(talk, work, name)
        await _respond(talk, "200 OK", "application/json", mining.text(work, name), head=head)
        return
    whose = metadata.cloud(
        (talk.context.target.address, talk.context.name or "", request.host.lower()), request.url, request.headers
    )
    if whose:
        said = metadata.reply(whose, request.url)
        await _respond(talk, "200 OK", said.type, said.body, said.headers, head)
    elif "json" in request.headers.get("accept", ""):
        await _respond(talk, "200 OK", "application/json", b"{}", head=head)
    else:
        await _respond(talk, "200 OK", "text/plain", b"ok\n", head=head)


def _dns(request: _Request, body: bytes) -> bytes | None:
    """The DNS message of a request, by RFC 8484: a POST's body, or `dns=` in base64url."""
    if request.headers.get("content-type", "").lower().startswith("application/dns-message"):
        return body
    given = _asked(request.url, "dns")
    if not given:
        return None
    try:
        return base64.urlsafe_b64decode(given[:4096] + "=" * (-len(given[:4096]) % 4))
    except (binascii.Error, ValueError):
        return None


def _dns_json(request: _Request) -> str | None:
    """The name of a query in JSON's form, as Google and Cloudflare have it."""
    wanted = request.headers.get("accept", "").lower()
    path = request.url.partition("?")[0]
    if "application/dns-json" in wanted or path in ("/resolve", "/dns-query"):
        name = _asked(request.url, "name")
        return shown(name, 255) if name else None
    return None


def _asked(url: str, name: str) -> str:
    try:
        return parse_qs(urlsplit(url).query, max_num_fields=50).get(name, [""])[0]
    except ValueError:
        return ""


async def _connect(talk: Talk, request: _Request, again: bool) -> None:
    """A proxy's client goes on as if it had reached whom it wanted. Raises Over."""
    if again:
        talk.heard(Heard("http-connect"))
    talk.tell("proxy", **_proxy(request))
    await talk.stream.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await talk.inside(talk.stream, authority(request.path))


def authority(text: str) -> Endpoint:
    """`host:port` as an Endpoint; what is no port is left out."""
    host, _, port = text.rpartition(":")
    number = int(port) if port.isdecimal() and len(port) < 6 else None
    return Endpoint(shown((host if number is not None else text).strip("[]"), 255), number)


async def _websocket(talk: Talk, request: _Request) -> None:
    """The switch to a websocket, and what is said in it. Raises Over."""
    key = request.headers["sec-websocket-key"][:100] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
    ]
    offered = request.headers.get("sec-websocket-protocol", "").partition(",")[0].strip()
    if re.fullmatch(r"[\w.+/-]{1,60}", offered):
        lines.append(f"Sec-WebSocket-Protocol: {offered}")
    await talk.stream.write("\r\n".join((*lines, "", "")).encode())
    talk.heard(Heard("websocket"))
    try:
        await talk.inside(Stream(websocket.WebSocket(talk.stream)))
    except Over as over:
        if over.reason == "silence":  # a websocket's client is often the one that waits
            return
        raise


PLUGIN = Speaker("http", recognise=recognise, converse={"http": converse, "http-connect": converse})
