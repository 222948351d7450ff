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
        self.tables: list[list[list[str]]] = []
        self.codes: list[str] = []
        self.prose = ""
        self._open: list[str] = []
        self.feed(cmarkgfm.github_flavored_markdown_to_html(source, Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in {"br", "img", "hr", "input"}:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.rows.append([])
            self.tables[-1].append(self.rows[-1])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag == "code":
            self.codes.append("")

    def table(self, first: str) -> list[list[str]]:
        """The rows of the table whose first column is called so, its head with them; empty without one."""
        return next((rows for rows in self.tables if rows[0][0] == first), [])

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
    rows = page(samples.INFECTED).table("Severity")

    assert rows[0] == ["Severity", "What", "Where", "Layer", "State"]
    assert rows[1] == [
        "critical",
        "xmrig 6.21.0 under the name of a kernel thread (miner/binary)",
        "opt/.cache/kworker, byte 118,272",
        "2 " + words.instruction(samples.LAYERS[2].created_by, 80),
        "deleted in layer 4",
    ]
    assert [row[0] for row in rows[1:]] == ["critical", "high", "high", "medium", "low", "note"]
    assert rows[4][2] == "app/vendor.tar.gz!/w\\xe9heels/fast.whl!/fast/_core.so, byte 4,096"
    assert rows[3][2:] == ["image config, Env[1]", "", "visible"]


def test_the_verdict_comes_first_then_how_many_of_each():
    text = markdown.render(samples.TRACED, RenderOptions())

    assert text.split("\n\n")[1].startswith("**1 critical, 2 high, 1 medium, 1 low** in 5 layers")
    assert Page(text).table("Critical") == [
        ["Critical", "High", "Medium", "Low", "Note", "Set aside"],
        ["1", "2", "1", "1", "–", "3"],
    ]


def test_a_line_of_the_repository_stands_before_the_place_in_the_image():
    shown = page(samples.TRACED)
    rows = shown.table("Severity")

    assert rows[0] == ["Severity", "What", "Line", "Where", "Layer", "State"]
    assert [row[2] for row in rows[1:]] == [
        "docker/Dockerfile:12-15",
        "docker/Dockerfile:12-15 (doubtful)",
        "",
        "docker/Dockerfile:1",
        "app/donate.txt:3",
    ]
    assert rows[1][3] == "opt/.cache/kworker, byte 118,272"
    text = markdown.render(samples.TRACED, RenderOptions())
    assert "<code>critical: Cryptocurrency miner: docker/Dockerfile:12-15</code>" in text
    assert "- line: `docker/Dockerfile:12-15` (by the image's history)" in text
    assert "(doubtful, by the image's history: Lines 12 and 19 have the same words)" in text


def test_what_is_set_aside_is_counted_and_told_when_unfolded():
    text = markdown.render(samples.TRACED, RenderOptions())

    assert (
        "Set aside: 1 known from the baseline sandscan-baseline.json, 2 ignored (.sandscan.yaml), "
        "the first until 2027-01-31." in text
    )
    [folded] = [part for part in text.split("<details>") if "3 findings set aside" in part]
    assert (
        "- **low** Wallet address (`miner/wallet`): `app/tests/wallet.txt, line 1`: "
        "ignored until 2027-06-30 (.sandscan.yaml:4): An address of our own tests" in folded
    )
    nothing = markdown.render(replace(samples.TRACED, findings=()), RenderOptions())
    assert "**Nothing found, but for what is set aside: 6 rules over" in nothing
    assert "3 findings set aside" in nothing
    crowd = replace(samples.TRACED, findings=(), suppressed=samples.TRACED.suppressed * 10_000)
    assert "29,500 more findings are set aside: the JSON report has them all" in markdown.render(crowd, RenderOptions())


def test_files_of_a_repository_have_no_layers():
    shown = page(samples.CHECKED)

    assert shown.table("Severity") == [
        ["Severity", "What", "Where"],
        ["critical", "The instruction starts a miner (miner/launch)", "docker/Dockerfile:7-9"],
        ["low", "A Monero address with a valid checksum (miner/wallet)", "compose.yaml:3:5"],
    ]
    assert "layer" not in shown.prose
    assert "image" not in shown.prose


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

    rows = shown.table("Severity")
    assert len(rows) == 2
    assert rows[1][2] == f"{raw}, byte 118,272"


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
    rows = shown.table("Severity")
    assert len(rows) == 2
    said = words.plain(spite, 300)
    assert rows[1][1].replace("\u200b", "") == f"{said} (miner/binary)".strip()


def assert_harmless(shown: Page) -> None:
    assert set(shown.elements) <= OURS
    assert not [one for one in shown.attributes if one[0] != "start"]
    assert shown.elements.count("h1") == 1
    assert {len(row) for row in shown.rows} <= {2, 3, 4, 5, 6, 8}
    assert not re.search(r"[@#]\w", shown.prose)
    assert not re.search(r"://|www\.", shown.prose, re.IGNORECASE)
    assert all(c in "\n\u200b" or c.isprintable() for c in shown.prose)


@given(strategies.reports | strategies.launched | strategies.watched, st.booleans())
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=120)
def test_no_page_is_led_astray_by_a_hostile_report(report, verbose):
    shown = page(report, verbose=verbose)

    assert_harmless(shown)
    assert len(shown.table("Severity")) == (len(report.findings) + 1 if report.findings else 0)
    sandboxes = report.egress.sandboxes if report.egress else ()
    verdicts = {(reach.row(one), *map(reach.trial, one.answers)) for one in sandboxes}
    assert sum(len(row) == 8 for row in shown.rows) == (len(verdicts) + 1 if report.egress else 0)
    places = [words.where(f) for f in (*report.findings, *(one.finding for one in report.suppressed))]
    places += [words.source_line(f.source) for f in report.findings if f.source]
    assert {place.strip() for place in places} <= {code.strip() for code in shown.codes}


def test_a_large_report_is_cut_and_says_so():
    report = samples.crowded(30_000)
    text = markdown.render(report, RenderOptions())

    assert len(text.encode()) <= 1 << 20
    assert "29,500 more findings are not in this table: the JSON report has them all" in text
    assert "29,900 more findings are not explained here" in text
    assert len(Page(text).table("Severity")) == 501


def test_a_verbose_report_takes_what_fits():
    text = markdown.render(samples.crowded(30_000), RenderOptions(verbose=True))

    assert 800_000 < len(text.encode()) <= 1 << 20
    [left] = re.findall(r"\*([\d,]+) more findings are not in this table", text)
    rows = len(Page(text).table("Severity")) - 1
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
