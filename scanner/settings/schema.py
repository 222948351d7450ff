"""The JSON Schema of the configuration, made from what the loader goes by."""

from collections.abc import Mapping, Sequence

from scanner import globs
from scanner.model import Json
from scanner.settings.ignoring import ANYTHING, DATE, ENTRIES, FINGERPRINT
from scanner.settings.keys import Key, Kind

Schema = dict[str, Json]


def schema(commands: Mapping[str, Sequence[Key]]) -> Schema:
    """The schema (draft 2020-12) of what `.sandscan.yaml` or the table `tool.sandscan` may say.

    It cannot say all: whether a glob, a limit, a fact or a path is one, and what only a file named by the user may set, the loader says.
    """
    shared: dict[str, list[Schema]] = {}
    own: dict[str, Schema] = {}
    for command, keys in commands.items():
        allowed = [key for key in keys if not key.refused]
        for key in allowed:
            alike = shared.setdefault(key.name, [])
            if (one := _value(key)) not in alike:
                alike.append(one)
        properties: Schema = {key.name: {**_value(key), "description": _about(key)} for key in allowed}
        own[command] = {
            "description": f"What holds for sandscan {command} alone, and comes before what is said for all.",
            **_or_nothing({"type": "object", "additionalProperties": False, "properties": properties}),
        }
    described = {key.name: _about(key) for keys in commands.values() for key in keys}
    top = {
        name: {**(alike[0] if len(alike) == 1 else {"allOf": alike}), "description": described[name]}
        for name, alike in sorted(shared.items())
        if name not in commands
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of sandscan",
        "description": ".sandscan.yaml, or the table tool.sandscan of pyproject.toml.",
        **_or_nothing(
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {**top, **own, "ignore": _or_nothing(_ignores())},
            }
        ),
    }


def _or_nothing(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "null"}]}


def _about(key: Key) -> str:
    named = f" Only in a file that is named with --config, for {key.named_only}." if key.named_only else ""
    return key.help + named


def _value(key: Key) -> Schema:
    one = _one(key)
    if not key.several:
        return one
    ways: list[Json] = [one, {"type": "array", "items": one}]
    if key.pairs:
        names: Json = {"minLength": 1, "pattern": "^[^=]*$"}
        ways.append(
            {
                "type": "object",
                "propertyNames": names,
                "additionalProperties": {"type": ["string", "number", "boolean"]},
            }
        )
    return {"anyOf": ways}


def _one(key: Key) -> Schema:
    if key.choices:
        return {"enum": list(key.choices)}
    if key.kind is Kind.FLAG:
        return {"type": "boolean"}
    if key.kind is Kind.TEXT:
        return {"type": ["string", "integer"], "minLength": 1}
    bounds = {"minimum": key.least, "maximum": key.most}
    return {"type": key.kind.value, **{name: value for name, value in bounds.items() if value is not None}}


def _ignores() -> Schema:
    glob: Schema = {"type": "string", "minLength": 1, "maxLength": globs.LONGEST, "pattern": "\\S"}
    names_something: Schema = {"not": {"pattern": ANYTHING}}
    entry: Schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["reason", "expires"],
        "anyOf": [
            {"required": ["fingerprint"]},
            {"required": ["rule"], "properties": {"rule": names_something}},
            {"required": ["path"], "properties": {"path": names_something}},
        ],
        "properties": {
            "rule": {**glob, "description": "Which rule: a glob such as ssh/*."},
            "path": {
                **glob,
                "description": "Where: a glob over the path in the image or the repository, such as opt/**.",
            },
            "image": {**glob, "description": "Which image: a glob over its name without tag and digest."},
            "fingerprint": {
                "type": "string",
                "pattern": f"^{FINGERPRINT}$",
                "description": "One finding: its fingerprint, or the first 16 digits of it or more.",
            },
            "reason": {"type": "string", "pattern": "\\S", "description": "Why it may be ignored."},
            "expires": {
                "type": "string",
                "format": "date",
                "pattern": f"^{DATE}$",
                "description": "The last day on which the entry holds; afterwards its findings count again.",
            },
        },
    }
    return {"type": "array", "maxItems": ENTRIES, "items": entry}
