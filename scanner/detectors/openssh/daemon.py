"""The ssh daemon of an image: whether it lies there, which version, what starts it, with which arguments and configuration.

Sources: sshd(8), FILES; systemd.unit(5) for what enables a unit and what masks it; update-rc.d(8); openrc's rc-update(8);
openSUSE's patches for /usr/etc/ssh; dropbear(8).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.detectors.launchers import configured
from scanner.detectors.openssh.included import including
from scanner.detectors.openssh.weights import Reach
from scanner.detectors.tunnelling.commands import deeds
from scanner.model import (
    ConfigLocation,
    FileLocation,
    ImageConfig,
    Json,
    Kind,
    Level,
    Location,
    Notification,
    State,
    printable,
)
from scanner.oci.view import ImageView, Sighting
from scanner.ssh.source import Problem, Source, Version

if TYPE_CHECKING:
    from scanner.ssh import sshd_config

COMMANDS = "tunnel_launch"
"""The detector whose evidence of kind `daemon` says which commands start one."""
PROGRAMS = "sshd_program"
"""The detector whose evidence says which version a daemon's own bytes name."""
INSTANCES = 4
"""Different daemons of one image that are judged; the others are said."""
STARTS = 64
"""Things that start a daemon."""
UNITS = 64
"""Units with a command that starts one, which are looked for among the enabled ones."""
TARGETS = 500
"""Folders of enabled units."""
WORDS = 200
"""Words of the image's command that may be a script's path."""

MAIN = b"etc/ssh/sshd_config"
VENDOR = b"usr/etc/ssh/sshd_config"
"""Where openSUSE keeps the distribution's file, read if there is none in /etc."""
SSHD = "sshd"
_SERVERS: Mapping[str, tuple[bytes, ...]] = {
    SSHD: (b"usr/sbin/sshd", b"usr/bin/sshd", b"usr/local/sbin/sshd", b"sbin/sshd", b"opt/openssh/sbin/sshd"),
    "dropbear": (b"usr/sbin/dropbear", b"usr/bin/dropbear", b"usr/local/sbin/dropbear", b"sbin/dropbear"),
    "tinysshd": (b"usr/sbin/tinysshd", b"usr/bin/tinysshd", b"usr/local/sbin/tinysshd"),
}
_PACKAGES = ("openssh-server", "openssh-server-pam", "openssh", "openssh-server-common")
_VERSION = re.compile(r"^(?:\d+:)?(\d{1,2})\.(\d{1,2})")
_UNITS = {
    b"ssh.service": SSHD,
    b"sshd.service": SSHD,
    b"ssh.socket": SSHD,
    b"sshd.socket": SSHD,
    b"dropbear.service": "dropbear",
    b"dropbear.socket": "dropbear",
    b"tinysshd.socket": "tinysshd",
}
_UNIT_FOLDERS = (
    b"usr/lib/systemd/system",
    b"lib/systemd/system",
    b"usr/local/lib/systemd/system",
    b"run/systemd/system",
    b"etc/systemd/system",
)
"""The last that has a unit counts."""
_IN_UNIT = re.compile(rb"/systemd/system(?:\.control)?/(?:([^/]+)\.d/)?([^/]+)\Z")
_IN_INIT = re.compile(rb"(?:^|/)etc/(?:init\.d|rc\d?\.d)/")
_INIT = re.compile(r"(?:^|/)(?:systemd|init|openrc-init)$")
_SUPERVISOR = re.compile(r"(?:^|/)(?:my_init|runit-init|runsvdir|s6-svscan|supervisord|monit|circusd|crond?)$")
_BIN = (b"usr/local/sbin", b"usr/local/bin", b"usr/sbin", b"usr/bin", b"sbin", b"bin")
_DEFAULTS = (
    (b"etc/default/ssh", b"SSHD_OPTS"),
    (b"etc/sysconfig/sshd", b"OPTIONS"),
    (b"etc/sysconfig/ssh", b"SSHD_OPTS"),
    (b"etc/conf.d/sshd", b"SSHD_OPTS"),
)
KEEPS = (
    rb"sshd[^/]{0,20}conf[^/]{0,40}\Z",
    rb"sshd_config\.d/[^/]+\Z",
    rb"\A(?:usr/)?etc/ssh/(?:[^/]+/)?[^/]+\.conf\Z",
    rb"\Aetc/(?:default/ssh|sysconfig/sshd?|conf\.d/sshd)\Z",
)
DEFAULT = Version(9, 2)


