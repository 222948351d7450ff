"""From files to one project: every document interpolated, extended, reset, merged, with what it includes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scanner.errors import LimitError, ParseError, TargetError
from scanner.launch.composing import keys
from scanner.launch.composing.dotenv import read_dotenv, values
from scanner.launch.composing.files import Folder, OutsideError, is_remote
from scanner.launch.composing.interpolation import Lookup, substitute
from scanner.launch.composing.merging import Marks, merge, merge_service, unique, without
from scanner.launch.composing.shorts import canonical, part
from scanner.launch.composing.tree import Budget, Tree, broken, mapping, scalar, sequence, shown
from scanner.launch.document import Node, read_yaml
from scanner.model import Level, Notification, printable
from scanner.model.launch import Missing

CHAIN = 64
"""Services that extend each other, files that include each other."""


@dataclass(frozen=True, slots=True)
class Source:
    """A Compose file: `path` None for one that lies nowhere (standard input)."""

    name: str
    documents: tuple[Node, ...]
    path: Path | None


@dataclass(slots=True)
class Session:
    """What the reading of one project shares: its folder, its budget, what could not be read."""

    folder: Folder
    budget: Budget = field(default_factory=Budget)
    notifications: list[Notification] = field(default_factory=list)
    unread: list[Missing] = field(default_factory=list)
    """Files that define services or networks and were not read: a name without definition is then no error."""
    extended: "dict[Path, Tree]" = field(default_factory=dict)
    read: dict[Path, str] = field(default_factory=dict)

    @property
    def incomplete(self) -> bool:
        return bool(self.unread)

    def leave_out(self, file: Tree) -> None:
        """What is included is not read: who else is on the project's networks is then not known."""
        why = "what the project includes is not read: its services may be on the same networks and pass traffic on"
        self.unread.append(Missing(f"adds.{printable(file.string(), 80)}", why, file.place))

    def warn(self, message: str, level: Level = Level.WARNING) -> None:
        self.notifications.append(Notification("launch", level, message))

    def text(self, path: Path) -> str | None:
        """Raises OutsideError, TargetError, LimitError."""
        if path not in self.read:
            text = self.folder.read(path)
            if text is None:
                return None
            self.read[path] = text
        return self.read[path]


def load(
    sources: Sequence[Source], lookup: Lookup, directory: Path | None, session: Session, chain: tuple[Path, ...] = ()
) -> Tree | None:
    """The project that the files make together, its short syntaxes written out and its paths absolute; None if they are
    empty. `directory` is the project's own. Raises ParseError, LimitError, TargetError.
    """
    project: Tree | None = None
    for source in sources:
        for document in source.documents:
            if not document.is_null:
                project = _document(document, source, lookup, directory, project, session, chain)
    if project is None:
        return None
    return _environment_of(_located(project, directory, lookup), lookup)


def _document(
    node: Node,
    source: Source,
    lookup: Lookup,
    directory: Path | None,
    project: Tree | None,
    session: Session,
    chain: tuple[Path, ...],
) -> Tree:
    marks: Marks = {}
    tree = interpolated(node, lookup, session.budget, marks)
    keys.check(tree)
    tree = _Extending(tree, source, lookup, marks, directory, session).applied()
    project = without(project, marks) if project is not None else None
    tree = _included(tree, source, lookup, directory, session, chain)
    merged = tree if project is None else merge(project, tree)
    return unique(canonical(unique(merged), session.budget))


# ---- interpolation


def interpolated(node: Node, lookup: Lookup, budget: Budget, marks: Marks) -> Tree:
    """The document with its variables' values. What `!reset` and `!override` take away is written to `marks`."""
    budget.spend(node.weight, node.place)
    return _interpolated(node, None, lookup, budget, marks) or Tree(node, text="")


def _interpolated(node: Node, key: Node | None, lookup: Lookup, budget: Budget, marks: Marks | None) -> Tree | None:
    """`marks` are those below this value; None where an `!override` already covers it."""
    if node.tag == "!reset":
        return None
    if node.pairs is not None:
        fields: dict[str, Tree] = {}
        weight = 1
        for name, below in node.pairs:
            inner: Marks | None = {} if marks is not None and below.tag != "!override" else None
            value = _interpolated(below, name, lookup, budget, inner)
            text = name.text or ""
            if value is not None:
                fields[text] = value
                weight += value.weight
            if marks is not None and (inner or value is None or below.tag == "!override"):
                marks[text] = inner or {}
        return Tree(node, fields=fields, key=key, mark=node.tag, weight=weight)
    if node.elements is not None:
        found = (_interpolated(one, None, lookup, budget, None) for one in node.elements)
        items = tuple(one for one in found if one is not None)
        return Tree(node, items=items, key=key, mark=node.tag, weight=1 + sum(i.weight for i in items))
    text = node.text or ""
    if "$" not in text:
        # a scalar with a tag of its own is a string, even one that says null
        quoted = node.quoted or (node.tag is not None and node.tag.startswith("!"))
        return Tree(node, text=text, quoted=quoted, key=key)
    made = substitute(text, lookup, node.place)
    budget.characters(len(made.text), node.place)
    return Tree(node, text=made.text, quoted=True, unknown=made.unknown, key=key)


