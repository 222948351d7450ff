"""Code that a run put before every program: preloaded libraries, the linker's folders, and variables that name them.

Sources: ld.so(8) (ld.so.preload, LD_PRELOAD, LD_AUDIT), ldconfig(8) (ld.so.conf), bash(1) (BASH_ENV), node's CLI
manual (NODE_OPTIONS), perlrun(1), ruby(1), the JVM tool interface (JAVA_TOOL_OPTIONS), pam_env.conf(5).
"""

import re
from collections.abc import Iterator

from scanner.model import Confidence, Finding, Kind, Rule, Severity, printable
from scanner.model.run import ChangeKind, FileChange
from scanner.runtime.drift.added import Start, assignments
from scanner.runtime.drift.drift import Drift, by, is_file, shown, text
from scanner.runtime.drift.expected import by_package

PRELOAD = Rule(
    id="drift/preload",
    name="Code put before every program",
    severity=Severity.CRITICAL,
    description="The run made the linker or an interpreter load code into programs that did not ask for it.",
    help="A preloaded library sees and changes what every program does: it hides files and processes and reads passwords. Remove the entry and the "
    "library, and trust nothing that programs in this sandbox said since; start from the image.",
    references=("https://attack.mitre.org/techniques/T1574/006/", "https://man7.org/linux/man-pages/man8/ld.so.8.html"),
    attack=("T1574.006",),
)

