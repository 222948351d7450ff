"""What a program that forwards is: by which images and commands it is known, and how its configuration is read."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from scanner.egress.forwarders.lists import Allowed
from scanner.model.egress import Permit
from scanner.model.launch import Container, Missing, Mount, MountKind, Origin, Place

ANYWHERE = (Permit(("0.0.0.0/0", "::/0"), "tcp"),)
"""Any address, by TCP: what a proxy without a list lets through."""
EVERYWHERE = (Permit(("0.0.0.0/0", "::/0")),)
NAMES = (Permit(("names",)),)
"""As scanner/egress/builder.py has it: the configured resolver, whole."""
ENGINE = (Permit(("engine",)),)


@dataclass(frozen=True, slots=True)
class Forwarder:
    """What a container's software passes on for whoever reaches it.

    `kind`: `proxy` (asked for a destination), `relay` (always the same ones), `dns` (names), `engine` (a container engine's
    API), `router` (packets, for who can set a route to it: NET_ADMIN), `none` (it is known to pass nothing on).
    `permits`: what it surely lets through, which its own reach narrows further; names stay names. `perhaps`: what it lets
    through besides if the facts in `missing` are so (two edges: one without, one with them).
    `tunnels`: what of it passes as any bytes (CONNECT, SOCKS, a relay), where that is less than `permits`.
    `listens`: (protocol, port); () where nothing is known of it. `unix_sockets`: paths in the container on which it listens.
    `resolves`: it looks up names that its clients choose, which carries data out where its resolver forwards.
    `keys`: sources of mounts (paths, volumes) that hold what it asks its clients for: who mounts one gets all of `perhaps`.
    `origin`: the line of its configuration that decides, or what names it.
    """

    name: str
    program: str
    kind: str
    permits: tuple[Permit, ...]
    why: str
    origin: Origin
    listens: tuple[tuple[str, int], ...] = ()
    perhaps: tuple[Permit, ...] = ()
    missing: tuple[Missing, ...] = ()
    unix_sockets: tuple[str, ...] = ()
    tunnels: tuple[Permit, ...] | None = None
    resolves: bool = False
    keys: tuple[str, ...] = ()
    siblings: bool = False
    """It passes on to whichever container it finds through the engine on its networks (labels decide)."""
    opt_in: bool = False
    """Of those, to the ones alone whose label says so."""


@dataclass(frozen=True, slots=True)
class Text:
    """A mounted configuration."""

    file: str
    text: str
    mount: Mount

    def lines(self) -> Iterator[tuple[int, str]]:
        yield from enumerate(self.text.splitlines(), 1)

    def place(self, line: int, column: int = 1) -> Place:
        return Place(self.file, line, column)


@dataclass(frozen=True, slots=True)
class Run:
    """A program as a container starts it: `arguments` without its own name, None if the image's own command starts it."""

    container: Container
    program: str
    arguments: tuple[str, ...] | None
    origin: Origin
    official: bool
    unclear: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        return self.arguments or ()

    def option(self, *names: str) -> str | None:
        """The value of an option: `-c FILE`, `--config FILE`, `--config=FILE`, `-cFILE`; the last one given."""
        found = None
        words = self.words
        for at, word in enumerate(words):
            for name in names:
                if word == name and at + 1 < len(words):
                    found = words[at + 1]
                elif name.startswith("--") and word.startswith(name + "="):
                    found = word[len(name) + 1 :]
                elif len(name) == 2 and word.startswith(name) and len(word) > 2 and not word.startswith("--"):
                    found = word[2:].removeprefix("=")
        return found

    def options(self, *names: str) -> list[str]:
        """All values of an option that may be given often."""
        found = []
        words = self.words
        for at, word in enumerate(words):
            for name in names:
                if word == name and at + 1 < len(words):
                    found.append(words[at + 1])
                elif name.startswith("--") and word.startswith(name + "="):
                    found.append(word[len(name) + 1 :])
        return found

    def flag(self, *names: str) -> bool:
        return any(word in names for word in self.words)

    def env(self, name: str) -> str | None:
        return next((said.value for key, said in self.container.environment if key == name), None)

    def env_origin(self, name: str) -> Origin:
        return next((said.origin for key, said in self.container.environment if key == name), self.origin)

    def file(self, path: str) -> Text | None:
        """A mounted file, where its text could be read."""
        for mount in self.container.confinement.mounts:
            if mount.target.rstrip("/") == path and mount.content is not None:
                return Text(mount.content_file or mount.source, mount.content, mount)
        return None

    def files_in(self, folder: str, ends: str = "") -> list[Text]:
        """Mounted files right within a folder, in the order of their names."""
        found = [
            Text(m.content_file or m.source, m.content, m)
            for m in self.container.confinement.mounts
            if m.content is not None and m.target.rpartition("/")[0] == folder.rstrip("/") and m.target.endswith(ends)
        ]
        return sorted(found, key=lambda t: t.mount.target)

    def covered(self, path: str) -> Mount | None:
        """The mount over a path or a folder above it, whose content is not known."""
        for mount in self.container.confinement.mounts:
            target = mount.target.rstrip("/")
            if (
                mount.content is None
                and mount.kind is not MountKind.TMPFS
                and (path == target or path.startswith(target + "/"))
            ):
                return mount
        return None

    def result(
        self,
        kind: str,
        permits: Iterable[Permit],
        why: str,
        origin: Origin | None = None,
        *,
        listens: Iterable[tuple[str, int]] = (),
        perhaps: Iterable[Permit] = (),
        missing: Iterable[Missing] = (),
        unix_sockets: Iterable[str] = (),
        tunnels: Iterable[Permit] | None = None,
        resolves: bool = False,
    ) -> Forwarder:
        return Forwarder(
            self.container.name,
            self.program,
            kind,
            tuple(permits),
            why,
            origin or self.origin,
            tuple(dict.fromkeys(listens)),
            tuple(perhaps),
            tuple(missing),
            tuple(dict.fromkeys(unix_sockets)),
            None if tunnels is None else tuple(tunnels),
            resolves,
        )

    def relay(
        self,
        targets: Iterable[Permit],
        why: str,
        origin: Origin | None = None,
        *,
        listens: Iterable[tuple[str, int]] = (),
        unclear: str = "",
    ) -> Forwarder:
        """One that passes on to the same places always; `unclear` says why there may be others."""
        permits = tuple(dict.fromkeys(targets))
        if not unclear:
            return self.result("relay" if permits else "none", permits, why, origin, listens=listens)
        name = self.container.name
        missing = Missing(f"allows.{name}", f"{why}; {unclear}", origin or self.origin)
        return self.result("relay", permits, why, origin, listens=listens, perhaps=ANYWHERE, missing=(missing,))

    def nothing(self, why: str, origin: Origin | None = None, *, listens: Iterable[tuple[str, int]] = ()) -> Forwarder:
        return self.result("none", (), why, origin, listens=listens)

    def untold(
        self,
        what: str,
        permits: Iterable[Permit] = ANYWHERE,
        *,
        kind: str = "proxy",
        listens: Iterable[tuple[str, int]] = (),
        origin: Origin | None = None,
        resolves: bool = True,
    ) -> Forwarder:
        """The allow-list is not in the launch: `what` says where it is instead."""
        name = self.container.name
        why = f"{self.program} forwards, but {what}"
        missing = Missing(f"allows.{name}", f"{why}; what {name} lets through is unknown", origin or self.origin)
        return self.result(
            kind, (), why, origin, listens=listens, perhaps=permits, missing=(missing,), resolves=resolves
        )

    def listed(
        self,
        allowed: Allowed,
        why: str,
        origin: Origin | None = None,
        *,
        listens: Iterable[tuple[str, int]] = (),
        resolves: bool = True,
        unsaid: str = "",
        unix_sockets: Iterable[str] = (),
    ) -> Forwarder:
        """A list that was read. What is unclear of it is missing: `unsaid` says why."""
        name = self.container.name
        if not allowed.unclear:
            return self.result(
                "proxy" if allowed.permits else "none",
                allowed.permits,
                why,
                origin,
                listens=listens,
                tunnels=allowed.tunnels,
                resolves=resolves and bool(allowed.permits),
                unix_sockets=unix_sockets,
            )
        words = f"{why}; {unsaid or 'some of its rules cannot be judged here'}"
        missing = Missing(f"allows.{name}", words, origin or self.origin)
        return self.result(
            "proxy",
            allowed.permits,
            words,
            origin,
            listens=listens,
            perhaps=allowed.unclear,
            missing=(missing,),
            tunnels=allowed.tunnels,
            resolves=resolves,
            unix_sockets=unix_sockets,
        )


