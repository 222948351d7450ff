"""`docker run` and `docker create` (podman's and nerdctl's too), one or many, with the networks and volumes made beside them.

What the flags mean: docker/cli, cli/command/container/opts.go, opts/network.go, opts/mount.go; podman-run(1).
"""

import csv
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanner.errors import LimitError, ParseError, ScannerError
from scanner.launch.nearby import folder_of, small_text
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.runflags import (
    ENGINES,
    GLOBAL,
    NETWORK_CONNECT,
    NETWORK_CREATE,
    NETWORK_DISCONNECT,
    RUN,
    VOLUME_CREATE,
    Flag,
    parse,
    truth,
)
from scanner.launch.shellwords import Shell, Word
from scanner.model import Level, Notification, printable
from scanner.model.launch import (
    Attachment,
    Confinement,
    Container,
    Default,
    Launch,
    Missing,
    Mount,
    MountKind,
    Network,
    Place,
    Published,
    Said,
    Script,
)

CONTAINERS = 10_000
PORTS = 70_000
"""Published and exposed ports of one container, ranges counted whole."""
RECOGNISED = 1 << 20
"""Characters in which a command must stand for the text to be taken for one that starts containers."""
SOCKET = "/var/run/docker.sock"
_MENTIONS = re.compile(
    r"(?m)^(?![ \t]*#)[^\n]{0,400}?(?:\b(?:docker|podman|nerdctl)\b|\$\{?\w{0,40}(?:DOCKER|PODMAN|RUNTIME|ENGINE))"
    r"[^\n]{0,300}?[ \t](?:run|create)\b"
)
_VARIABLE_ENGINE = re.compile(r"(?i)docker|podman|nerdctl|runtime|engine|oci")
_VARIABLE_IMAGE = re.compile(r"(?i)image|img|tag|repo|name|container")
_PREFIXES = frozenset(
    "sudo doas exec command nohup time env nice ionice setsid stdbuf timeout unbuffer winpty builtin chronic retry wsl lima".split()
)
_PRIVATE_MODES = ("slirp4netns", "pasta", "private")
_DEVICE_MODE = re.compile(r"[rwm]{1,3}")
_CDI = re.compile(r"[A-Za-z][\w.-]*/[A-Za-z][\w-]*=[\w.:-]+")


@dataclass(frozen=True, slots=True)
class _Volume:
    """`device` is what a local volume with `-o o=bind` really is; `unknown` what of it nobody knows."""

    kind: MountKind
    device: str | None
    unknown: tuple[str, ...]


