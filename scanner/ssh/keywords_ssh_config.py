"""What each keyword of ssh_config takes and what ssh makes of it (ssh_config(5); readconf.c of OpenSSH 9.2 with Debian's patches)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from scanner.ssh import algorithms_ssh_config as algorithms
from scanner.ssh import forward, numbers
from scanner.ssh.lexing import fold
from scanner.ssh.targets import Destination, destination_of_uri, host_and_port

FORWARD_BYTES = 255
"""ssh joins the two arguments of a forwarding in a buffer of this size, and drops what does not fit."""

Values = tuple[str, ...]
Taken = tuple[Values, int]
"""The values ssh keeps, none where the line sets nothing, and how many arguments they took."""


class BadValue(ValueError):
    """ssh would refuse to run: the message says why."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """`name` is what ssh -G calls it; `accumulates`: every line adds to it, where otherwise the first one wins."""

    name: str
    read: Callable[[Sequence[str], str], Taken]
    accumulates: bool = False
    ignored: bool = False
    shown: tuple[tuple[str, str], ...] = ()


def _bad(message: str) -> NoReturn:
    raise BadValue(message)


def _first(args: Sequence[str]) -> str:
    if not args or not args[0]:
        _bad("an argument is missing")
    return args[0]


# Readers: the arguments, and the text they were cut from


def _string(args: Sequence[str], _text: str) -> Taken:
    return (_first(args),), 1


def _command(args: Sequence[str], text: str) -> Taken:
    return (text.lstrip(" \t\r\n="),), len(args)


def _anything(args: Sequence[str], _text: str) -> Taken:
    return tuple(args), len(args)


def _choice(**words: str) -> Callable[[Sequence[str], str], Taken]:
    """One of the words, in any case; `_` in a name stands for `-`."""
    known = {word.replace("_", "-"): meant for word, meant in words.items()}

    def read(args: Sequence[str], _text: str) -> Taken:
        value = known.get(fold(_first(args)))
        if value is None:
            _bad(f"it takes {', '.join(dict.fromkeys(known.values()))}")
        return (value,), 1

    return read


_YES_NO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
_flag = _choice(**_YES_NO)


def _whole_number(args: Sequence[str], _text: str) -> Taken:
    value = numbers.whole(_first(args))
    if value is None:
        _bad("it takes a whole number")
    return (str(value),), 1


def _seconds_or_none(text: str) -> Values:
    if text == "none":
        return ()
    value = numbers.seconds(text)
    if value is None:
        _bad("it takes a time")
    return (str(value),)


def _time(args: Sequence[str], _text: str) -> Taken:
    return _seconds_or_none(_first(args)), 1


def _port(args: Sequence[str], _text: str) -> Taken:
    value = numbers.port(_first(args))
    if not value:
        _bad("it takes a port")
    return (str(value),), 1


def _rekey(args: Sequence[str], _text: str) -> Taken:
    size = 0 if _first(args) == "default" else numbers.size(args[0])
    if size is None or (size != 0 and size < 16):
        _bad("it takes a size of 16 bytes or more")
    if len(args) < 2:
        return (str(size),), 1
    if not args[1]:
        _bad("a time is missing")
    return (str(size), *_seconds_or_none(args[1])), 2


def _algorithms(keyword: str) -> Callable[[Sequence[str], str], Taken]:
    def read(args: Sequence[str], _text: str) -> Taken:
        if not algorithms.valid(keyword, _first(args)):
            _bad("it names an algorithm that ssh does not have")
        return (args[0],), 1

    return read


def _list(args: Sequence[str], _text: str) -> Taken:
    """Any number of words, or `none` alone."""
    if "" in args:
        _bad("an argument is empty")
    if len(args) > 1 and any(fold(arg) == "none" for arg in args):
        _bad("none has to stand alone")
    return tuple(args), len(args)


_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*\.?\Z")


def _domains(args: Sequence[str], text: str) -> Taken:
    _list(args, text)
    if not all(map(_DOMAIN.match, args)):
        _bad("it takes domain names")
    return tuple(fold(arg).removesuffix(".") for arg in args), len(args)


def _cnames(args: Sequence[str], _text: str) -> Taken:
    pairs = []
    for arg in args:
        if fold(arg) == "none":
            if len(args) > 1:
                _bad("none has to stand alone")
            pairs.append("none:")
        elif arg == "*":
            pairs.append("*:*")
        else:
            source, colon, target = fold(arg).partition(":")
            if not target:
                _bad("it takes pairs of lists with a colon between them")
            pairs.append(f"{source}{colon}{target}")
    return tuple(pairs), len(args)


def _forwarding(keyword: str) -> Callable[[Sequence[str], str], Taken]:
    def read(args: Sequence[str], _text: str) -> Taken:
        spec, taken = _first(args), 1
        dynamic = keyword == "dynamicforward"
        if not dynamic:
            taken = min(2, len(args))
            if taken == 2 and args[1]:
                spec = f"{spec}:{args[1]}"
            elif keyword == "remoteforward":
                dynamic = True
            else:
                _bad("a target is missing")
        spec = spec.encode("utf-8", "surrogateescape")[:FORWARD_BYTES].decode("utf-8", "surrogateescape")
        _variables(spec)
        if "${" not in spec and forwarding(keyword, (spec, "dynamic" if dynamic else "")) is None:
            _bad("it is no forwarding")
        return (spec, "dynamic" if dynamic else ""), taken

    return read


def forwarding(keyword: str, values: Values, text: str | None = None) -> forward.Forward | None:
    """The forwarding that a line's values describe; `text` is the first value with its variables put in."""
    spec, dynamic = values
    return forward.parse(
        spec if text is None else text,
        dynamic=bool(dynamic),
        remote=keyword == "remoteforward",
        option=SHOWN_NAMES.get(keyword, keyword),
    )


