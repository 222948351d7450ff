"""Tools that tunnel out: told by package databases, Go's build information, their content and their configuration."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from scanner.content import Content
from scanner.detectors.plugin import Detector, Wants
from scanner.detectors.tunnelling import catalogue
from scanner.detectors.tunnelling.catalogue import Tool
from scanner.detectors.tunnelling.places import PATHS
from scanner.model import (
    Confidence,
    Evidence,
    FileLocation,
    Finding,
    Json,
    Level,
    Location,
    Means,
    MeansKind,
    Notification,
    Rule,
    Severity,
    State,
    printable,
)
from scanner.oci.packages import Package
from scanner.oci.view import ImageView, Sighting

TUNNEL_TOOL = Rule(
    id="tunnel/tool",
    name="Tunnel or proxy tool",
    severity=Severity.HIGH,
    description="A program that carries traffic out of the sandbox or lets somebody in, told by the package database, by "
    "Go's build information, by its content or by its configuration; never by a file's name alone.",
    help="Whoever runs in the sandbox can reach, through it, what the launch meant to close, as long as one path out is "
    "open. Remove the package or the file if the work does not need it; if it does, allow only the one peer it needs.",
    references=("https://attack.mitre.org/techniques/T1572/", "https://attack.mitre.org/techniques/T1090/"),
    attack=("T1572", "T1090"),
)

NAME = "tunnel_tool"
_METADATA = 64 << 10
_CONFIG = 1 << 20
_FOLDERS = (b"usr/bin/", b"usr/sbin/", b"bin/", b"sbin/", b"usr/local/bin/", b"usr/local/sbin/")
_SURE = frozenset({"package", "go-module", "pip", "npm"})
_LOWER = {
    Severity.CRITICAL: Severity.HIGH,
    Severity.HIGH: Severity.MEDIUM,
    Severity.MEDIUM: Severity.LOW,
    Severity.LOW: Severity.NOTE,
    Severity.NOTE: Severity.NOTE,
}


def _either(names: Iterable[str]) -> bytes:
    return b"|".join(re.escape(name).encode() for name in sorted(names))


_PIP = re.compile(
    rb"(?i)(?:^|/)(" + _either(catalogue.by_pip()).replace(rb"\-", b"[-_.]") + rb")(?:-[^/]+)?\.(?:dist-info/METADATA"
    rb"|egg-info(?:/PKG-INFO)?)$"
)
_NPM = re.compile(rb"(?:^|/)node_modules/(" + _either(catalogue.by_npm()) + rb")/package\.json$")


def _uncaptured(pattern: bytes) -> bytes:
    return re.sub(rb"\((?!\?)", b"(?:", pattern)


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """What one file says of being a tunnel tool or of steering one."""
    for match in content.matches:
        if match.rule.behaviour != "tunnel" or match.rule.evidence != "program":
            continue
        tool = next((str(value) for key, value in match.rule.meta if key == "tool"), "")
        shown = list(dict.fromkeys(printable(s.data, 60) for s in match.strings))
        facts: dict[str, Json] = {"tool": tool, "rule": match.rule.rule.id, "strings": shown[:8]}
        yield _evidence(
            content, "content", ", ".join(shown[:3]), facts, match.strings[0].offset if match.strings else 0
        )
    if any(m.rule.behaviour == "tunnel" and m.rule.evidence == "go" for m in content.matches):
        yield from _go(content)
    if found := _PIP.search(content.name):
        yield from _python_distribution(content, found[1].decode("latin-1"))
    elif found := _NPM.search(content.name):
        yield from _npm_package(content, found[1].decode("latin-1"))
    elif content.is_text and any(p.search(content.name) for p in _CONFIG_PATHS):
        yield from _configuration(content)


def _evidence(content: Content, kind: str, excerpt: str, facts: dict[str, Json], offset: int | None = None) -> Evidence:
    return Evidence(NAME, kind, content.path, content.inner, offset, None, printable(excerpt, 200), facts)


def _go(content: Content) -> Iterator[Evidence]:
    from scanner.content import elf, elffile

    header = elffile.header(bytes(content.data[:64]))
    if header is None:
        return
    segments, sections = elffile.segments(header, content.data), elffile.sections(header, content.data)
    build = elf.go_build(content.data, segments, sections)
    if build is None:
        return
    tool = catalogue.of_module(build.module) or catalogue.of_module(build.path)
    if tool is not None:
        version = build.module_version if build.module_version not in ("", "(devel)") else None
        said = f"main module {build.module or build.path}" + (f" {version}" if version else "")
        facts: dict[str, Json] = {"tool": tool.name, "module": build.module or build.path, "version": version}
        yield _evidence(content, "go-module", f"{said}, {build.version}", facts)


def _python_distribution(content: Content, named: str) -> Iterator[Evidence]:
    """Core metadata (PyPA): headers before the first empty line. The file's own Name decides, not its folder's."""
    head = takewhile(str.strip, content.text(_METADATA).split("\n"))
    fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head)}
    tool = catalogue.by_pip().get(catalogue.pip_name(fields.get("name", "")))
    if tool is not None and catalogue.pip_name(named) in catalogue.by_pip():
        version = printable(fields.get("version", ""), 60) or None
        facts: dict[str, Json] = {"tool": tool.name, "version": version, "distribution": printable(fields["name"], 80)}
        yield _evidence(content, "pip", f"Python distribution {fields['name']} {version or ''}".rstrip(), facts)


def _npm_package(content: Content, named: str) -> Iterator[Evidence]:
    try:
        document = json.loads(content.text(_CONFIG))
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict) or document.get("name") != named:
        return
    version = printable(str(document.get("version", "")), 60) or None
    facts: dict[str, Json] = {"tool": catalogue.by_npm()[named].name, "version": version, "distribution": named}
    yield _evidence(content, "npm", f"npm package {named} {version or ''}".rstrip(), facts)


def _configuration(content: Content) -> Iterator[Evidence | Notification]:
    if content.size > _CONFIG:
        what = f"a tunnel's configuration of {content.size} bytes: only the first {_CONFIG} were read"
        yield Notification("detector", Level.WARNING, what, content.path, content.inner)
    from scanner.detectors.tunnelling import configs

    found = configs.read(content.name, content.text(_CONFIG))
    if found is None or not found.active:
        return
    facts: dict[str, Json] = {"tool": found.tool, **{k: v for k, v in found.facts().items() if v is not None}}
    line = found.line
    yield Evidence(NAME, "config", content.path, content.inner, None, line, printable(found.summary(), 200), facts)


@dataclass(frozen=True, slots=True)
class _Sign:
    """One piece of evidence for a tool in this image, whatever it came from."""

    tool: Tool
    location: Location
    state: State
    hidden_by: int | None
    evidence: Evidence
    version: str | None = None
    owner: str | None = None


def judge(view: ImageView) -> Iterator[Finding | Means]:
    """One finding for each tool of each origin: its package, or the file that is no package's."""
    groups: dict[tuple[str, str], list[_Sign]] = {}
    for origin, sign in (*_of_packages(view), *_of_files(view)):
        groups.setdefault((sign.tool.name, origin), []).append(sign)
    for name in {name for name, origin in groups if origin == "config"}:
        # a configuration says what an installed tool does; alone it is a weaker finding of its own
        homes = [key for key in groups if key[0] == name and key[1] != "config"]
        if homes:
            visible = [key for key in homes if any(s.state is State.VISIBLE for s in groups[key])]
            groups[(visible or homes)[0]] += groups.pop((name, "config"))
    for _, signs in sorted(groups.items()):
        yield from _said(view, signs)


