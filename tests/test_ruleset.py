"""Rules are read from our folder and a user's files, and matched as YARA matches them."""

import mmap
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError, RuleError
from scanner.model import Severity
from scanner.ruleset import MOST_DATA, MOST_STRINGS, USER, WHOLE, Ruleset, StringMatch, load, spell_out
from scanner.yaratext import Include, RuleText, number, parse, unescape


def rules(folder: Path, text: str, name: str = "user.yar") -> Ruleset:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return load([file], builtin=False)


def ids(ruleset: Ruleset, data: bytes, path: bytes = b"") -> list[str]:
    return [m.rule.rule.id for m in ruleset.match(data, seconds=10, path=path).matches]


# our own


def test_our_rules_are_whole_and_each_under_its_folder():
    ruleset = load()
    assert len(ruleset.rules) >= 30
    assert len({r.rule.id for r in ruleset.rules}) == len(ruleset.rules)
    for rule in ruleset.rules:
        assert rule.rule.id.startswith(f"{rule.behaviour}/")
        assert rule.rule.name
        assert rule.rule.description
        assert rule.rule.help
        assert rule.has_id
        assert rule.file.startswith("rules/")
    ruleset.compile()


def test_the_digest_changes_with_any_rule_and_with_nothing_else(tmp_path):
    text = 'rule a { strings: $a = "abcd" condition: $a }'
    one, again = rules(tmp_path, text), rules(tmp_path / "elsewhere", text)
    assert one.digest == again.digest
    assert len(one.digest) == 64
    assert rules(tmp_path, text.replace("abcd", "abce")).digest != one.digest
    assert rules(tmp_path, text, "renamed.yar").digest != one.digest
    assert load().digest != load([tmp_path / "user.yar"]).digest


# a user's


def test_plain_yara_gets_defaults(tmp_path):
    [rule] = rules(tmp_path, "\n\nrule Some_Old_Miner { condition: true }").rules
    assert (rule.rule.id, rule.rule.name, rule.rule.severity) == (
        "yara/Some_Old_Miner",
        "Some Old Miner",
        Severity.MEDIUM,
    )
    assert (rule.identifier, rule.behaviour, rule.evidence, rule.has_id) == ("Some_Old_Miner", USER, "", False)
    assert (rule.file, rule.line) == (str(tmp_path / "user.yar"), 3)
    assert rule.rule.description
    assert rule.rule.help.endswith(".")


def test_the_meta_that_people_use_is_used(tmp_path):
    [rule] = rules(
        tmp_path,
        """rule x { meta: author = "A. N. Other" description = "Finds \\"x\\"" score = 80 class = "pool" id = "not-ours"
           reference = "https://one.example/a, https://two.example" reference = "see the report" mitre = "T1496.001 T1027"
           condition: true }""",
    ).rules
    assert rule.rule.id == "yara/x"
    assert rule.rule.severity is Severity.HIGH
    assert rule.rule.description == 'Finds "x"'
    assert rule.rule.references == ("https://one.example/a", "https://two.example")
    assert rule.rule.attack == ("T1496.001", "T1027")
    assert rule.evidence == ""  # it reports by itself


@pytest.mark.parametrize(
    ("meta", "severity"),
    [
        ('severity = "Critical"', Severity.CRITICAL),
        ('level = "info"', Severity.NOTE),
        ('severity = "purple"', Severity.MEDIUM),
        ('severity = "purple" level = "low"', Severity.LOW),
        ("score = 95", Severity.CRITICAL),
        ("score = 60", Severity.MEDIUM),
        ("score = 10", Severity.NOTE),
        ("score = 1000", Severity.MEDIUM),
        ("severity = 3", Severity.MEDIUM),
    ],
)
def test_severities(tmp_path, meta, severity):
    [rule] = rules(tmp_path, f"rule x {{ meta: {meta} condition: true }}").rules
    assert rule.rule.severity is severity


def test_a_folder_is_read_in_order_and_equal_names_do_not_clash(tmp_path):
    for name, word in (("b.yara", "second"), ("a/z.yar", "first"), ("notes.txt", "ignored")):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'rule same {{ strings: $a = "{word}" condition: $a }}')
    ruleset = load([tmp_path], builtin=False)
    assert [r.rule.id for r in ruleset.rules] == ["yara/z/same", "yara/b/same"]
    assert ids(ruleset, b"the second") == ["yara/b/same"]
    assert ids(ruleset, b"second, then first") == ["yara/z/same", "yara/b/same"]


