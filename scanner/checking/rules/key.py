"""Keys that a build puts into an image, or into the history of one."""

import re
from collections.abc import Iterator
from itertools import pairwise

from scanner.checking.builds import Copy, When
from scanner.checking.rules.plugin import Check, Hit, Seen, Sign
from scanner.model import Confidence, Rule, Severity, printable

RULE = Rule(
    id="build/key",
    name="SSH key put into an image by a build",
    severity=Severity.HIGH,
    description="A private key or a folder .ssh that is copied, a key that is written or made by a command or given as ARG or ENV, or "
    "somebody's key that is put into authorized_keys. Mounts of the builder (--mount=type=ssh, type=secret) are the right way and no finding.",
    help="A layer keeps what a later one deletes, and ARG and ENV stand in the image's history: everybody who can pull the image has the key. "
    "Hand it over with RUN --mount=type=ssh or --mount=type=secret, and replace a key that was ever in an image.",
    references=("https://attack.mitre.org/techniques/T1552/004/", "https://docs.docker.com/build/building/secrets/"),
    attack=("T1552.004", "T1098.004"),
)

_PRIVATE = re.compile(
    r"(?i)(?:^|/)(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|identity|[\w.-]*_(?:rsa|ed25519|ecdsa)|[\w.-]*deploy[_-]?key|[\w.-]+\.ppk)\Z"
)
_PEM = re.compile(r"(?i)\.(?:pem|key)\Z")
_FOLDER = re.compile(r"(?:^|/)\.ssh(?:/\*?)?\Z")
_FRAME = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY")
_DOOR = re.compile(r"(?:^|/)authorized_keys2?\Z")
_NAMED = re.compile(
    r"(?i)(?:ssh|git|deploy|repo|bitbucket|github|gitlab)_?\w*(?:priv|private|prv)\w*|(?:^|_)id_(?:rsa|dsa|ecdsa|ed25519)(?:\Z|_)|(?:^|_)(?:ssh|deploy)_?(?:private_?)?(?:key|rsa)\Z|ssh_prv_key|private_?key\Z"
)
_NO_KEY = re.compile(r"(?i)pub|path|file|dir|url|name|finger|type|scan|passphrase|host|algo|enabled|gpg|apt")
_TO_KEY = re.compile(
    r"(?:>>?|\btee\b(?:\s+-a)?)\s*[\"']?(?P<path>[^\s\"';&|]*?/(?:id_(?:rsa|dsa|ecdsa|ed25519)|identity))(?=[\s\"';&|)]|\Z)"
)
_TO_DOOR = re.compile(r"(?:>>?|\btee\b(?:\s+-a)?)\s*[\"']?(?P<path>[^\s\"';&|]*authorized_keys2?)(?=[\s\"';&|)]|\Z)")
_ASKS = frozenset("-R -F -l -L -y -e -i -H -B -r -Q -c -p -s -k".split())


def judge(seen: Seen) -> Iterator[Hit]:
    for copy in seen.stage.copies:
        if copy.stage is None:
            for source in copy.sources:
                yield from _copied(seen, copy, source)
    for one in seen.stage.settings:
        if one.keyword == "LABEL":
            continue
        frame = one.value is not None and _FRAME.search(one.value) is not None
        if frame or (_NAMED.search(one.name) and not _NO_KEY.search(one.name) and _is_secret(one.value)):
            name = printable(one.name, 80)
            how = "holds a private key" if frame else "takes a private key by its name"
            message = f"{one.keyword} {name} {how}, which stays in the image's {'environment' if one.keyword == 'ENV' else 'history'}."
            severity = Severity.HIGH if frame or one.keyword == "ENV" else Severity.MEDIUM
            yield _hit(
                severity,
                Confidence.HIGH if frame else Confidence.MEDIUM,
                message,
                one.keyword.lower(),
                name,
                seen.build.file,
                one.line,
            )
    yield from _written(seen)
    for order in seen.orders:
        if order.command.name == "ssh-keygen" and order.when is not When.START:
            yield from _made(order.file, seen.line_of(order, "ssh-keygen"), order.command.argv[1:])


