"""The prefilter names every file that a rule holds for, and says how each rule is reached."""

import base64
import gc
import itertools
import re
import resource
import sys
import threading
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, RuleError, ScannerError
from scanner.plugins import plugins
from scanner.prefilter import ALWAYS, FEW, Matcher, Names, Prefilter, Reach, build
from scanner.ruleset import Ruleset, load

YARA_FAILS = "internal error: 46"
"""ERROR_TOO_MANY_RE_FIBERS (libyara, error.h): a loop around alternatives that match nothing."""

SLOW_STORE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="session")
def compile_rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")

    def compile_(text: str) -> Ruleset:
        file = folder / "rules.yar"
        file.write_text(text)
        return load([file], builtin=False)

    return compile_


def reach_of(ruleset: Ruleset, identifier: str = "r") -> Reach:
    return build(ruleset).reach[f"yara/{identifier}"]


def named(prefilter: Prefilter, data: bytes) -> bool:
    return prefilter.needs(data[:512]) or prefilter.matcher().search(data)


def may_hold(prefilter: Prefilter, data: bytes, rule: str) -> bool:
    possible = prefilter.matcher().rules(data)
    return possible is None or rule in possible


# strings with bytes that they match

BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

CHARS = "abcXYZ01 ._-/"
words = st.text(CHARS, min_size=3, max_size=9)
noise = st.binary(max_size=12) | st.text(CHARS, max_size=12).map(str.encode)


def wide(data: bytes) -> bytes:
    return b"".join(bytes((b, 0)) for b in data)


@st.composite
def texts(draw):
    word = draw(words | st.text('abc\u00e9\n"\\', min_size=4, max_size=8))
    data = word.encode()
    mods = draw(st.sampled_from(["", "ascii", "wide", "wide ascii"])).split()
    kind = draw(
        st.sampled_from(["", "", "", "nocase", "xor", "xor(1-40)", "base64", "base64wide", "base64 base64wide"])
    )
    fullword = draw(st.booleans()) and "base64" not in kind
    shown = data
    if kind == "nocase":
        shown = draw(st.sampled_from([data.upper(), data.lower(), data.swapcase()]))
    if "wide" in mods and ("ascii" not in mods or draw(st.booleans())):
        shown = wide(shown)
    if "xor" in kind:
        key = draw(st.sampled_from([1, 32, 40]) | st.integers(1, 40))
        shown = bytes(b ^ key for b in shown)
    if "base64" in kind:
        shown = base64.b64encode(draw(st.binary(max_size=3)) + shown + draw(st.binary(max_size=3)))
        if kind == "base64wide":
            shown = wide(shown)
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}" {" ".join(mods)} {kind} {"fullword" * fullword}', shown


@st.composite
def hex_tokens(draw, depth=0):
    """(source, bytes); a jump never at either end."""
    parts, data = [], b""
    count = draw(st.integers(2, 6))
    for i in range(count):
        kind = draw(st.sampled_from(["byte", "byte", "high", "low", "any", "not", "jump", "jump", "or"]))
        byte = draw(st.integers(0, 255))
        if kind == "jump" and 0 < i < count - 1:
            least = draw(st.integers(0, 4))
            most = draw(st.sampled_from([least, least + 1, 70, 300])) if not depth else least + 1
            if most == least == 0:
                most = 1
            gap = draw(st.integers(least, min(most, least + 5)))
            unbounded = not depth and draw(st.booleans())
            parts.append(f"[{least}]" if most == least else f"[{least}-]" if unbounded else f"[{least}-{most}]")
            data += draw(st.binary(min_size=gap, max_size=gap))
        elif kind == "or" and depth < 2:
            sides = draw(st.lists(hex_tokens(depth=depth + 1), min_size=2, max_size=3))
            parts.append("(" + " | ".join(s for s, _ in sides) + ")")
            data += draw(st.sampled_from([d for _, d in sides]))
        elif kind == "high":
            parts.append(f"{byte >> 4:x}?")
            data += bytes([byte & 0xF0 | draw(st.integers(0, 15))])
        elif kind == "low":
            parts.append(f"?{byte & 15:X}")
            data += bytes([byte & 0x0F | draw(st.integers(0, 15)) << 4])
        elif kind == "any" and 0 < i < count - 1:
            parts.append("??")
            data += bytes([byte])
        elif kind == "not":
            parts.append(f"~{byte:02X}")
            data += bytes([byte ^ 1])
        else:
            parts.append(f"{byte:02x}")
            data += bytes([byte])
    return draw(st.sampled_from([" ", "", "\n", " /* x */ "])).join(parts), data


