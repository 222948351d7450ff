"""What the software of a sibling passes on: proxies, relays, resolvers, engines. One file per program.

`forwarder_of(container)` is None where nobody can tell from image, command and mounted files whether it forwards: what lies
behind such a container is unknown (`forwards.NAME`). Otherwise a Forwarder, see scanner/egress/forwarders/plugin.py; kind
`none` passes nothing on. `--assume forwards.NAME=false` makes it one that passes nothing, `forwards.NAME=true` one that
passes everything, unless its list is known; `allows.NAME=HOST[:PORT],…` is the list of one whose own nobody knows.
"""

import re
from dataclasses import replace
from functools import lru_cache

from scanner.egress.assumptions import Assumed
from scanner.egress.forwarders.plugin import ANYWHERE, Forwarder, Program, Run, image_path, is_image
from scanner.egress.forwarders.shellwords import Command, commands_of
from scanner.errors import LimitError, ParseError
from scanner.model.egress import Permit
from scanner.model.launch import Container, Default, Missing
from scanner.plugins import plugins

__all__ = ["Forwarder", "forwarder_of"]

NOTHING_ASSUMED = Assumed()

_HARMLESS = frozenset(
    "apk apt-get apt dnf yum microdnf echo printf mkdir cat chmod chown touch cp mv ln rm sed set cd true : [ test "
    "export wait trap sleep tail umask ulimit id whoami ls date install adduser addgroup useradd groupadd shift local "
    "command type which read return exit break continue update-ca-certificates envsubst openssl base64 sysctl ip ss".split()
)
"""Commands that pass nothing on, beside one that does."""


def forwarder_of(container: Container, assumed: Assumed = NOTHING_ASSUMED) -> Forwarder | None:
    """What the container's software passes on, None where that is not known. Never raises."""
    if assumed.get(f"forwards.{container.name}") == "false":
        return Forwarder(
            container.name,
            "",
            "none",
            (),
            "it is assumed to pass nothing on",
            Default(f"--assume forwards.{container.name}"),
        )
    found = _known(container)
    given = assumed.get(f"allows.{container.name}")
    if given is not None and (found is None or any(m.key == f"allows.{container.name}" for m in found.missing)):
        permits = permits_of(given)
        origin = Default(f"--assume allows.{container.name}")
        kind = (found.kind if found else "proxy") if permits else "none"
        return Forwarder(
            container.name,
            found.program if found else "",
            kind,
            permits,
            f"it is assumed to let through {given}",
            origin,
            found.listens if found else (),
            unix_sockets=found.unix_sockets if found else (),
        )
    if found is None and assumed.get(f"forwards.{container.name}") == "true":
        return Forwarder(
            container.name,
            "",
            "proxy",
            ANYWHERE,
            "it is assumed to pass traffic on",
            Default(f"--assume forwards.{container.name}"),
            resolves=True,
        )
    return found


def permits_of(given: str) -> tuple[Permit, ...]:
    """`allows.NAME`'s value as permits: `all`, `none`, or hosts with ports."""
    if given == "all":
        return ANYWHERE
    if given == "none":
        return ()
    found = []
    for one in given.split(","):
        host, ports = one, ((1, 65535),)
        matched = re.fullmatch(r"(.+?):(\d{1,5})(?:-(\d{1,5}))?", one)
        if matched and (matched[1].count(":") == 0 or matched[1].startswith("[")):
            host = matched[1].strip("[]")
            ports = ((int(matched[2]), int(matched[3] or matched[2])),)
        found.append(Permit((host,), "tcp", ports))
    return tuple(found)


@lru_cache(4096)
def _of_image(path: str) -> Program | None:
    programs: tuple[Program, ...] = plugins("scanner.egress.forwarders")
    return next((p for p in programs if is_image(p, path)), None) or _by_word(programs, path)


