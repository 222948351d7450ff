"""devcontainer.json: the container that a development tool starts, as the Dev Containers command line starts it.

Format: containers.dev, the devcontainer.json reference; what becomes of it: devcontainers/cli, src/spec-node/singleContainer.ts
and dockerCompose.ts. Features are never fetched: what they ask for is in `features`, or in the project's own folder.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanner.errors import LimitError, ParseError, ScannerError, TargetError
from scanner.launch.docker_run import Session
from scanner.launch.document import Node, read_json
from scanner.launch.features import Effect, effect, image_effect
from scanner.launch.nearby import file_text, small_text, within
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.shellwords import Shell, Word
from scanner.model import Level, Notification, printable
from scanner.model.launch import (
    Container,
    Default,
    Launch,
    Missing,
    Mount,
    MountKind,
    Place,
    Published,
    Said,
    Script,
)
from scanner.roots import root_of

FEATURES = 200
SCRIPTS = 50
"""Files of the project that its commands run."""
CALLS = 3
"""Scripts that call scripts."""
_WHOSE = Default("devcontainer")
_VARIABLE = re.compile(r"\$\{([^{}]{0,500})\}")
_BASES = frozenset(("image", "build", "dockerFile", "dockerComposeFile"))
_OWN = frozenset(
    "appPort capAdd containerEnv containerUser customizations dockerComposeFile dockerFile extensions features forwardPorts "
    "hostRequirements initializeCommand onCreateCommand otherPortsAttributes overrideCommand portsAttributes postAttachCommand "
    "postCreateCommand postStartCommand remoteEnv remoteUser runArgs runServices securityOpt shutdownAction updateContentCommand "
    "updateRemoteUserUID userEnvProbe waitFor workspaceFolder workspaceMount".split()
)
_OTHERS = frozenset(("apiVersion", "kind", "services", "HostConfig"))
_LIFECYCLE = (
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
)
_RUNS_ANOTHER = frozenset("sudo doas bash sh zsh dash ash source . exec command nohup time env setsid nice".split())


def recognises(given: Input) -> bool:
    """Whether it is a devcontainer.json: JSON with keys that no other format has, or of that name with an image."""
    named = given.path is not None and given.path.name in ("devcontainer.json", ".devcontainer.json")
    if not given.text.lstrip("\ufeff \t\r\n").startswith(("{", "//", "/*")):
        return False
    try:
        document = read_json(given.text, given.name)
    except ScannerError:
        return named  # its reader tells what is broken
    keys = {name.text or "" for name, _ in document.pairs or ()}
    if not document.is_map or keys & _OTHERS:
        return False
    return named or bool(keys & _BASES and keys & _OWN) or len(keys & _OWN) > 1


def read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    """The containers of all files. Raises ParseError, LimitError, TargetError (a Compose file that is not there)."""
    launches = [_Reader(one, options).launch() for one in inputs]
    if len(launches) == 1:
        return launches[0]
    containers: list[Container] = []
    networks = {n.key: n for launch in launches for n in launch.networks}
    for launch in launches:
        for container in launch.containers:
            names = {c.name for c in containers}
            name, number = container.name, 2
            while name in names:
                name, number = f"{container.name}-{number}", number + 1
            containers.append(replace(container, name=name))
    return Launch(
        "devcontainer",
        tuple(f for launch in launches for f in launch.files),
        "devcontainer",
        tuple(containers),
        tuple(networks.values()),
        notifications=tuple(n for launch in launches for n in launch.notifications),
    )


@dataclass
class _Asked:
    """What the file, its features and its image ask for, as flags: those before runArgs and those after."""

    before: list[Word] = field(default_factory=list)
    after: list[Word] = field(default_factory=list)
    mounts: dict[str, list[Word]] = field(default_factory=dict)
    hooks: list[tuple[str, Node]] = field(default_factory=list)
    missing: dict[str, Missing] = field(default_factory=dict)

    def flag(self, name: str, value: Word, *, late: bool = False) -> None:
        (self.after if late else self.before).extend((Word(name, value.place), value))


class _Reader:
    def __init__(self, given: Input, options: ReadOptions) -> None:
        self.given, self.options = given, options
        self.root = read_json(given.text, given.name)
        if not self.root.is_map:
            raise ParseError(f"{self.root.place}: a devcontainer.json is a JSON object")
        self.notes: list[Notification] = []
        self.folder: Path | None = None  # of the file
        self.workspace: Path | None = None
        if given.path is not None:
            try:
                self.folder = given.path.resolve().parent
            except (OSError, RuntimeError) as e:
                raise TargetError(f"{printable(given.name)} cannot be found: {e}") from e
            above = self.folder
            if above.parent.name == ".devcontainer":  # .devcontainer/NAME/devcontainer.json
                above = above.parent
            self.workspace = above.parent if above.name == ".devcontainer" else above
        self.base = self.workspace.name if self.workspace is not None and self.workspace.name else "devcontainer"
        # a repository is cloned under any name, and the sandbox is the same one
        self.name = (
            "devcontainer" if self.workspace is not None and root_of(self.workspace) == self.workspace else self.base
        )
        self.has_compose = self.root.get("dockerComposeFile") is not None
        self.inside = "/" if self.has_compose else f"/workspaces/{self.base}"
        inside = self.root.get("workspaceFolder")
        if inside is not None and inside.text:
            self.inside = self.word(inside).text
        self.users = [u.text for k in ("remoteUser", "containerUser") if (u := self.root.get(k)) is not None and u.text]
        self.ran: dict[Path, None] = {}
        self.copies: list[tuple[str, Path]] | None = None

    # -- values

    def note(self, message: str, level: Level = Level.NOTE) -> None:
        self.notes.append(Notification("launch", level, message))

    def word(self, node: Node) -> Word:
        return self.substituted(node.text or "", node.place)

    def substituted(self, text: str, place: Place) -> Word:
        """The text with its variables' values; those that only the tool knows stay in it, and are told."""
        unknown: list[str] = []

        def value(found: re.Match[str]) -> str:
            kind, colon, rest = found[1].partition(":")
            name, has_default, default = rest.partition(":")
            if kind in ("localEnv", "env") and colon:
                if name in self.options.environment:
                    return self.options.environment[name]
                if name == "HOME":
                    return "~"
                if name == "USERPROFILE":  # Windows' name for the same: one of the two is empty
                    return ""
                if has_default:
                    return default
                unknown.append(name)
                return f"${{{name}}}"
            if kind == "localWorkspaceFolder":
                return str(self.workspace) if self.workspace is not None else "."
            if kind in ("localWorkspaceFolderBasename", "devcontainerId"):
                return self.base
            if kind == "containerWorkspaceFolder":
                return self.inside
            if kind == "containerWorkspaceFolderBasename":
                return posixpath.basename(self.inside)
            return found[0]  # containerEnv is known within the container alone

        return Word(_VARIABLE.sub(value, text), place, tuple(unknown))

    def listed(self, node: Node, key: str) -> tuple[Node, ...]:
        """The elements of a key that holds a list; one value stands for a list of one."""
        value = node.get(key)
        if value is None or value.is_null:
            return ()
        if value.is_map and key != "mounts":
            raise ParseError(f"{value.place}: {key} is no list")
        return value.elements if value.elements is not None else (value,)

    # -- the launch

    def launch(self) -> Launch:
        asked = _Asked()
        self._features(asked)
        if self.has_compose:
            launch, before = self._compose()
        else:
            launch, before = None, None
        self._image(asked, before)
        self._own(asked, self.root)
        container, launch = (
            self._single(asked) if launch is None or before is None else self._laid_over(asked, launch, before)
        )
        scripts = (*container.scripts, *self._scripts(asked, container))
        missing = {m.key: m for m in (*container.missing, *asked.missing.values())}
        user = self.root.get("remoteUser")
        runs_as = Said(self.word(user).text, user.place) if user is not None and user.text else None
        final = replace(container, scripts=scripts, missing=tuple(missing.values()), runs_as=runs_as)
        return Launch(
            "devcontainer",
            tuple(dict.fromkeys((self.given.name, *launch.files))),
            "devcontainer",
            tuple(final if c.name == final.name else c for c in launch.containers),
            launch.networks,
            notifications=(*launch.notifications, *self.notes),
        )

    def _single(self, asked: _Asked) -> tuple[Container, Launch]:
        image, build = self.root.get("image"), self.root.get("build") or self.root.get("dockerFile")
        if image is None and build is None:
            raise ParseError(f"{self.root.place}: it has none of image, build and dockerComposeFile")
        session = Session(self.workspace)
        mount = self.root.get("workspaceMount")
        words: list[Word] = []
        for port in self.listed(self.root, "appPort"):
            number = port.integer() if not port.quoted else None
            text = f"127.0.0.1:{number}:{number}" if number is not None else self.word(port).text
            words += [Word("-p", port.place), Word(text, port.place)]
        if mount is not None and mount.text:
            words += [Word("--mount", mount.place), self.word(mount)]
        words += asked.before + [w for mounted in asked.mounts.values() for w in mounted]
        words += [self.word(one) for one in self.listed(self.root, "runArgs")]
        words += asked.after
        named = image if build is None else None
        words.append(self.word(named) if named is not None else Word("image", self.root.place))
        container = session.run("docker", words, self.root.place, self.name)
        confinement = container.confinement
        if mount is None and self.workspace is not None:
            whole = Mount(MountKind.BIND, str(self.workspace), self.inside, False, _WHOSE)
            confinement = replace(confinement, mounts=(whole, *confinement.mounts))
        container = replace(
            container,
            image=container.image if named is not None else None,
            confinement=replace(confinement, gpus=confinement.gpus or self._gpu()),
        )
        container = self._kept_alive(self._forwarded(container), True)
        session.containers[-1] = container
        return container, session.launch("devcontainer", (self.given.name,), "devcontainer")

    def _compose(self) -> tuple[Launch, Container]:
        """The Compose project, and the container of its service that is the development container."""
        from scanner.launch.compose import read as read_compose

        key = self.root.key("dockerComposeFile")
        service = self.root.get("service")
        assert key is not None
        if service is None or not service.text:
            raise ParseError(f"{key.place}: dockerComposeFile without the service that is meant")
        if self.folder is None or self.workspace is None:
            raise TargetError(
                f"{key.place}: a Compose file is named, but where it lies is not known; give the file by its path"
            )
        inputs = []
        for one in self.listed(self.root, "dockerComposeFile"):
            path = within(self.workspace, str(self.folder / self.word(one).text))
            if path is None:
                raise TargetError(
                    f"{one.place}: {printable(one.text or '')} lies outside the project's folder and is not read"
                )
            shown = self._shown(path)
            inputs.append(Input(shown, file_text(path, shown), path))
        if not inputs:
            raise ParseError(f"{key.place}: dockerComposeFile names no file")
        options = replace(self.options, project=self.workspace)
        launch = read_compose(inputs, options)
        name = self.word(service).text
        container = launch.container(name)
        if container is None and not options.profiles:
            # the tool starts the service by its name, whatever its profile
            launch = read_compose(inputs, replace(options, profiles=("*",)))
            container = launch.container(name)
        if container is None:
            raise ParseError(f"{service.place}: the Compose project has no service {printable(name)}")
        unused = self.root.key("runArgs")
        if unused is not None:
            self.note(f"{unused.place}: runArgs is not used together with dockerComposeFile")
        return launch, container

    def _laid_over(self, asked: _Asked, launch: Launch, before: Container) -> tuple[Container, Launch]:
        """The service with what the file asks for on top."""
        words = asked.before + [w for mounted in asked.mounts.values() for w in mounted] + asked.after
        over = Session(self.workspace).run("docker", [*words, Word("image", self.root.place)], self.root.place, "over")
        own, more = before.confinement, over.confinement
        targets = {posixpath.normpath(m.target) for m in more.mounts}
        confinement = replace(
            own,
            user=more.user or own.user,
            privileged=more.privileged if more.privileged is not None and more.privileged.value else own.privileged,
            cap_add=(*own.cap_add, *more.cap_add),
            seccomp=more.seccomp or own.seccomp,
            apparmor=more.apparmor or own.apparmor,
            no_new_privileges=more.no_new_privileges or own.no_new_privileges,
            mounts=(*(m for m in own.mounts if posixpath.normpath(m.target) not in targets), *more.mounts),
            gpus=own.gpus or self._gpu(),
        )
        environment = {**dict(before.environment), **dict(over.environment)}
        missing = {m.key: m for m in (*before.missing, *over.missing)}
        container = replace(
            before, confinement=confinement, environment=tuple(environment.items()), missing=tuple(missing.values())
        )
        container = self._kept_alive(self._forwarded(container), False)
        containers = tuple(container if c is before else c for c in launch.containers)
        return container, replace(launch, containers=containers)

    def _kept_alive(self, container: Container, otherwise: bool) -> Container:
        """The tool runs a shell that sleeps instead of the image's command, unless overrideCommand says not to."""
        override = self.root.get("overrideCommand")
        said = override.flag() if override is not None else None
        if not (otherwise if said is None else said):
            return container
        origin = override.place if override is not None else _WHOSE
        words = ("-c", "while sleep 1000; do :; done")
        return replace(container, entrypoint=(Said("/bin/sh", origin),), command=tuple(Said(w, origin) for w in words))

    def _forwarded(self, container: Container) -> Container:
        """Ports that the tool forwards: to the loopback of the machine it runs on, and nowhere else."""
        ports = [
            Published("127.0.0.1", number, number, "tcp", one.place)
            for one in self.listed(self.root, "forwardPorts")
            if (number := one.integer()) is not None and 0 < number < 65536
        ]
        return replace(container, published=(*container.published, *ports)) if ports else container

    def _gpu(self) -> Said[str] | None:
        gpu = self.root.at("hostRequirements", "gpu")
        return None if gpu is None or gpu.is_null or gpu.flag() is False else Said("all", gpu.place)

    # -- what is asked for

    def _own(self, asked: _Asked, node: Node) -> None:
        """The properties that a devcontainer.json and a feature share."""
        for key, flag in (("capAdd", "--cap-add"), ("securityOpt", "--security-opt")):
            for one in self.listed(node, key):
                asked.flag(flag, self.word(one), late=True)
        privileged = node.get("privileged")
        if privileged is not None and privileged.flag():
            asked.after.append(Word("--privileged", privileged.place))
        for one in self.listed(node, "mounts"):
            self._mount(asked, one)
        variables = node.get("containerEnv")
        for name, at, value in variables.items() if variables is not None else ():
            if value.text is not None:
                given = self.word(value)
                asked.flag("-e", replace(given, text=f"{name}={given.text}", place=at.place))
        user = node.get("containerUser")
        if user is not None and user.text:
            asked.flag("-u", self.word(user))
        asked.hooks += [(key, hook) for key in _LIFECYCLE if (hook := node.get(key)) is not None and not hook.is_null]

    def _mount(self, asked: _Asked, node: Node) -> None:
        if node.is_map:
            parts = [(k, v.text) for k in ("type", "source", "target") if (v := node.get(k)) is not None and v.text]
            text = ",".join(_quoted(f"{k}={t}") for k, t in parts)
        else:
            text = node.text or ""
        word = self.substituted(text, node.place)
        target = next(
            (w.partition("=")[2] for w in word.text.split(",") if w.startswith(("target=", "dst=", "destination="))), ""
        )
        asked.mounts[posixpath.normpath(target) if target else str(len(asked.mounts))] = [
            Word("--mount", node.place),
            word,
        ]

    def _image(self, asked: _Asked, before: Container | None) -> None:
        """What the image's own label asks for, where that is known."""
        image, build = self.root.get("image"), self.root.get("build") or self.root.get("dockerFile")
        reference, place = None, self.root.place
        if before is not None and before.image is not None:
            reference = before.image.value
            place = before.image.origin if isinstance(before.image.origin, Place) else place
        elif build is not None:
            reference, place = self._from(build), build.place
        elif image is not None:
            reference, place = self.word(image).text, image.place
        if reference:
            self._effect(asked, image_effect(reference), place)

    def _effect(self, asked: _Asked, what: Effect, place: Place) -> None:
        if what.privileged:
            asked.after.append(Word("--privileged", place))
        for capability in what.cap_add:
            asked.flag("--cap-add", Word(capability, place), late=True)
        for option in what.security:
            asked.flag("--security-opt", Word(option, place), late=True)
        for kind, source, target in what.mounts:
            asked.mounts[target] = [Word("--mount", place), Word(f"type={kind},src={source},dst={target}", place)]

    def _features(self, asked: _Asked) -> None:
        features = self.root.get("features")
        if features is None or features.is_null:
            return
        if features.elements is not None:  # as the first version had it: a list of ids
            named = [(one.text or _id(one), one) for one in features.elements]
        else:
            named = [(name, key) for name, key, _ in features.items()]
        pending, seen = named, set[str]()
        while pending:
            name, node = pending.pop(0)
            if name in seen:
                continue
            seen.add(name)
            if len(seen) > FEATURES:
                raise LimitError(f"{node.place}: more than {FEATURES} features")
            if name.startswith(("./", "../")):
                pending += self._local_feature(asked, name, node)
                continue
            known = effect(name)
            if known is not None:
                self._effect(asked, known, node.place)
                continue
            short = name.partition("@")[0].rpartition("/")[2].partition(":")[0]
            key = f"adds.{printable(short, 60)}"
            why = f"what the feature {printable(name)} asks for is not known: privileges, capabilities or mounts"
            asked.missing.setdefault(key, Missing(key, why, node.place))

    def _local_feature(self, asked: _Asked, name: str, node: Node) -> list[tuple[str, Node]]:
        """A feature in the project's folder is read whole. Gives those it depends on."""
        path = None
        if self.workspace is not None and self.folder is not None:
            path = within(self.workspace, str(self.folder / name / "devcontainer-feature.json"))
        text = small_text(self.workspace, str(path)) if path is not None and self.workspace is not None else None
        if text is None or path is None:
            key = f"adds.{printable(posixpath.basename(name), 60)}"
            why = f"the feature {printable(name)} could not be read; it may ask for privileges and mounts"
            asked.missing.setdefault(key, Missing(key, why, node.place))
            return []
        feature = read_json(text, self._shown(path))
        self._own(asked, feature)
        needs = feature.get("dependsOn")
        return [(n, k) for n, k, _ in needs.items()] if needs is not None else []

    # -- scripts

    def _scripts(self, asked: _Asked, container: Container) -> Iterator[Script]:
        """The lifecycle commands in the order in which they run, each followed by the files of the project that it runs."""
        for key in _LIFECYCLE:
            for _, hook in (h for h in asked.hooks if h[0] == key):
                for where, text, place in self._commands(hook, key):
                    on_host = key == "initializeCommand"
                    as_root = None if on_host else self._as_root(text, container)
                    yield Script(where, text, place, as_root, on_host)
                    yield from self._called(container, where, text, self.inside, on_host, as_root, 0)

    def _commands(self, hook: Node, where: str) -> Iterator[tuple[str, str, Place]]:
        """A text for a shell, a list that no shell reads, or several by name."""
        if hook.is_map:
            for name, _, value in hook.items():
                if not value.is_map:
                    yield from self._commands(value, f"{where}.{name}")
        elif hook.elements is not None:
            yield where, shlex.join(self.word(w).text for w in hook.elements if w.text is not None), hook.place
        elif hook.text:
            yield where, self.word(hook).text, hook.place

    def _as_root(self, text: str, container: Container) -> bool | None:
        said = container.confinement.user
        users = [*self.users, *([said.value.partition(":")[0]] if said is not None else [])]
        user = users[0] if users and "$" not in users[0] else None
        if user in ("root", "0") or re.match(r"\s*sudo\s", text):
            return True
        return None if user is None or "sudo" in text else False

    def _called(
        self, container: Container, where: str, text: str, folder: str, on_host: bool, as_root: bool | None, depth: int
    ) -> Iterator[Script]:
        """The scripts of the project that the text runs, and those that they run."""
        if depth >= CALLS:
            return
        called: list[tuple[str, bool]] = []

        def command(words: list[Word], conditional: bool) -> None:  # noqa: ARG001 - what may run is read
            name = _script_of(words)
            if name is not None:
                called.append((name, any(w.text in ("sudo", "doas") for w in words)))

        try:
            Shell(command, folder, {}).read(text, self.given.name)
        except ScannerError as e:
            self.note(f"{where}: what it runs could not be read: {e}")
            return
        for name, sudo in called:
            # where the tool starts it, else beside the script that calls it: many change to their own folder first
            paths = (self._file_of(container, posixpath.join(f, name), on_host) for f in (self.inside, folder))
            path = next((p for p in paths if p is not None), None)
            if path is None:
                self.note(f"{where} runs {printable(name)}, which is no file of the project that could be read")
                continue
            content = small_text(self.workspace, str(path)) if self.workspace is not None else None
            if (
                content is None
                or path in self.ran
                or (content.startswith("#!") and "sh" not in content.partition("\n")[0])
            ):
                continue
            if len(self.ran) >= SCRIPTS:
                self.note(f"{where}: more than {SCRIPTS} scripts are run; the rest were not read", Level.WARNING)
                return
            self.ran[path] = None
            root = True if sudo or as_root else as_root
            yield Script(f"{where}: {name}", content, Place(self._shown(path), 1), root, on_host)
            beside = posixpath.dirname(posixpath.join(folder, name))
            yield from self._called(container, where, content, beside, on_host, root, depth + 1)

    def _file_of(self, container: Container, name: str, on_host: bool) -> Path | None:
        """The project's file that a path in the container (or on the host) is."""
        if self.workspace is None or "$" in name:
            return None
        path = posixpath.normpath(name)
        candidates: list[str] = []
        if not on_host:
            for mount in sorted(container.confinement.mounts, key=lambda m: -len(m.target)):
                target = posixpath.normpath(mount.target)
                if mount.kind is MountKind.BIND and (path == target or path.startswith(target.rstrip("/") + "/")):
                    candidates.append(posixpath.join(mount.source, path[len(target.rstrip("/")) + 1 :]))
            candidates += [str(source) for target, source in self._copied() if target == path]
            candidates += [
                str(source / path[len(target) :].lstrip("/"))
                for target, source in self._copied()
                if target != path and path.startswith(target.rstrip("/") + "/")
            ]
        inside = self.inside.rstrip("/") + "/"
        if path.startswith(inside):
            candidates.append(str(self.workspace / path[len(inside) :]))
        for candidate in candidates:
            found = within(self.workspace, candidate)
            if found is not None and found.is_file():
                return found
        return None

    # -- Dockerfiles

    def _dockerfile(self, build: Node) -> tuple[Path, Path] | None:
        """The Dockerfile and its context."""
        if self.folder is None or self.workspace is None:
            return None
        name = build.text if build.text is not None else None
        named = name or _text(build, "dockerfile") or _text(build, "dockerFile") or "Dockerfile"
        context = _text(build, "context") or _text(self.root, "context") or "."
        path = within(self.workspace, str(self.folder / self.substituted(named, build.place).text))
        base = within(self.workspace, str(self.folder / self.substituted(context, build.place).text))
        return (path, base) if path is not None and base is not None else None

    def _from(self, build: Node) -> str | None:
        """The image that the last stage of the Dockerfile begins with."""
        found = self._dockerfile(build)
        text = small_text(self.workspace, str(found[0])) if found is not None and self.workspace is not None else None
        stages: dict[str, str] = {}
        last = None
        for line in _instructions(text or ""):
            match = re.match(r"(?i)FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", line)
            if match is not None:
                last = stages.get(match[1].lower(), match[1])
                if match[2]:
                    stages[match[2].lower()] = last
        return last

    def _copied(self) -> list[tuple[str, Path]]:
        """Where COPY and ADD put files of the project: (path in the image, file or folder)."""
        if self.copies is not None or self.folder is None or self.workspace is None:
            return self.copies or []
        self.copies = []
        files: dict[Path, Path] = {}
        build = self.root.get("build") or self.root.get("dockerFile")
        found = self._dockerfile(build) if build is not None else None
        if found is not None:
            files[found[0]] = found[1]
        for folder in (self.folder, self.workspace):
            try:
                names = sorted(p for p in folder.glob("*Dockerfile*") if p.is_file())[:20]
            except OSError:
                names = []
            for one in names:
                files.setdefault(one, folder)
        for file, context in files.items():
            for line in _instructions(small_text(self.workspace, str(file)) or ""):
                self.copies += _copies(line, (context, file.parent, self.workspace))
        return self.copies

    def _shown(self, path: Path) -> str:
        """A file of the project as the user would name it."""
        assert self.folder is not None
        inner = posixpath.relpath(str(path), str(self.folder))
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.given.name), inner))


