"""SSH keys, private and public, by their structure: what kind, how strong, locked or not, and whose other half they are.

No key material leaves this module: a value holds a kind, lengths, a comment and the hash of the public half.

Sources: OpenSSH's PROTOCOL.key and PROTOCOL.certkeys, PROTOCOL.u2f; RFC 4253 section 6.6, RFC 5656 section 3.1,
RFC 8709 (public keys); RFC 8017 appendix A.1 (PKCS#1), RFC 5915 (EC), RFC 5958 (PKCS#8), RFC 8018 (PBES2), RFC 1421
section 4.6.1.1 (encrypted PEM); PuTTY's manual, appendix C (.ppk); dropbear's signkey.c, as dropbearkey(1) writes it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.model.text import printable

BLOCK = 96 << 10
"""Bytes of one private key block; the longest key that OpenSSH reads, RSA of 16384 bits, needs a sixth of it."""
MAX_BITS = 16384
"""Of a number within a key: sshbuf_get_bignum2_bytes_direct(3) refuses longer ones, and so does libcrypto's ASN.1 for RSA."""
DERIVED = 32
"""Public halves computed for one file, where a private key does not hold its own: milliseconds each."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`type` in words (rsa, ed25519, ecdsa-nistp256, sk-ed25519, …), `name` as the line has it, `bits` of the key.

    `fingerprint` is SHA256:… of the plain key, as `ssh-keygen -l` prints it, also for a certificate.
    """

    type: str
    bits: int
    fingerprint: str
    comment: str = ""
    name: str = ""
    certificate: bool = False


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """One private key block; nothing of its secret.

    `format`: openssh, pem (PKCS#1, SEC 1 and DSA's), pkcs8, putty or dropbear. `type` is "" where the block hides it,
    `bits` None and `fingerprint` "" likewise. `valid`: its structure is whole, so that it can be a key; else `reason`
    says what is wrong. `line` counts from 1; `offset` (bytes) is where the block begins. `wrapped`: the block lies in
    the file as base64 once more, as environment variables and manifests carry it.
    """

    format: str
    offset: int
    line: int
    type: str = ""
    bits: int | None = None
    encrypted: bool = False
    cipher: str = ""
    comment: str = ""
    fingerprint: str = ""
    valid: bool = False
    reason: str = ""
    wrapped: bool = False


class _Broken(ValueError):
    """The bytes are not what they say they are; the message says why."""


_CURVES = {"nistp256": 256, "nistp384": 384, "nistp521": 521}
_CERTIFICATE = "-cert-v01@openssh.com"
_TYPES = {
    "ssh-rsa": "rsa",
    "ssh-dss": "dsa",
    "ssh-ed25519": "ed25519",
    "sk-ssh-ed25519@openssh.com": "sk-ed25519",
    "sk-ecdsa-sha2-nistp256@openssh.com": "sk-ecdsa-nistp256",
} | {f"ecdsa-sha2-{curve}": f"ecdsa-{curve}" for curve in _CURVES}
_ALSO_RSA = ("rsa-sha2-256", "rsa-sha2-512")
_PRIMES = {
    "nistp256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "nistp384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "nistp521": 2**521 - 1,
}
_B = {
    "nistp256": 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    "nistp384": 0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    "nistp521": 0x51953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
}
"""y² = x³ - 3x + B over each prime: FIPS 186-4, appendix D.1.2."""


class _Wire:
    """Reads the strings and numbers of RFC 4251 section 5, and never past the end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise _Broken("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            return self.string().decode("ascii")
        except UnicodeDecodeError:
            raise _Broken("a name in it is not ASCII") from None

    def mpint(self) -> int:
        raw = self.string()
        if len(raw) > MAX_BITS // 8 + 1 or (raw and raw[0] & 0x80):
            raise _Broken("a number in it is too long or negative")
        return int.from_bytes(raw, "big")

    def end(self) -> None:
        if self.at != len(self.data):
            raise _Broken("it goes on behind its end")


def _mpint(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b""
    return len(raw).to_bytes(4, "big") + raw


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def fingerprint(blob: bytes) -> str:
    """SHA256:… of a public key's wire form, as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _point(curve: str, point: bytes) -> None:
    """A point's form and that it lies on its curve, as sshkey_ec_validate_public asks. Raises _Broken."""
    prime, size = _PRIMES[curve], (_CURVES[curve] + 7) // 8
    if len(point) != 1 + 2 * size or point[0] != 4:
        raise _Broken("its point has a wrong length")
    x, y = int.from_bytes(point[1 : 1 + size], "big"), int.from_bytes(point[1 + size :], "big")
    if x >= prime or y >= prime or (y * y - (x * x * x - 3 * x + _B[curve])) % prime:
        raise _Broken("its point is not on the curve")