@dataclass(frozen=True, slots=True)
class Start:
    """One thing that starts a daemon, in words, and where it says so."""

    server: str
    what: str
    location: Location
    reach: Reach
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instance:
    """An sshd with its arguments and the configuration it would read; that is None where it was not read, or is `missing`."""

    main: bytes
    options: tuple[str, ...]
    config: sshd_config.Config | None
    missing: bool
    reach: Reach
    starts: tuple[Start, ...]

    @property
    def fatal(self) -> Problem | None:
        """What keeps it from starting."""
        return None if self.config is None else self.config.fatal


@dataclass(frozen=True, slots=True)
class Daemon:
    """The servers that lie in the image, by name. `version` is that of sshd's package or program, else it is `assumed`."""

    programs: Mapping[str, FileLocation]
    version: Version
    assumed: bool
    starts: tuple[Start, ...]
    instances: tuple[Instance, ...]
    notes: tuple[Notification, ...]

    @property
    def reach(self) -> Reach:
        """How near any of them is to running."""
        return max((self.reach_of(server) for server in self.programs), default=Reach.ABSENT)

    def reach_of(self, server: str) -> Reach:
        if server not in self.programs:
            return Reach.ABSENT
        return max((s.reach for s in self.starts if s.server == server), default=Reach.INSTALLED)

    def named(self, server: str) -> str:
        """Its name, with the version that is known for it."""
        return f"sshd {self.version}" if server == SSHD and not self.assumed else server


def daemon(view: ImageView) -> Daemon:
    """The image's ssh daemons, found once."""
    return view.once(_find)


def _find(view: ImageView) -> Daemon:
    notes: list[Notification] = []
    programs = dict(_programs(view))
    version, known = _version(view, programs.get(SSHD))
    if SSHD in programs and not known:
        what = f"which OpenSSH this is could not be told; its configuration was read as {DEFAULT} reads it"
        notes.append(Notification("detector", Level.NOTE, what, programs[SSHD].path))
    starts: dict[tuple[str, Location, tuple[str, ...]], Start] = {}
    for start in _starts(view, notes) if programs else ():
        if start.server in programs:
            starts.setdefault((start.server, start.location, start.arguments), start)
        if len(starts) == STARTS:
            what = f"more than {STARTS} things start an ssh daemon: the rest were not judged"
            notes.append(Notification("detector", Level.WARNING, what))
            break
    found = tuple(sorted(starts.values(), key=lambda s: -s.reach))
    instances = tuple(_instances(view, SSHD in programs, version, found, notes))
    return Daemon(programs, version, not known, found, instances, tuple(notes))


def _programs(view: ImageView) -> Iterator[tuple[str, FileLocation]]:
    for server, paths in _SERVERS.items():
        for path in paths:
            entry = view.files.stat(path)
            if entry is not None and entry.kind in (Kind.FILE, Kind.HARDLINK):
                yield server, FileLocation(entry.path, view.image.layers[entry.layer])
                break
        else:
            for sighting in view.of(PROGRAMS) if server == SSHD else ():
                if sighting.state is State.VISIBLE:
                    yield server, FileLocation(sighting.evidence.path, sighting.layer)
                    break


def _version(view: ImageView, program: FileLocation | None) -> tuple[Version, bool]:
    """The version of the package that owns the program, else what the program's bytes say.

    Where the image does not say who owns what, the package of the name is taken; a program that none owns was built here.
    """
    owner = view.owner(program.path) if program is not None else None
    if owner or program is None or not view.has_packages:
        for name in ([owner] if owner else []) + [*_PACKAGES]:
            found = _VERSION.match(view.packages.version(name) or "")
            if found:
                return Version(int(found[1]), int(found[2])), True
    for sighting in view.of(PROGRAMS):
        if program is not None and sighting.state is State.VISIBLE and sighting.evidence.path == program.path:
            found = _VERSION.match(str(sighting.evidence.facts.get("version", "")))
            if found:
                return Version(int(found[1]), int(found[2])), True
    return DEFAULT, False


# ---- what starts it