hexes = hex_tokens().map(lambda t: ("{ " + t[0] + " }", t[1]))

ATOMS = [
    ("a", b"a"), ("b", b"b"), ("Z", b"Z"), ("\\.", b"."), (".", b"x"), ("\\/", b"/"), ("\\x41", b"A"), ("\\n", b"\n"),
    ("\\w", b"_"), ("\\W", b"-"), ("\\s", b"\t"), ("\\S", b"s"), ("\\d", b"7"), ("\\D", b"d"), ("[a-c]", b"b"),
    ("[^a-c]", b"d"), ("[\\w-]", b"-"), ("[\\]x]", b"]"), ("[]y]", b"]"), ("[^]y]", b"a"), ("[\\x30-\\x39]", b"4"),
    ("[+\\-*\\/]", b"/"), ("[\\d.]", b"."), ("[a-]", b"-"), ("{", b"{"), ("a{b", b"a{b"), ("[.-9]", b"5"), ("[\\.-9]", b"/"),
]  # fmt: skip


@st.composite
def regex_bodies(draw, depth=0):
    parts, data = [], b""
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["word", "atom", "atom", "repeat", "or", "assert"]))
        if kind == "word" or depth == 2:
            word = draw(st.text("abcXYZ01", min_size=2, max_size=6))
            parts.append(word)
            data += word.encode()
        elif kind == "atom":
            source, one = draw(st.sampled_from(ATOMS))
            parts.append(source)
            data += one
        elif kind == "repeat":
            source, one = draw(
                st.sampled_from(ATOMS) | regex_bodies(depth=depth + 1).map(lambda t: (f"({t[0]})", t[1]))
            )
            if source in ("{", "a{b"):
                source = f"({source})"
            mark, times = draw(
                st.sampled_from(
                    [
                        ("*", 0),
                        ("*", 2),
                        ("+", 1),
                        ("+", 3),
                        ("?", 0),
                        ("?", 1),
                        ("{2}", 2),
                        ("{1,3}", 2),
                        ("{,2}", 0),
                        ("{2,}", 2),
                        ("{0,90}", 0),
                        ("{3,150}", 3),
                        ("{1, 2}", 1),
                    ]
                )
            )
            parts.append(source + mark + draw(st.sampled_from(["", "?"])))
            data += one * times
        elif kind == "or":
            sides = draw(st.lists(regex_bodies(depth=depth + 1), min_size=2, max_size=3))
            empty = draw(st.booleans())
            parts.append("(" + "|".join(s for s, _ in sides) + "|" * empty + ")")
            data += draw(st.sampled_from([*(d for _, d in sides), *[b""] * empty]))
        elif parts:
            parts.append(draw(st.sampled_from(["\\b", "\\B"])))
    return "".join(parts) or "abc", data or b"abc"


@st.composite
def regexes(draw):
    source, data = draw(regex_bodies())
    start, end = draw(st.sampled_from([("", ""), ("", ""), ("^", ""), ("", "$")]))
    flags = draw(st.sampled_from(["", "i", "s", "is"]))
    mods = draw(st.sampled_from(["", "nocase", "wide", "wide ascii", "fullword"]))
    if "i" in flags or mods == "nocase":
        data = draw(st.sampled_from([data, data.swapcase()]))
    if "wide" in mods and draw(st.booleans()):
        data = wide(data)
    return f"/{start}{source}{end}/{flags} {mods}", data


@st.composite
def files(draw, shown):
    """Bytes with some of these planted."""
    parts = [draw(noise)]
    for data in draw(st.lists(st.sampled_from(shown), max_size=4)):
        parts += [data, draw(noise)]
    return b"".join(parts)


def matched(ruleset, data):
    """What holds; None for a pattern that YARA gives up on, for its limits or for the time that it takes: the product says so."""
    try:
        return ruleset.match(data, seconds=5).matches
    except LimitError:
        event("YARA takes too long")
    except ScannerError as e:  # its regular expressions have limits that show only as they match
        if YARA_FAILS not in str(e):
            raise
        event("YARA fails on it")
    return None