def unknown_forwarding(keyword: str, values: Values) -> forward.Forward:
    """The same where variables that are not known stand in it."""
    spec, dynamic = values
    remote, option = keyword == "remoteforward", SHOWN_NAMES[keyword]
    found = forward.parse(spec, dynamic=bool(dynamic), remote=remote, option=option, variables=True)
    kind: forward.Kind = "remote" if remote else "dynamic" if dynamic else "local"
    return found or forward.Forward(kind, raw=spec, option=option)


SHOWN_NAMES = {"localforward": "LocalForward", "remoteforward": "RemoteForward", "dynamicforward": "DynamicForward"}


def _variables(text: str) -> None:
    """Raise BadValue where a `${` has no name or no end (dollar_expand)."""
    at = text.find("${")
    while at >= 0:
        end = text.find("}", at)
        if end in (-1, at + 2):
            _bad("a variable has no name or no end")
        at = text.find("${", end)


_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9_]+\Z")


def _agent_path(args: Sequence[str], _text: str) -> Taken:
    path = _first(args)
    _variables(path)
    if path.startswith("$") and not path.startswith("${") and not _ENVIRONMENT_NAME.match(path, 1):
        _bad("it takes a path, or $ and the name of a variable")
    return (path,), 1


def _forward_agent(args: Sequence[str], text: str) -> Taken:
    known = _YES_NO.get(fold(_first(args)))
    return ((known,), 1) if known else _agent_path(args, text)


def _permitted_opens(args: Sequence[str], _text: str) -> Taken:
    if not args:
        _bad("an argument is missing")
    for arg in args:
        if fold(arg) in ("none", "any"):
            if len(args) > 1:
                _bad(f"{fold(arg)} has to stand alone")
            continue
        split = host_and_port(arg)
        if split is None or (split[1] != "*" and not numbers.port(split[1] or "")):
            _bad("it takes hosts with ports")
    return tuple(args), len(args)


def _escape(args: Sequence[str], _text: str) -> Taken:
    raw = _first(args).encode("utf-8", "surrogateescape")
    if raw == b"none":
        return ("none",), 1
    if len(raw) == 1:
        code = raw[0]
    elif len(raw) == 2 and raw[:1] == b"^" and 64 <= raw[1] < 128:
        code = raw[1] & 31
    else:
        _bad("it takes one character, ^ and a letter, or none")
    return (_visible(code),), 1