def _public_fields(name: str, wire: _Wire) -> tuple[int, bytes]:
    """Bits, and the fields as they were read, of the plain key `name`. Raises _Broken."""
    begin = wire.at
    if name == "ssh-rsa":
        exponent, modulus = wire.mpint(), wire.mpint()
        if not exponent or not modulus:
            raise _Broken("a number in it is zero")
        return modulus.bit_length(), _mpint(exponent) + _mpint(modulus)
    if name == "ssh-dss":
        p, q, g, y = (wire.mpint() for _ in range(4))
        if not (p and q and g and y):
            raise _Broken("a number in it is zero")
        return p.bit_length(), b"".join(map(_mpint, (p, q, g, y)))
    if name in ("ssh-ed25519", "sk-ssh-ed25519@openssh.com"):
        if len(wire.string()) != 32:
            raise _Broken("its point has a wrong length")
        bits = 256
    else:
        curve = name.removeprefix("sk-").removeprefix("ecdsa-sha2-").removesuffix("@openssh.com")
        if wire.text() != curve:
            raise _Broken("it names another curve than its type")
        _point(curve, wire.string())
        bits = _CURVES[curve]
    if name.startswith("sk-"):
        wire.string()
    return bits, wire.data[begin : wire.at]


def public_blob(blob: bytes) -> PublicKey | None:
    """The public key or certificate in its wire form; None if it is none, or not whole."""
    try:
        return _public(blob)
    except _Broken:
        return None


def _public(blob: bytes) -> PublicKey:
    wire = _Wire(blob)
    name = wire.text()
    plain = name.removesuffix(_CERTIFICATE)
    certificate = plain != name
    if certificate and plain.startswith("sk-"):
        plain += "@openssh.com"
    kind = _TYPES.get(plain)
    if kind is None:
        raise _Broken("its type is unknown")
    if certificate:
        wire.string()  # nonce
    bits, fields = _public_fields(plain, wire)
    if certificate:
        wire.take(12)  # serial, kind
        wire.string()  # key id
        wire.string()  # principals
        wire.take(16)  # from, until
        for _ in range(5):  # critical options, extensions, reserved, the signing key, its signature
            wire.string()
    wire.end()
    return PublicKey(kind, bits, fingerprint(_string(plain.encode()) + fields), name=name, certificate=certificate)


_WORD = re.compile(r"[ \t]*+([^ \t\0]++)[ \t]++([^ \t\0]++)[ \t]*+([^\0]*+)")
_BASE64_SPACE = re.compile(r"[ \t\n\v\f\r]+")


def read_public(line: str | bytes) -> PublicKey | None:
    """The key of one `type base64 comment` line without options, as sshkey_read takes it; None if it is none.

    The type within the blob has to be the word before it; a signature's name (rsa-sha2-256) means an RSA key.
    """
    if isinstance(line, bytes):
        line = line.decode("utf-8", "backslashreplace")
    found = _WORD.match(line.rstrip("\n"))
    if found is None:
        return None
    word, body, comment = found.groups()
    blob = _from_base64(_BASE64_SPACE.sub("", body))
    key = public_blob(blob) if blob else None
    if key is None or not (key.name == word or (word in _ALSO_RSA and key.name == "ssh-rsa")):
        return None
    return PublicKey(
        key.type, key.bits, key.fingerprint, printable(comment.rstrip("\r"), 120), word, certificate=key.certificate
    )


def _from_base64(text: str | bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


_MARK = re.compile(
    rb"(?P<pem>-----BEGIN (?P<kind>OPENSSH |RSA |DSA |EC |ENCRYPTED |)PRIVATE KEY-----)"
    rb"|(?P<putty>PuTTY-User-Key-File-(?P<version>[0-9]{1,3}): )"
    rb"|(?P<wrapped>LS0tLS1CRUdJTi)"
)
_MARKS = (b"PRIVATE KEY-----", b"PuTTY-User-Key-File-", b"LS0tLS1CRUdJTi")
"""One of them is in every match of _MARK, and they are found many times as fast."""
_DROPBEAR = re.compile(rb"\0\0\0(?:\x07ssh-(?:rsa|dss)|\x0bssh-ed25519|\x13ecdsa-sha2-nistp(?:256|384|521))", re.DOTALL)
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/=]*+(?:\r?\n[ \t]{0,32}[A-Za-z0-9+/=]++)*+")