@pytest.mark.parametrize("kind", [texts(), hexes, regexes()], ids=["text", "hex", "regex"])
@settings(max_examples=250, deadline=None, suppress_health_check=SLOW_STORE)
@given(data=st.data())
def test_a_string_that_matches_is_found(compile_rules, kind, data):
    source, shown = data.draw(kind)
    data = data.draw(files([shown]))
    try:
        ruleset = compile_rules(f"rule r {{ strings: $a = {source} condition: $a }}")
    except RuleError as e:
        event("YARA refuses it")
        if "sandscan" in str(e):
            raise
        return
    prefilter = build(ruleset)
    found = matched(ruleset, data)
    if found is None:
        return
    held = bool(found)
    event(f"{'holds' if held else 'does not hold'}, {prefilter.reach['yara/r'].kind}")
    if held:
        assert named(prefilter, data)
        assert may_hold(prefilter, data, "yara/r")


def test_a_pattern_that_yara_fails_on_is_told_and_not_taken_for_one_that_does_not_match(compile_rules):
    ruleset = compile_rules(r"rule r { strings: $a = /((00|00|)\b)*/ condition: $a }")
    with pytest.raises(ScannerError, match=f"could not match its 2 bytes: {YARA_FAILS}$"):
        ruleset.match(b"00", seconds=5)
    assert named(build(ruleset), b"00")
    assert may_hold(build(ruleset), b"00", "yara/r")


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("/abcd(longwordxyz){0,90}/", b"abcd"),
        ("/abcd(longwordxyz){40,90}?e/", b"abcd" + b"longwordxyz" * 40 + b"e"),
        ("/abcd(a+|longwordxyz)/", b"abcda"),
        ("/abcd(longwordxyz)?e/", b"abcde"),
        ("/[\\w-]{3}qzx/", b"ab-qzx"),
        ("/a.{300}bcdefgh/", b"a" + b"." * 300 + b"bcdefgh"),
        ("/caf\u00e9 noir/i", "CAF\u00e9 noir".encode()),
        ('"abc" base64', b"YWJj"),
        ('"abcd" base64("!@#$%^&*(){}[].,|ABCDEFGHIJ\\x09LMNOPQRSTUVWXYZabcdefghijklmnopqrstu")', None),
        ("{ 41 [1000-] 42 43 44 45 }", b"A" + b"." * 2000 + b"BCDE"),
        ("{ 01 02 // } 03 }\n 04 }", b"\1\2\4"),
    ],
)
def test_traps(compile_rules, source, data):
    ruleset = compile_rules(f"rule r {{ strings: $a = {source} condition: $a }}")
    if data is None:
        table = bytes.maketrans(BASE64, b"!@#$%^&*(){}[].,|ABCDEFGHIJ\tLMNOPQRSTUVWXYZabcdefghijklmnopqrstu")
        data = base64.b64encode(b"xabcdxx").translate(table)
    assert ruleset.match(data, seconds=5).matches
    assert reach_of(ruleset).kind == "strings"
    assert named(build(ruleset), data)


# whole rules

NAMES = ("$a", "$a1", "$b", "$c")


def sets():
    return st.sampled_from(["them", "($a*)", "($a, $b)", "($b, $c, $a1)", "($*)", "($c)"])


def counts():
    return st.sampled_from(["any", "all", "1", "2", "3", "50%", "none"])


LEAVES = (
    st.sampled_from(NAMES)
    | st.builds("{} of {}".format, counts(), sets())
    | st.builds("{} of {} in (0..20)".format, st.sampled_from(["any", "all", "1", "2"]), sets())
    | st.builds("any of {} at 0".format, sets())
    | st.builds("{} at {}".format, st.sampled_from(NAMES), st.sampled_from([0, 3, 200]))
    | st.builds("{} in (0..filesize)".format, st.sampled_from(NAMES))
    | st.builds("#{} {} {}".format, st.sampled_from("abc"), st.sampled_from([">", ">=", "==", "!=", "<", "<="]), st.integers(0, 2))
    | st.builds("{} {} #{}".format, st.integers(0, 2), st.sampled_from([">", ">=", "==", "!=", "<", "<="]), st.sampled_from("abc"))
    | st.builds("#{} in (0..30) > 0".format, st.sampled_from("abc"))
    | st.builds("#{}".format, st.sampled_from("abc"))
    | st.builds("@{} {} {}".format, st.sampled_from("abc"), st.sampled_from([">=", "!=", "<"]), st.integers(0, 9))
    | st.builds("!{}[1] {} {}".format, st.sampled_from("abc"), st.sampled_from([">", "!=", "<"]), st.integers(0, 9))
    | st.builds("for {} of {} : ( {} )".format, counts(), sets(), st.sampled_from(["$", "# > 0", "@ < 9", "$ at 0", "not $", "$b", "# < 2 or $a"]))
    | st.builds("for {} i in (1..2) : ( {} )".format, st.sampled_from(["any", "all", "1"]), st.sampled_from(["@a[i] < 9", "$b", "i == 1", "$c at i"]))
    | st.sampled_from(["filesize < 40", "true", "false", "inner", "filename contains \"and\"", "defined @a", "uint8(0) == 0x61"])
    | st.sampled_from(["uint16(0) == 0x5A4D", "uint32be(1) == 0x61626358", "0x61 == uint8(2)", "(uint16(0) & 0xff) == 0x4d", "#a + #b > 1"])
)  # fmt: skip


