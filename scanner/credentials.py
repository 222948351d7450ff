"""Credentials by file, variable and shape: what each is called and what it opens, never what it is. And how text is masked.

Sources: netrc(5); git-credential-store(1), git-config(1); pip's and twine's configuration; npm's .npmrc; Docker's
config.json; the AWS CLI's files; Google's application default credentials; kubeconfig; gh, rclone, huggingface_hub,
Terraform, PostgreSQL's pgpass and Cargo as each documents its own; gpg-agent(1).
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from urllib.parse import unquote

from scanner.model.text import printable

BYTES = 1 << 20
"""Of one file; longer ones are read up to here, and a problem says so."""
MANY = 10_000
"""Credentials of one file or one environment."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential, or one pointer to where credentials are fetched from; nothing here is secret.

    `kind` is a name of PATHS, or `environment`, `ssh-agent`. `name` is the variable, profile, key or section; `target` the
    host, registry or service that it opens, "" where the file does not say; `details` are words on how (user, type, …).
    `line` counts from 1, `offset` is where it begins, in bytes; both None for an environment.
    """

    kind: str
    name: str
    line: int | None = None
    offset: int | None = None
    target: str = ""
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """`problems`: what could not be read, or was cut off by a limit, a sentence each."""

    credentials: tuple[Credential, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a git repository is fetched from or pushed to. `scheme` is ssh for `user@host:path` too; `port` None if unsaid."""

    name: str
    scheme: str
    user: str
    host: str
    port: int | None
    line: int


# Names, values and shapes

_SECRET: tuple[str, ...] = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "authkey",
    "accesskey",
    "secretkey",
)
_SECRET += ("privatekey", "accountkey", "credential", "credentials", "pass", "pwd")
_NO_SECRET = frozenset(
    "askpass bypass compass encompass trespass surpass overpass multipass nopass nopasswd nopassword pwd oldpwd".split()
)
_OWNED = frozenset(
    "api access secret private auth app account storage service signing encryption master deploy".split()
)
_SUFFIXES = frozenset(
    "base data value prod production dev staging test default plain b64 base64 content hash raw".split()
)
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def secret_name(name: str) -> bool:
    """Whether a variable, key or option of this name holds a secret: DB_PASSWORD, authToken, --api-key; not TOKEN_URL."""
    parts = [part.lower() for part in _PARTS.findall(name[-100:])]
    while len(parts) > 1 and (parts[-1].isdigit() or parts[-1] in _SUFFIXES):
        parts.pop()
    if not parts:
        return False
    *before, last = parts
    if last in ("key", "pat", "pwd"):
        upper = name.isupper() or last != "pat"  # GITHUB_PAT, but not have_pat, which is a pattern
        return bool(before) and upper and (before[-1] in _OWNED if last == "key" else before[-1] != "old")
    return last.endswith(_SECRET) and last not in _NO_SECRET