class _Budget:
    """How many public halves may still be computed for this file."""

    def __init__(self) -> None:
        self.left = DERIVED

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


def read_private(data: bytes) -> Iterator[PrivateKey]:
    """Every private key block in a file of any kind, in order; never raises.

    A block is read whatever stands around it: quotes, indentation and escaped line ends of source code, JSON and YAML.
    Time is linear in the data, and nothing but BLOCK bounds what is read; a block that is longer is not valid.
    """
    budget = _Budget()
    if _DROPBEAR.match(data):
        yield _dropbear(data)
    if any(mark in data for mark in _MARKS):
        yield from _blocks(data, budget, None)


def _blocks(data: bytes, budget: _Budget, outer: PrivateKey | None) -> Iterator[PrivateKey]:
    """`outer` says where a wrapped text lies; its blocks have that place."""
    marks = _MARK.finditer(data)
    mark = next(marks, None)
    line, counted, past = 1, 0, 0
    while mark is not None:
        following = next(marks, None)
        line += data.count(b"\n", counted, mark.start())
        counted = mark.start()
        end = min(mark.start() + BLOCK, following.start() if following else len(data))
        at, place = (outer.offset, outer.line) if outer else (mark.start(), line)
        if mark["wrapped"]:
            if outer is None and mark.start() >= past:
                text, past = _wrapped(data, mark.start())
                yield from _blocks(text, budget, PrivateKey("", at, place))
        elif mark["pem"]:
            yield _pem(data[mark.end() : end], mark["kind"].decode().strip(), at, place, outer is not None, budget)
        else:
            yield _putty(data[mark.start() : end], int(mark["version"]), at, place, outer is not None)
        mark = following


def _wrapped(data: bytes, begin: int) -> tuple[bytes, int]:
    """What the base64 that begins here says, as far as it is whole, and where it ends."""
    run = _BASE64_RUN.match(data, begin, min(begin + BLOCK, len(data)))
    text = re.sub(rb"\s+", b"", run.group()).rstrip(b"=") if run else b""
    if len(text) % 4 == 1:
        text = text[:-1]
    return _from_base64(text + b"=" * (-len(text) % 4)) or b"", run.end() if run else begin


_QUOTED = re.compile(rb"""["'`]([^"'`]*+)["'`]""")
_STRAY = b" \t\r\"'`,;\\#*>|"
_HEADER = re.compile(rb"([A-Za-z][A-Za-z0-9-]{1,40}): ?(.*)")


def _body(block: bytes) -> tuple[dict[str, str], str]:
    """RFC 1421 headers and the base64 of a block whose lines may be quoted, indented, escaped or joined by spaces."""
    headers: dict[str, str] = {}
    text: list[bytes] = []
    for line in re.sub(rb"(?<!\\)\\++[rn]", b"\n", block).split(b"\n"):
        quoted = _QUOTED.search(line)
        line = (quoted[1] if quoted else line).strip(_STRAY)  # noqa: PLW2901
        found = _HEADER.fullmatch(line)
        if found:
            headers[found[1].decode().lower()] = found[2].decode("latin-1").strip()
        elif line.strip(b"+"):  # an operator that joins strings is none of the base64
            text.append(line)
    return headers, b"".join(text).replace(b" ", b"").decode("latin-1")


def _pem(block: bytes, kind: str, offset: int, line: int, wrapped: bool, budget: _Budget) -> PrivateKey:
    form = {"OPENSSH": "openssh", "": "pkcs8", "ENCRYPTED": "pkcs8"}.get(kind, "pem")
    end = block.find(b"-----END " + (kind + " " if kind else "").encode() + b"PRIVATE KEY-----")
    known = _Known()
    try:
        headers, text = _body(block[: end if end >= 0 else len(block)])
        if kind == "ENCRYPTED" or "encrypted" in headers.get("proc-type", "").lower():
            known.encrypted = True
        if form == "pem":
            known.type = {"RSA": "rsa", "DSA": "dsa"}.get(kind, "")
        raw = _raw(text, end >= 0)
        if form == "openssh":
            _openssh(raw, known)
        elif form == "pem" and known.encrypted:
            _locked_pem(headers, raw, known)
        elif kind == "ENCRYPTED":
            _locked_pkcs8(raw, known)
        elif form == "pem":
            {"RSA": _pkcs1, "DSA": _dsa}[kind](raw, known) if kind != "EC" else _sec1(raw, known, "", budget)
        else:
            _pkcs8(raw, known, budget)
        known.valid = True
    except _Broken as e:
        known.reason = str(e)
    return known.key(form, offset, line, wrapped)