@st.composite
def conditions(draw, depth=0):
    if depth == 3 or draw(st.integers(0, 2)) == 0:
        return draw(LEAVES)
    left, right = draw(conditions(depth=depth + 1)), draw(conditions(depth=depth + 1))
    return draw(
        st.sampled_from(
            [
                f"{left} and {right}",
                f"{left} or {right}",
                f"({left}) and ({right})",
                f"({left} or {right})",
                f"not {left}",
                f"not ({left} and {right})",
                f"{left} and not {right}",
                f"( {left} ) /* or */",
            ]
        )
    )


@st.composite
def rule_cases(draw):
    chosen = [draw(texts() | hexes | words.map(lambda w: (f'"{w}"', w.encode()))) for _ in NAMES]
    head = draw(st.sampled_from([b"", b"", b"MZ", b"abcX", b"a"]))
    datas = draw(st.lists(files([d for _, d in chosen]).map(lambda b: head + b), min_size=3, max_size=5))
    body = "\n".join(f"{name} = {source}" for name, (source, _) in zip(NAMES, chosen, strict=True))
    return f"strings: {body} condition:", draw(conditions()), draw(conditions()), datas


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW_STORE)
@given(rule_cases())
def test_no_file_that_a_rule_holds_for_is_missed(compile_rules, case):
    strings_, inner, outer, datas = case
    used = " and any of them or false and all of them"
    inner = inner.replace("inner", "true")
    try:
        ruleset = compile_rules(
            f"private rule inner {{ {strings_} ({inner}) {used} }} rule r {{ {strings_} ({outer}) or (false and any of them) }}"
            f" rule plain {{ {strings_} ({outer}) and for any of them : (# >= 0) }}"
        )
    except RuleError as e:
        event("YARA refuses it")
        if "sandscan" in str(e):
            raise
        return
    prefilter = build(ruleset)
    alone = cache(lambda rule: Prefilter({"r": prefilter.reach[rule]}))
    for data in datas:
        for match in matched(ruleset, data) or ():
            event(f"held, reached by {prefilter.reach[match.rule.rule.id].kind}")
            assert named(alone(match.rule.rule.id), data), (outer, data)
            assert may_hold(prefilter, data, match.rule.rule.id), (outer, data)
        large = data + b"\xa5" * (
            200 << 10
        )  # which few of these patterns can begin with, so that YARA is done with it soon
        for match in matched(ruleset, large) or ():
            assert named(alone(match.rule.rule.id), large)


# what follows from a condition

STRINGS = """strings: $long = "a rather long string" $also = "another long string" $third = "the third of them"
    $short = "a" $four = "abcd" $elf = { 7F 45 4C 46 } $wide = "seldom seen" wide $any = /.+/"""