@dataclass
class Session:
    """What the commands of one text have made so far. `folder` may be read from, `shell` knows where the commands
    are run: without one that is the folder itself."""

    folder: Path | None
    shell: Shell | None = None
    containers: list[Container] = field(default_factory=list)
    networks: dict[str, Network] = field(default_factory=dict)
    volumes: dict[str, _Volume] = field(default_factory=dict)
    notes: list[Notification] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=dict)
    """Names that containers have, with how many asked for each."""

    def command(self, words: list[Word], conditional: bool) -> str | None:
        """Take one command in; gives what it prints (a name stands for its id)."""
        found = _engine(words)
        if found is None:
            return None
        engine, words = found
        where = words[0].place
        name = " ".join(w.text for w in words[:2])
        if words[0].text in ("run", "create"):
            return self._run(engine, words[1:], where, prints="-d" if words[0].text == "run" else "always")
        if name in ("container run", "container create"):
            return self._run(engine, words[2:], where, prints="-d" if words[1].text == "run" else "always")
        if name == "network create":
            return self._network_create(engine, words[2:], where)
        if name == "network connect":
            self._network_connect(engine, words[2:], where)
        elif name == "network disconnect":
            self._network_disconnect(engine, words[2:], where, conditional)
        elif name == "volume create":
            return self._volume_create(engine, words[2:])
        return None

    # -- containers

    def _run(self, engine: str, words: list[Word], where: Place, prints: str) -> str | None:
        if any(w.text == "--help" for w in words[:1]):
            return None
        container = self.run(engine, words, where)
        detached = prints == "always" or any(
            f.name == "detach" and truth(f.value) for f in parse(RUN, _certain(words), engine)[0]
        )
        return container.name if detached else None

    def run(self, engine: str, words: Sequence[Word], where: Place, name: str | None = None) -> Container:
        """The container that `ENGINE run WORDS` starts; `name` what it is called here if the words do not say.

        Raises ParseError for what the engine's client refuses.
        """
        if len(self.containers) >= CONTAINERS:
            raise LimitError(f"{where}: more than {CONTAINERS:,} containers")
        flags, rest = parse(RUN, words, engine)
        missing: dict[str, Missing] = {}
        # a word that may be any number of words, where a flag may stand: flags, or the image, or both
        while rest and rest[0].loose and not _VARIABLE_IMAGE.search(rest[0].unknown[0]):
            _miss(missing, rest[0], "it may hold any flag")
            more, rest = parse(RUN, rest[1:], engine)
            flags += more
        if not rest and not missing:
            raise ParseError(f"{where}: {engine} run names no image")
        image = rest[0] if rest else None
        container = _Reading(self, engine, flags, where, missing).container(image, rest[1:], name)
        self.containers.append(container)
        return container

    def find(self, name: str) -> int | None:
        """The container of that name, the latest first."""
        return next(
            (
                i
                for i in range(len(self.containers) - 1, -1, -1)
                if name in (self.containers[i].name, self.containers[i].container_name)
            ),
            None,
        )

    # -- networks and volumes

    def _network_create(self, engine: str, words: list[Word], where: Place) -> str | None:
        flags, rest = parse(NETWORK_CREATE, words, engine)
        unknown = [w for w in words if w.loose]
        if not rest:
            if unknown or engine == "podman":
                return None
            raise ParseError(f"{where}: {engine} network create names no network")
        key = rest[0].text
        driver = Said("bridge", Default(engine))
        internal = Said(False, Default(engine))
        ipv4 = ipv6 = None
        options: dict[str, Said[str]] = {}
        subnets: list[str] = []
        gateways: list[str] = []
        external = bool([w for w in unknown if w is not rest[0]])
        for flag in flags:
            value, place = flag.value, flag.word.place
            on = truth(value)
            if flag.name in ("internal", "ipv4", "ipv6"):
                if on is None:
                    external = external or _refuse_unless_unknown(flag, engine, "network create")
                else:
                    said = Said(on, place)
                    internal = said if flag.name == "internal" else internal
                    ipv4 = said if flag.name == "ipv4" else ipv4
                    ipv6 = said if flag.name == "ipv6" else ipv6
            elif value is None:
                continue
            elif flag.name == "driver":
                driver, external = Said(value.text, place), external or bool(value.unknown)
            elif flag.name == "macvlan":
                driver, options["parent"] = Said("macvlan", place), Said(value.text, place)
            elif flag.name == "opt":
                option, _, text = value.text.partition("=")
                options[option] = Said(text, place)
                external = external or bool(value.unknown)
            elif flag.name == "subnet":
                subnets += value.text.split(",")
            elif flag.name == "gateway":
                gateways += value.text.split(",")
            elif flag.name == "config-from":
                known = self.networks.get(value.text)
                external = external or known is None
                if known is not None:
                    options = {**dict(known.options), **options}
                    subnets, gateways = [*known.subnets, *subnets], [*known.gateways, *gateways]
        self.networks.setdefault(
            key,
            Network(
                key,
                driver,
                internal,
                where,
                name=key if not rest[0].unknown else None,
                external=external,
                ipv4=ipv4,
                ipv6=ipv6,
                options=tuple(options.items()),
                subnets=tuple(subnets),
                gateways=tuple(gateways),
            ),
        )
        return key

    def _network_connect(self, engine: str, words: list[Word], where: Place) -> None:
        flags, rest = parse(NETWORK_CONNECT, words, engine)
        if len(rest) != 2:
            self.note(
                f"{where}: a network connect that does not name a network and a container was not understood", True
            )
            return
        at = self.find(rest[1].text)
        if at is None:
            self.note(
                f"{where}: {printable(rest[1].text)} is connected to a network, but nothing here starts it", False
            )
            return
        container = self.containers[at]
        if container.network_mode.value not in ("bridge", "networks"):
            self.note(
                f"{where}: the engine connects no container to a network that has the network mode "
                f"{printable(container.network_mode.value)}",
                False,
            )
            return
        texts = {f.name: f.value.text for f in flags if f.value is not None}
        attachment = Attachment(
            rest[0].text,
            where,
            aliases=tuple(f.value.text for f in flags if f.name == "alias" and f.value is not None),
            ipv4=texts.get("ip"),
            ipv6=texts.get("ip6"),
            gw_priority=_integer(texts.get("gw-priority")),
        )
        if any(a.network == attachment.network for a in container.attachments):
            return
        self.containers[at] = replace(
            container,
            network_mode=Said("networks", container.network_mode.origin),
            attachments=(*container.attachments, attachment),
        )

    def _network_disconnect(self, engine: str, words: list[Word], where: Place, conditional: bool) -> None:
        _, rest = parse(NETWORK_DISCONNECT, words, engine)
        at = self.find(rest[1].text) if len(rest) == 2 else None
        if at is None:
            return
        if conditional:
            self.note(
                f"{where}: whether this disconnects anything depends on a condition; taken as if it did not", False
            )
            return
        container = self.containers[at]
        left = tuple(a for a in container.attachments if a.network != rest[0].text)
        if left == container.attachments:
            return
        mode = Said("networks", container.network_mode.origin) if left else Said("none", where)
        self.containers[at] = replace(container, network_mode=mode, attachments=left)

    def _volume_create(self, engine: str, words: list[Word]) -> str | None:
        flags, rest = parse(VOLUME_CREATE, words, engine)
        name = rest[0] if rest else next((f.value for f in flags if f.name == "name"), None)
        if name is None:
            return None
        options = [f.value for f in flags if f.name == "opt" and f.value is not None]
        self.volumes[name.text] = _volume(
            {o.text.partition("=")[0]: o.text.partition("=")[2] for o in options},
            tuple(u for o in options for u in o.unknown),
        )
        return name.text

    def note(self, message: str, incomplete: bool) -> None:
        self.notes.append(Notification("launch", Level.WARNING if incomplete else Level.NOTE, message))

    @property
    def working(self) -> str | None:
        """Where the command is run; None where only a run can tell."""
        if self.shell is not None:
            return self.shell.working
        return str(self.folder) if self.folder is not None else "."

    # -- the end

    def launch(self, format: str, files: tuple[str, ...], runner: str) -> Launch:
        """All of it, with the networks that nothing here makes."""
        networks = dict(self.networks)
        for container in self.containers:
            for attachment in container.attachments:
                key = attachment.network
                if key not in networks:
                    networks[key] = default_bridge() if key == "bridge" else external_network(key, attachment.origin)
        return Launch(
            format, files, runner, tuple(self.containers), tuple(networks.values()), notifications=tuple(self.notes)
        )