def _visible(code: int) -> str:
    """A byte as vis(3) writes it, blanks included."""
    if code == ord("\\"):
        return "\\\\"
    if 32 < code < 127:
        return chr(code)
    if code & 127 == 32:
        return f"\\{code:03o}"
    meta, code = ("M" if code & 128 else ""), code & 127
    if code < 32 or code == 127:
        return f"\\{meta}^{'?' if code == 127 else chr(code + 64)}"
    return f"\\{meta}-{chr(code)}"


_QOS = {
    "none": numbers.INT_MAX,
    **{f"af{c}{d}": (8 * c + 2 * d) << 2 for c in (1, 2, 3, 4) for d in (1, 2, 3)},
    **{f"cs{c}": c << 5 for c in range(8)},
    "ef": 0xB8,
    "le": 0x04,
    "lowdelay": 0x10,
    "throughput": 0x08,
    "reliability": 0x04,
}
_QOS_NAMES = {value: name for name, value in reversed(_QOS.items())}


def _qos(text: str) -> str:
    value = _QOS.get(fold(text))
    if value is None:
        value = numbers.any_base(text)
        if value is None or not 0 <= value <= 255:
            _bad("it takes a class of service")
    return _QOS_NAMES.get(value) or f"0x{value:02x}"


def _qos_pair(args: Sequence[str], _text: str) -> Taken:
    if not args:
        _bad("an argument is missing")
    pair = [_qos(arg) for arg in args[:2]]
    return (pair[0], pair[-1]), len(pair)


def _mask(args: Sequence[str], _text: str) -> Taken:
    value = numbers.octal(_first(args))
    if value is None or not 0 <= value <= 0o777:
        _bad("it takes a mode")
    return (f"0{value:o}",), 1


def _add_keys(args: Sequence[str], _text: str) -> Taken:
    word = _first(args)
    known = {**_YES_NO, "ask": "ask", "confirm": "confirm"}.get(fold(word))
    life = args[1] if len(args) > 1 else None
    if known == "confirm" and life is not None:
        value = numbers.seconds(life)
    elif known is None and life is None:
        known, value = "yes", numbers.seconds(word)
    elif known is None or life is not None:
        value = None
    else:
        value = 0
    if value is None:
        _bad("it takes yes, no, ask, confirm or a time")
    return ((known, str(value)) if value and known else (known or "",)), 2


def _control_persist(args: Sequence[str], _text: str) -> Taken:
    known = _YES_NO.get(_first(args))
    value = None if known else numbers.seconds(args[0])
    if known is None and value is None:
        _bad("it takes yes, no or a time")
    return ((known,) if known else ("yes", str(value)) if value else ("yes",)), 1


def tun(text: str) -> tuple[str, str] | None:
    """The devices here and there of -w and TunnelDevice (a2tun), "any" where no number is said."""
    local, colon, remote = text.partition(":")
    pair = [
        "any" if fold(word) == "any" else numbers.whole(word, numbers.INT_MAX - 2)
        for word in ((local, remote) if colon else (local, "any"))
    ]
    return None if None in pair else (str(pair[0]), str(pair[1]))


def _tunnel_device(args: Sequence[str], _text: str) -> Taken:
    pair = tun(_first(args))
    if pair is None:
        _bad("it takes one or two numbers of devices, or any")
    return pair, 1


def _send_env(args: Sequence[str], _text: str) -> Taken:
    if any(not arg or "=" in arg for arg in args):
        _bad("it takes names of variables")
    return tuple(args), len(args)


def _set_env(args: Sequence[str], _text: str) -> Taken:
    if not all("=" in arg for arg in args):
        _bad("it takes names with their values")
    return tuple(args), len(args)


def hops(text: str, *, strict: bool = False) -> tuple[Destination, ...] | None:
    """The hosts of a ProxyJump in order, none for `none`; None where ssh refuses them. `strict` as on a command line."""
    if fold(text) == "none":
        return ()
    found = {word: _hop(word, strict) for word in dict.fromkeys(_hop_words(text))}
    whole = tuple(hop for word in _hop_words(text) if (hop := found[word]) is not None)
    return whole if None not in found.values() else None