_FOLDERS = re.compile(rb"etc/ld\.so\.conf(?:\.d/[^/]+\.conf)?\Z|etc/ld-musl-[^/]+\.path\Z", re.DOTALL)
_PAM_ENV = re.compile(rb"etc/security/pam_env\.conf\Z|(?:.*/)?\.(?:pam_environment|ssh/environment)\Z", re.DOTALL)
_SYSTEM_FOLDER = re.compile(
    r"/(?:usr/)?lib(?:32|64|x32)?(?:/[\w.+-]+)*/?|/usr/local/lib(?:64|/[\w.+-]+)*/?|/opt/[\w.+-]+(?:/[\w.+-]+)*/?"
)
_CORE = re.compile(
    rb"(?:libc\.so\.6|libc\.musl-.*|ld-(?:linux|musl).*|libpthread\.so\.0|libdl\.so\.2|libpam\.so\.0|libnss_[a-z_]+\.so\.2|libselinux\.so\.1|libaudit\.so\.1)"
)
_BEFORE_SYSTEM = re.compile(rb"usr/local/lib(?:64)?/(?:[^/]+-linux-[^/]+/)?[^/]+\Z", re.DOTALL)
_ALWAYS = frozenset(("LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "GCONV_PATH"))
_LOADS = {
    "NODE_OPTIONS": re.compile(r"(?:^|\s)(?:-r|--require|--import|--loader|--experimental-loader)\b"),
    "PERL5OPT": re.compile(r"-[mM]"),
    "RUBYOPT": re.compile(r"-r"),
    "JAVA_TOOL_OPTIONS": re.compile(r"-(?:javaagent|agentpath|agentlib)"),
    "LD_LIBRARY_PATH": re.compile(r"(?:^|:)/?(?:tmp|var/tmp|dev/shm)/|(?:^|:)(?:\.|$)|/\."),
}
PRELOADED = b"etc/ld.so.preload"


def preloads(drift: Drift, starts: tuple[Start, ...]) -> Iterator[Finding]:
    """Entries of ld.so.preload, variables in files that set the environment, and folders and libraries that come first."""
    for change in drift.of(PRELOAD):
        if change.after is None:
            continue
        if change.path == PRELOADED:
            yield from _entries(drift, change)
        elif any(map(_FOLDERS.match, drift.names(change))):
            yield from _library_folders(drift, change)
        elif _PAM_ENV.match(change.path):
            yield from _pam_environment(drift, change)
        elif change.change is ChangeKind.ADDED and _BEFORE_SYSTEM.match(change.path) and is_file(change):
            yield from _shadowing(drift, change)
    covered = {change.path for change in drift.of(PRELOAD)}
    for start in starts:
        if start.change.path in covered:
            for added in start.added:
                for name, value in assignments(added.runs):
                    if loads(name, value):
                        yield _variable(drift, start.change, name, value, added.line)


def loads(name: str, value: str) -> bool:
    """Whether the variable makes programs load code that they did not ask for."""
    if not value.strip():
        return False
    return name in _ALWAYS or (name in _LOADS and _LOADS[name].search(value) is not None)


def preloaded(content: bytes) -> tuple[str, ...]:
    """The libraries of an ld.so.preload: parted by white space and colons, `#` to the end of the line is a comment (glibc's rtld.c)."""
    lines = (line.partition("#")[0] for line in text(content[: 1 << 20]).split("\n"))
    return tuple(dict.fromkeys(w for line in lines for w in re.split(r"[\s:]+", line) if w))


def _entries(drift: Drift, change: FileChange) -> Iterator[Finding]:
    contents = drift.both(change)
    if contents is None:
        yield drift.finding(
            PRELOAD,
            change,
            Severity.CRITICAL,
            Confidence.MEDIUM,
            f"{shown(change.path)} was {change.change.value}{by(change)}; what it names could not be read.",
            details={"libraries": []},
        )
        return
    old = preloaded(contents[0])
    new = [one for one in preloaded(contents[1]) if one not in old]
    for library in new[:100]:
        at = library.encode("utf-8", "surrogateescape").lstrip(b"/")
        wrote = drift.by_path.get(at)
        own = f"; this run wrote the library{by(wrote)}" if wrote is not None and wrote.after is not None else ""
        yield drift.finding(
            PRELOAD,
            change,
            Severity.CRITICAL,
            Confidence.HIGH,
            f"Every program loads {printable(library, 160)} first, by {shown(change.path)}{by(change)}{own}.",
            details={
                "libraries": [printable(n) for n in new[:50]],
                "library": printable(library),
                "written_by_this_run": wrote is not None,
                "sha256": wrote.after.digest if wrote is not None and wrote.after is not None else None,
            },
            identity=(library,),
            excerpts=[("entry", library)],
        )


def _variable(drift: Drift, change: FileChange, name: str, value: str, line: int) -> Finding:
    weak = name == "LD_LIBRARY_PATH"
    return drift.finding(
        PRELOAD,
        change,
        Severity.MEDIUM if weak else Severity.HIGH,
        Confidence.HIGH if name.startswith("LD_") else Confidence.MEDIUM,
        f"{shown(change.path)} sets {name} to {printable(value, 160)}{by(change)}: "
        + ("libraries are looked for there first." if weak else "programs load it without asking for it."),
        details={"variable": name, "value": printable(value)},
        identity=(name, value),
        line=line,
        excerpts=[("variable", f"{name}={value}")],
    )


def _pam_environment(drift: Drift, change: FileChange) -> Iterator[Finding]:
    contents = drift.both(change)
    if contents is None:
        return
    old = text(contents[0]).split("\n")
    for number, line in enumerate(text(contents[1]).split("\n")[:10_000], 1):
        if line in old:
            continue
        match = re.match(r"\s*([A-Za-z_]\w*)(?:\s+(?:DEFAULT|OVERRIDE)=|\s*=\s*)(.*)", line)
        if match and loads(match[1], match[2].strip("\"' ")):
            yield _variable(drift, change, match[1], match[2].strip("\"' "), number)


def _library_folders(drift: Drift, change: FileChange) -> Iterator[Finding]:
    contents = drift.both(change)
    if contents is None:
        return
    old, new = (_folders(text(c)) for c in contents)
    for folder in [f for f in new if f not in old][:100]:
        usual = folder.startswith("include ") or _SYSTEM_FOLDER.fullmatch(folder) is not None
        severity = Severity.NOTE if usual and by_package(change) else Severity.LOW if usual else Severity.HIGH
        yield drift.finding(
            PRELOAD,
            change,
            severity,
            Confidence.HIGH,
            f"The linker looks for libraries in {printable(folder, 120)} too, by {shown(change.path)}{by(change)}.",
            details={"folder": printable(folder)},
            identity=(folder,),
            excerpts=[("folder", folder)],
        )


def _folders(content: str) -> tuple[str, ...]:
    lines = (" ".join(line.partition("#")[0].split()) for line in content.split("\n")[:10_000])
    return tuple(
        dict.fromkeys(
            word
            for line in lines
            for word in ([line] if line.startswith("include ") else re.split(r"[:, ]+", line))
            if word
        )
    )


def _shadowing(drift: Drift, change: FileChange) -> Iterator[Finding]:
    """A library of the system's core by name, where the linker looks before it looks in the system's folders."""
    name = change.path.rpartition(b"/")[2]
    if not _CORE.fullmatch(name) or by_package(change):
        return
    if (
        change.after is not None
        and change.after.kind is Kind.FILE
        and (drift.after(change.path) or b"\x7fELF")[:4] != b"\x7fELF"
    ):
        return
    yield drift.finding(
        PRELOAD,
        change,
        Severity.HIGH,
        Confidence.MEDIUM,
        f"{shown(change.path)} comes before the system's own {printable(name, 80)} where programs look for libraries{by(change)}.",
        details={"library": printable(name)},
    )
