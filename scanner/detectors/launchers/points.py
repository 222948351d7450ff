"""Launch points: the files by which a container starts programs on its own, and how each is read.

Sources: crontab(5), anacrontab(5), systemd.service(5), inittab(5), supervisord's configuration, the Desktop Entry
Specification, XDG autostart, OpenRC's runscript.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scanner.detectors.launchers import shell
from scanner.detectors.launchers.lines import Lines
from scanner.detectors.launchers.shell import Command


@dataclass(frozen=True, slots=True)
class Point:
    """A kind of launch point: `what` in words, `path` a regular expression for the whole path, `read` text to commands."""

    what: str
    path: bytes
    read: Callable[[str], Iterator[Command]]


_CRON = re.compile(
    r"^\s*(?:@(?:reboot|yearly|annually|monthly|weekly|daily|midnight|hourly)|(?:\S+\s+){4}\S+)\s+(?P<rest>\S.*)$"
)
_CRON_ENV = re.compile(r"^\s*[A-Za-z_]\w*\s*=")
_KEYED = re.compile(r"^\s*(?P<key>[A-Za-z_][\w.-]*)\s*=\s*(?P<value>.*)$")
_JSON_SCRIPT = re.compile(
    r'"(?:pre|post)?(?:start|install|prepare|serve|dev|build|test|daemon|run)\w*"\s*:\s*"((?:[^"\\\n]|\\.)*+)"'
)


def _cron(text: str, user: bool) -> Iterator[Command]:
    kept = []
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            kept.append("")
        elif _CRON_ENV.match(line):
            kept.append(line.strip())
        elif found := _CRON.match(line[: shell.LINE]):
            rest = found["rest"]
            if user:
                rest = rest.partition(" ")[2] if " " in rest else rest.partition("\t")[2]
            kept.append(re.sub(r"(?<!\\)%.*", "", rest))
        else:
            kept.append(line)
    yield from shell.commands("\n".join(kept))


def system_crontab(text: str) -> Iterator[Command]:
    """Commands of a crontab with a user in its sixth field."""
    yield from _cron(text, True)


def user_crontab(text: str) -> Iterator[Command]:
    """Commands of one user's crontab."""
    yield from _cron(text, False)


def anacrontab(text: str) -> Iterator[Command]:
    """Commands behind period, delay and name."""
    lines = (re.sub(r"^\s*(?:\d+|@\w+)\s+\d+\s+\S+\s+", "", line) for line in text.split("\n"))
    yield from shell.commands("\n".join(lines))


def unit(text: str) -> Iterator[Command]:
    """Exec lines of a systemd unit, with variables of its Environment lines."""
    kept, begins = [], []
    for number, line in shell.logical_lines(text):
        found = _KEYED.match(line)
        if not found:
            continue
        if found["key"] == "Environment":
            kept.append("export " + found["value"])
            begins.append(number)
        elif found["key"].startswith("Exec"):
            kept.append(re.sub(r"^[@\-:+!|]+", "", found["value"]))
            begins.append(number)
    yield from _relined(kept, begins)


def keyed(*keys: str) -> Callable[[str], Iterator[Command]]:
    """A reader of `key = command` lines."""

    def read(text: str) -> Iterator[Command]:
        kept, begins = [], []
        for number, line in shell.logical_lines(text):
            found = _KEYED.match(line)
            if found and found["key"] in keys:
                kept.append(found["value"].strip().strip("\"'") if found["key"] != "Exec" else found["value"])
                begins.append(number)
        yield from _relined(kept, begins)

    return read


def inittab(text: str) -> Iterator[Command]:
    """The fourth field of each line."""
    yield from shell.commands(
        "\n".join(line.split(":", 3)[-1] if line.count(":") >= 3 else "" for line in text.split("\n"))
    )


def procfile(text: str) -> Iterator[Command]:
    """What follows `name:`."""
    yield from shell.commands("\n".join(re.sub(r"^[\w-]+:\s*", "", line) for line in text.split("\n")))


def package_json(text: str) -> Iterator[Command]:
    """The scripts that npm runs by name, by regular expression: the file may be no JSON at all."""
    kept, begins = [], []
    lines = Lines(text)
    for found in _JSON_SCRIPT.finditer(text):
        kept.append(found[1].replace('\\"', '"'))
        begins.append(lines.at(found.start()))
    yield from _relined(kept, begins)