def unique(name: str, taken: dict[str, int]) -> str:
    """The name, with a number if another has it already."""
    found = name
    while found in taken:
        taken[name] += 1
        found = f"{name}-{taken[name]}"
    taken[found] = 1
    return found


def default_bridge() -> Network:
    """The network that containers are on if nothing is said."""
    whose = Default("docker")
    return Network("bridge", Said("bridge", whose), Said(False, whose), whose, name="bridge")


def external_network(key: str, origin: Place | Default) -> Network:
    """A network that was made elsewhere: nothing of it is known."""
    whose = Default("docker")
    return Network(key, Said("bridge", whose), Said(False, whose), origin, name=key, external=True)


# ---- one command's flags


@dataclass
class _Reading:
    session: Session
    engine: str
    flags: list[Flag]
    where: Place
    missing: dict[str, Missing]
    ports: int = 0

    def container(self, image: Word | None, command: list[Word], name: str | None) -> Container:
        rootfs = any(f.name == "rootfs" and truth(f.value) for f in self.flags)
        given = self._last("name")
        short = name or _short(image.text if image is not None and not rootfs else "")
        mode, attachments = self._network()
        entrypoint = self._last("entrypoint")
        hostname, working_dir = self._last("hostname"), self._last("workdir")
        exposed = tuple(dict.fromkeys(p for f in self._all("expose") for p in self._exposed(f)))
        published = [p for f in self._all("publish") for value in self._split(f) for p in self._published(value, f)]
        if self._switch("publish-all") is not None:
            known = {p.port for p in published}
            place = next(f.word.place for f in self.flags if f.name == "publish-all")
            published += [Published("", None, port, "tcp", place) for port in exposed if port not in known]
        return Container(
            name=unique(given.text if given is not None else short, self.session.taken),
            kind="container",
            origin=self.where,
            network_mode=mode,
            attachments=attachments,
            image=Said(image.text, image.place) if image is not None and not rootfs else None,
            container_name=given.text if given is not None else None,
            hostname=hostname.text if hostname is not None else None,
            working_dir=working_dir.text if working_dir is not None and not working_dir.unknown else None,
            entrypoint=_entrypoint(entrypoint) if entrypoint is not None else None,
            command=tuple(Said(w.text, w.place) for w in command) if command else None,
            environment=tuple(self._environment()),
            published=tuple(published),
            exposed=exposed,
            links=tuple(Said(f.value.text, f.word.place) for f in self._all("link") if f.value is not None),
            extra_hosts=tuple(self._hosts()),
            dns=tuple(Said(v.text, f.word.place) for f in self._all("dns") for v in self._split(f) if v.text != "none"),
            confinement=self._confinement(),
            scripts=tuple(self._scripts(entrypoint, command)),
            missing=tuple(self.missing.values()),
            labels={
                f.value.text.partition("=")[0]: f.value.text.partition("=")[2]
                for f in self._all("label")
                if f.value is not None
            },
        )

    # -- access

    def _all(self, name: str) -> Iterator[Flag]:
        return (f for f in self.flags if f.name == name)

    def _last(self, name: str) -> Word | None:
        return next((f.value for f in reversed(self.flags) if f.name == name), None)

    def _said(self, name: str) -> Said[str] | None:
        flag = next((f for f in reversed(self.flags) if f.name == name), None)
        if flag is None or flag.value is None or not flag.value.text:
            return None
        if flag.value.unknown:
            self._miss(flag.value, f"--{name} is taken from it")
        return Said(flag.value.text, flag.word.place)

    def _switch(self, name: str) -> Said[bool] | None:
        flag = next((f for f in reversed(self.flags) if f.name == name), None)
        if flag is None:
            return None
        on = truth(flag.value)
        if on is None:
            _refuse_unless_unknown(flag, self.engine, "run")
            assert flag.value is not None
            self._miss(flag.value, f"--{name} is taken from it")
            return None
        return Said(on, flag.word.place)

    def _read_only(self) -> Said[bool] | None:
        """A value that hangs on a variable leaves it open: no way out hangs on that."""
        flag = next((f for f in reversed(self.flags) if f.name == "read-only"), None)
        return Said(True, flag.word.place) if flag is not None and truth(flag.value) is True else None

    def _split(self, flag: Flag) -> list[Word]:
        """The values of a flag that podman and nerdctl split at commas."""
        value = flag.value
        if value is None:
            return []
        if self.engine == "docker" or "," not in value.text or "=" in value.text:
            return [value]
        return [replace(value, text=text) for text in value.text.split(",")]

    def _miss(self, word: Word, why: str) -> None:
        _miss(self.missing, word, why)

    # -- network

    def _network(self) -> tuple[Said[str], tuple[Attachment, ...]]:
        given = [(word, flag.word.place) for flag in self._all("network") for word in self._networks(flag)]
        pod = next(self._all("pod"), None)
        if pod is not None and pod.value is not None and not given:
            key = f"pod:{pod.value.text.removeprefix('new:')}"
            return Said("networks", pod.word.place), (Attachment(key, pod.word.place),)
        first = {"ip": self._last("ip"), "ip6": self._last("ip6")}
        aliases = tuple(v.text for f in self._all("network-alias") for v in self._split(f))
        if not given:
            whose = Default(self.engine)
            return Said("bridge", whose), (Attachment("bridge", whose),)
        attachments: list[Attachment] = []
        modes: list[Said[str]] = []
        for number, (word, place) in enumerate(given):
            name, settings = self._attachment(word, place)
            mode = self._mode(name, place)
            if mode is not None:
                modes.append(mode)
                if mode.value == "bridge":
                    attachments.append(Attachment("bridge", place))
                continue
            if word.unknown and name not in self.session.networks:
                self._miss(word, "it names the network, or host, or none")
            if any(a.network == name for a in attachments):
                raise ParseError(f"{place}: the network {printable(name)} is named twice")
            ipv4, ipv6 = (first["ip"], first["ip6"]) if number == 0 else (None, None)
            attachments.append(
                Attachment(
                    name,
                    place,
                    aliases=(*settings.get("alias", ()), *(aliases if number == 0 else ())),
                    ipv4=next(iter(settings.get("ip", ())), ipv4.text if ipv4 is not None else None),
                    ipv6=next(iter(settings.get("ip6", ())), ipv6.text if ipv6 is not None else None),
                    gw_priority=_integer(next(iter(settings.get("gw-priority", ())), None)),
                )
            )
        if modes and (len(given) > 1 and (self.engine == "docker" or any(m.value != "bridge" for m in modes))):
            raise ParseError(
                f"{modes[-1].origin}: {self.engine} refuses a network mode ({printable(modes[-1].value)}) together with "
                "another network"
            )
        if len(modes) == len(given):
            return modes[-1], tuple(attachments)
        return Said("networks", given[0][1]), tuple(attachments)

    def _networks(self, flag: Flag) -> list[Word]:
        value = flag.value
        if value is None:
            return []
        if self.engine == "docker" or "," not in value.text or ":" in value.text or "=" in value.text:
            return [value]
        return [replace(value, text=text) for text in value.text.split(",")]

    def _attachment(self, word: Word, place: Place) -> tuple[str, Mapping[str, list[str]]]:
        """The network's name, and its settings by key."""
        text = word.text
        settings: dict[str, list[str]] = {}
        if self.engine != "podman" and re.search(r"\w+=", text):
            for entry in _csv(text, place):
                key, _, value = entry.partition("=")
                settings.setdefault(key.strip().lower(), []).append(value.strip())
            names = settings.get("name", [])
            if not names:
                raise ParseError(f"{place}: --network {printable(text)} names no network")
            unknown = settings.keys() - {
                "name",
                "alias",
                "ip",
                "ip6",
                "driver-opt",
                "mac-address",
                "link-local-ip",
                "gw-priority",
            }
            if unknown:
                raise ParseError(f"{place}: --network knows no {printable(min(unknown))}=")
            return names[-1], settings
        name, colon, rest = text.partition(":")
        if self.engine == "podman" and colon and name not in ("container", "ns"):
            for entry in rest.split(","):
                key, _, value = entry.partition("=")
                settings.setdefault("ip6" if key == "ip" and ":" in value else key, []).append(value)
            return name, settings
        return text, settings

    def _mode(self, name: str, place: Place) -> Said[str] | None:
        """The network mode that a name is; None for a network of its own."""
        if name in ("bridge", "default", ""):
            return Said("bridge", place)
        if name in ("none", "host"):
            return Said(name, place)
        if name.startswith("container:"):
            at = self.session.find(name.removeprefix("container:"))
            return Said(f"container:{self.session.containers[at].name}" if at is not None else name, place)
        if self.engine == "podman" and name in _PRIVATE_MODES:
            self.session.note(
                f"{place}: podman's {name} is taken for a bridge of its own: everything outside is open", False
            )
            return Said("bridge", place)
        return None

    # -- ports

    def _exposed(self, flag: Flag) -> Iterator[int]:
        for value in self._split(flag):
            ports = value.text.partition("/")[0]
            found = _range(ports)
            if found is None:
                if not value.unknown:
                    raise ParseError(f"{flag.word.place}: --expose {printable(value.text)} is no port")
                continue
            self._count(found, flag.word.place)
            yield from range(found[0], found[1] + 1)

    def _count(self, ports: tuple[int, int], place: Place) -> None:
        self.ports += ports[1] - ports[0] + 1
        if self.ports > PORTS:
            raise LimitError(f"{place}: more than {PORTS:,} ports of one container")

    def _published(self, value: Word, flag: Flag) -> Iterator[Published]:
        """`[[IP:]HOST:]PORT[/PROTOCOL]`, each a port or a range; `target=80,published=8080`."""
        place, text = flag.word.place, value.text
        if "=" in text and not value.unknown:
            settings = dict(one.partition("=")[::2] for one in text.split(","))
            text = f"{settings.get('published', '')}:{settings.get('target', '')}/{settings.get('protocol', 'tcp')}"
        ports, _, protocol = text.partition("/")
        before, _, inside = ports.rpartition(":")
        address, _, outside = before.rpartition(":")
        found = _range(inside)
        host = _range(outside) if outside else None
        if found is None or (outside and host is None):
            if value.unknown:
                if found is not None:
                    self._count(found, place)
                    for port in range(found[0], found[1] + 1):
                        yield Published("", None, port, protocol.lower() or "tcp", place)
                else:
                    self._miss(value, "it names a port that is published")
                return
            raise ParseError(f"{place}: {printable(value.text)} publishes no port")
        self._count(found, place)
        for port in range(found[0], found[1] + 1):
            number = None
            if host is not None and host[1] - host[0] == found[1] - found[0]:
                number = host[0] + port - found[0]
            yield Published(address.strip("[]"), number or None, port, protocol.lower() or "tcp", place)

    # -- what it is given

    def _environment(self) -> Iterator[tuple[str, Said[str | None]]]:
        values: dict[str, Said[str | None]] = {}
        for flag in self._all("env-file"):
            for word in self._split(flag):
                folder, working = self.session.folder, self.session.working
                known = folder is not None and working is not None and not word.unknown
                text = small_text(folder, posixpath.join(working, word.text)) if known else None  # type: ignore[arg-type]
                if text is None:
                    self.session.note(
                        f"{flag.word.place}: the variables in {printable(word.text)} could not be read", False
                    )
                    continue
                for number, line in enumerate(text.split("\n"), 1):
                    name, equals, value = line.strip("\r").lstrip().partition("=")
                    if name and not name.startswith("#"):
                        values[name] = Said(value if equals else None, Place(word.text, number))
        for flag in self._all("env"):
            if flag.value is not None:
                name, equals, value = flag.value.text.partition("=")
                known = bool(equals) and not flag.value.unknown
                values[name] = Said(value if known else None, flag.word.place)
        yield from values.items()

    def _hosts(self) -> Iterator[tuple[str, Said[str]]]:
        for flag in self._all("add-host"):
            for word in self._split(flag):
                names, _, address = word.text.partition("=" if "=" in word.text.partition(":")[0] else ":")
                if not address:
                    raise ParseError(f"{flag.word.place}: --add-host {printable(word.text)} is no NAME:ADDRESS")
                for name in names.split(";"):
                    yield name, Said(address.strip("[]"), flag.word.place)

    def _confinement(self) -> Confinement:
        seccomp = apparmor = no_new = None
        for flag in self._all("security-opt"):
            if flag.value is None:
                continue
            text, place = flag.value.text, flag.word.place
            key, sign, value = text.partition("=")
            if not sign and key != "no-new-privileges":
                key, sign, value = text.partition(":")
            if flag.value.unknown:
                self._miss(flag.value, "it holds a security option")
            elif key == "seccomp":
                seccomp = None if value in ("default", "builtin") else Said(value, place)
            elif key == "apparmor":
                apparmor = Said(value, place)
            elif key.startswith("no-new-privileges"):
                no_new = Said((value or key.partition(":")[2] or "true") in ("true", "1"), place)
        user = next((f for f in reversed(self.flags) if f.name == "user"), None)
        devices: list[Said[str]] = []
        gpus = self._said("gpus")
        for flag in self._all("device"):
            for word in self._split(flag):
                if word.unknown:
                    self._miss(word, "it names a device of the host")
                if _CDI.fullmatch(word.text):
                    gpus = gpus or (Said(word.text, flag.word.place) if "gpu" in word.text else None)
                devices.append(Said(word.text, flag.word.place))
        sysctls = [
            (name, Said(value, flag.word.place))
            for flag in self._all("sysctl")
            if flag.value is not None
            for name, _, value in [flag.value.text.partition("=")]
        ]
        cgroup = self._said("cgroupns")
        return Confinement(
            user=Said(user.value.text, user.word.place) if user is not None and user.value is not None else None,
            privileged=self._switch("privileged"),
            read_only=self._read_only(),
            cap_add=tuple(self._capabilities("cap-add")),
            cap_drop=tuple(self._capabilities("cap-drop")),
            seccomp=seccomp,
            apparmor=apparmor,
            no_new_privileges=no_new,
            pid=self._namespace("pid"),
            ipc=self._namespace("ipc"),
            uts=self._said("uts"),
            userns=self._said("userns"),
            cgroup=cgroup,
            runtime=self._said("runtime"),
            mounts=tuple(self._mounts()),
            devices=tuple(devices),
            gpus=gpus,
            sysctls=tuple(sysctls),
        )

    def _namespace(self, name: str) -> Said[str] | None:
        said = self._said(name)
        if said is not None and said.value.startswith("container:"):
            at = self.session.find(said.value.removeprefix("container:"))
            return replace(said, value=f"container:{self.session.containers[at].name}") if at is not None else said
        return said

    def _capabilities(self, name: str) -> Iterator[Said[str]]:
        for flag in self._all(name):
            if flag.value is None:
                continue
            if flag.value.unknown:
                if name == "cap-add":
                    self._miss(flag.value, "it names a capability that is added")
                continue
            for text in flag.value.text.split(","):
                yield Said(text.strip().upper().removeprefix("CAP_"), flag.word.place)

    # -- mounts

    def _mounts(self) -> Iterator[Mount]:
        for flag in self.flags:
            if flag.value is None:
                if flag.name == "use-api-socket":
                    yield Mount(MountKind.BIND, SOCKET, SOCKET, False, flag.word.place)
                continue
            if flag.name == "volume":
                yield self._volume(flag.value, flag.word.place)
            elif flag.name == "mount":
                yield self.mount(flag.value, flag.word.place)
            elif flag.name == "tmpfs":
                yield Mount(MountKind.TMPFS, "", flag.value.text.partition(":")[0], False, flag.word.place)
            elif flag.name == "use-api-socket" and truth(flag.value):
                yield Mount(MountKind.BIND, SOCKET, SOCKET, False, flag.word.place)
            elif flag.name == "volumes-from":
                name, _, options = flag.value.text.partition(":")
                at = self.session.find(name)
                if at is None:
                    self.missing.setdefault(
                        f"adds.{name}",
                        Missing(
                            f"adds.{name}",
                            f"it has the mounts of {name}, which nothing here starts",
                            flag.word.place,
                        ),
                    )
                    continue
                for mount in self.session.containers[at].confinement.mounts:
                    if mount.kind is not MountKind.TMPFS:
                        read_only = mount.read_only or "ro" in options.split(",")
                        yield replace(mount, read_only=read_only, origin=flag.word.place)

    def _volume(self, value: Word, place: Place) -> Mount:
        """`[SOURCE:]TARGET[:OPTIONS]`."""
        drive = re.match(r"[A-Za-z]:[\\/]", value.text)
        skipped = 2 if drive is not None else 0
        source, colon, rest = value.text[skipped:].partition(":")
        source = value.text[:skipped] + source
        if "${" in value.text:  # a colon within what is unknown divides nothing
            source, colon, rest = _outside_braces(value.text)
        if not colon:
            return Mount(MountKind.VOLUME, "", value.text, False, place)
        target, _, options = rest.partition(":")
        if not source or not target:
            raise ParseError(f"{place}: {printable(value.text)} is no SOURCE:TARGET")
        read_only = "ro" in options.split(",")
        if source[0] in "/.~$\\" or skipped or "/" in source:
            return self._bind(source, target, read_only, place, value)
        return self._named(source, target, read_only, place)

    def _named(self, source: str, target: str, read_only: bool, place: Place) -> Mount:
        volume = self.session.volumes.get(source)
        if volume is not None and volume.device is not None:
            word = Word(volume.device, place, volume.unknown)
            return self._bind(volume.device, target, read_only, place, word)
        return Mount(MountKind.VOLUME if volume is None else volume.kind, source, target, read_only, place)

    def _bind(self, source: str, target: str, read_only: bool, place: Place, word: Word) -> Mount:
        folder, working = self.session.folder, self.session.working
        if word.unknown and _may_be_anything(source):
            self._miss(word, f"it names what of the host is mounted at {target}")
        elif not source.startswith(("/", "~", "$", "\\")) and ":" not in source:
            if working is None:
                self._miss(replace(word, unknown=("PWD",)), f"what of the host is mounted at {target} lies below it")
            elif working not in (None, "."):
                source = posixpath.normpath(posixpath.join(str(working), source))
        elif source.startswith("/") and not word.unknown:
            source = posixpath.normpath(source)
        content = small_text(folder, source) if folder is not None and not word.unknown else None
        name = posixpath.relpath(source, folder) if content is not None else None
        return Mount(MountKind.BIND, source, target, read_only, place, content, name)

    def mount(self, value: Word, place: Place) -> Mount:
        """`type=…,source=…,target=…`."""
        settings: dict[str, str] = {}
        options: dict[str, str] = {}
        for entry in _csv(value.text, place):
            key, equals, text = entry.partition("=")
            key = key.strip().lower()
            if key == "volume-opt":
                option, _, setting = text.partition("=")
                options[option] = setting
            else:
                settings[key] = text if equals else "true"
        kind = settings.get("type", "volume").lower()
        source = settings.get("source", settings.get("src", settings.get("from", "")))
        target = settings.get("target", settings.get("dst", settings.get("destination", "")))
        if not target:
            if value.unknown:
                self._miss(value, "it is a mount")
                target = value.text
            elif kind in ("bind", "volume", "tmpfs"):
                raise ParseError(f"{place}: --mount {printable(value.text)} names no target")
        read_only = settings.get("readonly", settings.get("ro", "false")).lower() in ("true", "1", "t")
        read_only = read_only or settings.get("rw", "").lower() in ("false", "0", "f")
        if kind in ("bind", "glob", "npipe"):
            return self._bind(source, target, read_only, place, value)
        if kind == "tmpfs":
            return Mount(MountKind.TMPFS, "", target, read_only, place)
        if kind == "image":
            return Mount(MountKind.IMAGE, source, target, True, place)
        if kind == "volume":
            volume = _volume(options, value.unknown)
            if volume.device is not None:
                word = Word(volume.device, place, value.unknown)
                return self._bind(volume.device, target, read_only, place, word)
            return self._named(source, target, read_only, place)
        if value.unknown and "$" in kind:
            self._miss(value, "it is a mount")
        return Mount(MountKind.OTHER, source, target, read_only, place)

    # -- scripts

    def _scripts(self, entrypoint: Word | None, command: list[Word]) -> Iterator[Script]:
        """The shell text of `… IMAGE sh -c TEXT`."""
        words = [*([entrypoint] if entrypoint is not None else []), *command]
        for at, word in enumerate(words[:3]):
            if word.text.rpartition("/")[2] in ("sh", "bash", "ash", "dash", "zsh") and len(words) > at + 2:
                if re.fullmatch(r"-[a-z]*c", words[at + 1].text):
                    yield Script("the container's command", words[at + 2].text, words[at + 2].place)
                return