# ---- extends


class _Extending:
    """The services of one document, each on top of what it extends."""

    def __init__(
        self, tree: Tree, source: Source, lookup: Lookup, marks: Marks, directory: Path | None, session: Session
    ) -> None:
        self.tree, self.source, self.lookup, self.session, self.directory = tree, source, lookup, session, directory
        self.marks = marks.get("services", {})
        self.done: dict[tuple[Path | None, str], Tree] = {}

    def applied(self) -> Tree:
        services = self.tree.get("services")
        if services is None or not any("extends" in (s.fields or {}) for _, s in services.pairs()):
            return self.tree
        fields = {name: self._service(name, services, self.source.path, ()) for name, _ in services.pairs()}
        return mapping({**(self.tree.fields or {}), "services": mapping(fields, services)}, self.tree)

    def _service(
        self, name: str, services: Tree, path: Path | None, chain: tuple[tuple[Path | None, str], ...]
    ) -> Tree:
        me = (path, name)
        if me in self.done:
            return self.done[me]
        service = (services.fields or {})[name]
        extends = service.get("extends")
        if extends is None:
            return service
        if me in chain:
            raise broken(extends, f"the service extends itself: {self._shown((*chain[chain.index(me) :], me))}")
        if len(chain) >= CHAIN:
            raise LimitError(f"{extends.place}: more than {CHAIN} services extend each other")
        made = self._extended(name, service, extends, services, path, (*chain, me))
        self.session.budget.spend(made.weight, extends.place)
        self.done[me] = made
        return made

    def _shown(self, chain: tuple[tuple[Path | None, str], ...]) -> str:
        several = len({path for path, _ in chain}) > 1
        return " → ".join(
            f"{shown(name)} in {self.session.folder.name(path)}" if several and path is not None else shown(name)
            for path, name in chain
        )

    def _extended(
        self,
        name: str,
        service: Tree,
        extends: Tree,
        services: Tree,
        path: Path | None,
        chain: tuple[tuple[Path | None, str], ...],
    ) -> Tree:
        wanted = extends if extends.fields is None else extends.get("service")
        if wanted is None:
            raise broken(extends, "extends names no service")
        file = extends.get("file")
        if wanted.unknown or (file is not None and file.unknown):
            return service  # the key that stays behind says that the base is not known
        if file is not None:
            found = self._file(file, path)
            if found is None:
                return service
            services, path = found
        base_name = wanted.string()
        if (services.fields or {}).get(base_name) is None:
            raise broken(wanted, f"there is no service {shown(base_name)} to extend")
        base = self._service(base_name, services, path, chain)
        if base.is_null:
            base = mapping({}, base)
        keys.check_service(base, base_name)
        below = self.marks.get(name)
        own = mapping({key: value for key, value in service.pairs() if key != "extends"}, service)
        return merge_service(without(base, below) if below else base, own)

    def _file(self, file: Tree, path: Path | None) -> tuple[Tree, Path] | None:
        """The services of another file and where it lies; None if it is not read, which is told."""
        name = file.string()
        if is_remote(name):
            self.session.warn(
                f"{file.place}: {printable(name)} lies elsewhere and is not read; what it says is unknown"
            )
            return None
        # a relative name counts from the project's folder in the project's own files, else from the file that says it
        base = self.directory if path == self.source.path else (path.parent if path is not None else None)
        if base is None and not name.startswith("/"):
            self.session.warn(f"{file.place}: {printable(name)} is not read: the file that names it lies in no folder")
            return None
        target = Path(os.path.normpath((base or Path("/")) / name))
        try:
            text = self.session.text(target)
        except OutsideError:
            self.session.warn(
                f"{file.place}: {printable(name)} lies outside the project's folder and is not read; what it says is unknown"
            )
            return None
        if text is None:
            raise TargetError(f"{file.place}: {printable(name)} is to be extended, but there is no such file")
        if target not in self.session.extended:
            self.session.extended[target] = self._read(text, target)
        services = self.session.extended[target].get("services")
        if services is None or services.fields is None:
            raise broken(file, f"{printable(name)} has no services")
        return services, target

    def _read(self, text: str, target: Path) -> Tree:
        project: Tree | None = None
        for node in read_yaml(text, self.session.folder.name(target)):
            if node.is_null:
                continue
            marks: Marks = {}
            tree = interpolated(node, self.lookup, self.session.budget, marks)
            if tree.fields is None:
                raise broken(tree, "the file must be a mapping")
            project = tree if project is None else merge(without(project, marks), tree)
            project = unique(canonical(unique(project), self.session.budget))
        if project is None:
            raise ParseError(f"{self.session.folder.name(target)}:1:1: the file is empty")
        return _located(project, target.parent, self.lookup)