@pytest.mark.parametrize(
    ("condition", "kind", "count"),
    [
        ("$long", "strings", 1),
        ("$long and filesize < 1MB", "strings", 1),
        ("filesize < 1MB and ($long or $also)", "strings", 2),
        ("$long or filesize < 10", "always", 0),
        ("not $long", "always", 0),
        ("not $long and $also", "strings", 1),
        ("not ($long and $also)", "always", 0),
        ("any of ($long, $also, $third)", "strings", 3),
        ("2 of ($long, $also, $third)", "strings", 2),
        ("all of ($long, $also, $third)", "strings", 1),
        ("50% of ($long, $also, $third)", "strings", 3),
        ("none of ($long, $also)", "always", 0),
        ("0 of ($long, $also)", "always", 0),
        ("any of ($long, $any)", "always", 0),
        ("2 of ($long, $any)", "strings", 1),
        ("$four and $long", "strings", 1),
        ("$short", "always", 0),
        ("$wide", "strings", 1),
        ("#long > 0", "strings", 1),
        ("#long >= 0", "always", 0),
        ("#long < 5", "always", 0),
        ("2 < #long", "strings", 1),
        ("#long in (0..100) == 2", "strings", 1),
        ("@long < 100", "strings", 1),
        ("!long[2] == 7", "strings", 1),
        ("$long at 100", "strings", 1),
        ("$long in (0..100)", "strings", 1),
        ("any of ($long, $also) in (0..100)", "strings", 2),
        ("for any of ($long, $also) : ($ at 7000)", "strings", 2),
        ("for all of ($long, $also) : (# > 2)", "strings", 1),
        ("for any of ($long, $also) : (# < 2)", "always", 0),
        ("for any i in (1..3) : (@long[i] < 9 and $also)", "strings", 1),
        ("for all i in (1..3) : ($also)", "always", 0),
        ("uint32(0) == 0x464c457f", "magic", 0),
        ("0x464c457f == uint32(0) and $long", "strings", 1),
        ("uint32(0) == 0x464c457f and $short", "magic", 0),
        ("uint32(0) == 0x464c457f or $long", "strings or magic", 1),
        ("uint32(filesize - 4) == 0x464c457f", "always", 0),
        ("uint32(0) & 0xffff == 0x457f", "always", 0),
        ("$elf at 0", "magic", 0),
        ("$elf at 0 and $long", "strings", 1),
        ("$elf at filesize - 4", "strings", 1),
        ("defined @long", "always", 0),
        ("defined @long and $also", "strings", 1),
        ("helper and filesize > 1", "strings", 1),
        ("not helper", "always", 0),
        ("any of (helper*)", "always", 0),
    ],
)
def test_what_follows_from_a_condition(compile_rules, condition, kind, count):
    ruleset = compile_rules(
        'private rule helper { strings: $a = "what the helper needs" condition: $a }'
        f"rule r {{ {STRINGS} condition: ({condition}) and for any of them : (# >= 0) }}"
    )
    reach = reach_of(ruleset)
    assert (reach.kind, len(reach.patterns)) == (kind, count)


def test_and_prefers_the_rarer_side(compile_rules):
    reach = reach_of(
        compile_rules(f"rule r {{ {STRINGS} condition: $four and $third and for any of them : (# >= 0) }}")
    )
    assert [p.expression for p in reach.patterns] == ["".join(f"\\x{b:02x}" for b in b"the third of them")]


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        ('"xmrig" nocase', r"[\x58\x78][\x4d\x6d][\x52\x72][\x49\x69][\x47\x67]"),
        ('"pool" wide', r"\x70\x00\x6f\x00\x6f\x00\x6c\x00"),
        ("{ 41 4? ~42 [2] 43 }", r"\x41[\x40-\x4f][\x00-\x41\x43-\xff](?:[\x00-\xff]){2,2}\x43"),
        ("{ 41 42 43 44 [4-] 51 52 }", r"\x41\x42\x43\x44"),
        ("/^stratum\\+(tcp|ssl):/", r"\x73\x74\x72\x61\x74\x75\x6d\x2b(?:\x74\x63\x70|\x73\x73\x6c)\x3a"),
        ("/\\b4[0-9AB][a-z]{93}\\b/", r"\x34[\x30-\x39\x41-\x42](?:[\x61-\x7a]){93,93}"),
        ("/wallet.*address/", r"\x61\x64\x64\x72\x65\x73\x73"),
    ],
)
def test_what_is_looked_for(compile_rules, source, expression):
    [pattern] = reach_of(compile_rules(f"rule r {{ strings: $a = {source} condition: $a }}")).patterns
    assert pattern.expression == expression


def test_header_and_always_rules_need_files_by_their_beginning(compile_rules):
    elf = build(compile_rules("rule r { condition: uint32(0) == 0x464c457f }"))
    assert (elf.always, elf.engine) == (False, "none")
    assert [elf.needs(h) for h in (b"\x7fELF\x02", b"\x7fELG\x02", b"MZ\x90\x00", b"#!/bin/sh")] == [
        True,
        False,
        False,
        False,
    ]
    assert [elf.needs(h) for h in (b"", b"\x7f", b"\x7fEL")] == [True, True, True]  # the rest may be cut off
    assert not elf.matcher().search(b"\x7fELF")
    every = build(compile_rules("rule r { condition: filesize > 5 }"))
    assert every.always
    assert every.needs(b"x")
    assert every.matcher().search(b"x")