def test_includes_are_read_relative_to_their_file_and_once(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/more.yar").write_text('private rule inner { condition: filesize > 3 }\ninclude "last.yar"')
    (tmp_path / "parts/last.yar").write_text("rule last { condition: inner }")
    (tmp_path / "index.yar").write_text('include "parts/more.yar"\nrule outer { condition: inner and last }')
    ruleset = load([tmp_path], builtin=False)
    assert [(r.rule.id, Path(r.file).name) for r in ruleset.rules] == [
        ("yara/last", "last.yar"),
        ("yara/outer", "index.yar"),
    ]
    assert ids(ruleset, b"1234") == ["yara/last", "yara/outer"]
    assert ids(ruleset, b"123") == []


def test_private_and_global_rules_modules_and_variables(tmp_path):
    ruleset = rules(
        tmp_path,
        """
        import "pe"
        import "elf"
        import "hash"
        import "math"
        import "console"
        global private rule small { condition: filesize < 100 }
        private rule hidden { strings: $a = "zzz" condition: $a }
        rule module { condition: hash.md5(0, filesize) == "900150983cd24fb0d6963f7d28e17f72" and console.log("shown?") }
        rule named { condition: filename == "run.sh" and filepath matches /^\\/opt\\// and extension == ".sh" }
        rule typed { condition: filetype == "ELF" and owner == "" }
        rule uses { condition: hidden }
        """,
    )
    assert [r.identifier for r in ruleset.rules] == ["module", "named", "typed", "uses"]
    assert ids(ruleset, b"abc") == ["yara/module"]
    assert ids(ruleset, b"x", b"opt/app/run.sh") == ["yara/named"]
    assert ids(ruleset, b"x", b"opt/app/.sh") == []
    assert ids(ruleset, b"\x7fELF zzz", b"\xff/\xfe") == ["yara/typed", "yara/uses"]
    assert ids(ruleset, b"zzz" * 40) == []


def test_what_the_console_module_logs_is_not_printed(tmp_path, capfd):
    rules(tmp_path, 'import "console" rule x { condition: console.log("secret") }').match(b"x", seconds=5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("rule a {\n condition:\n $b }", 3, "undefined string"),
        ("rule a {\n condition: }", 2, "syntax error"),
        ("\nrule a { condition: true", None, "unexpected end of file"),
        ("rule a { strings:\n $a = /[/ condition: $a }", 2, "expression"),
        ('\nrule a { strings: $a = "x" condition: true }', 2, "unreferenced string"),
        ("rule a { condition: true }\nrule a { condition: true }", 2, "duplicated identifier"),
        ("rule a { condition: nothing }", 1, "undefined identifier"),
        ('import "nothing" rule a { condition: true }', 1, "unknown module"),
        ("rule \u00e9 { condition: true }", 1, "syntax error"),
        ('rule a { strings: $a = "\\q" condition: $a }', 1, "syntax error"),
    ],
)
def test_a_broken_rule_is_named_with_file_line_and_reason(tmp_path, text, line, reason):
    with pytest.raises(RuleError, match=reason) as raised:
        rules(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'user.yar'}:" + (f"{line}:" if line else ""))
    assert "Correct the rule" in str(raised.value)


def test_the_broken_file_among_many_is_named(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.yar").write_text(
            "rule x { condition: true }" if name != "b" else "rule x {\n condition: $y }"
        )
    with pytest.raises(RuleError, match=r"b\.yar:2: undefined string"):
        load([tmp_path], builtin=False)


def test_a_broken_included_file_is_named(tmp_path):
    (tmp_path / "inner.yar").write_text("\n\nrule x { condition: $y }")
    with pytest.raises(RuleError, match=r"user\.yar: inner\.yar:3: undefined string"):
        rules(tmp_path, 'include "inner.yar"')
    with pytest.raises(RuleError, match=r"none\.yar: the rules cannot be read: No such file"):
        rules(tmp_path, 'include "none.yar"')
    with pytest.raises(RuleError, match=r"user\.yar:1: includes user\.yar, which includes this file"):
        rules(tmp_path, 'include "user.yar"')