def _starts(view: ImageView, notes: list[Notification]) -> Iterator[Start]:
    config = view.image.config
    words = [part for word in (*config.entrypoint, *config.cmd)[:WORDS] for part in word.split()[:WORDS]][:WORDS]
    init = any(_INIT.search(word) for word in words)
    supervised = init or any(_SUPERVISOR.search(word) for word in words)
    extra = _default_options(view)
    yield from _of_config(config, extra)
    if config.entrypoint and config.cmd:  # most entry scripts end in `exec "$@"`
        yield from _of_config(ImageConfig(cmd=config.cmd, working_dir=config.working_dir), extra)
    run = frozenset(_run(view, words))
    commands = [s for s in view.of(COMMANDS, "daemon") if s.state is State.VISIBLE and not s.evidence.inner]
    for sighting in commands:
        facts, path = sighting.evidence.facts, sighting.evidence.path
        if _IN_UNIT.search(path) or _IN_INIT.search(path):
            continue  # these count if they are enabled: below
        by_itself = facts.get("starts") in ("boot", "schedule")
        reach = Reach.STARTS if path in run or (supervised and by_itself) else Reach.ENABLED
        what = f"{facts.get('point')} {printable(sighting.location.display, 120)} {facts.get('how')}"
        yield Start(str(facts.get("server")), what, sighting.location, reach, _arguments(facts, extra))
    yield from _units(view, commands, Reach.STARTS if init else Reach.ENABLED, extra, notes)


def _of_config(config: ImageConfig, extra: tuple[str, ...]) -> Iterator[Start]:
    for field, command in configured.commands(config):
        for deed in deeds(command) if not command.remote else ():
            if deed.kind == "daemon" and not field.startswith("OnBuild"):
                what = f"the image's {field.partition('[')[0]} {deed.facts['how']}"
                arguments = _arguments(deed.facts, extra)
                yield Start(str(deed.facts["server"]), what, ConfigLocation(field), Reach.STARTS, arguments)


def _arguments(facts: Mapping[str, Json], extra: tuple[str, ...]) -> tuple[str, ...]:
    """What the daemon is given: a service's are its unit's or init script's, a variable's those of the file of defaults."""
    said = facts.get("arguments")
    words = [str(v) for v in said] if isinstance(said, list | tuple) else []
    if not words and " service " in str(facts.get("how")):
        return extra
    plain = tuple(w for w in words if "$" not in w)
    return (*plain, *extra) if any(re.search(r"\$\{?\w*OPT", w) for w in words) else plain


def _run(view: ImageView, words: Sequence[str]) -> Iterator[bytes]:
    """The files that the entrypoint and command name, by path or as a program or script of that name."""
    folder = view.image.config.working_dir.encode("utf-8", "surrogateescape")
    for word in words:
        plain = word.strip("'\";&|()").encode("utf-8", "surrogateescape")
        if not plain or plain.startswith(b"-"):
            continue
        places = [plain] if plain.startswith(b"/") else [folder + b"/" + plain]
        if b"/" not in plain:
            places += [one + b"/" + plain for one in _BIN]
        for place in places:
            entry = view.files.stat(place)
            if entry is not None:
                yield entry.path


def _units(
    view: ImageView,
    commands: Sequence[Sighting],
    reach: Reach,
    extra: tuple[str, ...],
    notes: list[Notification],
) -> Iterator[Start]:
    """Units that are enabled: a link in a target's `.wants` or `.requires`, in rcN.d, or in an OpenRC runlevel."""
    said: dict[bytes, tuple[int, Mapping[str, Json]]] = {}
    for sighting in commands:
        place = _IN_UNIT.search(sighting.evidence.path)
        if place is None:
            continue
        unit = place[1] or place[2]
        folder = next((n for n, f in enumerate(_UNIT_FOLDERS) if sighting.evidence.path.startswith(f)), 0)
        rank = folder + (len(_UNIT_FOLDERS) if place[1] else 0)
        if (unit in said or len(said) < UNITS) and said.get(unit, (-1,))[0] <= rank:
            said[unit] = rank, sighting.evidence.facts
    servers = {**_UNITS, **{unit: str(facts.get("server")) for unit, (_, facts) in said.items()}}
    held_back = view.files.stat(b"etc/ssh/sshd_not_to_be_run") is not None  # Debian's unit and init script ask for it
    wanting = [w for f in _UNIT_FOLDERS for kind in (b"wants", b"requires") for w in view.files.glob(f + b"/*." + kind)]
    for folder_path in wanting[:TARGETS]:
        for unit in sorted(servers.keys() & set(view.files.listing(folder_path))):
            link = view.files.stat(folder_path + b"/" + unit, follow=False)
            if link is None or not _loads(view, unit) or (held_back and unit.startswith(b"ssh.")):
                continue
            facts = said[unit][1] if unit in said else {"how": " service "}
            place_ = FileLocation(link.path, view.image.layers[link.layer])
            yield Start(servers[unit], f"systemd starts {printable(unit, 60)}", place_, reach, _arguments(facts, extra))
    if len(wanting) > TARGETS or len(said) == UNITS:
        what = f"more than {TARGETS} targets or {UNITS} units of ssh daemons: the rest were not judged"
        notes.append(Notification("detector", Level.WARNING, what))
    for name, server in ((b"ssh", SSHD), (b"sshd", SSHD), (b"dropbear", "dropbear")):
        for pattern, what in ((b"etc/rc[2345].d/S??", "an init script"), (b"etc/runlevels/*/", "OpenRC")):
            for path in view.files.glob(pattern + name)[:1]:
                entry = view.files.stat(path, follow=False)
                if entry is not None and not (held_back and name == b"ssh"):
                    place_ = FileLocation(entry.path, view.image.layers[entry.layer])
                    yield Start(
                        server, f"{what} starts {name.decode()}", place_, reach, extra if server == SSHD else ()
                    )


