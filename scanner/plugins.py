"""Plug-ins are files: every module of a package that has a PLUGIN, in sorted order, imported when first asked for."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any


@cache
def plugins(package: str) -> tuple[Any, ...]:
    """The PLUGIN of every module of the package, by module name. A module without one (such as `plugin`) is a helper."""
    found = (
        import_module(f"{package}.{module.name}")
        for module in sorted(iter_modules(import_module(package).__path__), key=lambda m: m.name)
        if module.name != "plugin"
    )
    return tuple(module.PLUGIN for module in found if hasattr(module, "PLUGIN"))


def plugin(package: str, name: str) -> Any | None:
    """The PLUGIN of one module of the package, the others left alone; None where there is no such module, or it has none."""
    if name not in {module.name for module in iter_modules(import_module(package).__path__)}:
        return None
    return getattr(import_module(f"{package}.{name}"), "PLUGIN", None)