def _raw(text: str, ended: bool) -> bytes:
    if not ended:
        raise _Broken("its last line is missing")
    raw = _from_base64(text)
    if not raw:
        raise _Broken("its body is no base64")
    return raw


class _Known:
    """What has been learnt of a key so far."""

    def __init__(self) -> None:
        self.type, self.cipher, self.comment, self.fingerprint, self.reason = "", "", "", "", ""
        self.bits: int | None = None
        self.encrypted = self.valid = False

    def public(self, key: PublicKey) -> None:
        self.type, self.bits, self.fingerprint = key.type, key.bits, key.fingerprint

    def key(self, form: str, offset: int, line: int, wrapped: bool = False) -> PrivateKey:
        return PrivateKey(
            form,
            offset,
            line,
            self.type,
            self.bits,
            self.encrypted,
            self.cipher,
            printable(self.comment, 120),
            self.fingerprint,
            self.valid,
            self.reason,
            wrapped,
        )


def _product(n: int, p: int, q: int) -> None:
    if n != p * q or p < 2 or q < 2:
        raise _Broken("its primes do not make its modulus")


def _same(a: object, b: object) -> None:
    if a != b:
        raise _Broken("its halves do not belong together")


_CIPHERS = {
    "3des-cbc": (8, 0),
    "aes128-cbc": (16, 0),
    "aes192-cbc": (16, 0),
    "aes256-cbc": (16, 0),
    "aes128-ctr": (16, 0),
    "aes192-ctr": (16, 0),
    "aes256-ctr": (16, 0),
    "aes128-gcm@openssh.com": (16, 16),
    "aes256-gcm@openssh.com": (16, 16),
    "chacha20-poly1305@openssh.com": (8, 16),
}
"""Block and tag of each cipher, in bytes."""


def _openssh(raw: bytes, known: _Known) -> None:
    if not raw.startswith(b"openssh-key-v1\0"):
        raise _Broken("it has no OpenSSH magic")
    wire = _Wire(raw[15:])
    cipher, kdf, options, count = wire.text(), wire.text(), wire.string(), wire.number()
    known.encrypted = cipher != "none"
    known.cipher = printable(cipher, 60) if known.encrypted else ""
    if count != 1:
        raise _Broken("it does not hold one key")
    public = wire.string()
    known.public(_public(public))
    secret = wire.string()
    if not known.encrypted:
        wire.end()
        if kdf != "none" or options or len(secret) % 8:
            raise _Broken("its parts do not fit together")
        _openssh_secret(secret, public, known)
        return
    block, tag = _CIPHERS.get(cipher, (0, 0))
    if not block or kdf != "bcrypt":
        raise _Broken("its cipher is unknown")
    salt = _Wire(options)
    if not salt.string() or not salt.number():
        raise _Broken("its salt is missing")
    salt.end()
    wire.take(tag)
    wire.end()
    if not secret or len(secret) % block:
        raise _Broken("its parts do not fit together")


_STRINGS = {
    "ssh-ed25519": 1,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
} | {f"ecdsa-sha2-{curve}": 2 for curve in _CURVES}
"""How many strings make the public half."""


