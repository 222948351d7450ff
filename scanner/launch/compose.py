"""Compose files, as `docker compose` v2.29 and later reads them: one project from several files, interpolated and merged.

Source: the Compose specification. What it leaves open is as Compose itself does it, checked against `docker compose config`
(tests/launch/compose_oracle.py). The environment of whoever scans is never used, nothing outside the project's folder is
read, nothing is fetched, nothing is run.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scanner.errors import LimitError, ParseError, ScannerError, TargetError
from scanner.launch.composing.building import SERVICES, built
from scanner.launch.composing.dotenv import read_dotenv, values
from scanner.launch.composing.files import COMPOSE_FILE, Folder, OutsideError, absolute_path
from scanner.launch.composing.interpolation import Lookup, substitute
from scanner.launch.composing.keys import PROJECT, SERVICE
from scanner.launch.composing.loading import Session, Source, environment_of, load
from scanner.launch.composing.project import Project
from scanner.launch.document import Node
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.model.launch import Launch

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""The files that Compose looks for in a folder, the first one counts."""
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_HELM = frozenset(
    "allowDomains allowDomainsPorts allowCIDR allowEntities additionalResources imagePullSecrets corednsImage global "
    "defaultRuntime".split()
)
"""Keys of Helm values that have `services` too."""
_HELM_SERVICE = frozenset(
    "dnsRecord additionalDnsRecords livenessProbe readinessProbe runtimeClassName imagePullPolicy nodeSelector args "
    "volumeMounts securityContext workingDir resources".split()
)
_OLD = frozenset("net log_driver log_opt dockerfile volume_driver".split())
"""Keys of the first version that are no longer known."""
_SERVICES = re.compile(r"""(?m)^(?:services|"services"|'services')[ \t]*:""")
_KIND = re.compile(r"""(?m)^(?:apiVersion|"apiVersion"|'apiVersion'|---)""")


# ---- recognition


def recognises(given: Input) -> bool:
    """Whether the text is a Compose file: `services` that no other kind of document has, or what the first version had."""
    if len(given.text) > COMPOSE_FILE:
        # too long to be read: taken for what it seems to be, so that reading says so
        return _SERVICES.search(given.text) is not None and _KIND.search(given.text) is None
    try:
        documents = [d for d in given.documents if not d.is_null]
    except ScannerError:
        return False
    return bool(documents) and any(_is_compose(d) or _is_first_version(d) for d in documents[:1])


def _is_compose(document: Node) -> bool:
    if document.pairs is None:
        return False
    names = {name.text or "" for name, _ in document.pairs}
    if names & {"apiVersion", "kind"} or names & _HELM:
        return False
    services = document.get("services")
    if services is None or services.pairs is None:
        # an override may hold networks alone, a project includes alone
        return bool(names & {"include", "networks", "services"}) and all(
            name in PROJECT or name.startswith("x-") for name in names
        )
    for _, service in services.pairs[:1000]:
        keys = {name.text or "" for name, _ in service.pairs or ()}
        if keys & _HELM_SERVICE:
            return False
    return True


def _is_first_version(document: Node) -> bool:
    """Services at the top level, each with its image or build."""
    return bool(document.pairs) and all(
        value.pairs is not None
        and (value.get("image") is not None or value.get("build") is not None)
        and all((key.text or "") in SERVICE or (key.text or "") in _OLD for key, _ in value.pairs)
        for _, value in (document.pairs or ())[:1000]
    )


# ---- reading


def read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    """The project that the files make, in the order given: `docker compose -f FIRST -f SECOND …`, with the `.env` beside the
    first. Raises ParseError, LimitError, TargetError.
    """
    return _launch(project_of(inputs, options), tuple(one.name for one in inputs))


def project_of(inputs: Sequence[Input], options: ReadOptions) -> Project:
    """The merged project itself, its extensions (`x-…`) included. Raises as `read` does."""
    session, directory = _session(inputs, options)
    for one in inputs:
        _check_size(one)
        for document in one.documents:
            services = document.get("services")
            if services is not None and len(services.pairs or ()) > SERVICES:
                raise LimitError(f"{services.place}: more than {SERVICES:,} services; no launch is that large")
            if not document.is_null and services is None and _is_first_version(document):
                raise ParseError(
                    f"{document.place}: this is a Compose file of the first version, which Compose no longer reads: "
                    "put the services under a key services"
                )
    own = environment_of(directory / ".env", _of(options.environment), session) if directory is not None else {}
    return _project(inputs, options, session, directory, {**own, **options.environment})