# ---- small parts


def _engine(words: list[Word]) -> tuple[str, list[Word]] | None:
    """The engine that a command calls, and the words after its global flags; None for another program."""
    at = 0
    if words[0].text.rpartition("/")[2] in _PREFIXES:
        at = next((i for i, w in enumerate(words[:10]) if i and _program(w) is not None), 0)
    name = _program(words[at])
    if name is None:
        if not (words[at].unknown and len(words) > at + 1 and words[at + 1].text in ("run", "create", "container")):
            return None
        if not _VARIABLE_ENGINE.search(words[at].text):
            return None
        name = "docker"
    rest = words[at + 1 :]
    if not any(w.text in ("run", "create", "connect", "disconnect") for w in rest):
        return None
    _, rest = parse(GLOBAL, rest, name)
    return (name, rest) if rest else None


def _program(word: Word) -> str | None:
    name = word.text.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
    return name if name in ENGINES else None


def _certain(words: Sequence[Word]) -> list[Word]:
    return [w for w in words if not w.loose]


def _refuse_unless_unknown(flag: Flag, engine: str, command: str) -> bool:
    if flag.value is None or not flag.value.unknown:
        shown = printable(flag.value.text if flag.value is not None else "")
        raise ParseError(f"{flag.word.place}: {engine} {command}: --{flag.name}={shown} is neither true nor false")
    return True


