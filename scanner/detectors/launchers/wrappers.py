"""Programs that only start another one: what they run, and how it then runs.

Sources: the manual pages of each; sudo(8), env(1), start-stop-daemon(8), screen(1), tmux(1), sshpass(1), chpst(8),
skarnet.org's s6 and execline pages.
"""

import re
from dataclasses import dataclass

_ASSIGN = re.compile(r"[A-Za-z_]\w{0,60}=", re.DOTALL)


def _options(words: str) -> frozenset[str]:
    return frozenset(words.split())


@dataclass(frozen=True, slots=True)
class Wrapper:
    """`valued` are the options that take a word, `own` counts its own words before the command."""

    valued: frozenset[str] = frozenset()
    own: int = 0
    detaches: bool = False


@dataclass(frozen=True, slots=True)
class Peeled:
    """What is left of a command without its wrapper: arguments, or text for a shell; variables that were set for it."""

    argv: tuple[str, ...] = ()
    text: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    detached: bool = False


_PLAIN = Wrapper()
_TMUX = Wrapper(_options("-s -n -c -t -x -y -F -e"), detaches=True)
WRAPPERS: dict[str, Wrapper] = {
    **dict.fromkeys(
        """
        command builtin catatonit setpriv unshare wine wine64 time torsocks torify tsocks
        with-contenv unbuffer catchsegv dbus-run-session emptyenv background foreground noglob nocorrect linux32 linux64
        s6-env and or not ltrace eatmydata fakeroot uname26
        """.split(),
        _PLAIN,
    ),
    "nohup": Wrapper(detaches=True),
    "coproc": Wrapper(detaches=True),
    "setsid": Wrapper(detaches=True),
    "exec": Wrapper(_options("-a")),
    "sudo": Wrapper(_options("-u -g -h -p -C -r -t -T -U -D -R --user --group --host --prompt --chdir")),
    "doas": Wrapper(_options("-u -C")),
    "pkexec": Wrapper(_options("--user")),
    "env": Wrapper(_options("-u -C --unset --chdir")),
    "timeout": Wrapper(_options("-s -k --signal --kill-after"), 1),
    "nice": Wrapper(_options("-n --adjustment")),
    "ionice": Wrapper(_options("-c -n -p --class --classdata")),
    "chrt": Wrapper(_options("-T -P -D"), 1),
    "taskset": Wrapper(own=1),
    "prlimit": Wrapper(),
    "numactl": Wrapper(_options("-N -m -i -C -l")),
    "setarch": Wrapper(own=1),
    "stdbuf": Wrapper(_options("-i -o -e")),
    "screen": Wrapper(_options("-S -c -e -h -s -t -T -p -L -Logfile"), detaches=True),
    "xargs": Wrapper(_options("-I -n -P -L -d -a -s -E")),
    "watch": Wrapper(_options("-n --interval")),
    "flock": Wrapper(_options("-w -E --timeout"), 1),
    "chroot": Wrapper(_options("--userspec --groups"), 1),
    "dumb-init": Wrapper(_options("-r --rewrite")),
    "tini": Wrapper(_options("-p -e")),
    "tini-static": Wrapper(_options("-p -e")),
    "gosu": Wrapper(own=1),
    "su-exec": Wrapper(own=1),
    "runuser": Wrapper(_options("-u -g -G")),
    "capsh": Wrapper(),
    "nsenter": Wrapper(_options("-t -S -G --target")),
    "firejail": Wrapper(),
    "cgexec": Wrapper(_options("-g")),
    "cpulimit": Wrapper(_options("-l -p -e -P --limit")),
    "systemd-run": Wrapper(_options("-p -u --unit --property -E"), detaches=True),
    "systemd-cat": Wrapper(_options("-t -p")),
    "systemd-inhibit": Wrapper(),
    "strace": Wrapper(_options("-o -e -p -s")),
    "tmux": Wrapper(_options("-L -S -f")),
    **dict.fromkeys("new-session new new-window neww split-window splitw".split(), _TMUX),
    "proxychains": Wrapper(_options("-f")),
    "proxychains4": Wrapper(_options("-f")),
    "proxychains3": Wrapper(_options("-f")),
    "graftcp": Wrapper(_options("-a -c -b")),
    "sshpass": Wrapper(_options("-p -f -d -P")),
    "daemonize": Wrapper(_options("-c -e -o -p -l -u -E"), detaches=True),
    "daemon": Wrapper(_options("-n -u -F -D -i -o -O -E -l -X -r -M -A -L"), detaches=True),
    "chpst": Wrapper(_options("-u -U -b -e -/ -n -l -L -m -d -o -p -f -c -t -r")),
    "softlimit": Wrapper(_options("-a -c -d -f -l -m -n -o -p -r -s -t")),
    "s6-softlimit": Wrapper(_options("-a -c -d -f -l -m -o -p -r -s -t")),
    "setuidgid": Wrapper(own=1),
    "envuidgid": Wrapper(own=1),
    "envdir": Wrapper(own=1),
    "setlock": Wrapper(own=1),
    "s6-setuidgid": Wrapper(own=1),
    "s6-envuidgid": Wrapper(own=1),
    "s6-envdir": Wrapper(own=1),
    "s6-setlock": Wrapper(_options("-t"), 1),
    "s6-applyuidgid": Wrapper(_options("-u -g -G -U")),
    "s6-notifyoncheck": Wrapper(_options("-3 -d -s -T -t -w -n -c")),
    "fdmove": Wrapper(own=2),
    "fdclose": Wrapper(own=1),
    "redirfd": Wrapper(own=3),
    "importas": Wrapper(_options("-D"), 2),
    "xvfb-run": Wrapper(_options("-n -s -e -f -p -w --server-num --server-args")),
    "dbus-launch": Wrapper(),
    "supervise": Wrapper(),
    "trickle": Wrapper(_options("-d -u -w -t -l -n -L")),
    "faketime": Wrapper(own=1),
    "forever": Wrapper(_options("-l -o -e -c -p --uid --pidFile"), detaches=True),
}
_LOADER = re.compile(r"ld-linux[\w.-]*\.so[\d.]*|ld-musl-[\w.-]+\.so[\d.]*|ld\.so|ld-[\d.]+\.so")
_LOADER_OPTIONS = Wrapper(_options("--library-path --inhibit-rpath --audit --preload --argv0 --glibc-hwcaps-prepend"))
_SCREEN_NAME = re.compile(r"-\w*S")