# ---- include


def _included(
    tree: Tree,
    source: Source,
    lookup: Lookup,
    directory: Path | None,
    session: Session,
    chain: tuple[Path, ...],
) -> Tree:
    include = tree.get("include")
    if include is None:
        return tree
    if source.path is not None:
        chain = (*chain, source.path)
    if len(chain) > CHAIN:
        raise LimitError(f"{include.place}: more than {CHAIN} files include each other")
    fields = {key: value for key, value in tree.pairs() if key != "include"}
    for one in include.items or ():
        imported = _one_include(one, lookup, directory, session, chain)
        if imported is not None:
            _import(imported, fields)
    return mapping(fields, tree)


def _one_include(
    one: Tree, lookup: Lookup, directory: Path | None, session: Session, chain: tuple[Path, ...]
) -> Tree | None:
    named = (one,) if one.fields is None else one.fields["path"].each() if "path" in one.fields else ()
    if not named:
        raise broken(one, "include names no path")
    paths: list[Path] = []
    sources: list[Source] = []
    for file in named:
        path = _reachable(file, directory, session)
        if path is None:
            session.leave_out(file)
            return None
        if path in chain:
            names = [session.folder.name(p) for p in (*chain[chain.index(path) :], path)]
            raise broken(file, f"the file includes itself: {' → '.join(names)}")
        text = session.text(path)
        if text is None:
            raise TargetError(f"{file.place}: {printable(file.string())} is to be included, but there is no such file")
        name = session.folder.name(path)
        paths.append(path)
        sources.append(Source(name, tuple(read_yaml(text, name)), path))
    own = one.get("project_directory") if one.fields is not None else None
    inner = paths[0].parent
    if own is not None and directory is not None:
        if own.unknown:
            session.warn(f"{own.place}: the directory of what is included hangs on a variable that is not set")
            session.leave_out(named[0])
            return None
        inner = Path(os.path.normpath(directory / own.string()))
    known = _include_environment(one, inner, lookup, directory, session)

    def inner_lookup(name: str) -> str | None:
        value = lookup(name)
        return known.get(name) if value is None else value

    return load(sources, inner_lookup, inner, session, chain)


def _include_environment(
    one: Tree, inner: Path, lookup: Lookup, directory: Path | None, session: Session
) -> Mapping[str, str]:
    files = one.get("env_file") if one.fields is not None else None
    if files is None:
        return environment_of(inner / ".env", lookup, session)
    known: dict[str, str] = {}
    for file in files.each():
        path = _reachable(file, directory, session)
        if path is None:
            continue
        text = session.text(path)
        if text is None:
            raise TargetError(f"{file.place}: there is no file {printable(file.string())}")
        variables = read_dotenv(text, session.folder.name(path), lambda n: _first(lookup(n), known.get(n)))
        known.update(values(variables))
    return known


def _first(value: str | None, other: str | None) -> str | None:
    return other if value is None else value


def environment_of(path: Path, lookup: Lookup, session: Session) -> Mapping[str, str]:
    """The variables of a `.env`, none if there is no such file. Raises ParseError, LimitError."""
    try:
        text = session.text(path)
    except OutsideError:
        session.warn(f"{session.folder.name(path)} leads out of the project's folder and is not read")
        return {}
    return {} if text is None else values(read_dotenv(text, session.folder.name(path), lookup))


def _reachable(file: Tree, directory: Path | None, session: Session) -> Path | None:
    """Where a named file lies; None, and a warning, where it is not to be read."""
    name = file.string()
    if file.unknown:
        why = f"hangs on the variable {file.unknown[0]}, which is not set"
    elif is_remote(name):
        why = "lies elsewhere"
    elif directory is None and not name.startswith("/"):
        why = "is named by a file that lies in no folder"
    else:
        path = Path(os.path.normpath((directory or Path("/")) / name))
        try:
            session.folder.inside(path)
        except OutsideError:
            why = "lies outside the project's folder"
        else:
            return path
    session.warn(f"{file.place}: {printable(name)} {why}, and is not read; what it says is unknown")
    return None


def _import(imported: Tree, fields: dict[str, Tree]) -> None:
    """What another project defines comes in; what both define must be alike."""
    for kind in ("services", "volumes", "networks", "secrets", "configs", "models"):
        theirs = imported.get(kind)
        if theirs is None or theirs.fields is None:
            continue
        own = fields.get(kind)
        ours = dict(own.fields or {}) if own is not None else {}
        for name, value in theirs.pairs():
            if name in ours and not same(ours[name], value):
                raise broken(
                    ours[name], f"{kind}.{shown(name)} stands in an included file too, at {value.place}, and differs"
                )
            ours.setdefault(name, value)
        fields[kind] = mapping(ours, own if own is not None else theirs)