def test_which_rules_can_hold(compile_rules):
    prefilter = build(
        compile_rules(
            f"rule one {{ {STRINGS} condition: $long and for any of them : (# >= 0) }}"
            f"rule two {{ {STRINGS} condition: ($long or $third) and $also and for any of them : (# >= 0) }}"
            f"rule most {{ {STRINGS} condition: 2 of ($long, $also, $third) or for all of them : (# > 0) }}"
            f"rule elf {{ {STRINGS} condition: uint32(0) == 0x464c457f and $long and for any of them : (# >= 0) }}"
        )
    )
    matcher = prefilter.matcher()
    assert matcher.rules(b"nothing") == frozenset()
    assert matcher.rules(b"a rather long string") == {"yara/one"}
    assert matcher.rules(b"the third of them; another long string") == {"yara/two", "yara/most"}
    assert matcher.rules(b"\x7fELF a rather long string") == {"yara/one", "yara/elf"}


def test_without_the_engine_every_file_is_matched_and_it_is_said(compile_rules, monkeypatch):
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    prefilter = build(compile_rules('rule r { strings: $a = "something" condition: $a }'))
    assert (prefilter.engine, prefilter.always, prefilter.needs(b"x")) == ("none", True, True)
    assert "hyperscan is not installed" in prefilter.problem


# the matcher


@pytest.fixture(scope="module")
def needle() -> Matcher:
    return Prefilter({"r": Reach(_patterns("needle", "haystack [0-9]{3}"), (), 30.0)}).matcher()