@dataclass(frozen=True, slots=True)
class Program:
    """`images`: names without registry and tag, `owner/name` or the last part alone (then whoever's); `official` those whose
    defaults are known; `commands`: names of the program. `entrypoint` is that of its images, which takes arguments.

    `read` gives None where the run is not one that forwards or is not understood.
    """

    name: str
    images: tuple[str, ...]
    commands: tuple[str, ...]
    read: Callable[[Run], Forwarder | None]
    official: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()


def target(text: str, port: int | None = None, protocol: str = "tcp") -> Permit | None:
    """`host:port`, `[v6]:port`, `scheme://host[:port]/…` as a permit; None where host or port cannot be told."""
    scheme, separator, rest = text.rpartition("://")
    if separator:
        port = {"http": 80, "https": 443, "h2c": 80, "grpc": 80, "grpcs": 443, "ws": 80, "wss": 443}.get(
            scheme.lower(), port
        )
    found = re.fullmatch(r"(?:[^@/]*@)?(\[[0-9A-Fa-f:.%]+\]|[^:/\s\[\]${}]+)(?::(\d{1,5}))?(?:/.*)?", rest)
    if found is None or (found[2] is None and port is None):
        return None
    number = int(found[2]) if found[2] else port
    assert number is not None
    return Permit((found[1].strip("[]").lower(),), protocol, ((number, number),)) if 0 < number < 65536 else None


_REFERENCE = re.compile(r"(?P<path>[^@]*?)(?::[^/@:]*)?(?:@.*)?")


def image_path(image: str) -> str:
    """The repository without its registry and tag, `library/` left out; lower case."""
    found = _REFERENCE.fullmatch(image.strip())
    path = (found["path"] if found else image).lower()
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        path = rest
    return path.removeprefix("library/")


def is_image(program: Program, path: str) -> bool:
    """Whether an image's path is one of the program's."""
    last = path.rpartition("/")[2]
    return any(path == one if "/" in one else last == one for one in program.images)