def _loads(view: ImageView, unit: bytes) -> bool:
    """Whether there is such a unit; one that is a link to /dev/null, or an empty file, is masked (systemd.unit(5))."""
    for folder in reversed(_UNIT_FOLDERS):
        entry = view.files.stat(folder + b"/" + unit, follow=False)
        if entry is not None:
            masked = entry.link_target == b"/dev/null" if entry.kind is Kind.SYMLINK else entry.size == 0
            return not masked
    return False


def _default_options(view: ImageView) -> tuple[str, ...]:
    """Arguments that the distribution's unit or init script takes from a file of variables."""
    for path, variable in _DEFAULTS:
        file = view.files.read(path)
        if file is None or not file.data:
            continue
        found = re.findall(rb"(?m)^[ \t]*(?:export[ \t]+)?" + variable + rb"=([^\n]{0,500})", file.data)
        if found:
            text = found[-1].decode("utf-8", "replace")
            try:
                return tuple(w for word in shlex.split(text, comments=True) for w in _inner(word))
            except ValueError:
                return tuple(text.split())
    return ()


def _inner(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


# ---- what it reads


def _instances(
    view: ImageView, there: bool, version: Version, starts: Sequence[Start], notes: list[Notification]
) -> Iterator[Instance]:
    """One for each way in which sshd is started; one, if nothing starts it. The nearest to running comes first."""
    groups: dict[tuple[str | None, tuple[str, ...]], list[Start]] = {}
    for start in starts:
        if start.server == SSHD:
            from scanner.ssh import sshd_config

            said = sshd_config.command_line(start.arguments)
            groups.setdefault((said.config, said.options), []).append(start)
    if not groups:
        groups[None, ()] = []
    usual = MAIN if view.files.stat(MAIN) is not None or view.files.stat(VENDOR) is None else VENDOR
    for number, ((main, options), some) in enumerate(groups.items()):
        if number == INSTANCES:
            what = f"{len(groups)} different ways to start sshd: only {INSTANCES} were judged"
            notes.append(Notification("detector", Level.WARNING, what))
            return
        path = usual if main is None else main.lstrip("/").encode("utf-8", "surrogateescape")
        config, missing = _config(view, path, options, version, notes)
        reach = max((s.reach for s in some), default=Reach.INSTALLED if there else Reach.ABSENT)
        yield Instance(path, options, config, missing, reach, tuple(some))


def _config(
    view: ImageView, path: bytes, options: Sequence[str], version: Version, notes: list[Notification]
) -> tuple[sshd_config.Config | None, bool]:
    """The configuration, and whether there is no such file, for which sshd would end (`none` is no file and fine)."""
    file = view.files.read(path)
    if path == b"none":
        main = Source(path, b"")
    elif file is None:
        return None, True
    elif file.data is None:
        what = "is sshd's configuration and was not read: nothing is said of its settings"
        notes.append(Notification("detector", Level.WARNING, what, file.path, layer=file.layer.index))
        return None, False
    else:
        main = Source(path, file.data)
    from scanner.ssh import sshd_config

    config = sshd_config.parse(main, including(view, path, "sshd", notes), version, options)
    for problem in config.limits:
        notes.append(Notification("detector", Level.WARNING, problem.message, problem.where.path or path))
    return config, False


def located(view: ImageView, where: sshd_config.Where, instance: Instance) -> Location:
    """Where a value was said: a line of a file with its layer, or the place that gives the daemon its arguments."""
    if where.path:
        file = view.files.read(where.path)
        if file is not None:
            return file.at(where.line)
    for start in instance.starts:
        return start.location
    return ConfigLocation("Entrypoint")


def spoken(where: sshd_config.Where, instance: Instance) -> str:
    """The same in words."""
    if not where.path:
        return "its arguments"
    return f"line {where.line}" + ("" if where.path == instance.main else f" of {printable(where.path, 120)}")
