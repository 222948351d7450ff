"""Scripts that a build or a container fetches and runs, unread by whoever wrote the Dockerfile."""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from scanner.checking.builds import Order, When
from scanner.checking.rules.commands import is_url
from scanner.checking.rules.plugin import WHEN, Check, Hit, Seen, Sign
from scanner.credentials import mask
from scanner.detectors.launchers import filters
from scanner.detectors.launchers.points import SHELLS
from scanner.detectors.launchers.shell import file_run
from scanner.model import Confidence, Rule, Severity, capital, printable

RULE = Rule(
    id="build/remote-script",
    name="Script fetched and run by a build",
    severity=Severity.HIGH,
    description="A RUN, CMD or ENTRYPOINT that hands what it fetches to a shell or an interpreter (`curl … | sh`, "
    '`bash <(curl …)`, `sh -c "$(wget -qO- …)"`), or runs a script that it fetched, without comparing it with a checksum or a signature.',
    help="Whoever holds the other end decides what the image becomes, at each build anew, and can answer a build server otherwise than a "
    "reader. Fetch a named version, compare it (sha256sum -c, gpg --verify, ADD --checksum=sha256:…), then run it; or install a package.",
    references=(
        "https://attack.mitre.org/techniques/T1195/002/",
        "https://docs.docker.com/reference/dockerfile/#add---checksum",
    ),
    attack=("T1195.002", "T1059.004", "T1105"),
)

_INTERPRETER = re.compile(r"(?:python|pypy|perl|ruby|node|nodejs|php|lua|deno|bun)[\d.]*")
_GIVEN = frozenset("eval su sg script parallel ssh-agent".split())
"""What hands its words to a shell."""
_SCRIPT = re.compile(r"(?i)\.(?:sh|bash|py|pl|rb|js|run|ps1)\Z|install|setup|bootstrap|get-")
_CHECKS = re.compile(
    r"(?:sha(?:1|224|256|384|512)sum|md5sum|shasum|b2sum|gpgv?2?|cosign|minisign|signify|slsa-verifier|rhash|cksum)"
)
_CODE = re.compile(
    r"urlopen|requests\.get|urlretrieve|httpx\.get|http\.client|LWP::|Net::HTTP|open-uri|fetch\(|https?\.get\("
    r"|\b(?:curl|wget)\b[^\n|]{1,400}\|\s*(?:sudo\s+)?(?:[\w/]{1,40}/)?(?:ba|da|z|k|a)?sh\b"
)
_RUNS = re.compile(r"\bexec\b|\beval\b|os\.system|subprocess|compile\(|\bsystem\b|popen|child_process|new Function")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:]+\]")
_HERE = re.compile(r"(?:.*\.)?localhost|127(?:\.\d{1,3}){3}|0\.0\.0\.0|::1")
_PASTES = re.compile(
    r"(?:^|\.)(?:pastebin\.com|paste\.ee|hastebin\.com|ghostbin\.\w+|transfer\.sh|0x0\.st|ix\.io|termbin\.com|dpaste\.\w+|rentry\.co|"
    r"controlc\.com|file\.io|bashupload\.com|temp\.sh|oshi\.at|ngrok\.io|ngrok-free\.app|trycloudflare\.com|onion)\Z"
)
_UNCHECKED = frozenset({"-k", "--insecure", "--no-check-certificate"})


def judge(seen: Seen) -> Iterator[Hit]:
    fetched: list[Order] = []
    for number, order in enumerate(seen.orders):
        command = order.command
        if command.name in ("curl", "wget"):
            fetched.append(order)
        if command.remote:
            continue
        if command.fetched:
            how = _how(order)
            if (
                how is None
                or _is_here(command.fetched)
                or (how == "file" and _checked(seen.orders[:number], command.fetched))
            ):
                continue
            fetcher = next((f for f in reversed(fetched) if command.fetched in f.command.argv), None)
            yield _hit(seen, order, fetcher, command.fetched, how)
        elif (source := _one_liner(order)) is not None:
            yield _hit(seen, order, None, source, "code")
    yield from _added(seen)
    yield from _from_stages(seen)


