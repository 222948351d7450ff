"""What starts again after a run: cron lines, units, init scripts, profiles, hooks, and links that enable them.

Which files these are and what they start, scanner.detectors.launchers.points says. Besides: systemd.unit(5) for links that
enable units, init(8)'s rc folders, Python's site module for .pth lines, pam.conf(5), the image's own start command.
"""

import re
from collections.abc import Iterator, Mapping

from scanner import masked
from scanner.model import Confidence, Finding, Json, Kind, Rule, Severity, printable
from scanner.model.run import ChangeKind, FileChange
from scanner.runtime.drift.added import ENABLING, Added, Start, words
from scanner.runtime.drift.drift import ENTRANCE, Drift, by, is_file, resolved, shown, text, written
from scanner.runtime.drift.expected import by_package, compiled_from

PERSISTENCE = Rule(
    id="drift/persistence",
    name="Started again on its own",
    severity=Severity.HIGH,
    description="The run left something that starts a program later: by the clock, when the sandbox starts, when somebody logs in, or when a tool is used.",
    help="Whoever keeps the sandbox, its volumes or an image made of it starts the program with it. Remove the line or the file, and start from the image. "
    "Package managers add such files too; those that a package has are notes.",
    references=("https://attack.mitre.org/tactics/TA0003/", "https://attack.mitre.org/techniques/T1053/"),
    attack=("T1053", "T1543", "T1546", "T1037"),
)