def _openssh_secret(secret: bytes, public: bytes, known: _Known) -> None:
    wire = _Wire(secret)
    _same(wire.take(4), wire.take(4))
    half = _Wire(public)
    name = wire.text()
    _same(name, half.text())
    if name == "ssh-rsa":
        n, e, _, _, p, q = (wire.mpint() for _ in range(6))
        _same((e, n), (half.mpint(), half.mpint()))
        _product(n, p, q)
    elif name == "ssh-dss":
        _same([wire.mpint() for _ in range(4)], [half.mpint() for _ in range(4)])
        if not wire.mpint():
            raise _Broken("a number in it is zero")
    elif name in _STRINGS:
        shared = [half.string() for _ in range(_STRINGS[name])]
        _same([wire.string() for _ in shared], shared)
        if name == "ssh-ed25519":
            pair = wire.string()
            _same((len(pair), pair[32:]), (64, shared[0]))
        elif name.startswith("sk-"):
            wire.take(1)  # flags
            wire.string()  # handle: the secret itself is in the authenticator
            wire.string()  # reserved
        elif not wire.mpint():
            raise _Broken("a number in it is zero")
    else:
        raise _Broken("its type is unknown")
    known.comment = wire.string()[:1024].decode("utf-8", "backslashreplace")
    padding = wire.data[wire.at :]
    if padding != bytes(range(1, len(padding) + 1)) or len(padding) >= 16:
        raise _Broken("its padding is wrong")


class _Der:
    """Reads the values of one constructed DER value in turn: definite lengths only, and never past the end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def more(self) -> bool:
        return self.at < len(self.data)

    def value(self) -> tuple[int, bytes]:
        """Tag and content of the next value."""
        if self.at + 2 > len(self.data):
            raise _Broken("it ends too early")
        tag, size = self.data[self.at], self.data[self.at + 1]
        begin = self.at + 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4 or begin + count > len(self.data):
                raise _Broken("a length in it is wrong")
            size = int.from_bytes(self.data[begin : begin + count], "big")
            begin += count
        if size > len(self.data) - begin:
            raise _Broken("it ends too early")
        self.at = begin + size
        return tag, self.data[begin : self.at]

    def want(self, tag: int) -> bytes:
        found, content = self.value()
        if found != tag:
            raise _Broken("it has another shape than its name says")
        return content

    def integer(self) -> int:
        raw = self.want(2)
        if not raw or len(raw) > MAX_BITS // 8 + 1 or raw[0] & 0x80:
            raise _Broken("a number in it is too long or negative")
        return int.from_bytes(raw, "big")

    def end(self) -> None:
        if self.more:
            raise _Broken("it goes on behind its end")


def _sequence(raw: bytes) -> _Der:
    outer = _Der(raw)
    inner = outer.want(0x30)
    outer.end()
    return _Der(inner)


def _pkcs1(raw: bytes, known: _Known) -> None:
    known.type = "rsa"
    der = _sequence(raw)
    version = der.integer()
    n, e, _, p, q, *_ = (der.integer() for _ in range(8))
    if version == 0:
        der.end()
        _product(n, p, q)
    elif version != 1 or not der.more:  # 1: more than two primes
        raise _Broken("its version is unknown")
    known.public(_public(_string(b"ssh-rsa") + _mpint(e) + _mpint(n)))


def _dsa(raw: bytes, known: _Known) -> None:
    known.type = "dsa"
    der = _sequence(raw)
    if der.integer():
        raise _Broken("its version is unknown")
    p, q, g, y, x = (der.integer() for _ in range(5))
    der.end()
    if not 0 < x < q < p:
        raise _Broken("its numbers do not fit together")
    known.public(_public(_string(b"ssh-dss") + b"".join(map(_mpint, (p, q, g, y)))))


_CURVE_OIDS = {
    bytes.fromhex("2a8648ce3d030107"): "nistp256",
    bytes.fromhex("2b81040022"): "nistp384",
    bytes.fromhex("2b81040023"): "nistp521",
}


def _sec1(raw: bytes, known: _Known, curve: str, budget: _Budget) -> None:
    """RFC 5915's ECPrivateKey; `curve` is what PKCS#8 said of it, "" outside. A curve that SSH does not know is `ec`."""
    known.type = f"ecdsa-{curve}" if curve else "ec"
    der = _sequence(raw)
    if der.integer() != 1:
        raise _Broken("its version is unknown")
    secret, point = der.want(4), b""
    while der.more:
        tag, content = der.value()
        if tag == 0xA0:
            curve = _curve_of(content) or curve
        elif tag == 0xA1:
            bits = _Der(content)
            point = bits.want(3)[1:]
            bits.end()
        else:
            raise _Broken("it has another shape than its name says")
    if not secret or len(secret) > 128:
        raise _Broken("its secret has a wrong length")
    if not curve:
        return
    known.type, known.bits = f"ecdsa-{curve}", _CURVES[curve]
    if len(secret) > (_CURVES[curve] + 7) // 8:
        raise _Broken("its secret has a wrong length")
    if len(point) == 1 + (_CURVES[curve] + 7) // 8 and point[0] in (2, 3):
        point = _unpacked(curve, point)
    elif not point and budget.spend():
        point = _multiplied(curve, int.from_bytes(secret, "big"))
    if point:
        known.public(_public(_string(b"ecdsa-sha2-" + curve.encode()) + _string(curve.encode()) + _string(point)))


