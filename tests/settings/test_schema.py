"""The published schema and the loader say the same of what may stand in a configuration."""

from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import UsageError
from scanner.settings import schema
from tests.settings.commands import known, read

EXAMPLES = [
    "",
    "fail-on: medium\noutput: [text, sarif=out.sarif]",
    "limit: {archive-depth: 3}\nscan: {no-prefilter: true}",
    "egress: {assume: {cni.enforces: true}, keep: 'api.example.com:443', to: [internet, dns]}",
    "observe: {seconds: 2.5, pids: 64, user: 1000, guest-env: {CI: true}}",
    "ignore:\n  - rule: ssh/*\n    path: etc/ssh/**\n    image: ghcr.io/acme/*\n    reason: why\n    expires: '2027-06-30'",
    "ignore: [{fingerprint: 0a1b2c3d4e5f6a7b, reason: why, expires: '2027-06-30'}]",
]
WRONG = [
    "fail_on: medium",
    "fail-on: hihg",
    "no-cache: 'yes'",
    "observe: {seconds: 0}",
    "observe: {pids: 2.5}",
    "limit: {archive-depth: [3]}",
    "output: {sarif: x}",
    "clean: true",
    "egress: {fix: true}",
    "ignore: [{rule: ssh/*, reason: why}]",
    "ignore: [{rule: ssh/*, reason: '', expires: '2027-06-30'}]",
    "ignore: [{rule: '*', reason: why, expires: '2027-06-30'}]",
    "ignore: [{image: app, reason: why, expires: '2027-06-30'}]",
    "ignore: [{fingerprint: abc, reason: why, expires: '2027-06-30'}]",
    "ignore: [{rule: ssh/*, reason: why, expires: soon}]",
    "ignore: [{rule: ssh/*, reason: why, expires: '2027-06-30', until: x}]",
]


@cache
def validator() -> jsonschema.Draft202012Validator:
    made = schema(known())
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made, format_checker=jsonschema.FormatChecker())


def loads(config: object) -> str | None:
    """What the loader says against it; None if nothing."""
    try:
        read(yaml.safe_dump(config, allow_unicode=True), found=False)
    except UsageError as e:
        return str(e)
    return None


@pytest.mark.parametrize("text", EXAMPLES)
def test_what_is_right_is_right_to_both(text: str) -> None:
    config = yaml.safe_load(text)
    assert [e.message for e in validator().iter_errors(config)] == []
    assert loads(config) is None


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_wrong_to_both(text: str) -> None:
    config = yaml.safe_load(text)
    assert not validator().is_valid(config)
    assert loads(config) is not None


def test_every_key_says_what_it_is_for() -> None:
    whole: Any = validator().schema
    properties = whole["anyOf"][0]["properties"]
    assert {"fail-on", "output", "scan", "egress", "ignore"} <= properties.keys()
    assert [name for name, one in properties.items() if name != "ignore" and not one.get("description")] == []
    seconds = properties["observe"]["anyOf"][0]["properties"]["seconds"]
    assert (seconds["type"], seconds["minimum"], seconds["maximum"]) == ("number", 0.1, 86_400)


# What a check of the command refuses beyond its type is no matter of the schema, so that texts here are ones that any check takes.
FREE = (
    "runner",
    "profile",
    "sandbox",
    "platform",
    "user",
    "baseline",
    "launch",
    "policy",
    "rules",
    "env-file",
    "ruleset",
)
# 1.0 is a whole number to JSON Schema, and none to the loader
SCALAR = st.one_of(
    st.booleans(),
    st.integers(-5, 100_000),
    st.sampled_from([0.001, 0.5, 2.5, 86_400.5]),
    st.none(),
    st.sampled_from(["", "a", "high", "never", "internet", "text", "2027-06-30", "on", "null", "1", "é"]),
)
VALUE = st.one_of(
    SCALAR, st.lists(SCALAR, max_size=3), st.dictionaries(st.sampled_from(["A", "b-c"]), SCALAR, max_size=2)
)
TYPED = (
    "fail-on",
    "severity",
    "color",
    "no-cache",
    "verbose",
    "to",
    "seconds",
    "cpus",
    "pids",
    "interval",
    "no-prefilter",
    "nonsense",
)
OPTIONS = st.dictionaries(st.sampled_from((*FREE, *TYPED)), VALUE, max_size=4)
PARTS = {
    "rule": st.sampled_from(["ssh/*", "*", "**/*", "?", "[!~]**", "[ms]*", "[*]", "a", 3, None, ""]),
    "path": st.sampled_from(["**", "opt/**", "/", "x", True]),
    "image": st.sampled_from(["app", "*", 3]),
    "fingerprint": st.sampled_from(["ab" * 8, "ab" * 32, "AB" * 8, "ab", "ab" * 33]),
    "reason": st.sampled_from(["why", " ", "", 3]),
    "expires": st.sampled_from(["2027-06-30", "2027-13-01", "2027-6-3", "soon", 3, None]),
    "other": st.just("x"),
}
REST = {name: one for name, one in PARTS.items() if name not in ("reason", "expires")}
ENTRY = st.one_of(
    st.fixed_dictionaries({"reason": PARTS["reason"], "expires": PARTS["expires"]}, optional=REST),
    st.fixed_dictionaries({}, optional=PARTS),
)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*FREE, *TYPED), VALUE),
        "scan": OPTIONS,
        "egress": OPTIONS,
        "observe": OPTIONS | st.none() | st.just([]),
        "ignore": st.lists(ENTRY, max_size=2) | st.none() | st.just("x"),
    },
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.one_of(CONFIG, OPTIONS, st.fixed_dictionaries({"ignore": st.lists(ENTRY, max_size=1)})))
def test_the_schema_and_the_loader_take_the_same_configurations(config: dict[str, object]) -> None:
    against = loads(config)
    errors = [e.message for e in validator().iter_errors(config)]
    if against is not None and ("empty pattern" in against or "is no day" in against):
        return  # whether a glob is one, the loader alone says
    assert (against is None) == (not errors), (against, errors)