def same(one: Tree, other: Tree) -> bool:
    """Whether two values say the same."""
    if one.is_null or other.is_null:
        return one.is_null and other.is_null
    if one.fields is not None and other.fields is not None:
        return one.fields.keys() == other.fields.keys() and all(
            same(value, other.fields[key]) for key, value in one.fields.items()
        )
    if one.items is not None and other.items is not None:
        return len(one.items) == len(other.items) and all(map(same, one.items, other.items))
    return one.text is not None and other.text is not None and one.string() == other.string()


# ---- paths and names that are meant relative to the file or the environment


def _located(project: Tree, directory: Path | None, lookup: Lookup) -> Tree:
    """The project with the paths in it made absolute."""
    fields = dict(project.fields or {})
    for kind, locate in (
        ("services", _located_service),
        ("volumes", _located_volume),
        ("configs", _file),
        ("secrets", _file),
    ):
        group = project.get(kind)
        if group is not None and group.fields is not None:
            fields[kind] = mapping({name: locate(v, directory, lookup) for name, v in group.pairs()}, group)
    return mapping(fields, project)


def absolute(value: Tree, directory: Path | None, lookup: Lookup) -> Tree:
    """A path of the host. A home folder that is not known stays `~`; $PWD is the project's folder, where it is launched."""
    text, unknown = value.string(), value.unknown
    for name, known in (("HOME", "~"), ("PWD", "." if directory is None else str(directory))):
        if text == f"${{{name}}}" or text.startswith(f"${{{name}}}/"):
            text = known + text[len(name) + 3 :]
            unknown = part(value, text).unknown
    if text.startswith("~"):
        home = lookup("HOME")
        text = os.path.normpath(home + "/" + text[1:]) if home else text
    elif directory is not None and text and not text.startswith("$") and not text.startswith("/") and text[1:2] != ":":
        text = os.path.normpath(f"{directory}/{text}")
    return value if text == value.string() else scalar(text, value, unknown)


def _located_service(service: Tree, directory: Path | None, lookup: Lookup) -> Tree:
    if service.fields is None:
        return service
    fields = dict(service.fields)
    volumes = service.get("volumes")
    if volumes is not None:
        fields["volumes"] = sequence(tuple(_located_mount(v, directory, lookup) for v in volumes.items or ()), volumes)
    files = service.get("env_file")
    if files is not None:
        found = sequence(tuple(_with_path(f, "path", directory, lookup) for f in files.items or ()), files)
        fields["env_file"] = unique(found, ("services", "*", "env_file"))
    labels = service.get("label_file")
    if labels is not None:
        fields["label_file"] = sequence(tuple(absolute(f, directory, lookup) for f in labels.each()), labels)
    return mapping(fields, service)


def _located_mount(mount: Tree, directory: Path | None, lookup: Lookup) -> Tree:
    kind = mount.get("type")
    return _with_path(mount, "source", directory, lookup) if kind is not None and kind.string() == "bind" else mount


def _with_path(value: Tree, key: str, directory: Path | None, lookup: Lookup) -> Tree:
    path = value.get(key)
    if path is None or path.text is None:
        return value
    return mapping({**(value.fields or {}), key: absolute(path, directory, lookup)}, value)


def _file(value: Tree, directory: Path | None, lookup: Lookup) -> Tree:
    return _with_path(value, "file", directory, lookup)


def _located_volume(volume: Tree, directory: Path | None, lookup: Lookup) -> Tree:
    options, driver = volume.get("driver_opts"), volume.get("driver")
    if options is None or driver is None or driver.string() != "local":
        return volume
    kind = options.get("o")
    if kind is None or kind.string() != "bind":
        return volume
    return mapping({**(volume.fields or {}), "driver_opts": _with_path(options, "device", directory, lookup)}, volume)


def _environment_of(project: Tree, lookup: Lookup) -> Tree:
    """Names without value in a list `environment` take the environment's."""
    services = project.get("services")
    if services is None or services.fields is None:
        return project
    fields = dict(services.fields)
    for name, service in services.pairs():
        environment = service.get("environment")
        if environment is not None and environment.items is not None:
            found = sequence(tuple(_resolved(environment.items, lookup)), environment)
            fields[name] = mapping({**(service.fields or {}), "environment": found}, service)
    return mapping({**(project.fields or {}), "services": mapping(fields, services)}, project)


def _resolved(items: tuple[Tree, ...], lookup: Lookup) -> Iterator[Tree]:
    for one in items:
        name = one.string()
        value = lookup(name) if "=" not in name else None
        yield one if value is None else scalar(f"{name}={value}", one)