def test_missing_empty_and_unreadable_rules(tmp_path):
    with pytest.raises(RuleError, match=r"nowhere\.yar: the rules cannot be read: No such file or directory"):
        load([tmp_path / "nowhere.yar"])
    with pytest.raises(RuleError, match="holds no YARA rule"):
        load([tmp_path])
    with pytest.raises(RuleError, match="holds no YARA rule"):
        rules(tmp_path, "// nothing")
    (tmp_path / "user.yar").write_bytes(b"rule x { condition: true } // \xff")
    with pytest.raises(RuleError, match="is not UTF-8 at byte 30"):
        load([tmp_path / "user.yar"])


def test_two_rules_with_one_id_are_refused(tmp_path):
    own = load().rules[0]
    with pytest.raises(
        RuleError, match=f"user.yar:1: the rule x has the id {own.rule.id} of the rule {own.identifier}"
    ):
        load([_write(tmp_path, f'rule x {{ meta: id = "{own.rule.id}" condition: true }}')])


def _write(folder: Path, text: str) -> Path:
    file = folder / "user.yar"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        (
            'id = "miner/x" severity = "bad"',
            r"miner/x\.yar:2: the rule x has the severity 'bad'; give it one of critical",
        ),
        ('severity = "high"', "form miner/some-name"),
        ('id = "miner/Upper_case"', "form miner/some-name"),
        ('id = "other/x"', "form miner/some-name"),
    ],
)
def test_our_own_meta_is_strict(tmp_path, monkeypatch, meta, reason):
    (tmp_path / "scanner").mkdir()
    (tmp_path / "rules/miner").mkdir(parents=True)
    (tmp_path / "rules/miner/x.yar").write_text(f"\nrule x {{ meta: {meta} condition: true }}")
    monkeypatch.setattr("scanner.ruleset.__file__", str(tmp_path / "scanner/ruleset.py"))
    with pytest.raises(RuleError, match=reason):
        load()


def test_rules_are_found_in_an_installed_package_and_their_absence_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "scanner/_rules/miner").mkdir(parents=True)
    monkeypatch.setattr("scanner.ruleset.__file__", str(tmp_path / "scanner/ruleset.py"))
    with pytest.raises(RuleError, match="Install it again"):
        load()
    (tmp_path / "scanner/_rules/miner/x.yar").write_text(
        'rule x { meta: id = "miner/x" class = "pool" condition: true }'
    )
    [rule] = load().rules
    assert (rule.rule.id, rule.evidence, rule.behaviour, rule.file) == ("miner/x", "pool", "miner", "rules/miner/x.yar")


# matching


def test_places_are_told_by_offset_and_every_string_at_least_once(tmp_path):
    ruleset = rules(tmp_path, 'rule x { strings: $a = "ab" $b = "last" $p = "ab" private condition: all of them }')
    data = b"-ab" * 200 + b"last"
    [match] = ruleset.match(data, seconds=5).matches
    assert len(match.strings) == MOST_STRINGS
    assert match.strings[:2] == (StringMatch("$a", 1, 2, b"ab"), StringMatch("$a", 4, 2, b"ab"))
    assert match.strings[-1] == StringMatch("$b", 600, 4, b"last")
    assert {s.identifier for s in match.strings} == {"$a", "$b"}


def test_long_matches_are_cut(tmp_path):
    [match] = (
        rules(tmp_path, "rule x { strings: $a = /ab+/ condition: $a }").match(b"a" + b"b" * 900, seconds=5).matches
    )
    assert (match.strings[0].length, match.strings[0].data) == (901, b"a" + b"b" * (MOST_DATA - 1))