def _of(environment: Mapping[str, str]) -> Lookup:
    return environment.get


def _session(inputs: Sequence[Input], options: ReadOptions) -> tuple[Session, Path | None]:
    first = inputs[0]
    # only the folder is made absolute: what stands for people is as the user named it
    directory = absolute_path(first.path).parent if first.path is not None else None
    root = absolute_path(options.project) if options.project is not None else directory
    shown = str(Path(first.name).parent)
    if root is not None and directory is not None and root != directory and directory.is_relative_to(root):
        up = len(directory.relative_to(root).parts)
        shown = os.path.normpath(Path(shown, *[".."] * up))
    return Session(Folder(root, shown)), directory


def _check_size(given: Input) -> None:
    if len(given.text) > COMPOSE_FILE:
        raise LimitError(f"{given.name}: longer than {COMPOSE_FILE >> 20} MiB; no Compose file is that long")


def _project(
    inputs: Sequence[Input],
    options: ReadOptions,
    session: Session,
    directory: Path | None,
    environment: Mapping[str, str],
) -> Project:
    name = _project_name(inputs, directory, environment)
    known = {**environment, "COMPOSE_PROJECT_NAME": name} if name is not None else dict(environment)
    sources = [
        Source(one.name, one.documents, absolute_path(one.path) if one.path is not None else None) for one in inputs
    ]
    tree = load(sources, known.get, directory, session)
    if tree is None or tree.get("services") is None:
        raise ParseError(f"{inputs[0].name}:1:1: the project has no services")
    # nothing at all is the profile "": it is on where no other was asked for
    profiles = options.profiles or tuple(p.strip() for p in environment.get("COMPOSE_PROFILES", "").split(","))
    return Project(tree, name, directory, known.get, profiles, session)


def _project_name(inputs: Sequence[Input], directory: Path | None, environment: Mapping[str, str]) -> str | None:
    """The environment's, else the last `name:`, else the folder's; None if it is not known."""
    given = environment.get("COMPOSE_PROJECT_NAME")
    if given:
        return given
    named = None
    for one in inputs:
        for document in one.documents:
            node = document.get("name")
            if node is not None and node.text:
                named = node
    if named is not None:
        value = substitute(named.text or "", environment.get, named.place)
        if value.unknown:
            return None
        if _normal(value.text):
            return _normal(value.text)
    return _normal(directory.name) or None if directory is not None else None


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-")


def _launch(project: Project, files: tuple[str, ...]) -> Launch:
    containers, networks = built(project)
    return Launch("compose", files, "compose", containers, networks, notifications=tuple(project.session.notifications))


# ---- a folder


def find_project(folder: Path, options: ReadOptions) -> tuple[Path, ...]:
    """The files that Compose would take in the folder: those of COMPOSE_FILE, else the first of its own names with its
    override; () if there are none. Raises ParseError, LimitError, TargetError.
    """
    session = Session(Folder(folder, str(folder)))
    environment = {**environment_of(folder / ".env", _of(options.environment), session), **options.environment}
    listed = environment.get("COMPOSE_FILE")
    if listed:
        separator = environment.get("COMPOSE_PATH_SEPARATOR") or ":"
        return tuple(Path(os.path.normpath(folder / name)) for name in listed.split(separator))
    found = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if found is None:
        return ()
    override = next((folder / name for name in OVERRIDES if (folder / name).is_file()), None)
    return (found,) if override is None else (found, override)


def read_project(folder: Path, options: ReadOptions) -> Launch | None:
    """The folder's project, read as Compose would in it; None if it has none. Raises as `read` does."""
    paths = find_project(folder, options)
    if not paths:
        return None
    root = options.project or folder
    reader = Folder(absolute_path(root), str(folder) if options.project is None else str(root))
    inputs = []
    for path in paths:
        try:
            text = reader.read(absolute_path(path))
        except OutsideError as e:
            raise TargetError(f"{path} leads out of the project's folder {root} and is not read") from e
        if text is None:
            raise TargetError(f"there is no file {path}, which COMPOSE_FILE names")
        inputs.append(Input(str(path), text, path))
    environment = dict(options.environment)
    above = absolute_path(folder)
    if absolute_path(paths[0]).parent != above:
        # the folder's own .env counts before the one beside the first file
        text = reader.read(above / ".env")
        own = values(read_dotenv(text, str(folder / ".env"), environment.get)) if text is not None else {}
        environment = {**own, **environment}
    return read(inputs, ReadOptions(environment, options.profiles, absolute_path(root)))


FORMAT = Format("compose", "Compose file", recognises, read)