def _curve_of(content: bytes) -> str:
    """The curve that an EC parameter names; "" for one that SSH does not know. Raises _Broken."""
    der = _Der(content)
    tag, name = der.value()
    der.end()
    if tag not in (0x06, 0x30):  # a name, or all parameters spelt out
        raise _Broken("it has another shape than its name says")
    return _CURVE_OIDS.get(name, "") if tag == 0x06 else ""


_OIDS = {
    bytes.fromhex("2a864886f70d010101"): "rsa",
    bytes.fromhex("2a864886f70d01010a"): "rsa",  # RSASSA-PSS
    bytes.fromhex("2a8648ce3d0201"): "ec",
    bytes.fromhex("2a8648ce380401"): "dsa",
    bytes.fromhex("2b6570"): "ed25519",
    bytes.fromhex("2b6571"): "ed448",
    bytes.fromhex("2b656e"): "x25519",
    bytes.fromhex("2b656f"): "x448",
    bytes.fromhex("2a864886f70d010301"): "dh",
}
_SEED = {"ed25519": 32, "ed448": 57, "x25519": 32, "x448": 56}


def _pkcs8(raw: bytes, known: _Known, budget: _Budget) -> None:
    der = _sequence(raw)
    if der.integer() > 1:
        raise _Broken("its version is unknown")
    algorithm = _Der(der.want(0x30))
    known.type = _OIDS.get(algorithm.want(6), "")
    parameters = algorithm.data[algorithm.at :]
    secret, given = der.want(4), b""
    while der.more:
        tag, content = der.value()
        if tag == 0x81:
            given = content[1:]
        elif tag != 0xA0:
            raise _Broken("it has another shape than its name says")
    if known.type == "rsa":
        _pkcs1(secret, known)
    elif known.type == "ec":
        _sec1(secret, known, _curve_of(parameters), budget)
    elif known.type == "dsa":
        der = _sequence(parameters)
        p, q, g = der.integer(), der.integer(), der.integer()
        number = _Der(secret)
        x = number.integer()
        number.end()
        if not 0 < x < q < p:
            raise _Broken("its numbers do not fit together")
        known.bits = p.bit_length()
        if p.bit_length() <= 4096 and budget.spend():
            known.public(_public(_string(b"ssh-dss") + b"".join(map(_mpint, (p, q, g, pow(g, x, p))))))
    elif known.type in _SEED:
        inner = _Der(secret)
        seed = inner.want(4)
        inner.end()
        if len(seed) != _SEED[known.type]:
            raise _Broken("its secret has a wrong length")
        if known.type == "ed25519":
            known.bits = 256
            half = given or (ed25519_public(seed) if budget.spend() else b"")
            if half:
                known.public(_public(_string(b"ssh-ed25519") + _string(half)))
    elif not known.type:
        raise _Broken("its algorithm is unknown")
    elif not secret:
        raise _Broken("its secret is missing")


_PBES2 = bytes.fromhex("2a864886f70d01050d")
_PBES1 = (bytes.fromhex("2a864886f70d0105"), bytes.fromhex("2a864886f70d010c01"))
_SCHEMES = {
    bytes.fromhex("60864801650304012a"): "aes256-cbc",
    bytes.fromhex("608648016503040116"): "aes192-cbc",
    bytes.fromhex("608648016503040102"): "aes128-cbc",
    bytes.fromhex("2a864886f70d0307"): "3des-cbc",
    bytes.fromhex("2b0e030207"): "des-cbc",
}


def _locked_pkcs8(raw: bytes, known: _Known) -> None:
    der = _sequence(raw)
    algorithm = _Der(der.want(0x30))
    secret = der.want(4)
    der.end()
    name = algorithm.want(6)
    if name == _PBES2:
        parameters = _Der(algorithm.want(0x30))
        _Der(parameters.want(0x30)).want(6)
        known.cipher = _SCHEMES.get(_Der(parameters.want(0x30)).want(6), "unknown")
    elif name.startswith(_PBES1):
        known.cipher = "pbes1"
    else:
        raise _Broken("its cipher is unknown")
    if len(secret) < 16 or len(secret) % 8:
        raise _Broken("its parts do not fit together")