def test_views_of_any_kind_are_matched(tmp_path):
    ruleset = rules(tmp_path, 'rule x { strings: $a = "needle" condition: $a } rule empty { condition: filesize == 0 }')
    file = tmp_path / "data"
    file.write_bytes(b"." * 100_000 + b"needle")
    with file.open("rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as area:
        whole = memoryview(area)
        part = whole[5:]
        [match] = ruleset.match(part, seconds=5).matches
        assert match.strings[0].offset == 99_995
        part.release()
        whole.release()
    assert ids(ruleset, b"") == ["yara/empty"]
    assert ruleset.match(memoryview(bytearray(b"needle")), seconds=5).matches


def test_too_slow_a_match_is_a_limit_and_holds_up_nobody(tmp_path):
    ruleset = rules(tmp_path, "rule x { strings: $a = /(a|b|ab)*c(a|b){50}d/ condition: #a > 2 }")
    raised: list[Exception] = []

    def work() -> None:
        with pytest.raises(LimitError, match="more than 1 seconds for its 8000000 bytes") as caught:
            ruleset.match(b"abab" * 2_000_000, seconds=1)
        raised.append(caught.value)

    thread = threading.Thread(target=work)
    began, turns = time.monotonic(), 0
    thread.start()
    while thread.is_alive():
        turns += 1
        time.sleep(0.001)
    assert len(raised) == 1
    assert time.monotonic() - began < 30
    assert turns > 50  # YARA gave up the interpreter's lock: this thread went on meanwhile


def test_too_many_places_are_said(tmp_path):
    ruleset = rules(tmp_path, 'rule x { strings: $a = "ab" condition: #a > 3 }')
    result = ruleset.match(b"ab" * 1_200_000, seconds=20)
    assert [m.rule.identifier for m in result.matches] == ["x"]
    assert result.warnings == ("$a of the rule x lies at more than a million places; the rest was not looked at",)


def test_a_file_of_nothing_but_matches_does_not_fill_the_memory(tmp_path):
    ruleset = rules(
        tmp_path,
        'rule x { strings: $a = "stratum" $b = "tum+" nocase $c = "none" condition: any of ($a, $b) or 2 of them }',
    )
    small = ruleset.match(b"stratum+" * 5000, seconds=5)
    assert len(small.matches[0].strings) == MOST_STRINGS
    large = ruleset.match(b"stratum+" * 500_000, seconds=20)
    assert large.warnings == ()
    assert large.matches[0].strings == (StringMatch("$a", 0, 7, b"stratum"), StringMatch("$b", 4, 4, b"tum+"))


def test_threads_match_at_once(tmp_path):
    ruleset = rules(tmp_path, 'rule x { strings: $a = "needle" nocase $b = /[a-z]+;/ condition: $a or #b > 5 }')
    data = b"abcdefgh " * 300_000
    found: list[list[str]] = []

    def work(tail: bytes) -> None:
        found.extend(ids(ruleset, data + tail) for _ in range(3))

    threads = [threading.Thread(target=work, args=(t,)) for t in (b"", b"NEEDLE", b"a;" * 9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(map(len, found)) == [0] * 3 + [1] * 6


# `of` spelled out


def test_of_is_spelled_out_only_where_it_means_the_same():
    strings = 'strings: $a = "1" $a2 = "2" $b = "3"'
    for condition, spelled in [
        ("any of them", "(($a) or ($a2) or ($b))"),
        ("all of ($a*)", "(($a and $a2))"),
        ("2 of them", "(($a and $a2) or ($a and $b) or ($a2 and $b))"),
        ("not any of ($b) and filesize > 1", "not (($b)) and filesize > 1"),
        ("(any of /* x */ ($b,$a))", "((($b) or ($a)))"),
    ]:
        assert (
            spell_out(f"rule r {{ {strings} condition: {condition} }}")
            == f"rule r {{ {strings} condition: {spelled} }}"
        )
    for condition in (
        "any of them in (0..9)",
        "any of them at 0",
        "for any of them : ($ at 0)",
        "none of them",
        "0 of them",
        "4 of them",
        "50% of them",
        "1 + 1 of them",
        "any of (other*)",
    ):
        text = f"rule r {{ {strings} condition: {condition} }}"
        assert spell_out(text) == text
    many = " ".join(f'$x{i} = "{i}"' for i in range(60))
    text = f"rule r {{ strings: {many} condition: 5 of them }}"
    assert spell_out(text) == text


NAMES = ("$a", "$a1", "$b")
CONDITIONS = st.recursive(
    st.builds("{} of {}".format, st.sampled_from(["any", "all", "none", "1", "2", "3"]), st.sampled_from(["them", "($a*)", "($b,$a)", "($*)"]))
    | st.sampled_from(["$a", "#b > 1", "$a1 at 0", "any of them in (0..3)", "for any of ($a*) : (# > 1)", "filesize < 20"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or", "and not", "or not"]), inner),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(CONDITIONS, st.lists(st.sampled_from([b"aa", b"bb", b"cc", b".", b"\n"]), max_size=8))
def test_large_files_are_judged_like_small_ones(tmp_path_factory, condition, parts):
    folder = tmp_path_factory.getbasetemp()
    text = f'rule r {{ strings: $a = "aa" $a1 = "bb" $b = "cc" condition: ({condition}) or (false and any of them) }}'
    padded = text.replace("filesize < 20", f"filesize < {20 + WHOLE}")
    data = b"".join(parts)
    small, large = rules(folder, text), rules(folder, padded, "padded.yar")
    assert bool(ids(small, data)) == bool(ids(large, data + bytes(WHOLE)))


# the text


def test_a_rule_is_taken_apart():
    [include, rule] = parse(
        r"""
        import "pe" // import "not"
        include "other.yar"
        /* rule none { */
        private global rule Name_1 : tag other
        {
            meta:
                text = "a \"quoted\" \\ \x41\t"  number = -12  big = 0x10  size = 2MB  yes = true  no = false
            strings:
                $a = "x\"y" wide ascii xor(0x01-255)
                $ = /a\/b[.]/is private
                $h = { 4? ?? [2-] (41 | ~42) // comment }
                       43 }
                $b = "b" base64("alphabet")
            condition:
                $a and #h >= 2 and pe.is_dll() and "and" contains "or" and 0x10..7 != 1.5 and !h[1] == 3
        }
        """
    )
    assert include == Include("other.yar", 3)
    assert isinstance(rule, RuleText)
    assert (rule.identifier, rule.line, rule.private, rule.is_global, rule.tags) == (
        "Name_1",
        5,
        True,
        True,
        ("tag", "other"),
    )
    assert rule.meta == (
        ("text", 'a "quoted" \\ A\t'),
        ("number", -12),
        ("big", 16),
        ("size", 2 << 20),
        ("yes", True),
        ("no", False),
    )
    assert [(s.name, s.kind, s.modifiers) for s in rule.strings] == [
        ("$a", "text", {"wide": "", "ascii": "", "xor": "0x01-255"}),
        ("$", "regex", {"private": ""}),
        ("$h", "hex", {}),
        ("$b", "text", {"base64": '"alphabet"'}),
    ]
    assert rule.strings[1].source == r"/a\/b[.]/is"
    kinds = [(t.kind, t.text) for t in rule.condition]
    assert kinds[:5] == [("string", "$a"), ("word", "and"), ("string", "#h"), (">=", ">="), ("number", "2")]
    assert ("text", '"and"') in kinds
    assert ("!=", "!=") in kinds
    assert ("string", "!h") in kinds


def test_numbers_and_escapes():
    assert [number(n) for n in ("7", "0x1F", "0o17", "3KB", "2MB", "1.5")] == [7, 31, 15, 3072, 2 << 20, None]
    assert unescape(r'"\x00\\x41\"\t\r\n"') == b'\0\\x41"\t\r\n'
    assert unescape('"caf\u00e9"') == b"caf\xc3\xa9"


@given(
    st.text(alphabet='ru le{}strings:conditionmeta=$a"/\\*#@!()[]?~-|<>.\n0x1\u00e9,', max_size=80)
    | st.text(max_size=60)
)
def test_any_text_is_read_or_refused(text):
    with suppress(ParseError):
        parse(text)
    with pytest.raises(ParseError, match=r"^line \d+: "):
        parse(f"rule a {{ strings: {text} condition")


def test_no_text_takes_long():
    began = time.process_time()
    for text in (
        "{" + "//" * 5000,
        "{" + "/*" * 5000,
        '"' + "\\" * 9999,
        "/" + "\\/" * 5000,
        "{ 41 " * 3000,
        "($" * 9999,
    ):
        with pytest.raises(ParseError):
            parse("rule a { strings: $a = " + text)
    assert time.process_time() - began < 4
