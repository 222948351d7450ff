"""Which sandscan this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def tool_version() -> str:
    """The installed version, `0+unknown` in a tree that was never installed."""
    try:
        return version("sandscan")
    except PackageNotFoundError:
        return "0+unknown"
