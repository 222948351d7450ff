"""A file that many formats are asked about, taken apart once."""

from functools import cached_property

from scanner.errors import ScannerError
from scanner.launch.document import Node
from scanner.launch.plugin import Input


class Text(Input):
    """An input of which is remembered too that it is broken: most formats ask for its documents."""

    @property
    def documents(self) -> tuple[Node, ...]:
        """As Input's. Raises ParseError or LimitError, each time."""
        if isinstance(self._read, ScannerError):
            raise self._read.with_traceback(None)
        return self._read

    @cached_property
    def _read(self) -> tuple[Node, ...] | ScannerError:
        try:
            return Input(self.name, self.text, self.path).documents
        except ScannerError as e:
            return e