_DEK = re.compile(r"([A-Za-z0-9-]{1,40}), ?([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})")


def _locked_pem(headers: dict[str, str], raw: bytes, known: _Known) -> None:
    found = _DEK.fullmatch(headers.get("dek-info", ""))
    if not found:
        raise _Broken("it does not say how it is encrypted")
    known.cipher = found[1].lower()
    if len(raw) < 32 or len(raw) % (len(found[2]) // 2):
        raise _Broken("its parts do not fit together")


_PUTTY = re.compile(rb"([A-Za-z0-9-]{1,40}): ([^\r\n]{0,4096})(?:\r?\n|\r|\Z)")
_PUTTY_LINE = re.compile(rb"([A-Za-z0-9+/=]{1,80})(?:\r?\n|\r|\Z)")


def _putty(block: bytes, version: int, offset: int, line: int, wrapped: bool) -> PrivateKey:
    known = _Known()
    try:
        _ppk(re.sub(rb"(?<!\\)\\++(?:r\\++)?n", b"\n", block) if b"\\n" in block else block, version, known)
        known.valid = True
    except _Broken as e:
        known.reason = str(e)
    return known.key("putty", offset, line, wrapped)


def _ppk(block: bytes, version: int, known: _Known) -> None:
    fields: dict[str, bytes] = {}
    at = 0
    while found := _PUTTY.match(block, at):
        name, value, at = found[1].decode(), found[2], found.end()
        if name in ("Public-Lines", "Private-Lines"):
            lines = []
            for _ in range(int(value) if re.fullmatch(rb"[0-9]{1,4}", value) else 0):
                part = _PUTTY_LINE.match(block, at)
                if not part:
                    raise _Broken("it ends too early")
                lines.append(part[1])
                at = part.end()
            value = _from_base64(b"".join(lines)) or b""
        fields.setdefault(name, value)
        if name in ("Private-MAC", "Private-Hash"):
            break
    kind, cipher = (fields.get(k, b"") for k in (f"PuTTY-User-Key-File-{version}", "Encryption"))
    public, secret = (fields.get(k, b"") for k in ("Public-Lines", "Private-Lines"))
    known.encrypted = cipher not in (b"none", b"")
    known.cipher = printable(cipher, 60) if known.encrypted else ""
    known.comment = fields.get("Comment", b"")[:1024].decode("utf-8", "backslashreplace")
    half = _public(public)
    known.public(half)
    _same(kind, half.name.encode())
    if version not in (1, 2, 3) or not secret or cipher not in (b"none", b"aes256-cbc"):
        raise _Broken("its version or cipher is unknown")
    if known.encrypted and len(secret) % 16:
        raise _Broken("its parts do not fit together")
    mac = fields.get("Private-MAC", b"").decode("latin-1")
    if version == 1:
        return
    if not re.fullmatch("[0-9a-f]{64}" if version == 3 else "[0-9a-f]{40}", mac):
        raise _Broken("its MAC is missing")
    if not known.encrypted:
        text = b"".join(map(_string, (kind, cipher, fields.get("Comment", b""), public, secret)))
        key = b"" if version == 3 else hashlib.sha1(b"putty-private-key-file-mac-key", usedforsecurity=False).digest()
        _same(hmac.new(key, text, "sha256" if version == 3 else "sha1").hexdigest(), mac)


def _dropbear(data: bytes) -> PrivateKey:
    known = _Known()
    try:
        _host_key(data[:BLOCK], known)
        known.valid = True
    except _Broken as e:
        known.reason = str(e)
    return known.key("dropbear", 0, 1)


def _host_key(data: bytes, known: _Known) -> None:
    wire = _Wire(data)
    name = wire.text()
    known.type = _TYPES[name]
    if name == "ssh-ed25519":
        pair = wire.string()
        if len(pair) != 64:
            raise _Broken("its secret has a wrong length")
        known.public(_public(_string(name.encode()) + _string(pair[32:])))
    else:
        _public_fields(name, wire)
        known.public(_public(data[: wire.at]))
        half = _Wire(data[: wire.at])
        if not wire.mpint():
            raise _Broken("a number in it is zero")
        if name == "ssh-rsa" and wire.at < len(data):
            half.string()
            half.mpint()
            _product(half.mpint(), wire.mpint(), wire.mpint())
    wire.end()


# Public halves of keys that hold only their secret: RFC 8032 section 5.1.5, and the double-and-add of SEC 1 over the
# NIST curves. Not constant in time, and need not be: the secret is another's, and lies in the file for all to read.

_P25519 = 2**255 - 19
_D25519 = -121665 * pow(121666, -1, _P25519) % _P25519
_BASE25519 = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)
_GENERATORS = {
    "nistp256": 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    "nistp384": 0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
    "nistp521": 0xC6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3DBAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66,
}
_GENERATOR_SIGN = {"nistp256": 3, "nistp384": 3, "nistp521": 2}