def _patterns(*expressions: str):
    from scanner.yarapattern import Pattern

    return tuple(Pattern(e, 30.0) for e in expressions)


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 340), max_size=12), st.booleans())
def test_chunks_do_not_matter(needle, data, cuts, plant):
    if plant:
        data = data[: len(data) // 2] + b"a needle" + data[len(data) // 2 :]
    ends: list[int] = []
    borders = sorted({min(c, len(data)) for c in cuts} | {0, len(data)})
    with needle.stream(lambda end: bool(ends.append(end))) as stream:
        assert all(stream.scan(memoryview(data)[a:z]) for a, z in itertools.pairwise(borders))
    assert bool(ends) == needle.search(data)
    if plant:
        assert data.index(b"needle") + 6 in ends


def test_a_stream_stops_where_it_is_told_to(needle):
    told: list[int] = []
    with needle.stream(lambda end: told.append(end) is None) as stream:
        assert stream.scan(b"no match")
        assert not stream.scan(b"needle needle needle")
        assert not stream.scan(b"needle")
    assert told == [14]
    stream.close()


def test_an_error_in_the_callback_is_raised(needle):
    def fail(end: int) -> bool:
        raise ValueError(end)

    with needle.stream(fail) as stream, pytest.raises(ValueError, match="6"):
        stream.scan(b"needle")
    assert needle.search(b"needle")  # the scratch space is free again


def test_large_buffers_are_searched_over_their_slices(needle):
    data = bytearray(9 << 20)
    data[(4 << 20) - 3 : (4 << 20) + 3] = b"needle"
    assert needle.search(memoryview(data))
    assert not needle.search(memoryview(data)[4 << 20 :])


def test_streams_are_freed_and_keep_their_callback(needle):
    def scan(times: int) -> None:
        for number in range(times):
            # a whole collection now and then: with all that other tests hold, Python's own comes seldom
            gc.collect(0 if number % 1_000 else 2)
            with needle.stream(lambda end: bool(end) and None is end) as stream:
                gc.collect(0)
                stream.scan(b"a needle in a haystack 123")

    gc.collect()
    gc.freeze()  # what other tests hold is not looked through each time
    try:
        scan(2_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        scan(20_000)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048
    finally:
        gc.unfreeze()


def test_each_thread_has_a_matcher_of_its_own(compile_rules):
    prefilter = build(compile_rules('rule r { strings: $a = "needle" $b = /[a-z]{12}x/ condition: any of them }'))
    data = b"abcdefghijkl " * 200_000
    found: list[bool] = []

    def work(tail: bytes) -> None:
        matcher = prefilter.matcher()
        found.extend(matcher.search(data + tail) == bool(tail) for _ in range(5))

    threads = [threading.Thread(target=work, args=(tail,)) for tail in (b"", b"needle", b"", b"needle")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [True] * 20


def test_our_own_rules_never_need_every_file():
    prefilter = build(load())
    assert prefilter.engine == "hyperscan"
    assert {i: r.kind for i, r in prefilter.reach.items() if r == ALWAYS} == {}
    ours = Path(__file__).read_bytes()
    assert prefilter.matcher().search(ours) in (True, False)


# ---- names


def all_path_patterns() -> list[bytes]:
    return [p for d in plugins("scanner.detectors") for p in (*d.wants.paths, *d.wants.keeps)]


def examples_of_paths() -> list[bytes]:
    """Paths that some pattern names, and neighbours of theirs that none may."""
    known = [
        b"etc/ssh/sshd_config", b"etc/ssh/sshd_config.d/a.conf", b"root/.ssh/authorized_keys", b"etc/crontab", b"usr/bin/ssh",
        b"home/x/.aws/credentials", b"etc/openvpn/a.ovpn", b"root/.ngrok2/ngrok.yml", b"etc/wireguard/wg0.conf", b".env",
        b"usr/lib/python3/dist-packages/sshuttle-1.0.dist-info/METADATA", b"etc/systemd/system/a.service", b"etc/passwd",
        b"app/node_modules/ngrok/package.json", b"var/lib/dpkg/status", b"usr/lib/python3.11/sitecustomize.py", b"x/a.pth",
        b"home/x/.kube/config", b"etc/tor/torrc", b"opt/.cloudflared/config.yml", b"root/.git-credentials", b"usr/sbin/sshd",
    ]  # fmt: skip
    return [
        q
        for p in known
        for q in (p, p + b"x", p + b"\n", b"x" + p, b"x/" + p, p.upper(), p.replace(b"/", b"//"), p[1:])
    ]


@pytest.mark.parametrize("with_hyperscan", [True, False])
def test_names_finds_what_each_pattern_alone_finds(with_hyperscan: bool, monkeypatch: pytest.MonkeyPatch):
    if not with_hyperscan:
        monkeypatch.setitem(sys.modules, "hyperscan", None)
    patterns = all_path_patterns()
    names, alone = Names(patterns), [re.compile(p) for p in patterns]

    paths = examples_of_paths()
    found = [path for path in paths if names.search(path)]
    together = [names.search_all(paths) for _ in range(FEW // len(paths) + 2)]

    assert together[0] == together[-1] == [path in found for path in paths]
    assert found == [path for path in examples_of_paths() if any(p.search(path) for p in alone)]
    assert len(found) > 40


@given(st.lists(st.sampled_from([b"etc", b"ssh", b".ssh", b"root", b"home", b"config", b"a.conf", b"ngrok.yml", b"\n", b"", b"x.ovpn",
                                 b"sshd_config", b"bin", b"curl", b".env", b"package.json", b"node_modules", b"ngrok"]), max_size=6))  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_names_loses_no_path(parts: list[bytes]):
    path = b"/".join(parts)
    expected = any(p.search(path) for p in ALONE)

    assert ALL_NAMES.search(path) == expected
    assert ALL_NAMES.search_all([b"x", path, b"etc"]) == [False, expected, False]


ALL_NAMES = Names(all_path_patterns())
ALL_NAMES.search_all([b"x"] * FEW)  # from here on hyperscan is asked
ALONE = [re.compile(p) for p in all_path_patterns()]


def test_names_of_nothing_finds_nothing():
    assert not Names([]).search(b"etc/passwd")


def test_a_rule_that_wants_no_program_cannot_hold_for_one(compile_rules):
    ruleset = compile_rules('rule a { strings: $a = "ssh -R here" condition: uint32(0) != 0x464c457f and $a }')
    prefilter = build(ruleset)
    [rule] = prefilter.reach
    matcher = prefilter.matcher()

    assert prefilter.reach[rule].kind == "strings"
    assert matcher.rules(b"\x7fELF and ssh -R here") == frozenset()
    assert matcher.rules(b"#!/bin/sh\nssh -R here") == {rule}
    assert matcher.rules(b"\x7fEL ssh -R here") == {rule}