def _miss(missing: dict[str, Missing], word: Word, why: str) -> None:
    for name in word.unknown:
        key = f"env.{name}" if re.fullmatch(r"\w+", name) else "$" * (len(name) == 1) + printable(name, 60)
        missing.setdefault(key, Missing(key, why, word.place))


def _may_be_anything(source: str) -> bool:
    """Whether a path with something unknown in it may be one that gives the host away: its beginning is unknown, or known to
    be a folder that holds such paths."""
    known = source.partition("$")[0]
    harmless = re.match(
        r"(?:\.{1,2}|~|/(?:home|Users|opt|srv|mnt|media|tmp|data|workspaces?|app|var/tmp|var/log|var/data)/)", known
    )
    return harmless is None or (known.startswith("~") and known in ("~", "~/"))


def _outside_braces(text: str) -> tuple[str, str, str]:
    depth = 0
    for at, char in enumerate(text):
        if text.startswith(("${", "$("), at):
            depth += 1
        elif char in "})" and depth:
            depth -= 1
        elif char == ":" and not depth:
            return text[:at], ":", text[at + 1 :]
    return text, "", ""


def _volume(options: Mapping[str, str], unknown: tuple[str, ...]) -> _Volume:
    """What a volume with these driver options is: the local driver mounts whatever they say."""
    device, kind, flags = options.get("device"), options.get("type", ""), options.get("o", "").split(",")
    if device and (kind in ("", "none", "bind") or "bind" in flags or "rbind" in flags):
        return _Volume(MountKind.BIND, device, unknown)
    if kind == "tmpfs":
        return _Volume(MountKind.TMPFS, None, unknown)
    return _Volume(MountKind.OTHER if device else MountKind.VOLUME, None, unknown)


