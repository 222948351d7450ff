"""A configuration's text as Settings, every value checked and with its place; whatever is wrong is said with file:line:column."""

import difflib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.errors import ScannerError, UsageError
from scanner.model import Ignore, Place, printable
from scanner.settings.keys import Key, Kind, Role

if TYPE_CHECKING:
    from scanner.launch.document import Node

BYTES = 1 << 20
"""Characters of a configuration."""
Value = bool | int | float | str | tuple[str, ...]
Commands = Mapping[str, Sequence[Key]]


@dataclass(frozen=True, slots=True)
class Option:
    """What a file says of one option: the value as the command line would have it (several texts as a tuple), and where it stands."""

    key: Key
    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds beside the command line. `options` are by command, then by parameter; `file` None: no configuration.

    `found` where nobody named the file: then it came with the repository. `notes` are sentences that every report has to hold.
    """

    file: str | None = None
    found: bool = False
    options: Mapping[str, Mapping[str, Option]] = field(default_factory=dict)
    ignores: tuple[Ignore, ...] = ()
    notes: tuple[str, ...] = ()


NOTHING = Settings()


def load(path: Path, commands: Commands, *, found: bool) -> Settings:
    """The settings in a file; one whose name ends in `.toml` is read as pyproject.toml is. `found`: nobody named it (see scanner.settings).

    Raises UsageError with file:line:column for whatever is wrong, and where the file cannot be read.
    """
    from scanner.launch.nearby import file_text, within

    name = _shown(path)
    folder = path.absolute().parent
    try:
        real = folder.resolve()
        if found and within(real, path.name) is None:
            raise UsageError(
                f"{name} is a link that leads out of its folder; name the file with --config, or use --no-config"
            )
        text = file_text(path, name)
    except OSError as e:
        raise UsageError(f"the configuration {name} cannot be read: {e.strerror or e}") from e
    except ScannerError as e:
        raise UsageError(f"the configuration cannot be read: {e}") from e
    return parse(text, name, real, commands, toml=path.suffix == ".toml", found=found)


def _shown(path: Path) -> str:
    """The file's name for people, from where they stand."""
    try:
        return printable(os.path.relpath(path))
    except (OSError, ValueError):
        return printable(str(path))


def parse(text: str, name: str, folder: Path, commands: Commands, *, toml: bool, found: bool) -> Settings:
    """The settings in a text. `folder` is what relative paths begin at, itself without links. Raises UsageError."""
    if len(text) > BYTES:
        raise UsageError(f"{name}: more than {BYTES:,} characters; no configuration has as many")
    try:
        root = _table(text, name) if toml else _document(text, name)
    except UsageError:
        raise
    except ScannerError as e:
        raise UsageError(str(e)) from e
    if root is None:
        return Settings(name, found)
    return _Reader(name, folder, commands, toml=toml, found=found).settings(root)


def _table(text: str, name: str) -> "Node":
    from scanner.launch.tomltext import read_toml

    root = read_toml(text, name).at("tool", "sandscan")
    if root is None:
        raise UsageError(f"{name} has no table [tool.sandscan]")
    return root


def _document(text: str, name: str) -> "Node | None":
    from scanner.launch.document import read_yaml

    documents = list(read_yaml(text, name))
    if len(documents) > 1:
        raise UsageError(f"{name}:{documents[1].line}:1: a configuration is one document, this is another one")
    return documents[0] if documents else None


