"""sarif-om objects as JSON values.

The serialiser that belongs to sarif-om drops a level that equals its default (and so lets the rule's default override
it), writes misspelt attributes as they are, and takes ten times as long.
"""

from functools import cache
from typing import Any

from scanner.model import Json

ALWAYS = frozenset({"level"})
"""A result's level left out is not `warning` but the rule's default (SARIF 3.27.10)."""


def to_json(value: Any) -> Json:
    """The value as dicts, lists and scalars: what is None or has its default is left out.

    Raises TypeError for an attribute that the class does not have and for a value that is no JSON.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        if any(not isinstance(key, str) for key in value):
            raise TypeError("keys of a property bag are strings")
        return {key: to_json(item) for key, item in value.items() if item is not None}
    return _object(value)


def _object(value: Any) -> Json:
    kind: type = type(value)
    fields = _fields(kind)
    attributes = vars(value)
    if attributes.keys() != fields.keys():
        unknown = ", ".join(sorted(attributes.keys() - fields.keys()))
        raise TypeError(f"{kind.__name__} has no attribute {unknown}")
    written: dict[str, Json] = {}
    for attribute, (name, default) in fields.items():
        item = attributes[attribute]
        if item is not None and (item != default or type(item) is not type(default) or name in ALWAYS):
            written[name] = to_json(item)
    return written


@cache
def _fields(kind: type) -> dict[str, tuple[str, Any]]:
    """Attribute → SARIF property name and default."""
    import attr

    if not (kind.__module__.startswith("sarif_om.") and attr.has(kind)):
        raise TypeError(f"{kind.__name__} is no part of SARIF")
    fields = attr.fields(kind)
    return {field.name: (field.metadata["schema_property_name"], _default(field.default)) for field in fields}


def _default(default: Any) -> Any:
    import attr

    if default is attr.NOTHING:
        return attr.NOTHING
    return default.factory() if isinstance(default, attr.Factory) else default  # type: ignore[arg-type]