def _of_packages(view: ImageView) -> Iterator[tuple[str, _Sign]]:
    packages = catalogue.by_package()
    for package in view.packages.all:
        if (tool := packages.get(package.name)) is not None:
            yield "package", _of_package(view, tool, package)


def _of_package(view: ImageView, tool: Tool, package: Package) -> _Sign:
    facts: dict[str, Json] = {
        "tool": tool.name,
        "package": package.name,
        "version": package.version,
        "manager": package.manager,
    }
    excerpt = printable(f"{package.manager} has {package.name} {package.version}", 200)
    evidence = Evidence(NAME, "package", package.path, line=package.line, excerpt=excerpt, facts=facts)
    record = FileLocation(package.path, view.image.layers[package.layer], line=package.line)
    gone = package.removed_by
    state = State.VISIBLE if gone is None else State.DELETED
    location: FileLocation = record
    if gone is None:
        for path in (folder + program.encode() for folder in _FOLDERS for program in tool.programs):
            entry = view.files.stat(path)
            if entry is not None and view.owner(entry.path) == package.name:
                location = FileLocation(entry.path, view.image.layers[entry.layer])
                break
    return _Sign(tool, location, state, gone, evidence, package.version, package.name)


def _of_files(view: ImageView) -> Iterator[tuple[str, _Sign]]:
    named = catalogue.by_name()
    for sighting in view.of(NAME):
        tool = named.get(str(sighting.evidence.facts.get("tool")))
        if tool is None:
            continue
        owner = view.owner(sighting.evidence.path)
        version = sighting.evidence.facts.get("version")
        sign = _Sign(
            tool,
            sighting.location,
            sighting.state,
            sighting.hidden_by,
            sighting.evidence,
            str(version) if version else view.packages.version(owner) if owner else None,
            owner,
        )
        if sighting.evidence.kind == "config":
            yield "config", sign
        elif owner in tool.packages:
            yield "package", sign
        else:
            yield _origin(sighting), sign