def _is_secret(value: str | None) -> bool:
    """An ARG without a value is given by whoever builds; a path or a yes is no key."""
    return value is None or (
        value != "" and not re.fullmatch(r"[/~.][\w./~-]*|\$\{?\w+\}?|true|false|yes|no|\d+", value)
    )


def _hit(severity: Severity, confidence: Confidence, message: str, kind: str, shown: str, file: str, line: int) -> Hit:
    return Hit(severity, confidence, message, (Sign(kind, shown, file, line),), (kind, shown))


def _copied(seen: Seen, copy: Copy, source: str) -> Iterator[Hit]:
    shown = printable(source, 200)
    data, left_out = seen.content(source)
    if left_out:
        return
    text = None if data is None else data[:65536].decode("utf-8", "replace")
    if _FOLDER.search(source):
        message = f"{copy.keyword} puts the folder {shown} into the image, with whatever keys lie in it."
        yield _hit(Severity.HIGH, Confidence.MEDIUM, message, "copy", shown, seen.build.file, copy.line)
    elif (_PRIVATE.search(source) and (text is None or _FRAME.search(text) or "PuTTY-User-Key-File" in text)) or (
        text is not None and _PEM.search(source) and _FRAME.search(text)
    ):
        message = f"{copy.keyword} puts the private key {shown} into the image, at {printable(copy.target, 200)}."
        sure = Confidence.HIGH if text is not None else Confidence.MEDIUM
        yield _hit(Severity.HIGH, sure, message, "copy", shown, seen.build.file, copy.line)
    elif _DOOR.search(source) or _DOOR.search(copy.target):
        message = f"{copy.keyword} puts {shown} into the image as {printable(copy.target, 200)}: whoever holds a key of it may come in where sshd runs."
        yield _hit(Severity.MEDIUM, Confidence.HIGH, message, "door", shown, seen.build.file, copy.line)


def _written(seen: Seen) -> Iterator[Hit]:
    """What RUN writes to files of keys, and keys that stand in the Dockerfile itself."""
    told: set[tuple[str, str]] = set()
    for at in seen.stage.instructions:
        if at.keyword not in ("RUN", "COPY", "ADD") or at.on_build:
            continue
        for number in range(at.line, min(at.end_line, len(seen.build.text)) + 1):
            text = seen.build.text[number - 1]
            if text.lstrip().startswith("#"):
                continue
            if found := _TO_DOOR.search(text) if at.keyword == "RUN" else None:
                shown = printable(found["path"], 200)
                message = f"RUN writes somebody's key to {shown}: whoever holds it may come in where sshd runs."
                kind, severity = "door", Severity.MEDIUM
            elif found := _TO_KEY.search(text) if at.keyword == "RUN" else None:
                shown = printable(found["path"], 200)
                message = f"RUN writes a private key to {shown}, and the layer keeps it, deleted later or not."
                kind, severity = "write", Severity.HIGH
            elif _FRAME.search(text):
                shown = "-----BEGIN … PRIVATE KEY-----"
                message = "A private key stands in the Dockerfile itself."
                kind, severity = "text", Severity.HIGH
            else:
                continue
            if (kind, shown) not in told:
                told.add((kind, shown))
                yield _hit(severity, Confidence.HIGH, message, kind, shown, seen.build.file, number)


def _made(file: str, line: int, words: tuple[str, ...]) -> Iterator[Hit]:
    if any(word in _ASKS for word in words):
        return
    if "-A" in words:
        message = "RUN makes the host keys of an ssh server: every container from the image is the same host, and whoever has the image can pretend to be it."
        yield _hit(Severity.LOW, Confidence.HIGH, message, "host key", "ssh-keygen -A", file, line)
        return
    named = next((b for a, b in pairwise(words) if a == "-f"), "its usual place")
    shown = printable(named, 200)
    is_host = "ssh_host_" in named or named.startswith("/etc/ssh/")
    what = "the host key of an ssh server" if is_host else "a private key"
    message = f"RUN makes {what} ({shown}), the same in every container from the image."
    yield _hit(Severity.LOW if is_host else Severity.MEDIUM, Confidence.HIGH, message, "made", shown, file, line)


PLUGIN = Check(RULE, judge)
