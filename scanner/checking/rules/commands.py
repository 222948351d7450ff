"""What a command installs or fetches, by the manuals of the package managers and of curl, wget and git."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.detectors.launchers.shell import Command

_SYSTEM = {
    "apt": ("install",),
    "apt-get": ("install",),
    "aptitude": ("install",),
    "apk": ("add",),
    "dnf": ("install",),
    "yum": ("install",),
    "microdnf": ("install",),
    "tdnf": ("install",),
    "zypper": ("install", "in"),
    "pacman": ("-S", "-Sy", "-Syu", "-Syyu"),
    "brew": ("install",),
    "snap": ("install",),
    "conda": ("install",),
    "mamba": ("install",),
    "micromamba": ("install",),
    "pkg": ("install",),
    "apt-install": ("",),
    "install_packages": ("",),
    "clean-install": ("",),
}
"""Package managers of distributions and the word that makes them install; the last three are scripts of well-known base images."""
_LANGUAGE = {
    "pip": ("install",),
    "pipx": ("install", "run"),
    "npm": ("install", "i", "add", "ci"),
    "pnpm": ("install", "i", "add"),
    "yarn": ("add",),
    "bun": ("install", "add", "i"),
    "go": ("install", "get", "run"),
    "cargo": ("install",),
    "gem": ("install",),
}
_VALUED = frozenset(
    """-t --target-release -o --option --virtual -X --repository -p --root -r --requirement -c --constraint -i --index-url
    --extra-index-url --target --prefix --registry --repo --version --git --channel -n --name -f --find-links""".split()
)
"""Options whose value is the next word, and no package."""
_VERSION = re.compile(
    r"(?:[=<>!~;\[]|(?<=.)@).*|/(?:stable|testing|unstable|edge|[a-z]+-backports)\Z|:(?:amd64|arm64|i386|any)\Z"
)
_PIP = re.compile(r"pip[\d.]*")
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*")
_URL = re.compile(r"(?i)(?:git\+)?(?:https?|ftp|git|ssh)://[^\s\"'<>|;]+|git@[\w.-]+:[\w./-]+")


SSH_SERVERS = {
    "openssh-server": "openssh-server",
    "openssh": "openssh (with its server)",
    "openssh-server-pam": "openssh-server-pam",
    "ssh": "ssh (with its server)",
    "task-ssh-server": "openssh-server",
    "dropbear": "dropbear",
    "dropbear-bin": "dropbear",
    "dropbear-run": "dropbear",
    "tinysshd": "tinysshd",
}
"""Packages of distributions that hold an ssh server, and how they are called to people."""


@dataclass(frozen=True, slots=True)
class Package:
    """`manager` is system, pip, npm, go, cargo or gem; `name` without version; `word` as it is written."""

    manager: str
    name: str
    word: str


def installs(command: Command) -> Iterator[Package]:
    """The packages that a command installs by name."""
    name, argv = command.name, list(command.argv[1:])
    if _PYTHON.fullmatch(name) and argv[:2] == ["-m", "pip"]:
        name, argv = "pip", argv[2:]
    elif name == "uv" and argv[:1] in (["pip"], ["tool"]):
        name, argv = "pip", argv[1:]
    elif _PIP.fullmatch(name):
        name = "pip"
    verbs = _SYSTEM.get(name) or _LANGUAGE.get(name)
    if verbs is None:
        return
    if name == "yarn" and argv[:1] == ["global"]:
        argv = argv[1:]
    at = -1 if verbs == ("",) else next((i for i, word in enumerate(argv) if word in verbs), None)
    if at is None:
        return
    manager = (
        name if name in ("go", "cargo", "gem") else "pip" if name == "pipx" else "system" if name in _SYSTEM else name
    )
    manager = "npm" if name in ("pnpm", "yarn", "bun") else manager
    valued = ""
    for word in argv[at + 1 :]:
        if valued:
            valued = ""
        elif word.startswith("-"):
            valued = word if word in _VALUED else ""
        elif word in ("&&", ";", "||"):
            return
        elif found := _URL.fullmatch(word):
            yield Package("url", found.group(), word)
        else:
            bare = word.partition("@")[0] if manager == "go" else _VERSION.sub("", word)
            if bare:
                yield Package(manager, bare, word)


def urls(command: Command) -> Iterator[str]:
    """The addresses that a command fetches from: of curl, wget, git, and of whoever installs from an address."""
    if command.name in ("curl", "wget", "wget2", "aria2c", "git", "http", "https", "fetch", "axel", "svn"):
        for word in command.argv[1:]:
            if found := _URL.search(word):
                yield found.group()
    else:
        yield from (package.name for package in installs(command) if package.manager == "url")


def is_url(word: str) -> bool:
    return _URL.match(word) is not None