_FOLDER = re.compile(rb".*/(?:site|dist)-packages/|.*/node_modules/(?:@[^/]+/)?[^/]+/")


def _origin(sighting: Sighting) -> str:
    """What of a tool lies in one folder of Python's or npm's is one thing; any other file is one of its own, in all layers."""
    place = sighting.location.display
    found = _FOLDER.match(b"/" + place)
    return (found[0] if found is not None else place).decode("latin-1")


def _layer(sign: _Sign) -> int:
    return sign.location.layer.index if isinstance(sign.location, FileLocation) else 0


def _is_sure(sign: _Sign) -> bool:
    """Whether the evidence alone tells the tool; a Go module that is named like no address may be anybody's."""
    module = sign.evidence.facts.get("module")
    return sign.evidence.kind in _SURE and (not isinstance(module, str) or "." in module.partition("/")[0])


def _said(view: ImageView, signs: list[_Sign]) -> Iterator[Finding | Means]:
    order = ("pip", "npm", "content", "go-module", "package", "config")
    signs.sort(
        key=lambda s: (s.state is not State.VISIBLE, order.index(s.evidence.kind), -_layer(s), s.location.display)
    )
    first, tool = signs[0], signs[0].tool
    kinds = list(dict.fromkeys(s.evidence.kind for s in signs))
    sure = any(map(_is_sure, signs))
    called = first.location.display.rpartition(b"/")[2].decode("latin-1") in tool.programs
    alone = kinds == ["config"]
    strength = Confidence.HIGH if sure or (called and "content" in kinds) else Confidence.MEDIUM
    severity = tool.severity if not alone else _LOWER[tool.severity]
    if first.state is not State.VISIBLE:
        severity = _LOWER[severity]
    version = next((s.version for s in signs if s.version), None)
    owner = next((s.owner for s in signs if s.owner), None)
    configured = next((s.evidence for s in signs if s.evidence.kind == "config"), None)
    if alone:
        message = f"Configuration of {tool.name}, {tool.sort.value}"
    else:
        message = f"{tool.name}{f' {version}' if version else ''} is {tool.sort.value}"
    message += f"; configured: {configured.excerpt}" if configured is not None else ""
    details: dict[str, Json] = {
        "name": tool.name,
        "sort": tool.sort.name.lower().replace("_", "-"),
        "evidence": kinds,
        "version": version,
        "package": owner,
    }
    if configured is not None:
        details["config"] = {k: v for k, v in configured.facts.items() if k != "tool"}
    places = {(s.location.display, _layer(s)): s.location for s in reversed(signs)}
    places.pop((first.location.display, _layer(first)))
    yield view.finding(
        TUNNEL_TOOL,
        at=first.location,
        state=first.state,
        hidden_by=first.hidden_by,
        severity=severity,
        confidence=strength,
        message=message + ".",
        evidence=[s.evidence for s in signs[:12]],
        details=details,
        related=[*places.values()][::-1][:20],
        identity=(tool.name,),
    )
    if first.state is State.VISIBLE and not alone:
        yield Means(
            MeansKind.TUNNEL, tool.name, first.location, version, owner, {"sort": details["sort"], "evidence": kinds}
        )


_CONFIG_PATHS = tuple(re.compile(p) for p in PATHS)

PLUGIN = Detector(
    NAME,
    version=1,
    rules=(TUNNEL_TOOL,),
    wants=Wants(paths=(_uncaptured(_PIP.pattern), _uncaptured(_NPM.pattern), *PATHS), behaviours=("tunnel",)),
    inspect=inspect,
    judge=judge,
)
