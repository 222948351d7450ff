"""Rendered by cmark-gfm, GitHub's own parser, with raw HTML let through: what the page would do to a reader."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.model import Evidence, Level, Notification, Report, printable
from scanner.reports import markdown, reach, words
from scanner.reports.plugin import RenderOptions
from tests.reports import samples, strategies

OURS = {"h1", "h2", "h3", "p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "blockquote"}
OURS |= {"code", "details", "summary", "sub", "ol"}


class Page(HTMLParser):
    """The page as a reader has it: its elements, its table, its code and the text outside of code."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.codes: list[str] = []
        self.prose = ""
        self._open: list[str] = []
        self.feed(cmarkgfm.github_flavored_markdown_to_html(source, Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in {"br", "img", "hr", "input"}:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "code" in self._open:
            self.codes[-1] += data
        else:
            self.prose += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


def page(report: Report, *, verbose: bool = False) -> Page:
    return Page(markdown.render(report, RenderOptions(verbose=verbose)))


def only(*findings):
    return replace(samples.CLEAN, findings=findings)


def test_the_table_says_what_where_which_layer_and_whether_it_is_deleted():
    shown = page(samples.INFECTED)

    assert shown.rows[0] == ["Severity", "What", "Where", "Layer", "State"]
    assert shown.rows[1] == [
        "critical",
        "xmrig 6.21.0 under the name of a kernel thread (miner/binary)",
        "opt/.cache/kworker, byte 118,272",
        "2 " + words.instruction(samples.LAYERS[2].created_by, 80),
        "deleted in layer 4",
    ]
    assert [row[0] for row in shown.rows[1:]] == ["critical", "high", "high", "medium", "low", "note"]
    assert shown.rows[4][2] == "app/vendor.tar.gz!/w\\xe9heels/fast.whl!/fast/_core.so, byte 4,096"
    assert shown.rows[3][2:] == ["image config, Env[1]", "", "visible"]


def test_every_finding_unfolds_to_why_and_what_to_do():
    text = markdown.render(samples.INFECTED, RenderOptions())

    assert text.count("<details>") == text.count("</details>") == 6
    first = text.split("<details>")[1]
    assert "<summary><code>critical: Cryptocurrency miner: opt/.cache/kworker, byte 118,272</code></summary>" in first
    assert "- where: `opt/.cache/kworker, byte 118,272`" in first
    assert "- layer 2 (2c2c2c2c2c2c): `RUN curl -fsSL" in first
    assert "- algorithm: `rx/0`" in first
    assert "**What to do:** Whoever runs code" in first


def test_an_incomplete_report_says_so_first():
    text = markdown.render(samples.INCOMPLETE, RenderOptions())

    assert text.index("INCOMPLETE: 4 things were not read to the end") < text.index("| Severity |")
    assert "- **error** `usr/lib/broken.so, layer 1`: The ELF parser crashed (3 times)" in text
    assert "- **warning** `app/deep.zip!/a.zip!/b.zip, layer 3`: Archives nest deeper than 6 levels" in text


def test_no_findings_say_what_was_looked_at():
    text = markdown.render(samples.CLEAN, RenderOptions())

    assert "**Nothing found: 6 rules over 5 layers, 4,312 files, 182 MB" in text
    assert "INCOMPLETE" not in text
    assert "<details>" not in text


@pytest.mark.parametrize("raw", ["a|b", "a\\|b", "a`b", "``a", "a`", "`", "a\\", " a ", "|", "\\", "a\\\\|\\`|``b"])
def test_code_survives_the_table(raw):
    found = replace(samples.miner(raw.encode()), evidence=())
    shown = page(only(found))

    assert len(shown.rows) == 2
    assert shown.rows[1][2] == f"{raw}, byte 118,272"


@pytest.mark.parametrize("spite", strategies.SPITE)
def test_a_hostile_word_is_only_a_word(spite):
    found = replace(
        samples.miner(spite.encode("utf-8", "surrogatepass") or b"x"),
        message=spite,
        evidence=(Evidence("miner", spite, b"x", excerpt=spite),),
    )
    report = replace(only(found), notifications=(Notification("content", Level.WARNING, spite, b"y"),))

    shown = page(report)
    assert_harmless(shown)
    assert len(shown.rows) == 2
    said = words.plain(spite, 300)
    assert shown.rows[1][1].replace("\u200b", "") == f"{said} (miner/binary)".strip()


def assert_harmless(shown: Page) -> None:
    assert set(shown.elements) <= OURS
    assert not [one for one in shown.attributes if one[0] != "start"]
    assert shown.elements.count("h1") == 1
    assert {len(row) for row in shown.rows} <= {2, 3, 5, 6, 8}
    assert not re.search(r"[@#]\w", shown.prose)
    assert not re.search(r"://|www\.", shown.prose, re.IGNORECASE)
    assert all(c in "\n\u200b" or c.isprintable() for c in shown.prose)


@given(strategies.reports | strategies.launched | strategies.watched, st.booleans())
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=120)
def test_no_page_is_led_astray_by_a_hostile_report(report, verbose):
    shown = page(report, verbose=verbose)

    assert_harmless(shown)
    assert sum(len(row) == 5 for row in shown.rows) == (len(report.findings) + 1 if report.findings else 0)
    sandboxes = report.egress.sandboxes if report.egress else ()
    verdicts = {(reach.row(one), *map(reach.trial, one.answers)) for one in sandboxes}
    assert sum(len(row) == 8 for row in shown.rows) == (len(verdicts) + 1 if report.egress else 0)
    places = [words.place(f.locations[0]) for f in report.findings]
    assert {place.strip() for place in places} <= {code.strip() for code in shown.codes}


def test_a_large_report_is_cut_and_says_so():
    report = samples.crowded(30_000)
    text = markdown.render(report, RenderOptions())

    assert len(text.encode()) <= 1 << 20
    assert "29,500 more findings are not in this table: the JSON report has them all" in text
    assert "29,900 more findings are not explained here" in text
    assert len(Page(text).rows) == 501


def test_a_verbose_report_takes_what_fits():
    text = markdown.render(samples.crowded(30_000), RenderOptions(verbose=True))

    assert 800_000 < len(text.encode()) <= 1 << 20
    [left] = re.findall(r"\*([\d,]+) more findings are not in this table", text)
    rows = len(Page(text).rows) - 1
    assert rows + int(left.replace(",", "")) == 30_000
    assert "more findings are not explained here" in text
    assert text.count("<details>") == text.count("</details>")


def test_huge_words_do_not_burst_the_page():
    found = [
        replace(
            samples.miner(b"\xff" * 200_000 + b"%d" % i),
            evidence=tuple(Evidence("m", f"kind {k}", b"x", excerpt="`" * 5_000) for k in range(40)),
        )
        for i in range(200)
    ]
    gaps = tuple(Notification("content", Level.ERROR, "x" * 10_000, b"y" * 10_000) for _ in range(2_000))
    report = replace(samples.CLEAN, findings=tuple(found), notifications=gaps)

    for verbose in (False, True):
        text = markdown.render(report, RenderOptions(verbose=verbose))
        assert len(text.encode()) <= 1 << 20
        assert "notifications are not listed here" in text
        assert "INCOMPLETE: 2,000 things" in text


def test_printable_is_what_the_reader_sees():
    assert printable("\u202egpj") == "\\u202egpj"
    assert "\\u202egpj" in markdown.render(only(samples.miner("\u202egpj".encode())), RenderOptions())