# ---- small parts


def _text(node: Node, key: str) -> str | None:
    value = node.get(key)
    return value.text if value is not None else None


def _id(node: Node) -> str:
    return _text(node, "id") or ""


def _quoted(field_: str) -> str:
    return '"' + field_.replace('"', '""') + '"' if "," in field_ or '"' in field_ else field_


def _script_of(words: list[Word]) -> str | None:
    """The script that a command runs: `./x.sh`, `bash x`, `sudo /usr/local/bin/x`, `. x`; None if it is a program."""
    shell = False
    for word in words:
        text = word.text
        if text in _RUNS_ANOTHER or posixpath.basename(text) in ("bash", "sh", "zsh", "dash", "sudo", "env"):
            shell = shell or posixpath.basename(text) in ("bash", "sh", "zsh", "dash", "ash", "source", ".")
        elif text.startswith("-") or re.match(r"[A-Za-z_]\w*=", text):
            continue
        elif shell or "/" in text or text.endswith((".sh", ".bash")):
            return text if len(text) < 1000 and "\n" not in text else None
        else:
            return None
    return None


def _instructions(dockerfile: str) -> Iterator[str]:
    """The lines of a Dockerfile, continued ones joined."""
    joined = ""
    for line in dockerfile.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            continue
        if stripped.endswith("\\"):
            joined += stripped[:-1] + " "
            continue
        yield joined + stripped
        joined = ""


def _copies(line: str, bases: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    found = re.match(r"(?i)(?:COPY|ADD)\s+((?:--\S+\s+)*)(.+)", line)
    if found is None or "--from" in found[1]:
        return
    rest = found[2].strip()
    try:
        words = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
    except (ValueError, RecursionError):
        return
    if not isinstance(words, list) or len(words) < 2 or not all(isinstance(w, str) for w in words):
        return
    *sources, target = words
    for source in sources[:100]:
        if source.startswith("<<") or "\0" in source:
            continue
        for base in bases:
            path = base / source.lstrip("/")
            try:
                is_folder, exists = path.is_dir(), path.exists()
            except (OSError, ValueError):
                continue
            if exists:
                into = target.endswith("/") or len(sources) > 1
                place = posixpath.join(target, posixpath.basename(source)) if into and not is_folder else target
                yield posixpath.normpath(place), path
                if not is_folder and not into:  # the target may be a folder that is there already
                    yield posixpath.normpath(posixpath.join(target, posixpath.basename(source))), path
                break


FORMAT = Format("devcontainer", "devcontainer.json", recognises, read)