class _Reader:
    def __init__(self, name: str, folder: Path, commands: Commands, *, toml: bool, found: bool) -> None:
        self.name, self.folder, self.commands, self.toml, self.found = name, folder, commands, toml, found

    def settings(self, root: "Node") -> Settings:
        from scanner.settings.ignoring import ignores

        if root.is_null and not root.quoted:
            return Settings(self.name, self.found)
        self._mapping(root, "a configuration")
        shared = {key.name for keys in self.commands.values() for key in keys}
        options: dict[str, dict[str, Option]] = {command: {} for command in self.commands}
        entries: tuple[Ignore, ...] = ()
        for name, at, value in root.items():
            if name == "ignore":
                entries = ignores(value, self.scalar)
            elif name in self.commands:
                continue
            elif name in shared:
                for command, keys in self.commands.items():
                    for key in keys:
                        if key.name == name:
                            options[command][key.parameter] = self._option(key, at, value)
            else:
                known = ["ignore", *self.commands, *sorted(shared)]
                raise wrong(at, f"there is no key {printable(name)!r}{hint(name, known)}")
        for command, keys in self.commands.items():  # what is said of one command comes before what is said of all
            own = root.get(command)
            if own is None or own.is_null:
                continue
            self._mapping(own, f"{command!r}")
            by_name = {key.name: key for key in keys}
            for name, at, value in own.items():
                if name not in by_name:
                    elsewhere = [c for c in self.commands if any(k.name == name for k in self.commands[c])]
                    more = (
                        f"; {' and '.join(elsewhere)} {'has' if len(elsewhere) == 1 else 'have'} it"
                        if elsewhere
                        else hint(name, list(by_name))
                    )
                    raise wrong(at, f"{command} has no option {printable(name)!r}{more}")
                options[command][by_name[name].parameter] = self._option(by_name[name], at, value)
        return Settings(self.name, self.found, options, entries)

    def _mapping(self, node: "Node", what: str) -> None:
        self._untagged(node)
        if not node.is_map:
            raise wrong(node, f"{what} is a mapping of keys to values")

    def _untagged(self, node: "Node") -> None:
        if node.tag is not None:
            raise wrong(node, f"the tag {printable(node.tag)} means nothing here")

    def _option(self, key: Key, at: "Node", node: "Node") -> Option:
        """The value, checked as the command line checks it."""
        if key.refused:
            raise wrong(at, f"{key.name!r} stands in no file: {key.refused}")
        if key.named_only and self.found:
            raise wrong(
                at,
                f"{key.name!r} holds only in a file that you name with --config, for {key.named_only}",
            )
        if not key.several:
            return Option(key, self._one(key, node), at.place)
        self._untagged(node)
        if node.is_map:
            if not key.pairs:
                raise wrong(node, f"{key.name!r} is a list of texts, or one text")
            values = tuple(self._pair(key, name, value) for name, value in node.pairs or ())
        else:
            listed = node.elements if node.elements is not None else (node,)
            values = tuple(str(self._one(key, one)) for one in listed)
        return Option(key, values, at.place)

    def _pair(self, key: Key, name: "Node", node: "Node") -> str:
        value = self.scalar(node)
        if value is None:
            raise wrong(node, f"{name.text!r} of {key.name!r} is a text, a number or a boolean")
        if not name.text or "=" in name.text:
            raise wrong(name, f"a name in {key.name!r} is not empty and holds no equals sign")
        said = str(value).lower() if isinstance(value, bool) else str(value)
        return self._checked(key, f"{name.text}={said}", node)

    def _one(self, key: Key, node: "Node") -> "bool | int | float | str":
        value = self.scalar(node)
        if key.kind is Kind.FLAG:
            if not isinstance(value, bool):
                raise wrong(node, f"{key.name!r} is true or false")
            return value
        if key.kind is Kind.TEXT:
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                what = "one of " + ", ".join(key.choices) if key.choices else "a text"
                raise wrong(node, f"{key.name!r} is {what}, not {_kind_of(node, value)}")
            if key.choices and value not in key.choices:
                said = f"{printable(str(value), 60)!r} is nothing that {key.name!r} may be"
                raise wrong(node, said + hint(str(value), key.choices))
            return self._checked(key, str(value), node)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (key.kind is Kind.NUMBER and isinstance(value, float))):
            raise wrong(
                node, f"{key.name!r} is a {'whole ' * (key.kind is Kind.INTEGER)}number, not {_kind_of(node, value)}"
            )
        assert isinstance(value, int | float)
        if (key.least is not None and not value >= key.least) or (key.most is not None and not value <= key.most):
            raise wrong(node, f"{key.name!r} is a number from {key.least} to {key.most}")
        return value

    def _checked(self, key: Key, value: str, node: "Node") -> str:
        if key.check is not None:
            try:
                key.check(value)
            except ValueError as e:
                raise wrong(node, f"{key.name!r}: {e}") from e
        if key.role is Role.WORD:
            return value
        if key.role is not Role.REPORT:
            return self._path(key, value, node)
        from scanner.reports.output import parse_output

        one, file = parse_output(value)
        return f"{one.name}={self._path(key, str(file), node, one.suffixes)}" if file is not None else value

    def _path(self, key: Key, value: str, node: "Node", suffixes: Sequence[str] = ()) -> str:
        """The path from where the user stands. One of a file that was found leads into the file's folder (see scanner.settings)."""
        from scanner.launch.nearby import within

        if "\0" in value or len(value) > 4096:
            raise wrong(node, f"{key.name!r}: no path")
        if self.found:
            real = within(self.folder, value)
            if real is None:
                raise wrong(
                    node,
                    f"{key.name!r}: {printable(value)} leads out of the folder of the configuration; "
                    "a file that you name with --config may do that",
                )
            if not _opens_at_once(real):
                raise wrong(node, f"{key.name!r}: {printable(value)} is neither a file nor a folder")
            endings = tuple(suffixes or key.suffixes)
            if key.role is not Role.READS:
                inner = real.relative_to(self.folder)
                if any(part.startswith(".") for part in inner.parts) or not inner.name.lower().endswith(endings):
                    raise wrong(
                        node,
                        f"{key.name!r}: {printable(value)} is no name for such a file: it ends in {' or '.join(endings)}, "
                        "and no part of it begins with a dot",
                    )
        try:
            path = os.path.relpath(Path(self.folder, value))
        except (OSError, ValueError):
            return str(Path(self.folder, value))
        # `-` and `container:NAME` are words of the command line; a file names files
        return f"./{path}" if path.startswith("-") or ":" in path.partition("/")[0] else path

    def scalar(self, node: "Node") -> "str | int | float | bool | None":
        """The value of a scalar by YAML 1.2's core schema, or TOML; None for what is none: null, a list, a mapping, a time of TOML."""
        self._untagged(node)
        if node.text is None:
            return None
        if self.toml and not node.quoted:
            import tomllib

            value = tomllib.loads(f"x={node.text}")["x"]
        else:
            value = node.plain()
        return value if isinstance(value, str | int | float) else None


def _opens_at_once(path: Path) -> bool:
    """Whether a path is no pipe that a repository brings, and nobody writes to, nor anything else that makes a reader wait."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return True  # whoever opens it is told at once
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _kind_of(node: "Node", value: object) -> str:
    if node.text is None:
        return "a mapping" if node.is_map else "a list"
    if value is None:
        return "nothing"
    return "an empty text" if value == "" else f"{printable(node.text, 60)!r}"


def wrong(node: "Node", what: str) -> UsageError:
    return UsageError(f"{node.place}: {what}")


def hint(word: str, known: Iterable[str]) -> str:
    """What was meant, or what there is."""
    known = list(known)
    close = difflib.get_close_matches(word.replace("_", "-"), known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known[:60])}"