def _known(container: Container) -> Forwarder | None:
    programs: tuple[Program, ...] = plugins("scanner.egress.forwarders")
    path = image_path(container.image.value) if container.image is not None else ""
    by_image = _of_image(path)
    entrypoint = by_image.entrypoint if by_image is not None else ()
    commands = commands_of(container, entrypoint)
    if commands is None:
        if by_image is None or container.image is None:
            return None
        return _read(by_image, container, None, path)
    found: list[Forwarder] = []
    strangers: list[Command] = []
    for said in commands:
        command = said
        program = next((p for p in programs if command.program in p.commands), None)
        if program is None and by_image is not None and _is_arguments(container, command, by_image):
            command = Command((by_image.commands[0], *said.words), said.origin, said.unclear)
            program = by_image
        if program is not None:
            one = _read(program, container, command, path)
            if one is None:
                strangers.append(command)
            else:
                found.append(one)
        elif command.program not in _HARMLESS:
            strangers.append(command)
    if not found:
        if strangers or not commands:
            return None
        words = " and ".join(sorted({c.program for c in commands})[:3])
        return Forwarder(
            container.name, "", "none", (), f"it runs {words} alone, which passes nothing on", commands[-1].origin
        )
    result = found[0] if len(found) == 1 else _together(found)
    if strangers:
        missing = Missing(
            f"forwards.{container.name}",
            f"beside {result.program}, {container.name} runs {strangers[0].program}, of which nobody knows here whether it "
            "passes traffic on",
            strangers[0].origin,
        )
        result = _with_missing(result, missing)
    return result


def _is_arguments(container: Container, command: Command, program: Program) -> bool:
    """The command of an image whose entrypoint is the program, or a script that adds its name before options."""
    return container.entrypoint is None and command.words[0].startswith("-") and bool(program.commands)


def _by_word(programs: tuple[Program, ...], path: str) -> Program | None:
    """`somebody/docker-tinyproxy`, `tinyproxy-alpine`: a program's own name among the words of the image's."""
    words = set(re.split(r"[-_.]", path.rpartition("/")[2]))
    if words & {"exporter", "ui", "dashboard", "operator", "manager", "admin", "docs", "test", "tests", "client"}:
        return None
    return next((p for p in programs if p.name in words and p.name in p.images), None)


def _read(program: Program, container: Container, command: Command | None, path: str) -> Forwarder | None:
    official = path in program.official
    if command is None:
        origin = container.image.origin if container.image is not None else container.origin
        run = Run(container, program.name, None, origin, official)
    else:
        run = Run(container, program.name, command.words[1:], command.origin, official, command.unclear)
    try:
        return program.read(run)
    except (LimitError, ParseError) as e:
        return run.untold(f"its configuration cannot be read: {e}")


def _together(found: list[Forwarder]) -> Forwarder:
    """Several programs in one container: each passes on what it does."""
    active = [f for f in found if f.kind != "none"] or found[:1]
    first = active[0]
    tunnels = None
    if any(f.tunnels is not None for f in active):
        tunnels = tuple(p for f in active for p in (f.permits if f.tunnels is None else f.tunnels))
    return Forwarder(
        first.name,
        " and ".join(dict.fromkeys(f.program for f in active)),
        first.kind,
        tuple(dict.fromkeys(p for f in active for p in f.permits)),
        "; ".join(dict.fromkeys(f.why for f in active)),
        first.origin,
        tuple(dict.fromkeys(port for f in active for port in f.listens)),
        tuple(dict.fromkeys(p for f in active for p in f.perhaps)),
        tuple(dict.fromkeys(m for f in active for m in f.missing)),
        tuple(dict.fromkeys(s for f in active for s in f.unix_sockets)),
        tunnels,
        any(f.resolves for f in active),
        siblings=any(f.siblings for f in active),
        opt_in=all(f.opt_in for f in active if f.siblings),
    )


def _with_missing(known: Forwarder, missing: Missing) -> Forwarder:
    """What is known of it, and everything else if the missing fact holds."""
    kind = known.kind if known.kind != "none" else "proxy"
    return replace(known, kind=kind, perhaps=ANYWHERE, missing=(*known.missing, missing))