def ed25519_public(seed: bytes) -> bytes:
    """The public half of a 32-byte seed: RFC 8032 section 5.1.5."""
    p = _P25519
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    scalar = int.from_bytes(digest, "little")
    x, y = _BASE25519
    adding, total = (x, y, 1, x * y % p), (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _added25519(total, adding)
        adding = _added25519(adding, adding)
        scalar >>= 1
    inverse = pow(total[2], -1, p)
    x, y = total[0] * inverse % p, total[1] * inverse % p
    return (y | (x & 1) << 255).to_bytes(32, "little")


_Four = tuple[int, int, int, int]


def _added25519(one: _Four, two: _Four) -> _Four:
    """RFC 8032 section 5.1.4, in extended coordinates."""
    p = _P25519
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % p, (one[1] + one[0]) * (two[1] + two[0]) % p
    c, d = 2 * one[3] * two[3] * _D25519 % p, 2 * one[2] * two[2] % p
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % p, g * h % p, f * g % p, e * h % p


def _unpacked(curve: str, point: bytes) -> bytes:
    """The long form of a compressed point (SEC 1 section 2.3.4). Raises _Broken."""
    p, x = _PRIMES[curve], int.from_bytes(point[1:], "big")
    y = pow(x * x * x - 3 * x + _B[curve], (p + 1) // 4, p)  # all three primes are 3 modulo 4
    if y & 1 != point[0] & 1:
        y = p - y
    size = (_CURVES[curve] + 7) // 8
    return b"\4" + x.to_bytes(size, "big") + y.to_bytes(size, "big")


def _multiplied(curve: str, scalar: int) -> bytes:
    """The long form of scalar × generator. Raises _Broken for the point at infinity."""
    p, size = _PRIMES[curve], (_CURVES[curve] + 7) // 8
    base = _unpacked(curve, bytes((_GENERATOR_SIGN[curve],)) + _GENERATORS[curve].to_bytes(size, "big"))
    adding = (int.from_bytes(base[1 : 1 + size], "big"), int.from_bytes(base[1 + size :], "big"), 1)
    total = (0, 1, 0)
    while scalar:
        if scalar & 1:
            total = _added(total, adding, p)
        adding = _added(adding, adding, p)
        scalar >>= 1
    if not total[2]:
        raise _Broken("its secret is no number of its curve")
    inverse = pow(total[2], -1, p)
    x, y = total[0] * inverse * inverse % p, total[1] * inverse**3 % p
    return b"\4" + x.to_bytes(size, "big") + y.to_bytes(size, "big")


_Three = tuple[int, int, int]


def _added(one: _Three, two: _Three, p: int) -> _Three:
    """The sum of two points of a curve with a = -3, in Jacobian coordinates; z = 0 is infinity."""
    if not one[2] or not two[2]:
        return two if not one[2] else one
    z1, z2 = one[2] * one[2] % p, two[2] * two[2] % p
    u1, u2 = one[0] * z2 % p, two[0] * z1 % p
    s1, s2 = one[1] * z2 * two[2] % p, two[1] * z1 * one[2] % p
    h, r = (u2 - u1) % p, (s2 - s1) % p
    if not h:
        if r:
            return 0, 1, 0
        m = 3 * (one[0] - z1) * (one[0] + z1) % p
        s = 4 * one[0] * one[1] * one[1] % p
        x = (m * m - 2 * s) % p
        return x, (m * (s - x) - 8 * one[1] ** 4) % p, 2 * one[1] * one[2] % p
    hh, v = h * h % p, u1 * h * h % p
    x = (r * r - hh * h - 2 * v) % p
    return x, (r * (v - x) - s1 * hh * h) % p, h * one[2] * two[2] % p