_HIGH = frozenset(
    (
        *("system crontab", "crontab", "anacrontab", "cron script", "at job", "incron table", "ssh login script"),
        *("systemd timer", "systemd unit", "systemd user unit", "systemd socket or path unit", "systemd generator"),
        *("init script", "inittab", "upstart job", "inetd service", "xinetd service", "dinit service"),
        *("login module", "udev rule", "runit or s6 service"),
    )
)
_MEDIUM = frozenset(
    (
        *("supervisor program", "circus watcher", "monit check", "entry hook", "environment of every login"),
        *("shell start-up file", "login message script", "autostart entry", "apt hook", "dpkg hook", "network hook"),
        *("network interfaces", "bus service", "log rotation", "tool server of an agent", "settings of an agent"),
        *("tool server of an agent, in TOML", "editor task", "Python start-up file"),
    )
)
_LOW = frozenset(
    (
        "git hook",
        "git configuration",
        "directory hook",
        "activation script",
        "development container",
        "terminal start-up file",
        "screen start-up file",
    )
)
_ORDINARY = frozenset(("npm install script", "virtual environment script"))
_TECHNIQUES: Mapping[str, str] = {
    "system crontab": "T1053.003",
    "crontab": "T1053.003",
    "anacrontab": "T1053.003",
    "cron script": "T1053.003",
    "at job": "T1053.002",
    "systemd timer": "T1053.006",
    "systemd unit": "T1543.002",
    "systemd user unit": "T1543.002",
    "init script": "T1037.004",
    "inittab": "T1037",
    "shell start-up file": "T1546.004",
    "environment of every login": "T1546.004",
    "login module": "T1556.003",
    "udev rule": "T1546.017",
    "apt hook": "T1546.016",
    "npm install script": "T1546.016",
    "Python start-up file": "T1546.018",
    "autostart entry": "T1547.013",
}
_HARMLESS = re.compile(
    r"""(?:export\s+)?(?:PATH|PS1|LANG|LC_\w+|EDITOR|TERM|NVM_DIR|CARGO_HOME|RUSTUP_HOME|GOPATH|GOROOT|JAVA_HOME|PNPM_HOME|BUN_INSTALL|PYENV_ROOT|VIRTUAL_ENV)=[^`;|&()]*"""
    r"""|alias\s+[\w.-]+=(?:'[^'|;&`$]*'|"[^"|;&`$]*")|(?:\.|source)\s+"?\$HOME/\.(?:cargo/env|local/bin/env|nvm/nvm\.sh)"?|fi|esac|else|then|done|}|case\s.*\sin|\*\)|;;"""
)
_FETCH, _INTO_SHELL = re.compile(r"\b(?:curl|wget)\b"), re.compile(r"\|\s*(?:\w*sh|python\d?|perl)\b")
_NETCAT, _NETCAT_RUNS = re.compile(r"\bn(?:c|cat|etcat)\b"), re.compile(r"\s-\w*[ec]\b")
_DECODES = re.compile(r"/dev/(?:tcp|udp)/|\bbase64\s+(?:-d|--decode)\b")
_VOLATILE = re.compile(r"/?(?:tmp|var/tmp|dev/shm|run|var/run)/.+")
_PTH_CODE = re.compile(r"import[ \t]")
_PAM = re.compile(rb"etc/pam\.(?:d/[^/]+|conf)\Z", re.DOTALL)
_STEPS = (Severity.NOTE, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


def persistent(drift: Drift, starts: tuple[Start, ...]) -> Iterator[Finding]:
    """What the run arranged to be started; `starts` are the launch points that it wrote."""
    covered = {change.path for change in drift.of(PERSISTENCE)}
    entry = _entry_programs(drift)
    ordinary: dict[str, list[Start]] = {}
    for start in starts:
        if start.change.path not in covered or start.change.path in entry or _PAM.match(start.change.path):
            continue
        if by_package(start.change) or start.point.what in _ORDINARY:
            if not _made_by_venv(start):
                ordinary.setdefault(start.point.what, []).append(start)
        elif (found := _launch(drift, start)) is not None:
            yield found
    for what, several in sorted(ordinary.items()):
        yield _folded(drift, what, several)
    enabled: list[FileChange] = []
    for change in drift.of(PERSISTENCE):
        if change.path in entry:
            yield _entry(drift, change)
        elif change.after is not None and change.after.kind is Kind.SYMLINK:
            if ENTRANCE.fullmatch(change.path) and not by_package(change):
                yield _elsewhere(drift, change)
            found = _enabled(drift, change)
            if found is not None and found.severity is Severity.NOTE:
                enabled.append(change)
            elif found is not None:
                yield found
        elif _PAM.match(change.path):
            yield from _pam(drift, change)
        elif is_file(change) and compiled_from(change.path) is not None:
            yield from _compiled(drift, change)
    if enabled:
        yield _links(drift, enabled)


def _made_by_venv(start: Start) -> bool:
    return start.point.what == "virtual environment script" and start.change.change is ChangeKind.ADDED


def _launch(drift: Drift, start: Start) -> Finding | None:
    """The finding of one launch point; None where nothing that it starts is worth one."""
    what, change = start.point.what, start.change
    added = [a for a in start.added if not (what == "shell start-up file" and _HARMLESS.fullmatch(a.runs))]
    if what == "Python start-up file" and change.path.endswith(b".pth"):
        added = [a for a in added if _PTH_CODE.match(a.raw)]
    step = 3 if what in _HIGH else 2 if what in _MEDIUM else 1 if what in _LOW else None
    if step is None:
        return None  # a Makefile, a script called run.sh: somebody has to start it, and it is told as a program
    if not added:
        if what != "shell start-up file":
            return None
        added, step = list(start.added), 1
    if what == "git configuration":
        added = [a for a in added if a.runs]
    why: list[str] = []
    programs = _of_this_run(drift, added)
    if programs:
        step += 1
        why.append(f"it starts {', '.join(shown(p) for p in programs[:3])}, which this run wrote")
    elif any(_VOLATILE.fullmatch(w) for a in added for w in words(a.runs)[:1]):
        step += 1
        why.append("it starts something in a temporary folder")
    if any(_passes_on(a.runs) for a in added):
        step += 1
        why.append("it fetches, decodes or passes on what it runs")
    severity = _STEPS[min(step, 3)]
    first = added[0]
    more = f" and {len(added) - 1} more lines" if len(added) > 1 else ""
    line = printable(masked.text(first.raw), 160)
    whose = f" of {printable(_crontab_owner(change), 40)}" if what == "crontab" else ""
    return drift.finding(
        PERSISTENCE,
        change,
        severity,
        Confidence.HIGH if what in _HIGH else Confidence.MEDIUM,
        f"The {what} {shown(change.path)}{whose} starts something new ({_occasion(start)}): {line}{more}{by(change)}"
        f"{'; ' if why else ''}{'; '.join(why)}.",
        details={
            "kind": what,
            "starts": start.point.starts,
            "added": [_told(a) for a in added[:50]],
            "count": len(added),
            "programs": [shown(p) for p in programs[:20]],
            "technique": _TECHNIQUES.get(what),
            "signs": list(why),
        },
        identity=sorted({a.runs for a in added})[:50],
        line=first.line,
        excerpts=[("line", a.raw) for a in added[:20]],
    )


def _passes_on(runs: str) -> bool:
    """The line runs what it fetches or decodes, or gives a shell to somebody elsewhere."""
    if _DECODES.search(runs):
        return True
    if _FETCH.search(runs) and _INTO_SHELL.search(runs):
        return True
    return _NETCAT.search(runs) is not None and _NETCAT_RUNS.search(runs) is not None


def _told(added: Added) -> dict[str, Json]:
    return {"line": added.line, "text": printable(masked.text(added.raw), 300)}


def _occasion(start: Start) -> str:
    return {
        "boot": "when the sandbox starts",
        "login": "at a login or with a shell",
        "schedule": "by the clock",
        "build": "when something is installed",
        "hook": "when a tool is used",
        "manual": "by hand",
    }[start.point.starts]


def _crontab_owner(change: FileChange) -> bytes:
    return change.path.rpartition(b"/")[2]


def _of_this_run(drift: Drift, added: list[Added]) -> list[bytes]:
    """The changed programs that the lines name."""
    found: dict[bytes, None] = {}
    for one in added[:100]:
        for at, word in enumerate(words(one.runs)[:60]):
            path = word.encode("utf-8", "surrogateescape").lstrip(b"/")
            change = drift.by_path.get(path) if word.startswith("/") else None
            if change is None or not is_file(change) or not written(change) or by_package(change):
                continue
            if change.executable or not at:
                found[path] = None
    return list(found)


def _folded(drift: Drift, what: str, several: list[Start]) -> Finding:
    changes = [s.change for s in several]
    package = by_package(changes[0])
    names = sorted({(c.expected or "").partition(": ")[2] for c in changes if c.expected})
    whose = f" of packages ({', '.join(names[:5])})" if names else ""
    what_else = "; that they are the packages' is the container's own word" if package else ""
    return drift.finding(
        PERSISTENCE,
        changes,
        Severity.NOTE,
        Confidence.HIGH,
        f"{len(changes)} new {what}{'s' if len(changes) > 1 else ''}{whose}, such as {shown(changes[0].path)}{what_else}.",
        details={"kind": what, "count": len(changes), "files": [shown(c.path) for c in changes[:200]]},
        identity=(what,),
        place=b"",
    )


# ---- what the container starts with


def _entry_programs(drift: Drift) -> frozenset[bytes]:
    """Changed files that the image's start command names."""
    named = set()
    for word in (w for said in drift.starts for w in (said, *words(said))):
        path = word.encode("utf-8", "surrogateescape")
        if path.startswith(b"/") and resolved(b"", path) in drift.by_path:
            named.add(resolved(b"", path))
    return frozenset(
        p
        for p in named
        if (c := drift.by_path[p]).after is not None
        and written(c)
        and not by_package(c)
        and c.after.kind is not Kind.DIRECTORY
    )


def _entry(drift: Drift, change: FileChange) -> Finding:
    return drift.finding(
        PERSISTENCE,
        change,
        Severity.MEDIUM,
        Confidence.HIGH,
        f"{shown(change.path)}, which the container starts with, was {change.change.value}{by(change)}: it runs at every start.",
        details={"kind": "start command", "starts": "boot", "command": list(masked.words(drift.starts))},
    )


# ---- links that enable or disable


def _enabled(drift: Drift, change: FileChange) -> Finding | None:
    """A link by which systemd, OpenRC, runit or a SysV init start a service, or by which a unit is switched off."""
    found = ENABLING.match(change.path)
    if found is None or change.after is None:
        return None
    raw = change.after.link_target or b""
    target = resolved(change.path, raw)
    name = printable(change.path.rpartition(b"/")[2], 80)
    if target == b"dev/null" and by_package(change):
        return None
    if target == b"dev/null":
        return drift.finding(
            PERSISTENCE,
            change,
            Severity.LOW,
            Confidence.HIGH,
            f"The unit {name} is switched off: {shown(change.path)} is a link to /dev/null now{by(change)}.",
            details={"kind": "masked unit", "target": "/dev/null"},
        )
    unit = drift.by_path.get(target) or drift.by_path.get(_merged(target))
    package = by_package(change) or (unit is not None and by_package(unit))
    severity = Severity.NOTE if package else Severity.HIGH if unit is not None else Severity.MEDIUM
    kind = "unit" if found["unit"] is not None else "service"
    return drift.finding(
        PERSISTENCE,
        change,
        severity,
        Confidence.HIGH,
        f"The {kind} {name} starts with the system now: {shown(change.path)} is a link to {printable(raw, 120)}{by(change)}"
        f"{f'; this run wrote the {kind}' if unit is not None else ''}.",
        details={"kind": "enabled unit", "starts": "boot", "target": printable(raw), "technique": "T1543.002"},
    )


def _links(drift: Drift, enabled: list[FileChange]) -> Finding:
    """The links to what packages brought, as one."""
    names = list(dict.fromkeys(printable(c.path.rpartition(b"/")[2], 60) for c in enabled))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return drift.finding(
        PERSISTENCE,
        enabled,
        Severity.NOTE,
        Confidence.HIGH,
        f"Units and services of packages start with the system now ({', '.join(names[:5])}{more}); that they are the packages' "
        "is the container's own word.",
        details={"kind": "enabled unit", "count": len(enabled), "files": [shown(c.path) for c in enabled[:200]]},
        identity=("enabled",),
        place=b"",
    )


def _elsewhere(drift: Drift, change: FileChange) -> Finding:
    """A link in whose place a folder is looked for; what this run wrote behind it is judged by its name through the link, too."""
    raw = (change.after.link_target if change.after else None) or b""
    return drift.finding(
        PERSISTENCE,
        change,
        Severity.MEDIUM,
        Confidence.MEDIUM,
        f"{shown(change.path)} is a link to {printable(raw, 120)} now{by(change)}: what lies there is started, let in or loaded in its place.",
        details={"kind": "folder elsewhere", "target": printable(raw)},
    )


def _merged(path: bytes) -> bytes:
    """The path by its other name where /usr is merged."""
    return path.removeprefix(b"usr/") if path.startswith(b"usr/lib/") else b"usr/" + path


# ---- PAM


_PAM_LINE = re.compile(
    r"-?(?P<type>auth|account|password|session)\s+(?P<control>\[[^\]]*\]|\S+)\s+(?P<module>\S+)(?P<rest>.*)"
)


def _pam(drift: Drift, change: FileChange) -> Iterator[Finding]:
    """New lines of PAM's configuration (pam.conf(5)): a module of this run, pam_exec, or one that lets everybody in."""
    contents = drift.both(change)
    if contents is None or by_package(change) or change.after is None:
        return
    old, new = (_pam_lines(text(c), change.path) for c in contents)
    modules = {
        c.path.rpartition(b"/")[2]
        for c in drift.changes
        if b"/security/pam_" in c.path and is_file(c) and not by_package(c)
    }
    usual = []
    for line, (kind, control, module) in new.items():
        if line in old:
            continue
        name = module.rpartition("/")[2]
        lets_in = kind == "auth" and name == "pam_permit.so" and control in ("sufficient", "binding")
        own = name.encode("utf-8", "surrogateescape") in modules
        elsewhere = module.startswith("/") and not re.match(r"/(?:usr/)?lib", module)
        if not (lets_in or own or elsewhere or name == "pam_exec.so"):
            usual.append(line)
            continue
        why = "; it lets everybody in" if lets_in else "; this run wrote the module" if own else ""
        yield _step(drift, change, Severity.HIGH, [line], module, why)
    if usual:
        yield _step(drift, change, Severity.LOW, usual, new[usual[0]][2], "")


def _step(drift: Drift, change: FileChange, severity: Severity, lines: list[str], module: str, why: str) -> Finding:
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return drift.finding(
        PERSISTENCE,
        change,
        severity,
        Confidence.HIGH,
        f"Logins through {shown(change.path)} take a new step{by(change)}: {printable(masked.text(lines[0]), 160)}{more}{why}.",
        details={
            "kind": "login module",
            "module": printable(module),
            "added": [printable(masked.text(line), 200) for line in lines[:50]],
            "technique": "T1556.003",
        },
        identity=lines[:50],
        excerpts=[("line", line) for line in lines[:20]],
    )


def _pam_lines(content: str, path: bytes) -> dict[str, tuple[str, str, str]]:
    found: dict[str, tuple[str, str, str]] = {}
    for raw in content.replace("\\\n", " ").split("\n")[:5000]:
        line = " ".join(raw.partition("#")[0].split())[:1000]
        if path.endswith(b"pam.conf"):
            line = line.partition(" ")[2]
        match = _PAM_LINE.fullmatch(line)
        if match:
            found[line] = (match["type"], match["control"], match["module"])
    return found


# ---- compiled Python


def _compiled(drift: Drift, change: FileChange) -> Iterator[Finding]:
    """A compiled Python file that is taken without a look at its source (PEP 552): Python writes none of these on its own."""
    content = drift.after(change.path)
    source = compiled_from(change.path) or b""
    if content is None or len(content) < 16 or by_package(change):
        return
    flags = int.from_bytes(content[4:8], "little")
    behind = drift.by_path.get(source)
    changed_alone = change.change is ChangeKind.MODIFIED and behind is None and change.before is not None
    same_stamp = changed_alone and (old := drift.before(change.path)) is not None and old[:16] == content[:16]
    if flags == 1:
        why = "Python runs it without a look at its source (PEP 552, unchecked hash)"
    elif same_stamp:
        why = "it still says that it was compiled from the same source, and holds other code"
    else:
        return
    yield drift.finding(
        PERSISTENCE,
        change,
        Severity.MEDIUM,
        Confidence.MEDIUM,
        f"The compiled Python file {shown(change.path)} was {change.change.value}{by(change)}: {why}.",
        details={"kind": "compiled Python file", "source": shown(source), "technique": "T1554"},
    )
