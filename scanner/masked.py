"""Values without the secrets that they quote: the last step before a report, whatever a detector put in."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from scanner.credentials import mask, mask_items, secrets
from scanner.model import (
    Evidence,
    Finding,
    FlowStep,
    Image,
    Json,
    Location,
    Means,
    Notification,
    ProcessLocation,
    Target,
)
from scanner.model.run import (
    Attempt,
    Endpoint,
    FileChange,
    FileState,
    Namespace,
    Process,
    Query,
    Run,
    Socket,
    Withheld,
)

_DEEP = 32
_BETWEEN = "\x1f"
"""Joins words of a list; white space to a regular expression, and in no honest word."""


def _after(program: str, option: str) -> str:
    return rf"\b(?:{program})\b[^|;&\n]{{0,300}}?\s(?:{option})[\s=]?"


_MORE = re.compile(
    r"(?P<before>"
    + "|".join(
        (
            r"\b(?:add-)?authtoken\s+",
            r"--(?:auth|setup-key|proxy-auth|proxy-creds|pre-shared-key)[\s=]",
            r"\bsecret_access_key\s+",
            r"\b(?:requirepass|masterauth)\s+",
            r"[\"'](?i:auth)[\"']\s{0,9}:\s{0,9}",
            r"<(?i:[\w.:-]{0,40}(?:password|passwd|secret|token|api-?key))>\s{0,9}",
            r"\b(?i:define)\s{0,9}\(\s{0,9}[\"'](?i:\w{0,60}(?:password|passwd|secret|token|_key))[\"']\s{0,9},\s{0,9}",
            r"(?<![\w$])(?=\$(?:1|2[abxy]|5|6|7|g?y|sha1|argon2\w{1,2})\$)",
            _after(r"frp[cs]", r"-t"),
            _after(r"gs-(?:netcat|sftp|mount|full-pipe)", r"-s"),
            _after(r"ss-(?:local|server|tunnel|redir|nat)|sslocal|ssserver|edge|supernode|tmate|netbird", r"-k"),
            _after(r"sshuttle", r"-\w{0,8}r|--remote") + r"[\w.-]{1,64}:",
            _after(r"pproxy", r"-[lru]{1,2}") + r"[^\s#]{0,300}#[\w.-]{1,64}:",
        )
    )
    + r")(?P<quote>[\"']?)(?P<secret>[^\s\"'@]+)"
)
"""Options of tunnel tools whose value is a password, by the manual of each; secrets in the forms of some configurations, and
passwords as crypt(5) writes them. General names are `mask`'s."""


def text(value: str) -> str:
    """The text without secrets; what `mask` does, and what has forms of its own."""
    return _of_more(mask(value))


def words(items: Sequence[str]) -> tuple[str, ...]:
    """The same for words that belong together: a secret may be the one after its option."""
    masked = mask_items(items)
    if any(_BETWEEN in item for item in masked):
        return tuple(map(_of_more, masked))
    joined = tuple(_of_more(_BETWEEN.join(masked)).split(_BETWEEN))
    return joined if items else ()


def _of_more(value: str) -> str:
    return _MORE.sub(lambda m: m["before"] + m["quote"] + "*" * min(3, len(m["secret"])), value)


def octets(value: bytes, strings: bool = False) -> bytes:
    """The bytes without secrets, each byte of one replaced by `*`, so that all others keep their place.

    What `text` takes away is gone, whole. `strings`: it is no text but holds strings, so that quotes and lines end with them.
    """
    whole = value.decode("utf-8", "surrogateescape")
    spans = [*_spans(whole), *(_spans(_CONTROL.sub("\n", whole)) if strings else ())]
    pieces: list[bytes] = []
    at = 0
    for first, end in sorted(spans):
        if end > at:
            begin = max(first, at)
            hidden = whole[begin:end].encode("utf-8", "surrogateescape")
            pieces += (whole[at:begin].encode("utf-8", "surrogateescape"), b"*" * len(hidden))
            at = end
    return b"".join([*pieces, whole[at:].encode("utf-8", "surrogateescape")])


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\udc80-\udcff]")


def _spans(whole: str) -> Iterator[tuple[int, int]]:
    """Where the secrets are that `text` takes away."""
    masked, places = secrets(whole)
    if masked != whole:
        for at, (begin, end) in enumerate(pairwise(places)):
            if end - begin != 1 or masked[at] != whole[begin]:
                yield begin, end
    for found in _MORE.finditer(masked):
        yield places[found.start("secret")], places[found.end("secret")]


def finding(value: Finding) -> Finding:
    """The finding with masked words; its place (a process's command line apart), its rule and its fingerprint stay."""
    return replace(
        value,
        message=text(value.message),
        locations=tuple(map(_place, value.locations)),
        details=_facts(value.details),
        evidence=tuple(map(evidence, value.evidence)),
        flow=tuple(map(_step, value.flow)),
    )


