"""Which sandscan this is."""

import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

_INSTALLED = re.compile(r"sandscan-([^-]+)\.dist-info")


@cache
def tool_version() -> str:
    """The installed version, `0+unknown` in a tree that was never installed.

    From the name of the folder NAME-VERSION.dist-info ("Recording installed projects" of the packaging specifications):
    importlib.metadata, which reads it in a file there, loads a whole reader of mail for that.
    """
    for folder in sys.path:
        with suppress(OSError):
            for one in Path(folder).iterdir():
                if found := _INSTALLED.fullmatch(one.name):
                    return found[1]
    return "0+unknown"