def _relined(lines: list[str], begins: list[int]) -> Iterator[Command]:
    """Commands of lines that were picked out, with the numbers they had."""
    for command in shell.commands("\n".join(lines)):
        at = min(command.line, len(begins)) - 1
        yield Command(command.argv, begins[at], command.folder)


POINTS = (
    Point("system crontab", rb"etc/(?:crontab|cron\.d/[^/]+)", system_crontab),
    Point("crontab", rb"(?:var/spool/cron/(?:crontabs/|tabs/)?|etc/crontabs/)[^/]+", user_crontab),
    Point("anacrontab", rb"etc/anacrontab", anacrontab),
    Point("cron script", rb"etc/(?:cron\.(?:hourly|daily|weekly|monthly)|periodic/[^/]+)/[^/]+", shell.commands),
    Point(
        "systemd unit",
        rb"(?:etc|usr|lib|run|home|root)/(?:.*/)?systemd/(?:system|user)(?:/[^/]+\.d)?/[^/]+\.(?:service|conf|socket|timer)",
        unit,
    ),
    Point("init script", rb"etc/(?:init\.d|rc\d?\.d|rc\.d|rc\.d/init\.d)/[^/]+|etc/rc\.local", shell.commands),
    Point("inittab", rb"etc/inittab", inittab),
    Point("upstart job", rb"etc/init/[^/]+\.conf", shell.commands),
    Point(
        "supervisor program",
        rb"(?:etc|opt|app|usr/local)/(?:.*/)?supervisord?(?:/conf\.d/[^/]+|[^/]*\.conf|/[^/]+\.(?:conf|ini))",
        keyed("command"),
    ),
    Point(
        "runit or s6 service",
        rb"etc/(?:sv|service|services\.d|s6-overlay/s6-rc\.d|cont-init\.d)/(?:[^/]+/)?[^/]+",
        shell.commands,
    ),
    Point(
        "shell start-up file",
        rb"etc/(?:profile|bash\.bashrc|zsh/[^/]+|environment|profile\.d/[^/]+)"
        rb"|(?:root|home/[^/]+|etc/skel)/\.(?:profile|bashrc|bash_profile|bash_login|bash_logout|zshrc|zprofile|zshenv|zlogin|kshrc)",
        shell.commands,
    ),
    Point("autostart entry", rb"(?:etc|root|home|usr/share)/(?:.*/)?autostart/[^/]+\.desktop", keyed("Exec")),
    Point("git hook", rb".*/\.git/hooks/[a-z-]+", shell.commands),
    Point("apt or dpkg hook", rb"etc/(?:apt/apt\.conf\.d|dpkg/dpkg\.cfg\.d)/[^/]+", shell.commands),
    Point("network hook", rb"etc/network/if-(?:pre-up|up|down|post-down)\.d/[^/]+", shell.commands),
    Point("Procfile", rb"(?:.*/)?Procfile", procfile),
    Point("npm scripts", rb"(?!.*node_modules/)(?:.*/)?package\.json", package_json),
    Point(
        "entry script",
        rb"(?:.*/)?(?:docker-)?(?:entrypoint|entry|start|run|init|launch|boot|startup)[^/]{0,20}\.(?:sh|bash)"
        rb"|(?:.*/)?(?:docker-)?entrypoint|(?:start|run|init|entry)",
        shell.commands,
    ),
    Point(
        "local program",
        rb"(?:usr/local/s?bin|opt|root|home/[^/]+|srv|app|workspace|tmp|var/tmp|dev/shm)/(?:.*/)?[^/]+\.(?:sh|bash)"
        rb"|usr/local/s?bin/[^/]+",
        shell.commands,
    ),
)
PATHS = rb"\A(?:" + b"|".join(b"(?:" + p.path + b")" for p in POINTS) + rb")\Z"
"""Any of them, as one expression anchored at both ends, so that a million paths are asked quickly."""


def point(path: bytes) -> Point | None:
    """The launch point that a path in a layer is."""
    return next((p for p in POINTS if re.fullmatch(p.path, path)), None)


_STAGED = (
    Point("unit not yet installed", rb"(?:.*/)?[^/]+\.service", unit),
    Point("crontab not yet installed", rb"(?:.*/)?[^/]*cron[^/]{0,20}", user_crontab),
)


def staged(path: bytes) -> Point | None:
    """What a file would start if it were put where its like are read from."""
    return next((p for p in _STAGED if re.fullmatch(p.path, path)), None)