def last_hop(text: str) -> Destination | None:
    """The host that is connected to from the one before it, or from here; None for `none`."""
    return None if fold(text) == "none" else _hop(_hop_words(text)[-1], strict=False)


def _hop_words(text: str) -> list[str]:
    return text.partition("#")[0].rstrip(" \t\n\v\f\r").split(",")


def _hop(word: str, strict: bool) -> Destination | None:
    hop = destination_of_uri("ssh", word)
    if hop is not None and not hop.raw:
        hop = _user_host_port(word)
    if hop is None or hop.host is None or hop.path is not None:
        return None
    if strict and not (valid_host(hop.host) and (hop.user is None or valid_user(hop.user))):
        return None
    return hop


def _user_host_port(text: str) -> Destination | None:
    """[user@]host[:port] (parse_user_host_port)."""
    user, at, rest = text.rpartition("@")
    if at and not user:
        return None
    split = host_and_port(rest)
    if split is None or not split[0]:
        return None
    number = numbers.port(split[1]) if split[1] else None
    if split[1] and not number:
        return None
    return Destination(text, user if at else None, split[0], number)


_BAD_HOST = re.compile(r"""['`"$\\;&<>|(){},\x00-\x20\x7f]""")
_BAD_USER = re.compile(r"""[\x00-\x1f\x7f'`";&<>|(){}]|\\\Z|[ ]-""")


def valid_host(text: str) -> bool:
    """Whether ssh takes the name on its command line (ssh_valid_hostname)."""
    return not text.startswith("-") and not _BAD_HOST.search(text)


def valid_user(text: str) -> bool:
    """Whether ssh takes the name on its command line (ssh_valid_ruser)."""
    return not text.startswith("-") and not _BAD_USER.search(text)


def _proxy_jump(args: Sequence[str], text: str) -> Taken:
    spec = text.lstrip(" \t\r\n=")
    if hops(spec) is None:
        _bad("it takes hosts with a comma between them")
    return (spec,), len(args)


_LEVELS = {
    "silent": "QUIET",
    "quiet": "QUIET",
    "fatal": "FATAL",
    "error": "ERROR",
    "info": "INFO",
    "verbose": "VERBOSE",
    "debug": "DEBUG",
    "debug1": "DEBUG",
    "debug2": "DEBUG2",
    "debug3": "DEBUG3",
}
_FACILITIES = {
    name.lower(): name
    for name in "DAEMON USER AUTH AUTHPRIV LOCAL0 LOCAL1 LOCAL2 LOCAL3 LOCAL4 LOCAL5 LOCAL6 LOCAL7".split()
}
_DIGESTS = {name.lower(): name for name in "MD5 SHA1 SHA256 SHA384 SHA512".split()}

_TRUE_FALSE = (("yes", "true"), ("no", "false"))
"""Words that ssh -G prints as the other word."""

_ask = _choice(**_YES_NO, ask="ask")