def _how(order: Order) -> str | None:
    """text: a shell or an interpreter takes it as its orders; file: it was kept, then run; program: what ran may be no script.
    None for a program by its name alone, which is none of a script."""
    command = order.command
    if command.name in SHELLS or command.name in (".", "source") or _INTERPRETER.fullmatch(command.name):
        return "file" if file_run(command.argv) else "text"
    if command.name in _GIVEN or command.program.startswith("$"):
        return "text"
    if _SCRIPT.search(command.name):
        return "file"
    return "program" if "/" in command.program else None


def _is_here(url: str) -> bool:
    """Whether what answers is on the machine itself."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() == "file" or _HERE.fullmatch(parts.hostname or "") is not None
    except ValueError:
        return False


def _checked(before: Sequence[Order], url: str) -> bool:
    """Whether something was compared between the fetch and here."""
    for order in reversed(before):
        if _CHECKS.fullmatch(order.command.name) or (order.command.name == "openssl" and "dgst" in order.command.argv):
            return True
        if url in order.command.argv:
            return False
    return False


def _one_liner(order: Order) -> str | None:
    """`python -c 'exec(urlopen(…).read())'`: what it fetches, or that it does."""
    command = order.command
    if not _INTERPRETER.fullmatch(command.name):
        return None
    source = " ".join(command.argv[1:]) + "\n" + command.stdin
    if not (_CODE.search(source) and _RUNS.search(source)):
        return None
    found = re.search(r"https?://[^\s\"'<>)]+", source)
    return found.group() if found else "an address"


def _hit(seen: Seen, order: Order, fetcher: Order | None, url: str, how: str) -> Hit:
    shown = printable(mask(url), 200)
    reasons = list(_reasons(url, fetcher))
    severity = Severity.HIGH if reasons or order.when is When.START else Severity.MEDIUM
    if how == "program" and order.when is not When.START:
        severity = Severity.MEDIUM if reasons else Severity.LOW
    done = {"text": "is run as it comes", "code": "is run as it comes"}.get(how, "is fetched and run")
    why = f"; {', '.join(reasons)}" if reasons else ""
    itself = order.command.program.startswith("$")
    name = "the shell" if itself else printable(order.command.name, 40)
    message = (
        f"{order.via}: {shown} {done} by {name} {WHEN[order.when]}, and nobody compares it with what was meant{why}."
    )
    line = seen.line_of(order, order.command.name)
    said = " ".join(("$(…)", *order.command.argv[1:]) if order.command.program == "$()" else order.command.argv)
    signs = [Sign("run", printable(mask(said), 200), order.file, line)]
    if fetcher is not None:
        signs.append(Sign("fetch", printable(mask(" ".join(fetcher.command.argv)), 200), fetcher.file, fetcher.line))
    confidence = Confidence.HIGH if how != "program" else Confidence.MEDIUM
    return Hit(severity, confidence, message, tuple(signs), (shown,), {"url": shown, "when": order.when.value})


def _reasons(url: str, fetcher: Order | None) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return
    if parts.scheme.lower() == "http":
        yield "whoever is on the way can change it (http)"
    if fetcher is not None and any(
        w in _UNCHECKED or re.fullmatch(r"-[a-zA-Z]*k[a-zA-Z]*", w)
        for w in fetcher.command.argv[1:]
        if fetcher.command.name == "curl" or w in _UNCHECKED
    ):
        yield "the server's certificate is not checked"
    if _ADDRESS.fullmatch(host):
        yield "its server has no name"
    elif _PASTES.search(host.lower()):
        yield "its host keeps files of anybody"


def _added(seen: Seen) -> Iterator[Hit]:
    """ADD of an address whose file is run afterwards."""
    for copy in seen.stage.copies:
        for source in copy.sources if copy.keyword == "ADD" and not copy.checked else ():
            if not is_url(source) or source.endswith(".git"):
                continue
            name = re.split(r"[?#]", source, maxsplit=1)[0].rsplit("/", 1)[-1]
            path = f"{copy.target.rstrip('/')}/{name}" if copy.is_folder else copy.target
            order = next((o for o in seen.orders if _runs(o, path)), None)
            if order is None or _checked(seen.orders[: seen.orders.index(order)], source):
                continue
            shown = printable(mask(source), 200)
            reasons = list(_reasons(source, None))
            why = f"; {', '.join(reasons)}" if reasons else ""
            message = (
                f"ADD: {shown} is fetched, and run {WHEN[order.when]}, and nobody compares it with what was meant{why}."
            )
            signs = (
                Sign("fetch", shown, seen.build.file, copy.line),
                Sign("run", printable(mask(" ".join(order.command.argv)), 200), order.file, order.line),
            )
            severity = Severity.HIGH if reasons or order.when is When.START else Severity.MEDIUM
            yield Hit(
                severity, Confidence.HIGH, capital(message), signs, (shown,), {"url": shown, "when": order.when.value}
            )


def _from_stages(seen: Seen) -> Iterator[Hit]:
    """What an earlier stage fetched, and this one runs: it is built on that stage, or copies from it."""
    held = {path: one for index in seen.stage.lineage[:-1] for path, one in _held(seen, index)}
    for copy in seen.stage.copies:
        source = next((s for s in seen.build.stages[: seen.stage.index] if copy.stage in (s.name, str(s.index))), None)
        for path, one in (p for i in source.lineage for p in _held(seen, i)) if source is not None else ():
            for name in copy.sources:
                folder = name.rstrip("/")
                if path == folder:
                    end = f"/{path.rsplit('/', 1)[-1]}" if copy.is_folder else ""
                    held[f"{copy.target.rstrip('/')}{end}"] = one
                elif path.startswith(f"{folder}/"):
                    held[f"{copy.target.rstrip('/')}{path[len(folder) :]}"] = one
    for path, (url, fetch) in held.items():
        order = next((o for o in seen.orders if _runs(o, path)), None)
        if order is None or _checked(seen.orders[: seen.orders.index(order)], url):
            continue
        shown = printable(mask(url), 200)
        why = "".join(f"; {reason}" for reason in _reasons(url, None))
        message = f"{order.via}: {shown} is fetched in an earlier stage and run {WHEN[order.when]}, and nobody compares it with what was meant{why}."
        severity = Severity.HIGH if why or order.when is When.START else Severity.MEDIUM
        line = seen.line_of(order, order.command.name)
        run = Sign("run", printable(mask(" ".join(order.command.argv)), 200), order.file, line)
        details = {"url": shown, "when": order.when.value}
        confidence = Confidence.HIGH if _SCRIPT.search(path) or file_run(order.command.argv) else Confidence.MEDIUM
        if confidence is Confidence.MEDIUM and order.when is not When.START and not why:
            severity = Severity.LOW  # as of a program that is fetched and run in one stage
        yield Hit(severity, confidence, message, (run, fetch), (shown,), details)


def _held(seen: Seen, index: int) -> Iterator[tuple[str, tuple[str, Sign]]]:
    """(path, (address, where)) of what a stage fetched and did not compare."""
    orders = seen.by_stage.get(index, ())
    for copy in seen.build.stages[index].copies:
        for source in copy.sources if copy.keyword == "ADD" and not copy.checked else ():
            if is_url(source) and not source.endswith(".git") and not _checked(orders, source):
                name = re.split(r"[?#]", source, maxsplit=1)[0].rsplit("/", 1)[-1]
                path = f"{copy.target.rstrip('/')}/{name}" if copy.is_folder else copy.target
                yield path, (source, Sign("fetch", printable(mask(source), 200), seen.build.file, copy.line))
    for order in orders:
        found = filters.fetched(order.command.argv) if not order.command.remote else None
        if found is not None and found[1] != "-" and not _is_here(found[0]) and not _checked(orders, found[0]):
            url, to = found
            path = to if to.startswith("/") else f"{order.command.folder.rstrip('/')}/{to.removeprefix('./')}"
            shown = printable(mask(" ".join(order.command.argv)), 200)
            yield path, (url, Sign("fetch", shown, order.file, seen.line_of(order, url)))


def _runs(order: Order, path: str) -> bool:
    """Whether a command runs the file, itself or by a shell or an interpreter."""
    command = order.command
    file = file_run(command.argv)
    return path in (command.path, file) or (
        bool(file and command.folder) and f"{command.folder.rstrip('/')}/{file.removeprefix('./')}" == path
    )


PLUGIN = Check(RULE, judge)