_PLACEHOLDER = re.compile(
    r"""(?:change[\W_]?(?:me|this|it)|(?:your|my|some|the|insert|replace|enter|add)[\W_].*|x+|\*+|\.+|-+|_+|<.*>|\[.*\]
    |\{\{.*\}\}|\$\{[^}]*\}|\$\w+|\$\(.*\)|`.*`|%\w*%|%\(.*\)s|@\w+@
    |password|passwd|secret|token|api[_-]?key|example|sample|placeholder|dummy|fake|todo|tbd|redacted|hidden|masked
    |none|null|nil|undefined|empty|unset|true|false|yes|no|on|off|[01]|.*example(?:key)?|.*placeholder|.*[-_]here
    |(?:file:)?/(?:run|etc|var|home|root|tmp|usr|opt|mnt|secrets)/.*)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def placeholder(value: str) -> bool:
    """Whether a value stands in for a secret that is not here: empty, `changeme`, `${X}`, `xxx`, `<token>`, a file's path."""
    value = value.strip().strip("\"'").strip()
    return not value or _PLACEHOLDER.fullmatch(value[:4096]) is not None


_SHAPES: tuple[tuple[str, str, str], ...] = (
    ("github", "github.com", r"gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+"),
    ("gitlab", "gitlab.com", r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|oas|imt|agent)-[A-Za-z0-9_.-]{16,}+"),
    ("anthropic", "api.anthropic.com", r"sk-ant-[A-Za-z0-9_-]{16,}+"),
    ("openrouter", "openrouter.ai", r"sk-or-[A-Za-z0-9_-]{16,}+"),
    ("openai", "api.openai.com", r"sk-(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{20,}+"),
    ("aws", "amazonaws.com", r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    ("slack", "slack.com", r"xox[abeoprs]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+"),
    ("huggingface", "huggingface.co", r"hf_[A-Za-z0-9]{20,}+"),
    ("npm", "registry.npmjs.org", r"npm_[A-Za-z0-9]{20,}+"),
    ("pypi", "upload.pypi.org", r"pypi-[A-Za-z0-9_-]{32,}+"),
    ("docker", "docker.io", r"dckr_[op]at_[A-Za-z0-9_-]{16,}+"),
    ("google", "googleapis.com", r"AIza[0-9A-Za-z_-]{30,}+|ya29\.[0-9A-Za-z_.-]{20,}+|GOCSPX-[0-9A-Za-z_-]{20,}+"),
    ("stripe", "api.stripe.com", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}+"),
    ("sendgrid", "api.sendgrid.com", r"SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+"),
    ("digitalocean", "api.digitalocean.com", r"do[opr]_v1_[a-f0-9]{32,}+"),
    ("tailscale", "controlplane.tailscale.com", r"tskey-[A-Za-z0-9-]{16,}+"),
    ("vault", "", r"hv[sbr]\.[A-Za-z0-9_-]{20,}+"),
    ("groq", "api.groq.com", r"gsk_[A-Za-z0-9]{20,}+"),
    ("replicate", "api.replicate.com", r"r8_[A-Za-z0-9]{20,}+"),
    ("nvidia", "integrate.api.nvidia.com", r"nvapi-[A-Za-z0-9_-]{20,}+"),
    ("xai", "api.x.ai", r"xai-[A-Za-z0-9]{20,}+"),
    ("grafana", "grafana.net", r"gl(?:sa|c)_[A-Za-z0-9_=+/-]{20,}+"),
    ("atlassian", "atlassian.com", r"ATATT3x[A-Za-z0-9_=-]{20,}+"),
    ("shopify", "myshopify.com", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{20,}+"),
    ("age", "", r"AGE-SECRET-KEY-1[0-9A-Z]{40,}+"),
    ("jwt", "", r"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?"),
)
_SHAPE = re.compile("(?<![A-Za-z0-9_])(?:" + "|".join(f"(?P<{name}>{form})" for name, _, form in _SHAPES) + ")")
_OPENS = {name: target for name, target, _ in _SHAPES}

_URL = re.compile(r"://([^\s\"'<>`\\]++)")
_QUIET_SCHEMES = ("ssh", "sftp", "rsync", "mosh")
"""Their user is an account, and no token."""


def _userinfo(rest: str) -> tuple[str, str]:
    """User[:password] and host of what follows `://`; a password may hold a raw slash."""
    end = next((at for at, c in enumerate(rest[:4096]) if c in "/?#"), len(rest))
    authority = rest[:end]
    if "@" in authority:
        user, _, host = authority.rpartition("@")
        return user, host
    port = authority.rpartition(":")[2]
    if ":" in authority and "@" in rest and not authority.startswith("[") and not port.isdigit():
        user, _, tail = rest.rpartition("@")
        return user, re.split("[/?#]", tail, maxsplit=1)[0]
    return "", authority


# Masking

_ROUNDS = 6
_VARIABLE = re.compile(r"\$(?:\{[A-Za-z_]\w*\}|[A-Z_][A-Z0-9_]*)")


def mask(text: str) -> str:
    """The text with every secret that has a known place or shape replaced by `***`; never longer than it was.

    Places: user and password of URLs, values behind names and options that say password, token, secret or key, those of
    sshpass, curl -u and their like, Authorization headers, private keys. Shapes: the tokens of well-known services.
    References to variables stay. Masking twice changes nothing.
    """
    return _mask_again(text) if len(text) <= _OFTEN else _mask(text)


_OFTEN = 400
"""Characters of what a report says many times over: such texts are masked once."""


@lru_cache(maxsize=16384)
def _mask_again(text: str) -> str:
    return _mask(text)


def _mask(text: str) -> str:
    for _ in range(_ROUNDS):
        masked = _once(text)
        if masked == text:
            return text
        text = masked
    return "*" * min(3, len(text))  # a text made to unfold again and again has nothing that anybody needs to see


def secrets(text: str) -> tuple[str, list[int]]:
    """What `mask` makes of the text, and where each of its characters, and its end, stood in the text: whatever is left out in
    between was a secret."""
    places = list(range(len(text) + 1))
    for _ in range(_ROUNDS):
        spans = _merged(text)
        masked = _covered(text, spans)
        if masked == text:
            return text, places
        text, places = masked, _moved(places, spans)
    stars = "*" * min(3, len(text))
    return stars, [0] * len(stars) + places[-1:]


def _moved(places: Sequence[int], spans: Iterable[tuple[int, int]]) -> list[int]:
    """The places of what `_covered` returns; each asterisk has that of the secret's beginning."""
    moved: list[int] = []
    at = 0
    for begin, end in spans:
        moved += places[at:begin]
        moved += [places[begin]] * min(3, end - begin)
        at = end
    return [*moved, *places[at:]]


def mask_items(items: Sequence[str]) -> tuple[str, ...]:
    """The same for a list whose items belong together and have no quotes of their own: an argv, or NAME=value variables.

    An option's secret may be the next item, and blanks in a value are part of it; item by item, neither would be seen.
    """
    masked = tuple(map(mask, items))
    for _ in range(_ROUNDS):
        text = '"' + '", "'.join(item.translate(_PLAIN) for item in masked) + '"'
        spans = iter(_merged(text))
        span = next(spans, None)
        again: list[str] = []
        begin = 1
        for item in masked:
            end = begin + len(item)
            inside: list[tuple[int, int]] = []
            while span is not None and span[0] < end:
                if span[1] > begin:
                    inside.append((max(span[0], begin) - begin, min(span[1], end) - begin))
                if span[1] > end:
                    break
                span = next(spans, None)
            again.append(_covered(item, inside))
            begin = end + 4
        if tuple(again) == masked:
            return masked
        masked = tuple(again)
    return tuple("*" * min(3, len(item)) for item in masked)


_PLAIN = {ord('"'): "\1", ord("\\"): "\1"}
"""Within an item, whose own quotes `mask` has dealt with."""


def _once(text: str) -> str:
    return _covered(text, _merged(text))


def _merged(text: str) -> list[tuple[int, int]]:
    """Where secrets are, in order; spans of two kinds that meet in one secret are one."""
    merged: list[tuple[int, int]] = []
    lower = text.lower()
    finders = [find for words, find in _FINDERS if any(word in lower for word in words)]
    for begin, end in sorted(span for find in finders for span in find(text)):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif begin < end:
            merged.append((begin, end))
    return merged


def _covered(text: str, spans: Iterable[tuple[int, int]]) -> str:
    pieces: list[str] = []
    at = 0
    for begin, end in spans:
        pieces += (text[at:begin], "*" * min(3, end - begin))
        at = end
    return "".join([*pieces, text[at:]])


_Spans = Iterator[tuple[int, int]]


def _shapes(text: str) -> _Spans:
    return (m.span() for m in _SHAPE.finditer(text))


_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|Private-Lines: ?\d*")
_KEY_BODY = re.compile(r"(?:b3BlbnNzaC1rZXktdjE|LS0tLS1CRUdJTi|MII[A-J])[A-Za-z0-9+/=]{24,}+")


def _keys(text: str) -> _Spans:
    past = 0
    for m in _KEY_BEGIN.finditer(text):
        if m.start() < past:
            continue
        end = text.find("Private-MAC" if m[0].startswith("P") else "-----END ", m.end())
        past = len(text) if end < 0 else end
        yield m.end(), past
    yield from (m.span() for m in _KEY_BODY.finditer(text))


def _urls(text: str) -> _Spans:
    for m in _URL.finditer(text):
        info, _ = _userinfo(m[1])
        user, colon, password = info.partition(":")
        begin = m.start(1)
        if colon and not _VARIABLE.fullmatch(password):
            yield begin + len(user) + 1, begin + len(info)
        quiet = text[max(0, m.start() - 12) : m.start()].lower().endswith(_QUIET_SCHEMES)
        alone = not password or password.startswith("x-oauth")
        if (len(user) >= 16 or (alone and not quiet)) and not _VARIABLE.fullmatch(user):
            yield begin, begin + len(user)


class _Quotes:
    """Which quote a place lies in, on its line; asked in order, so that each character is looked at once."""

    _MARK = re.compile(r"\\.|[\"'\n]", re.DOTALL)

    def __init__(self, text: str) -> None:
        self._marks = self._MARK.finditer(text)
        self._next = next(self._marks, None)
        self._open = ""

    def at(self, place: int) -> str:
        while self._next is not None and self._next.start() < place:
            mark = self._next[0]
            if mark in ("\n", self._open):
                self._open = ""
            elif not self._open and mark in "\"'":
                self._open = mark
            self._next = next(self._marks, None)
        return self._open


_WORD = re.compile(r"(?:\\.|\"(?:[^\"\\]|\\.)*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\s\"'\\])++", re.DOTALL)
_IN_DOUBLE = re.compile(r"(?:\\.|'(?:[^'\\\"]|\\.)*+'|[^\s\"\\])++", re.DOTALL)
_IN_SINGLE = re.compile(r"(?:\"[^\"']*+\"|[^\s'])++")
_TO_CLOSE = {'"': re.compile(r"(?:[^\"\\]|\\.)*+", re.DOTALL), "'": re.compile(r"(?:[^'\\]|\\.)*+", re.DOTALL)}
_TO_END = re.compile(r"[^\n]*+")


_QUOTED = {
    '"': re.compile(r"\"(?:[^\"\\]|\\.)*+(?:\"|\Z)", re.DOTALL),
    "'": re.compile(r"'(?:[^'\\]|\\.)*+(?:'|\Z)", re.DOTALL),
}
_ESCAPED = re.compile(r"\\+[\"']")


def _end(text: str, at: int, inside: str, whole: bool = False, listed: bool = False) -> int:
    """Where the value that begins at `at` ends. `inside` is the quote it lies in; `whole`: blanks belong to it.

    `listed`: it is an item of JSON, YAML or code, so that a quoted one ends with its quote.
    """
    escaped = _ESCAPED.match(text, at)
    if escaped:
        close = text.find(escaped[0], escaped.end())
        return len(text) if close < 0 else close + len(escaped[0])
    opening = text[at : at + 1]
    quoted = opening != "" and opening in "\"'" and opening != inside
    if quoted and listed:
        form = _QUOTED[opening]
    elif whole and not quoted:
        form = _TO_CLOSE[inside] if inside else _TO_END
    else:
        form = _IN_SINGLE if inside == "'" else _IN_DOUBLE if inside == '"' else _WORD
    found = form.match(text, at)
    return found.end() if found else at


def _hidden(text: str, begin: int, end: int) -> _Spans:
    """The span without quotes around it, unless a variable is all it holds."""
    escaped = _ESCAPED.match(text, begin, end)
    if escaped and text.endswith(escaped[0], begin, end) and end - begin >= 2 * len(escaped[0]):
        begin, end = escaped.end(), end - len(escaped[0])
    while end - begin > 1 and text[begin] in "\"'" and text[end - 1] == text[begin]:
        begin, end = begin + 1, end - 1
    if begin < end and not _VARIABLE.fullmatch(text, begin, end):
        yield begin, end


_ASSIGNED = re.compile(
    r"(?<![\w.-])([\w.-]++)(\\*[\"'])?([ \t]*+(?::=|\+=|=>|(?<![ \t])=|=(?![=~])|:(?!//|:))[ \t]*+)(?=[^\s])"
)


_ENV_LINE = re.compile(r"(?:^|\(nop\)[ \t]{1,9})(?:ENV|ARG)[ \t][^\n]*+", re.MULTILINE)
"""An instruction of an image's history, where values stand without the quotes they were written in."""


def _assigned(text: str) -> _Spans:
    quotes, past = _Quotes(text), 0
    lines = (m.span() for m in _ENV_LINE.finditer(text))
    line = next(lines, None)
    for m in _ASSIGNED.finditer(text):
        if m.start() < past or text.endswith("://", 0, m.start()) or not (secret_name(m[1]) or _always(m[1])):
            continue
        inside = "" if m[2] else quotes.at(m.start())
        parameter = text[max(0, m.start() - 1) : m.start()] in ("?", "&") and m[3] == "="
        begins = inside != "" and text[m.start() - 1] == inside
        while line is not None and line[1] <= m.start():
            line = next(lines, None)
        stored = line is not None and line[0] <= m.start()
        whole = begins or stored or m[3].strip() != "=" or m[3] != m[3].strip()
        listed = m[2] is not None or ":" in m[3]
        past = _parameter(text, m.end()) if parameter else _end(text, m.end(), inside, whole, listed)
        yield from _hidden(text, m.end(), past)


def _parameter(text: str, at: int) -> int:
    """Where a parameter of a URL ends."""
    found = re.compile(r"[^\s&#\"']*+").match(text, at)
    return found.end() if found else at


def _always(name: str) -> bool:
    return name.lower() in ("_auth", "sshpass", "pgpass")


_GAP = r"(?:(?:[ \t]++|\\\r?\n)++|=|\\*[\"'][ \t]*,[ \t]*(?=\\*[\"']))"
_FLAG = re.compile(
    rf"(?<![\w-])(--[A-Za-z][\w-]++|-(?:pw|pass\w*|token|secret|auth-?key|auth-?token|api-?key)){_GAP}(?=[^\s])"
)
_OPTION_ITSELF = re.compile(r"-(?:[A-Za-z]|-[a-z][a-z-]*)")
_SET = re.compile(
    r"(?<![\w-])(?:ENV|ARG|set|setenv|setx|-g?x)[ \t]+(?:[^\s=]{0,200}[:/])?([\w.-]++)[ \t]+(?=[^\s=])"
    r"|(?:(?<![\w-])(?:login|user|account)[ \t]+\S{1,200}\s{1,50}|^[ \t]*)password[ \t]+(?=\S+\s*$|\S+\s+(?:machine|account|macdef))",
    re.MULTILINE,
)
_LITERAL = re.compile(r"--from-literal(?:=|[ \t]+)[\w.-]++=(?=\S)")
_ADD_TOKEN = re.compile(r"(?<![\w-])(?:authtoken|add-authtoken|vault[ \t]+login)[ \t]+(?=[^\s=-])")


def _flags(text: str) -> _Spans:
    for form, named in ((_FLAG, True), (_SET, True), (_LITERAL, False), (_ADD_TOKEN, False)):
        quotes, past = _Quotes(text), 0
        for m in form.finditer(text):
            name = m[1] if named else ""
            if m.start() < past or (name and not secret_name("p" + name if name == "-pw" else name)):
                continue
            past = _end(text, m.end(), quotes.at(m.end()), listed="," in m[0])
            if form is not _FLAG or not _OPTION_ITSELF.fullmatch(text, m.end(), past):
                yield from _hidden(text, m.end(), past)


_APART = r"(?:[ \t]+|\\*[\"'][ \t]*,[ \t]*(?=\\*[\"']))"
_PROGRAM = re.compile(
    rf"""(?<![\w.-])(?P<program>sshpass|mysql|mysqldump|mysqladmin|mariadb|mariadb-dump|redis-cli|plink|pscp|psftp|curl|https?
    |smbclient|rpcclient|ldapsearch|ldapadd|ldapmodify|useradd|usermod|unzip|zip|7z|7za|openssl|mosquitto_[ps]ub
    |(?:docker|podman|nerdctl|buildah|skopeo|helm|crane|oras|az)(?:{_APART}\\*["']?[^\s;|&"',]{{1,100}}+){{0,5}}?{_APART}\\*["']?login)(?![\w.-])
    |(?P<stop>[\n;|&])
    |(?<![\w-])(?P<flag>-(?:pw|[A-Za-z]))
    |(?<![\w-])(?P<long>--(?:user|proxy-user))(?=[=\s\"'])
    |(?<![\w-])(?P<pass>pass:)""",
    re.VERBOSE,
)
_BEHIND: Mapping[str, str] = (
    dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump"), "=p")
    | dict.fromkeys(("plink", "pscp", "psftp"), "-pw")
    | dict.fromkeys(("http", "https"), ":a")
    | dict.fromkeys(("smbclient", "rpcclient"), "%U")
    | dict.fromkeys(("ldapsearch", "ldapadd", "ldapmodify"), "-w")
    | dict.fromkeys(("zip", "unzip", "mosquitto_pub", "mosquitto_sub"), "-P")
    | dict.fromkeys(("7z", "7za"), "=p")
    | dict.fromkeys(("useradd", "usermod"), "-p")
    | {"curl": ":uU", "redis-cli": "-a", "openssl": ""}
)
"""Which options of a program take a secret: `-` as their value, `=` attached alone, `:` and `%` behind that sign."""
_SSHPASS = re.compile(
    rf"""(?:{_APART}\\*["']?-(?:[vVhe]++(?!\w)
    |[fdP](?:{_APART})?+(?:\\*["'][^"']*+(?=["'][ \t]*,)|"[^"]*+"|'[^']*+'|[^\s"',]++))){{0,6}}+{_APART}\\*["']?-[vVhe]*+p""",
    re.VERBOSE,
)
_GAP_FORM = re.compile(_GAP)


def _programs(text: str) -> _Spans:
    quotes, program, past = _Quotes(text), "", 0
    for m in _PROGRAM.finditer(text):
        if m.start() < past:
            continue
        if m["program"]:
            program = m["program"]
            options = _SSHPASS.match(text, m.end()) if program == "sshpass" else None
            if options:
                past = yield from _value(text, options.end(), quotes, "")
            program = program if program != "sshpass" else ""  # what follows it is another program's
        elif m["stop"]:
            program = ""
        elif m["pass"]:
            if program == "openssl":
                past = yield from _value(text, m.end(), quotes, "")
        elif program:
            how = _BEHIND.get(program, "-p")
            flag = m["flag"] or "-u"
            if how and (flag == how if how == "-pw" else flag[1:] in how[1:] and (m["flag"] or program == "curl")):
                past = yield from _value(text, m.end(), quotes, how[0])


def _value(text: str, at: int, quotes: _Quotes, how: str) -> Generator[tuple[int, int], None, int]:
    """The secret at or behind a gap, read as `how` says; returns where it ends."""
    gap = _GAP_FORM.match(text, at)
    if gap and how == "=":
        return at
    begin = gap.end() if gap else at
    end = _end(text, begin, quotes.at(begin), listed=gap is not None and "," in gap[0])
    if how in (":", "%"):
        sign = text.find(how, begin, end)
        if sign < 0 or text[begin:end].replace(":", "").isdigit():
            return end
        begin = sign + 1
        if text[end - 1 : end] in ('"', "'") and end - 1 > begin:
            end -= 1
    yield from _hidden(text, begin, end)
    return end


_HEADER = re.compile(
    r"(?<![\w-])(?:(?:proxy-)?authorization\\*[\"']?[ \t]*[:=,][ \t]*(?:\\*[\"'])?(?:[A-Za-z-]{2,20}[ \t]+(?=\S))?"
    r"|(?:set-)?cookie\\*[\"']?[ \t]*:[ \t]*(?:\\*[\"'])?|bearer[ \t]+(?=[^\s\"']{8}))",
    re.IGNORECASE,
)


def _headers(text: str) -> _Spans:
    quotes, past = _Quotes(text), 0
    for m in _HEADER.finditer(text):
        if m.start() >= past:
            inside = quotes.at(m.end())
            past = _end(text, m.end(), inside, bool(inside) or m[0][:1] in "cCsS", listed=True)
            yield from _hidden(text, m.end(), past)


_ECHO = re.compile(r"(?<![\w-])(?:echo|printf)[ \t]+(?:-[neE]+[ \t]+)*([^|\n]{1,300}+)\|")
_SINK = re.compile(r"chpasswd|passwd|password-stdin|sudo[ \t]+(?:-\w+[ \t]+){0,4}-\w*S|cryptsetup|with-token|login")


def _piped(text: str) -> _Spans:
    for m in _ECHO.finditer(text):
        if _SINK.search(text[m.end() : m.end() + 80].split("|", maxsplit=1)[0]):
            begin, end = m.start(1), m.start(1) + len(m[1].rstrip())
            if text[begin] in "\"'" and text[begin] == text[end - 1] and end - begin > 2:
                begin, end = begin + 1, end - 1
            user, colon, _ = text[begin:end].partition(":")
            if colon and user.isidentifier():
                begin += len(user) + 1  # user:password, for chpasswd
            yield from _hidden(text, begin, end)


_NAMED = ("pass", "pwd", "secret", "token", "key", "cred", "_auth", "_pat", "-pat", ".pat")
_FINDERS: tuple[tuple[tuple[str, ...], Callable[[str], _Spans]], ...] = (
    (
        tuple(
            "ghp_ gho_ ghu_ ghs_ ghr_ github_pat gl sk- akia asia xox xapp- hf_ npm_ pypi- dckr_ aiza ya29. gocspx- _live_ "
            "_test_ sg. _v1_ tskey- hvs. hvb. hvr. gsk_ r8_ nvapi- xai- atatt3x shp age-secret eyj".split()
        ),
        _shapes,
    ),
    (("private key", "private-lines", "b3blbnnzac1rzxkt", "ls0tls1crudjti", "mii"), _keys),
    (("://",), _urls),
    (_NAMED, _assigned),
    ((*_NAMED, "--from-literal", "vault"), _flags),
    (("sshpass", "openssl", "login", *_BEHIND), _programs),
    (("authorization", "cookie", "bearer"), _headers),
    (("echo", "printf"), _piped),
)
"""What finds secrets, and the lower-case words of which a text has to hold one before it is worth the search."""


# Environments


def env_credentials(env: Sequence[str]) -> tuple[Credential, ...]:
    """Credentials among NAME=value items (OCI config Env, a process's environment); placeholders are none.

    Judged by name, by the shape of the value, and by a URL with a password in it. At most MANY are told.
    """
    return tuple(islice(_environment(env), MANY))


def _environment(env: Iterable[str]) -> Iterator[Credential]:
    for item in env:
        name, equals, value = item.partition("=")
        found = _variable("environment", name, value, None, None) if equals else None
        if found:
            yield found


def _variable(kind: str, name: str, value: str, line: int | None, offset: int | None) -> Credential | None:
    name, value = name.strip(), value.strip().strip("\"'")
    if name == "SSH_AUTH_SOCK" and value:
        return Credential("ssh-agent", name, line, offset, _shown(value))
    if placeholder(value):
        return None
    shape = _SHAPE.search(value)
    if shape and not placeholder(shape[0]):
        service = shape.lastgroup or ""
        return Credential(kind, _shown(name), line, offset, _OPENS[service], (("shape", service),))
    url = _URL.search(value)
    if url:
        info, host = _userinfo(url[1])
        user, _, password = info.partition(":")
        if password and not placeholder(password):
            return Credential(kind, _shown(name), line, offset, _shown(host), (("user", _shown(user)),))
    if "PRIVATE KEY-----" in value[:4096] or (value.startswith("LS0tLS1CRUdJTiB") and "KEY" in name.upper()):
        return Credential(kind, _shown(name), line, offset, "", (("shape", "private key"),))
    if secret_name(name) or _always(name) or (not url and _urlless(value)):
        return Credential(kind, _shown(name), line, offset, _named_target(name))
    return None


def _urlless(value: str) -> bool:
    """A connection string with its key (Azure, ODBC)."""
    return bool(re.search(r"(?:AccountKey|SharedAccessKey|Password|Pwd)=[^;\s]{4}", value[:4096], re.IGNORECASE))


_BY_NAME = {
    "AWS": "amazonaws.com",
    "GITHUB": "github.com",
    "GH": "github.com",
    "GITLAB": "gitlab.com",
    "OPENAI": "api.openai.com",
    "ANTHROPIC": "api.anthropic.com",
    "HF": "huggingface.co",
    "HUGGINGFACE": "huggingface.co",
    "NPM": "registry.npmjs.org",
    "NODE": "registry.npmjs.org",
    "PYPI": "upload.pypi.org",
    "TWINE": "upload.pypi.org",
    "WANDB": "api.wandb.ai",
    "SLACK": "slack.com",
    "GOOGLE": "googleapis.com",
    "GEMINI": "googleapis.com",
    "AZURE": "azure.com",
    "NGROK": "ngrok.com",
    "TAILSCALE": "controlplane.tailscale.com",
}


def _named_target(name: str) -> str:
    return _BY_NAME.get(name.upper().partition("_")[0], "")


def _shown(text: str) -> str:
    """Safe to print, and masked: names and users of hostile files may hold what they should not."""
    return printable(mask(text[:400]), 120)


# Files


_SETTING = re.compile(r"([^=:]*+)[=:]?(.*)", re.DOTALL)


class _File:
    """One file's bytes, and where its lines and JSON strings lie."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._ends = [m.start() for m in re.finditer(b"\n", data)]
        self._strings: dict[bytes, int] | None = None
        self.problems: list[str] = []

    def line(self, offset: int) -> int:
        return bisect_left(self._ends, offset) + 1

    def lines(self) -> Iterator[tuple[int, int, str]]:
        """Number, offset and text of each line."""
        begin = 0
        for number, end in enumerate([*self._ends, len(self.data)], 1):
            yield number, begin, self.data[begin:end].decode("utf-8", "backslashreplace").rstrip("\r")
            begin = end + 1

    def place(self, string: str) -> tuple[int | None, int | None]:
        """Line and offset at which a JSON string of this text first stands."""
        if self._strings is None:
            self._strings = {}
            for m in re.finditer(rb'"(?:[^"\\]|\\.)*+"', self.data, re.DOTALL):
                self._strings.setdefault(m.group(), m.start())
        for form in (json.dumps(string), json.dumps(string, ensure_ascii=False)):
            offset = self._strings.get(form.encode("utf-8", "surrogatepass"))
            if offset is not None:
                return self.line(offset), offset
        return None, None

    def settings(self) -> Iterator[tuple[int, int, str, str, str]]:
        """Number, offset, section, key and value of each setting of an INI file; an indented line goes on with the last key."""
        section = key = ""
        for number, offset, text in self.lines():
            stripped = text.strip()
            if not stripped or stripped[0] in "#;":
                continue
            if stripped[0] == "[":
                section, key = stripped[1:].rpartition("]")[0], ""
            elif text[0] in " \t" and key and "=" not in stripped.partition("://")[0]:
                yield number, offset, section, key, stripped
            else:
                found = _SETTING.match(stripped)
                key, value = (found[1].strip(), found[2].strip()) if found else ("", "")
                yield number, offset, section, key, value

    def json(self) -> dict[str, object]:
        """The JSON object that the file is; empty, with a problem, for anything else."""
        try:
            value = json.loads(self.data.decode("utf-8", "replace"))
        except RecursionError:
            self.problems.append("it is nested too deep to be read")
            return {}
        except ValueError:
            self.problems.append("it is no JSON that can be read")
            return {}
        return value if isinstance(value, dict) else {}


def _objects(value: object) -> Iterator[tuple[str, dict[str, object]]]:
    if isinstance(value, dict):
        yield from ((k, v) for k, v in value.items() if isinstance(v, dict))


def _real(value: object) -> bool:
    """A secret that is there."""
    return isinstance(value, str) and not placeholder(value)


def _url_credential(kind: str, name: str, line: int, offset: int, value: str) -> Iterator[Credential]:
    found = _URL.search(value)
    if found:
        info, host = _userinfo(found[1])
        user, _, password = info.partition(":")
        quiet = value[: found.start()].lower().endswith(_QUIET_SCHEMES)
        if _real(password) or (user and not password and not quiet and not placeholder(user)):
            shown = (("user", _shown(unquote(user))),) if password and len(user) < 16 else ()
            yield Credential(kind, _shown(name), line, offset, _shown(host), shown)


def _netrc(file: _File) -> Iterator[Credential]:
    host, login, told, place = "", "", False, (0, 0)
    macro, awaited = False, ""
    for number, offset, text in file.lines():
        if macro:
            macro = bool(text.strip())
            continue
        for word in text.split():
            if awaited:
                if awaited == "machine":
                    host, login, told, place = word, "", False, (number, offset)
                elif awaited == "login":
                    login = word
                elif awaited == "password" and not told and not placeholder(word):
                    told = True
                    yield Credential(
                        "netrc", _shown(host), *place, _shown(host), (("user", _shown(login)),) if login else ()
                    )
                macro, awaited = awaited == "macdef", ""
            elif word.startswith("#"):
                break
            elif word == "default":
                host, login, told, place = "default", "", False, (number, offset)
            elif word in ("machine", "login", "password", "account", "macdef"):
                awaited = word


def _git_credentials(file: _File) -> Iterator[Credential]:
    for number, offset, text in file.lines():
        for found in _url_credential("git-credentials", "", number, offset, text):
            yield Credential("git-credentials", found.target, number, offset, found.target, found.details)


def _git_config(file: _File) -> Iterator[Credential]:
    for number, offset, section, key, value in file.settings():
        inner = section.partition('"')[2].rpartition('"')[0]
        yield from _url_credential("git-config", f"{section.partition(' ')[0]}.{key}", number, offset, value)
        yield from _url_credential("git-config", f"{section.partition(' ')[0]}.{key}", number, offset, inner)
        if key.lower() == "extraheader" and re.match(r"(?i)\"?authorization:\s*\S+\s+\S", value):
            host = _userinfo(inner.partition("://")[2])[1]
            yield Credential("git-config", "http.extraheader", number, offset, _shown(host))


_PIP_URLS = ("index-url", "extra-index-url", "find-links", "proxy", "index_url", "extra_index_url", "repository", "url")
_PYPI = ("pypi.org", "pypi.python.org", "upload.pypi.org", "test.pypi.org", "files.pythonhosted.org")


def _pip(file: _File) -> Iterator[Credential]:
    for number, offset, section, key, value in file.settings():
        if key.lower() not in _PIP_URLS:
            continue
        for url in value.split():
            found = list(_url_credential("pip", key, number, offset, url))
            yield from found
            host = _host(url)
            if not found and host and host not in _PYPI and key.lower() != "proxy":
                yield Credential(
                    "pip",
                    _shown(key),
                    number,
                    offset,
                    _shown(host),
                    (("index", "foreign"), ("section", _shown(section))),
                )


def _host(url: str) -> str:
    """Host without user and port, lower case; "" for what is no URL."""
    rest = url.partition("://")[2]
    host = _userinfo(rest)[1] if rest else ""
    return re.sub(r":\d*$", "", host).lower()


def _pypirc(file: _File) -> Iterator[Credential]:
    hosts: dict[str, str] = {"pypi": "upload.pypi.org", "testpypi": "test.pypi.org"}
    users: dict[str, str] = {}
    told: dict[str, tuple[int, int]] = {}
    for number, offset, section, key, value in file.settings():
        if key == "repository":
            hosts[section] = _host(value)
        elif key == "username":
            users[section] = value
        elif key == "password" and not placeholder(value):
            told[section] = (number, offset)
    for section, place in told.items():
        user = users.get(section, "")
        yield Credential(
            "pypirc", _shown(section), *place, _shown(hosts.get(section, "")), (("user", _shown(user)),) if user else ()
        )


_NPM_REGISTRIES = ("registry.npmjs.org", "registry.yarnpkg.com", "npm.pkg.github.com")


def _npmrc(file: _File) -> Iterator[Credential]:
    for number, offset, text in file.lines():
        key, equals, value = text.strip().partition("=")
        key, value = key.strip(), value.strip().strip("\"'")
        if not equals or key[:1] in ("#", ";"):
            continue
        scope, _, name = key.rpartition(":")
        if name.lower() in ("_authtoken", "_auth", "_password") and not placeholder(value):
            host = scope.lstrip("/").partition("/")[0] or "registry.npmjs.org"
            yield Credential("npmrc", name, number, offset, _shown(host))
        elif name == "registry":
            found = list(_url_credential("npmrc", name, number, offset, value))
            yield from found
            host = _host(value)
            if not found and host and host not in _NPM_REGISTRIES:
                yield Credential("npmrc", _shown(key), number, offset, _shown(host), (("index", "foreign"),))
        elif name in ("proxy", "https-proxy", "http-proxy"):
            yield from _url_credential("npmrc", name, number, offset, value)


def _yarnrc(file: _File) -> Iterator[Credential]:
    for number, offset, text in file.lines():
        found = re.match(r"\s*(npmAuthToken|npmAuthIdent)\s*:\s*(\S+)", text)
        if found and not placeholder(found[2]):
            yield Credential("yarnrc", found[1], number, offset, "registry.npmjs.org")


def _docker(file: _File) -> Iterator[Credential]:
    config = file.json()
    for host, entry in _objects(config.get("auths")):
        for name in ("auth", "identitytoken", "password", "registrytoken"):
            if _real(entry.get(name)):
                yield Credential("docker", name, *file.place(host), _shown(_registry(host)))
                break
    store = config.get("credsStore")
    if isinstance(store, str) and store:
        yield Credential("docker", "credsStore", *file.place("credsStore"), "", (("helper", _shown(store)),))
    helpers = config.get("credHelpers")
    for host, helper in helpers.items() if isinstance(helpers, dict) else ():
        yield Credential(
            "docker", "credHelpers", *file.place(host), _shown(_registry(host)), (("helper", _shown(str(helper))),)
        )


def _registry(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _aws(file: _File) -> Iterator[Credential]:
    for number, offset, section, key, value in file.settings():
        profile = section.removeprefix("profile ").strip()
        if key.lower() in ("aws_secret_access_key", "aws_session_token") and not placeholder(value):
            yield Credential("aws", _shown(key), number, offset, "amazonaws.com", (("profile", _shown(profile)),))
        elif key.lower() in ("role_arn", "credential_process", "sso_start_url", "web_identity_token_file") and value:
            yield Credential(
                "aws",
                _shown(key),
                number,
                offset,
                "amazonaws.com",
                (("profile", _shown(profile)), ("value", _shown(value))),
            )


def _google(file: _File) -> Iterator[Credential]:
    config = file.json()
    kind = config.get("type")
    held = next((n for n in ("private_key", "refresh_token", "credential_source") if config.get(n)), None)
    if isinstance(kind, str) and held:
        email = config.get("client_email")
        details = [("type", _shown(kind))] + ([("account", _shown(email))] if isinstance(email, str) else [])
        yield Credential("google", held, *file.place(held), "googleapis.com", tuple(details))


_TOKEN_FIELDS = frozenset(
    "accesstoken access_token refreshtoken refresh_token idtoken id_token secret client_secret clientsecret token apikey "
    "api_key openai_api_key password auth private_key servicekey bearer http-basic oauth_token auth_token authtoken".split()
)
_VALUES = 50_000
"""Of one JSON document that are looked at."""


def _tokens(kind: str, target: str) -> "_Reader":
    """A reader of JSON that holds tokens anywhere: each field whose name says so, with the way to it."""

    def read(file: _File) -> Iterator[Credential]:
        waiting: list[tuple[str, str, str, object]] = [("", "", "", file.json())]
        looked = 0
        while waiting:
            way, above, host, value = waiting.pop()
            looked += 1
            if looked > _VALUES:
                file.problems.append(f"only {_VALUES} of its values were looked at")
                return
            if isinstance(value, dict):
                for name, inner in reversed(value.items()):
                    waiting.append((f"{way}.{name}"[-200:], name, name if _HOST.fullmatch(name) else host, inner))
            elif isinstance(value, list):
                waiting += [(way, above, host, inner) for inner in reversed(value)]
            elif _real(value) and (above.lower() in _TOKEN_FIELDS or secret_name(above)):
                yield Credential(kind, _shown(way.lstrip(".")), *file.place(above), _shown(target or host))

    return read


_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.){1,10}[a-z]{2,63}", re.IGNORECASE)
"""A key that is a host, as Terraform's and Composer's files have it."""


_YAML = re.compile(r"(\s*)(- +)?[\"']?([\w.-]+)[\"']?\s*:(?:\s+(.*))?$")
_KUBE_SECRETS = ("token", "client-key-data", "password", "access-token", "id-token", "refresh-token")
_KUBE_POINTERS = ("client-key", "tokenFile", "command")


def _kube(file: _File) -> Iterator[Credential]:
    if file.data.lstrip()[:1] == b"{":
        yield from _tokens("kube", "")(file)
        return
    section, name, indent = "", "", -1
    held: list[tuple[str, int, int]] = []
    for number, offset, text in file.lines():
        found = _YAML.match(text[:4096])
        if not found:
            continue
        depth, dash, key, value = len(found[1]), bool(found[2]), found[3], (found[4] or "").strip().strip("\"'")
        if not depth and not dash:
            yield from _kube_user(name, held)
            section, name, held, indent = key, "", [], -1
        elif dash and (indent < 0 or depth <= indent):
            yield from _kube_user(name, held)
            name, held, indent = "", [], depth
        if key == "name" and (dash or depth <= indent + 2) and section in ("users", "clusters", "contexts"):
            name = value
        if section == "clusters" and key == "server" and value:
            yield Credential("kube", "server", number, offset, _shown(_registry(value)))
        elif section == "users" and (
            (key in _KUBE_SECRETS and not placeholder(value)) or (key in _KUBE_POINTERS and value)
        ):
            held.append((key, number, offset))
    yield from _kube_user(name, held)


def _kube_user(name: str, held: Iterable[tuple[str, int, int]]) -> Iterator[Credential]:
    for key, number, offset in held:
        yield Credential("kube", key, number, offset, "", (("user", _shown(name)),) if name else ())


def _gh(file: _File) -> Iterator[Credential]:
    host = ""
    for number, offset, text in file.lines():
        found = _YAML.match(text[:4096])
        if found and not found[1]:
            host = found[3]
        elif found and found[3] == "oauth_token" and not placeholder(found[4] or ""):
            yield Credential("gh", "oauth_token", number, offset, _shown(host))


def _rclone(file: _File) -> Iterator[Credential]:
    types: dict[str, str] = {}
    hosts: dict[str, str] = {}
    for number, offset, section, key, value in file.settings():
        if key == "type":
            types[section] = value
        elif key in ("host", "url", "endpoint"):
            hosts[section] = _host(value) or value
        elif (secret_name(key) or key in ("key_file", "service_account_file")) and value:
            details = (("remote", _shown(section)), ("type", _shown(types.get(section, ""))))
            yield Credential("rclone", _shown(key), number, offset, _shown(hosts.get(section, "")), details)


_DOTENV = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.]*+)\s*=(.*)")


def _dotenv(file: _File) -> Iterator[Credential]:
    for number, offset, text in file.lines():
        found = _DOTENV.match(text)
        credential = _variable("dotenv", found[1], found[2], number, offset) if found else None
        if credential:
            yield credential


_TOKEN = re.compile(rb"\s*+([A-Za-z0-9._~+/=-]{8,16384})\s*+")


def _single(kind: str, target: str) -> "_Reader":
    """A reader of files that are one token and nothing else."""

    def read(file: _File) -> Iterator[Credential]:
        found = _TOKEN.fullmatch(file.data)
        if found and not placeholder(found[1].decode()):
            yield Credential(kind, "token", 1, 0, target)

    return read


def _keyed(kind: str, target: str) -> "_Reader":
    """A reader of INI, TOML and HCL lines: each key whose name says that it holds a secret; the section is the target."""

    def read(file: _File) -> Iterator[Credential]:
        section = ""
        for number, offset, text in file.lines():
            stripped = text.strip()
            block = re.match(r"\[{1,2}+\s*+([^\]]{1,200})\]|credentials\s+\"([^\"]{1,200})\"", stripped)
            if block:
                section = (block[1] or block[2]).strip()
                stripped = stripped[block.end() :].lstrip(" {")
            found = re.match(r":?([\w.-]+)\s*[=:]\s*(\S.*)", stripped)
            if found and secret_name(found[1]) and not placeholder(found[2].rstrip(" }")):
                yield Credential(kind, _shown(found[1]), number, offset, _shown(target or section))

    return read


def _pgpass(file: _File) -> Iterator[Credential]:
    for number, offset, text in file.lines():
        parts = re.split(r"(?<!\\):", text.strip(), maxsplit=4)
        if len(parts) == 5 and not text.lstrip().startswith("#") and parts[4] and not placeholder(parts[4]):
            yield Credential(
                "pgpass", _shown(parts[2]), number, offset, _shown(parts[0]), (("user", _shown(parts[3])),)
            )


def _gpg_agent(file: _File) -> Iterator[Credential]:
    for number, offset, text in file.lines():
        word = text.split(maxsplit=1)[:1]
        if word == ["enable-ssh-support"] or re.fullmatch(r"[0-9A-F]{40}", "".join(word)):
            yield Credential("gpg-agent", "enable-ssh-support" if word[0][0] == "e" else "key", number, offset, "ssh")


def _there(kind: str, target: str, magic: bytes = b"") -> "_Reader":
    """A reader of formats that are opened by nobody here: a database, an encrypted cache. That it is there says enough."""

    def read(file: _File) -> Iterator[Credential]:
        if len(file.data) > 64 and file.data.startswith(magic):
            yield Credential(kind, "file", None, 0, target)

    return read


_Reader = Callable[[_File], Iterator[Credential]]
_KINDS: tuple[tuple[str, bytes, _Reader], ...] = (
    ("netrc", rb"(?:^|/)[._]netrc$", _netrc),
    ("git-credentials", rb"(?:^|/)(?:\.git-credentials|\.config/git/credentials)$", _git_credentials),
    (
        "git-config",
        rb"(?:^|/)(?:\.git/config|\.gitconfig|\.config/git/config|\.gitmodules)$|(?:^|/)etc/gitconfig$",
        _git_config,
    ),
    ("pip", rb"(?:^|/)(?:pip\.conf|pip\.ini|\.pydistutils\.cfg)$", _pip),
    ("pypirc", rb"(?:^|/)\.pypirc$", _pypirc),
    ("npmrc", rb"(?:^|/)(?:\.npmrc|etc/npmrc)$", _npmrc),
    ("yarnrc", rb"(?:^|/)\.yarnrc\.yml$", _yarnrc),
    (
        "docker",
        rb"(?:^|/)(?:\.docker/config\.json|\.dockercfg|\.config/containers/auth\.json|kaniko/config\.json)$",
        _docker,
    ),
    ("aws", rb"(?:^|/)\.aws/(?:credentials|config)$", _aws),
    ("aws-cache", rb"(?:^|/)\.aws/(?:sso|cli)/cache/[^/]+\.json$", _tokens("aws-cache", "amazonaws.com")),
    (
        "google",
        rb"(?:^|/)(?:application_default_credentials\.json|legacy_credentials/[^/]+/adc\.json|[^/]*service[-_]?account[^/]*\.json)$",
        _google,
    ),
    (
        "google-store",
        rb"(?:^|/)gcloud/(?:credentials|access_tokens)\.db$",
        _there("google-store", "googleapis.com", b"SQLite format 3\0"),
    ),
    (
        "azure",
        rb"(?:^|/)\.azure/(?:accessTokens|msal_token_cache|service_principal_entries)\.json$",
        _tokens("azure", "azure.com"),
    ),
    (
        "azure-store",
        rb"(?:^|/)\.azure/(?:msal_token_cache|service_principal_entries)\.bin$",
        _there("azure-store", "azure.com"),
    ),
    ("kube", rb"(?:^|/)(?:\.kube/config|kubeconfig(?:\.ya?ml)?|etc/kubernetes/[^/]+\.conf|k3s\.yaml)$", _kube),
    (
        "kube-token",
        rb"(?:^|/)(?:var/)?run/secrets/kubernetes\.io/serviceaccount/token$",
        _single("kube-token", "kubernetes"),
    ),
    ("gh", rb"(?:^|/)\.config/gh/hosts\.yml$", _gh),
    ("rclone", rb"(?:^|/)(?:rclone/rclone\.conf|\.rclone\.conf)$", _rclone),
    ("dotenv", rb"(?:^|/)(?:\.env|\.env\.(?!example|sample|template|dist)[\w.-]+|[\w-]+\.env)$", _dotenv),
    ("huggingface", rb"(?:^|/)(?:\.cache/huggingface|\.huggingface)/token$", _single("huggingface", "huggingface.co")),
    (
        "huggingface-tokens",
        rb"(?:^|/)\.cache/huggingface/stored_tokens$",
        _keyed("huggingface-tokens", "huggingface.co"),
    ),
    ("terraform", rb"(?:^|/)credentials\.tfrc\.json$", _tokens("terraform", "")),
    ("terraformrc", rb"(?:^|/)(?:\.terraformrc|\.tofurc)$", _keyed("terraformrc", "")),
    ("cargo", rb"(?:^|/)\.cargo/credentials(?:\.toml)?$", _keyed("cargo", "")),
    ("gem", rb"(?:^|/)\.gem/credentials$", _keyed("gem", "rubygems.org")),
    ("vault", rb"(?:^|/)\.vault-token$", _single("vault", "")),
    ("pgpass", rb"(?:^|/)\.pgpass$", _pgpass),
    ("mysql", rb"(?:^|/)\.my\.cnf$", _keyed("mysql", "")),
    ("composer", rb"(?:^|/)\.?composer/auth\.json$", _tokens("composer", "")),
    ("gpg-agent", rb"(?:^|/)\.gnupg/(?:gpg-agent\.conf|sshcontrol)$", _gpg_agent),
    ("claude", rb"(?:^|/)\.claude/\.credentials\.json$", _tokens("claude", "api.anthropic.com")),
    ("codex", rb"(?:^|/)\.codex/auth\.json$", _tokens("codex", "api.openai.com")),
    ("gemini", rb"(?:^|/)\.gemini/oauth_creds\.json$", _tokens("gemini", "googleapis.com")),
    ("copilot", rb"(?:^|/)\.config/github-copilot/(?:hosts|apps)\.json$", _tokens("copilot", "github.com")),
)
PATHS: tuple[tuple[str, bytes], ...] = tuple((kind, path) for kind, path, _ in _KINDS)
"""Where each kind of file lies: regular expressions (re.search) over a path without a leading slash, no capturing groups."""
_READERS = {kind: reader for kind, _, reader in _KINDS}


def read(kind: str, data: bytes) -> Found:
    """The credentials of a file of a kind that PATHS names. Bounded by BYTES and MANY; never raises for any bytes.

    Raises KeyError for a kind that PATHS does not name.
    """
    file = _File(data[:BYTES])
    found = tuple(islice(_READERS[kind](file), MANY + 1))
    if len(data) > BYTES:
        file.problems.append(f"only its first {BYTES} bytes were read")
    if len(found) > MANY:
        file.problems.append(f"only its first {MANY} credentials are told")
    return Found(found[:MANY], tuple(file.problems))


_SCP = re.compile(r"(?:([^@\s/:]{1,200})@)?(\[[^\]\s]{1,200}\]|[^@\s/:]{2,200}):(?!/{2})(\S.*)?")
_GIT_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://(\S+)")
_PORT = re.compile(r":(\d{1,5})$")


def git_remotes(data: bytes) -> tuple[Remote, ...]:
    """Where a git config or .gitmodules fetches from and pushes to, in order; bounded like `read`, users shown masked."""
    found: list[Remote] = []
    for number, _, section, key, value in _File(data[:BYTES]).settings():
        kind, _, rest = section.partition('"')
        if kind.strip().lower() not in ("remote", "submodule", "url") or len(found) >= MANY:
            continue
        place = rest.rpartition('"')[0]
        if kind.strip().lower() == "url":
            remote = _remote(f"url.{key}", place, number) if key.lower() in ("insteadof", "pushinsteadof") else None
        else:
            remote = _remote(place, value.strip('"'), number) if key.lower() in ("url", "pushurl") else None
        if remote:
            found.append(remote)
    return tuple(found)


def _remote(name: str, url: str, line: int) -> Remote | None:
    whole = _GIT_URL.match(url)
    if whole:
        scheme = whole[1].lower()
        info, host = _userinfo(whole[2])
        user = info.partition(":")[0]
        port = _PORT.search(host)
        ssh = scheme in ("ssh", "git+ssh", "ssh+git")
        shown = _shown(user) if ssh or (":" in info and len(user) < 16) else ""
        host = host[: port.start()] if port else host
        return Remote(
            _shown(name),
            "ssh" if ssh else scheme,
            shown,
            _shown(host.strip("[]")),
            int(port[1]) if port else None,
            line,
        )
    short = _SCP.fullmatch(url)
    if short is None:
        return None
    return Remote(_shown(name), "ssh", _shown(short[1] or ""), _shown(short[2].strip("[]")), None, line)