_READERS: dict[str, Callable[[Sequence[str], str], Taken]] = {
    **dict.fromkeys(
        "forwardx11 forwardx11trusted gatewayports exitonforwardfailure passwordauthentication hostbasedauthentication "
        "kbdinteractiveauthentication gssapiauthentication gssapikeyexchange gssapidelegatecredentials gssapitrustdns "
        "gssapirenewalforcesrekey batchmode checkhostip tcpkeepalive nohostauthenticationforlocalhost clearallforwardings "
        "enablesshkeysign identitiesonly hashknownhosts permitlocalcommand visualhostkey stdinnull forkafterauthentication "
        "proxyusefdpass canonicalizefallbacklocal streamlocalbindunlink enableescapecommandline".split(),
        _flag,
    ),
    **dict.fromkeys(
        "bindaddress bindinterface certificatefile controlpath gssapiclientidentity gssapiserveridentity hostkeyalias "
        "hostname identityfile ignoreunknown kbdinteractivedevices pkcs11provider preferredauthentications "
        "revokedhostkeys securitykeyprovider tag user xauthlocation".split(),
        _string,
    ),
    **dict.fromkeys("knownhostscommand localcommand proxycommand remotecommand".split(), _command),
    **dict.fromkeys("forwardx11timeout connecttimeout serveraliveinterval".split(), _time),
    **dict.fromkeys(
        "numberofpasswordprompts connectionattempts serveralivecountmax canonicalizemaxdots requiredrsasize".split(),
        _whole_number,
    ),
    **{keyword: _algorithms(keyword) for keyword in (*algorithms.LISTS, "gssapikexalgorithms")},
    **dict.fromkeys("globalknownhostsfile userknownhostsfile logverbose".split(), _list),
    **{keyword: _forwarding(keyword) for keyword in SHOWN_NAMES},
    "addkeystoagent": _add_keys,
    "addressfamily": _choice(any="any", inet="inet", inet6="inet6"),
    "canonicaldomains": _domains,
    "canonicalizehostname": _choice(**_YES_NO, always="always"),
    "canonicalizepermittedcnames": _cnames,
    "compression": _choice(yes="yes", no="no"),
    "controlmaster": _choice(**_YES_NO, auto="auto", ask="ask", autoask="autoask"),
    "controlpersist": _control_persist,
    "escapechar": _escape,
    "fingerprinthash": _choice(**_DIGESTS),
    "forwardagent": _forward_agent,
    "identityagent": _agent_path,
    "ipqos": _qos_pair,
    "loglevel": _choice(**_LEVELS),
    "permitremoteopen": _permitted_opens,
    "port": _port,
    "proxyjump": _proxy_jump,
    "pubkeyauthentication": _choice(**_YES_NO, unbound="unbound", host_bound="host-bound"),
    "rekeylimit": _rekey,
    "requesttty": _choice(**_YES_NO, force="force", auto="auto"),
    "sendenv": _send_env,
    "sessiontype": _choice(none="none", subsystem="subsystem", default="default"),
    "setenv": _set_env,
    "streamlocalbindmask": _mask,
    "stricthostkeychecking": _choice(**_YES_NO, ask="ask", off="no", accept_new="accept-new"),
    "syslogfacility": _choice(**_FACILITIES),
    "tunnel": _choice(
        ethernet="ethernet",
        point_to_point="point-to-point",
        yes="point-to-point",
        true="point-to-point",
        no="no",
        false="no",
    ),
    "tunneldevice": _tunnel_device,
    "updatehostkeys": _ask,
    "verifyhostkeydns": _ask,
}
_SHOWN: dict[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(
        "addkeystoagent canonicalizehostname controlmaster pubkeyauthentication requesttty stricthostkeychecking "
        "updatehostkeys verifyhostkeydns".split(),
        _TRUE_FALSE,
    ),
    "tunnel": (("no", "false"),),
    "loglevel": (("QUIET", "SILENT"),),
}
_ACCUMULATING = frozenset("certificatefile identityfile sendenv localforward remoteforward dynamicforward".split())
_IGNORED = (
    "protocol cipher fallbacktorsh globalknownhostsfile2 rhostsauthentication useblacklistedkeys userknownhostsfile2 "
    "useroaming usersh useprivilegedport afstokenpassing kerberosauthentication kerberostgtpassing rsaauthentication "
    "rhostsrsaauthentication compressionlevel"
).split()
_NEWER = "channeltimeout obscurekeystroketiming refuseconnection versionaddendum warnweakcrypto".split()
"""Keywords of releases after 9.2 (and `tag`): taken as they are, though an older ssh would refuse to run."""

KEYWORDS: dict[str, Keyword] = {
    **{name: Keyword(name, read, name in _ACCUMULATING, shown=_SHOWN.get(name, ())) for name, read in _READERS.items()},
    **{name: Keyword(name, _anything, ignored=True) for name in _IGNORED},
    **{name: Keyword(name, _anything) for name in _NEWER},
}
"""By their names in lower case."""

ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "tisauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "identityfile2": "identityfile",
    "keepalive": "tcpkeepalive",
    "smartcarddevice": "pkcs11provider",
    "hostbasedkeytypes": "hostbasedacceptedalgorithms",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "protocolkeepalives": "serveraliveinterval",
    "setuptimeout": "serveraliveinterval",
}


def known(word: str) -> Keyword | None:
    """The keyword of that name or alias, in any case."""
    name = fold(word)
    return KEYWORDS.get(ALIASES.get(name, name))