def _place(value: Location) -> Location:
    return replace(value, command=words(value.command)) if isinstance(value, ProcessLocation) else value


def _step(value: FlowStep) -> FlowStep:
    place = None if value.location is None else _place(value.location)
    return replace(value, location=place, message=text(value.message))


def evidence(value: Evidence) -> Evidence:
    return replace(value, excerpt=text(value.excerpt), facts=_facts(value.facts))


def means(value: Means) -> Means:
    return replace(value, name=text(value.name), details=_facts(value.details))


def notification(value: Notification) -> Notification:
    return replace(value, message=text(value.message))


def target(value: Target) -> Target:
    """The target with a masked name: an argument may hold a login."""
    return replace(value, name=text(value.name), repository=text(value.repository))


def history(value: Image) -> Image:
    """The image with masked instructions, which every location repeats."""
    layers = (replace(one, created_by=text(one.created_by)) if one.created_by else one for one in value.layers)
    return replace(value, layers=tuple(layers))


def image(value: Image) -> Image:
    """The image with a masked configuration: the environment and command lines of a container."""
    config = value.config
    return replace(
        value,
        config=replace(
            config,
            env=words(config.env),
            entrypoint=words(config.entrypoint),
            cmd=_continued(config.entrypoint, config.cmd),
            healthcheck=words(config.healthcheck),
            on_build=tuple(map(text, config.on_build)),
            labels=tuple(map(_label, config.labels)),
        ),
    )


def run(value: Run) -> Run:
    """The run with masked words: command lines, environments, what was said to others, what was written."""
    return replace(
        value,
        subject=text(value.subject),
        episode=None if value.episode is None else text(value.episode),
        image=None if value.image is None else text(value.image),
        command=words(value.command),
        changes=tuple(map(_change, value.changes)),
        processes=tuple(map(_process, value.processes)),
        sockets=tuple(map(_socket, value.sockets)),
        namespace=None if value.namespace is None else _network(value.namespace),
        queries=tuple(map(_query, value.queries)),
        attempts=tuple(map(_attempt, value.attempts)),
        withheld=tuple(Withheld(text(one.what), text(one.why)) for one in value.withheld),
        unseen=tuple(map(text, value.unseen)),
        stopped=text(value.stopped),
        output=_octets(value.output),
    )


def _change(value: FileChange) -> FileChange:
    place, expected = text(value.place), None if value.expected is None else text(value.expected)
    before, after = _state(value.before), _state(value.after)
    if before is value.before and after is value.after and (place, expected) == (value.place, value.expected):
        return value
    return replace(value, place=place, expected=expected, before=before, after=after)


def _state(value: FileState | None) -> FileState | None:
    """Where a link leads is whatever its maker wrote."""
    if value is None or value.link_target is None:
        return value
    return replace(value, link_target=_octets(value.link_target))


def _process(value: Process) -> Process:
    return replace(value, command=words(value.command), environment=words(value.environment))


def _socket(value: Socket) -> Socket:
    return replace(
        value, local=_end(value.local), remote=_end(value.remote), says=text(value.says) if value.says else ""
    )


def _end(value: Endpoint | None) -> Endpoint | None:
    """A Unix socket's name is whatever who bound it wrote."""
    return value if value is None or value.port is not None else replace(value, address=text(value.address))


def _network(value: Namespace) -> Namespace:
    return replace(value, firewall=None if value.firewall is None else text(value.firewall))


def _query(value: Query) -> Query:
    return replace(value, name=text(value.name))


def _attempt(value: Attempt) -> Attempt:
    name = None if value.name is None else text(value.name)
    return replace(value, name=name, details=_facts(value.details), first=_octets(value.first))


def _octets(value: bytes) -> bytes:
    """Bytes whose text holds no secret; those that are no UTF-8 stay as they are."""
    return text(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape") if value else value


def _continued(entrypoint: Sequence[str], cmd: Sequence[str]) -> tuple[str, ...]:
    """A command's words: the option before its first one may stand in the entrypoint."""
    return words((*entrypoint, *cmd))[len(entrypoint) :]


def _label(label: tuple[str, str]) -> tuple[str, str]:
    """A label, whose name may say that its value is a secret."""
    name, value = label
    whole = mask(f"{name}={value}")
    return name, text(whole[len(name) + 1 :] if whole.startswith(f"{name}=") else value)


def _facts(facts: Mapping[str, Json]) -> dict[str, Json]:
    return {name: _json(one, 0) for name, one in facts.items()}


def _json(value: Json, depth: int) -> Json:
    if isinstance(value, str):
        return text(value)
    if depth < _DEEP and isinstance(value, Mapping):
        return {name: _json(one, depth + 1) for name, one in value.items()}
    if depth < _DEEP and isinstance(value, Sequence):
        if value and all(isinstance(one, str) for one in value):
            return list(words([str(one) for one in value]))
        return [_json(one, depth + 1) for one in value]
    return value