def _short(image: str) -> str:
    """What an image is called without its registry, tag and digest."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return name if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,120}", name) else "container"


def _entrypoint(word: Word) -> tuple[Said[str], ...]:
    """One word; podman takes a JSON array too. Empty: the image's is reset."""
    if word.text.startswith("["):
        try:
            listed = json.loads(word.text)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
            return tuple(Said(one, word.place) for one in listed)
    return (Said(word.text, word.place),) if word.text else ()


def _csv(text: str, place: Place) -> list[str]:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as e:
        raise ParseError(f"{place}: {printable(text)} is no list of settings: {e}") from e


def _range(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text, re.ASCII)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2] or found[1])
    return (first, last) if first <= last <= 65535 else None


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else None


# ---- the format


def recognises(given: Input) -> bool:
    """Whether it is shell text that starts a container; a document that quotes such text is none."""
    if _MENTIONS.search(given.text[:RECOGNISED]) is None:
        return False
    if given.text.startswith("#!"):
        return True
    if given.path is not None and given.path.suffix.lower() in (".yaml", ".yml", ".json", ".toml"):
        return False
    try:
        return not any(d.is_map or d.is_list for d in given.documents)
    except ScannerError:
        return True


def read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    """Every container that the texts start, on the networks that they make.

    Raises ParseError for text that is no shell's, a flag that no engine has, text that starts no container; LimitError.
    """
    folder = folder_of(inputs[0].path, options.project)
    session = Session(folder)
    for one in inputs:
        own = folder_of(one.path, None)
        shell = Shell(session.command, str(own or "."), options.environment)
        session.shell = shell
        shell.read(one.text.removeprefix("\ufeff"), one.name)
    if not session.containers:
        raise ParseError(f"{inputs[0].name}:1:1: no docker run or docker create stands in it that could be read")
    return session.launch("docker-run", tuple(one.name for one in inputs), "docker")


def read_command(text: str, name: str = "command line", options: ReadOptions | None = None) -> Launch:
    """A command line given directly."""
    return read([Input(name, text)], options or ReadOptions())


FORMAT = Format("docker-run", "docker run and docker create command lines (podman's, nerdctl's)", recognises, read)