def peel(argv: tuple[str, ...]) -> Peeled | None:
    """One wrapper off; None if the program is none, or starts nothing here."""
    name = argv[0].rsplit("/", 1)[-1]
    if name == "start-stop-daemon":
        return _start_stop_daemon(argv)
    if name == "find":
        at = next((i for i, w in enumerate(argv) if w in ("-exec", "-execdir", "-ok", "-okdir")), None)
        return Peeled(tuple(w for w in argv[at + 1 :] if w not in (";", "+"))) if at is not None else None
    if name == "busybox":
        return Peeled(argv[1:]) if len(argv) > 1 else None
    wrapper = WRAPPERS.get(name) or (_LOADER_OPTIONS if _LOADER.fullmatch(name) else None)
    if wrapper is None:
        return None
    return _after(argv, name, wrapper)


def _after(argv: tuple[str, ...], name: str, wrapper: Wrapper) -> Peeled | None:
    at = 1
    environment: list[tuple[str, str]] = []
    detaches = wrapper.detaches
    text = None
    while at < len(argv):
        word = argv[at]
        if word == "--":
            at += 1
            break
        if name == "env" and word in ("-S", "--split-string") and at + 1 < len(argv):
            text = " ".join(argv[at + 1 :])
        elif name == "env" and word.startswith(("-S", "--split-string=")):
            text = " ".join([word.removeprefix("--split-string=").removeprefix("-S"), *argv[at + 1 :]])
        elif word in ("-c", "--command") and name in ("flock", "runuser", "unshare", "setpriv") and at + 1 < len(argv):
            text = argv[at + 1]
        if text is not None:
            return Peeled(text=text, environment=tuple(environment), detached=detaches)
        if word in wrapper.valued or (name == "screen" and _SCREEN_NAME.fullmatch(word)):
            if name == "systemd-run" and word == "-E" and at + 1 < len(argv):
                environment.append(_pair(argv[at + 1]))
            at += 2
        elif _ASSIGN.match(word):
            environment.append(_pair(word))
            at += 1
        elif (word.startswith("-") and len(word) > 1) or (name == "env" and word == "-"):
            at += 1
        else:
            break
    rest = argv[at + wrapper.own :]
    if name == "flock" and len(rest) > 1 and rest[0] in ("-c", "--command"):
        return Peeled(text=rest[1], environment=tuple(environment))
    if not rest:
        return None
    if len(rest) == 1 and " " in rest[0]:
        return Peeled(text=rest[0], environment=tuple(environment), detached=detaches)
    return Peeled(rest, environment=tuple(environment), detached=detaches)


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _start_stop_daemon(argv: tuple[str, ...]) -> Peeled | None:
    inner = next(
        (argv[i + 1] for i, w in enumerate(argv) if w in ("-x", "--exec", "-a", "--startas") and i + 1 < len(argv)),
        None,
    ) or next((w.partition("=")[2] for w in argv if w.startswith(("--exec=", "--startas="))), None)
    if not inner:
        return None
    rest = argv[argv.index("--") + 1 :] if "--" in argv else ()
    return Peeled((inner, *rest), detached="-b" in argv or "--background" in argv)
