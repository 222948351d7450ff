"""The page of any report as its reader has it: at a glance, findings that are filtered and opened, layers, by mouse and by keyboard."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scanner.model import (
    Aside,
    Confidence,
    Context,
    Evidence,
    FileLocation,
    Finding,
    LaunchLocation,
    Layer,
    ProcessLocation,
    Report,
    Rule,
    Severity,
    SourceLine,
    Suppressed,
    Traced,
    never_aside,
)
from scanner.reports import html, html_context, html_findings, html_ignore, html_layers
from scanner.reports.plugin import RenderOptions
from scanner.settings import Settings
from scanner.suppression import set_aside
from tests.reports import runs, samples, samples_egress, strategies
from tests.reports.browser import PHONE, Tab, opened, tab, violations
from tests.settings import commands

PLAIN = RenderOptions()
SPITE = '</script><script>document.title="taken"</script><!--<img src=x onerror="document.title=1">\u2028\u202e\x1b[2J'
BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop\x00\x7fELF\x00" + b"stratum+ssl://pool\x00\x01" + bytes(range(91))
CONFIG = b'{\n    "pools": [\n        {"url": "stratum+tcp://pool.example:3333",\n         "user": "\xe2\x82\xac"}\n    ]\n}\n'
NOT_HTTPS = ("javascript:alert(1)", "http://plain.example/", "https://a b.example/", "https://x.example/\"onclick='1'")


def shown() -> Report:
    """A scan with everything a finding can have, six things set aside, and something not read."""
    binary, config = samples.miner(), samples.config()
    row = replace(binary.evidence[0], context=Context(118_272 - 48, BYTES))
    line = replace(config.evidence[0], context=Context(900, CONFIG))
    doubtful = SourceLine(
        "docker/Dockerfile", 12, 12, Traced.HISTORY, certain=False, why="two steps have the same words"
    )
    tunnel = Rule("tunnel/tool", "Tunnel program", Severity.MEDIUM, "It forwards ports.", "Remove it.", NOT_HTTPS)
    door = Finding(
        tunnel.id,
        Severity.MEDIUM,
        Confidence.MEDIUM,
        "a program that forwards ports",
        (samples.place(b"usr/bin/fwd [1]", 1),),
        (Evidence("tunnel_tool", "package", b"usr/bin/fwd [1]", excerpt="fwd 1.0"),),
        "5a" * 32,
        details={"version": "1.0", "forwards": [{"listen": "0.0.0.0:2222", "everywhere": True}], "none": None},
    )
    return replace(
        samples.INCOMPLETE,
        findings=(
            replace(
                binary,
                evidence=(row, *binary.evidence[1:]),
                sha256="ab" * 32,
                source=SourceLine("docker/Dockerfile", 12, 15, Traced.HISTORY),
            ),
            replace(config, evidence=(line, *config.evidence[1:]), source=doubtful),
            samples.launch(),
            door,
            samples.wallet(),
            samples.source(),
        ),
        rules=(*samples.RULES, tunnel),
        suppressed=(
            *(Suppressed(samples.wallet(), Aside.BASELINE, "known then", "known.json") for _ in range(5)),
            Suppressed(samples.packed(), Aside.IGNORED, "our own packer", ".sandscan.yaml:4", "2025-03-01"),
        ),
        statistics={**samples.CLEAN.statistics, "layer_sizes": [80_000_000, 60_000_000, 12_000_000, 29_000_000, 1_024]},
    )


SHOWN = shown()
CHECKED = replace(
    samples.CLEAN,
    target=replace(samples.CLEAN.target, source="check", name=".", repository="check", manifest=None),
    image=replace(samples.IMAGE, id=None, platform="", created=None, layers=()),
    findings=(
        Finding(
            "build/key",
            Severity.HIGH,
            Confidence.MEDIUM,
            "COPY puts a key into the image",
            (LaunchLocation("docker/Dockerfile", 4),),
            (),
            "4b" * 32,
            source=SourceLine("docker/Dockerfile", 4, 4, Traced.GIVEN),
        ),
    ),
    statistics={"files": 3, "seconds": 0.1},
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("findings")
    reports = {
        "shown": SHOWN,
        "few": samples.crowded(250),
        "many": samples.crowded(5_000),
        "flood": samples.crowded(30_000),
    }
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(html.render(report, PLAIN))
    return {name: folder / f"{name}.html" for name in reports}


@pytest.fixture(scope="module")
def file(files: dict[str, Path]) -> Path:
    return files["shown"]


def messages(page: Any) -> list[str]:
    return [str(one) for one in page.locator(".message").all_inner_texts()]


def said(page: Any) -> str:
    return str(page.locator("#findings-said").inner_text())


def open_line(page: Any, message: str) -> Any:
    """The finding, unfolded."""
    page.locator(".line", has_text=message).click()
    return page.locator("li.finding", has_text=message)


def facts(finding: Any) -> dict[str, str]:
    names, values = finding.locator(".two dt").all_inner_texts(), finding.locator(".two dd").all_inner_texts()
    return {name: " ".join(value.split()) for name, value in zip(names, values, strict=True)}


def nodes(page: Any) -> int:
    return int(page.evaluate("document.querySelectorAll('*').length"))


# ---- at a glance


def test_how_bad_it_is_is_said_in_one_sentence_and_in_numbers(page):
    assert page.title() == "docker:sandbox/agent:latest: incomplete, 1 critical, 2 high, 1 medium, 1 low, 1 note"
    assert page.locator("#target").inner_text() == "docker:sandbox/agent:latest"
    assert page.locator("#verdict").inner_text() == "Act now: Cryptocurrency miner. Not everything could be read."
    counts = [" ".join(one.split()) for one in page.locator("#counts button").all_inner_texts()]
    assert counts == ["1 critical", "2 high", "1 medium", "1 low", "1 note"]
    widths = [one.bounding_box()["width"] for one in page.locator("#bar span").all()]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.1)
    told = page.locator("#facts").inner_text()
    for one in (
        "9f9f9f9f9f9f",
        "linux/amd64",
        "5 layers, 4,312 files, 182 MB",
        "2025-01-02 03:04:05 UTC",
        "sandscan 0.1.0",
    ):
        assert one in told


def test_what_was_not_read_is_said_first_and_loudly(page):
    alert = page.get_by_role("alert").inner_text()

    assert alert.startswith("INCOMPLETE: 4 things were not read to the end")
    assert "usr/lib/broken.so, layer 1: The ELF parser crashed (3 times)" in alert
    assert "app/deep.zip!/a.zip!/b.zip, layer 3: Archives nest deeper than 6 levels" in alert
    remarks = page.locator("#remarks").inner_text()
    assert "The engine keeps its layers in containerd" in remarks


def test_the_worst_three_lead_to_the_findings(page):
    worst = page.locator("#worst li").all_inner_texts()

    assert [one.split("\n")[0] for one in worst] == ["critical", "high", "high"]
    assert "docker/Dockerfile:12-15" in worst[0]
    assert "What to do. Whoever runs code in a sandbox of this image can mine at your cost." in worst[0]
    page.locator("#worst a").nth(1).click()
    page.wait_for_function("() => document.activeElement.dataset.finding === '1'")
    assert page.locator("li.finding .panel").count() == 1


def test_what_is_set_aside_is_counted_and_can_be_read(page):
    summary = page.locator("#aside summary")
    assert (
        summary.inner_text()
        == "Set aside: 5 known from the baseline known.json; 1 ignored (.sandscan.yaml), until 2025-03-01"
    )
    assert page.locator("#aside table").is_hidden()

    summary.click()
    rows = [one.locator("td").all_inner_texts() for one in page.locator("#aside tbody tr").all()]
    assert len(rows) == 6
    assert rows[5][3:] == ["our own packer", "2025-03-01", ".sandscan.yaml:4"]
    assert rows[0][4] == "for good"


def test_a_link_to_the_worst_works_as_often_as_it_is_followed(page):
    link, opened_ = page.locator("#worst a").nth(1), "document.activeElement.dataset.finding"
    for _ in range(2):
        link.click()
        page.wait_for_function(f"() => {opened_} === '1'")
        page.keyboard.press("Escape")
        assert page.locator(".panel").count() == 0
        page.locator("#text").focus()


def test_a_file_of_the_repository_lies_in_no_layer(shared, tmp_path):
    (tmp_path / "r.html").write_text(html.render(samples.CHECKED, PLAIN))
    with shared.shows(tmp_path / "r.html") as page:
        assert not any("layer" in one for one in page.locator(".facts").all_inner_texts())
        told = facts(open_line(page, "The instruction starts a miner"))
        assert told["where"] == "docker/Dockerfile, line 7"
        assert "layer" not in told


@pytest.mark.parametrize("name", ["shown", "many"])
def test_the_glance_is_one_screen(shared, files, name):
    with shared.shows(files[name], viewport={"width": 1280, "height": 720}) as page:
        box = page.locator("#glance").bounding_box()
        assert box["y"] + box["height"] <= 720


@pytest.mark.parametrize(
    ("report", "verdict", "contents"),
    [
        (samples.CLEAN, "Nothing found in 5 layers, 4,312 files, 182 MB.", ["Findings 0", "Layers 5"]),
        (
            replace(samples.CLEAN, notifications=samples.UNREAD),
            "Nothing found in what could be read, and not everything could be.",
            ["Findings 0", "Layers 5", "Not read, and remarks 3"],
        ),
        (CHECKED, "Needs a fix: build/key.", ["Findings 1"]),
        (
            samples_egress.BOTH,
            "Act now: egress/engine, Cryptocurrency miner.",
            ["Findings 7", "Layers 5", "What each sandbox reaches"],
        ),
        (
            runs.JOINED,
            "Act now: Reverse tunnel that was tried, Login to a mining pool that was tried.",
            ["Findings 3", "Layers 1", "What the run did", "What each sandbox reaches"],
        ),
    ],
    ids=["clean", "unread", "check", "launch", "run"],
)
def test_every_report_is_a_page_with_what_it_has(shared, tmp_path, report, verdict, contents):
    (tmp_path / "r.html").write_text(html.render(report, PLAIN))
    with shared.shows(tmp_path / "r.html") as page:
        assert page.locator("#verdict").inner_text() == verdict
        assert page.locator("#contents a").all_inner_texts() == ["At a glance", *contents, "About this report"]
        for link in page.locator("#contents a").all():
            assert page.locator(link.get_attribute("href")).is_visible()


def test_many_kinds_of_one_severity_are_counted_in_the_verdict(shared, tmp_path):
    one = replace(samples.wallet(), severity=Severity.HIGH)
    report = replace(samples.CLEAN, findings=tuple(replace(one, rule_id=f"a/{n}") for n in range(5)))
    (tmp_path / "r.html").write_text(html.render(report, PLAIN))
    with shared.shows(tmp_path / "r.html") as page:
        assert (
            page.locator("#verdict").inner_text() == "Needs a fix: a/0, a/1, a/2, and 2 other kinds of high findings."
        )


# ---- where no script runs


@pytest.fixture(scope="module")
def still(browser: Any) -> Iterator[Tab]:
    with tab(browser, java_script_enabled=False) as one:
        yield one


def test_without_a_script_the_page_says_what_is_found(still, files):
    with still.shows(files["shown"]) as page:
        told = page.locator("body").inner_text()
        assert told.split("\n\n")[:2] == [
            "docker:sandbox/agent:latest",
            "INCOMPLETE: 4 things were not read to the end.",
        ]
        assert "usr/lib/broken.so, layer 1: The ELF parser crashed (3 times)" in told
        assert "Act now: Cryptocurrency miner. Not everything could be read." in told
        assert "1 critical, 2 high, 1 medium, 1 low, 1 note; set aside: 5 known from the baseline known.json" in told
        items = page.locator("#plain li").all_inner_texts()[2:]
        assert [one.split()[0] for one in items] == ["critical", "high", "high", "medium", "low", "note"]
        assert (
            "xmrig 6.21.0 under the name of a kernel thread docker/Dockerfile:12-15 (Cryptocurrency miner)" in items[0]
        )
        assert "What to do: Whoever runs code in a sandbox of this image can mine at your cost." in items[0]
        assert not any(page.locator(one).is_visible() for one in (".top", ".frame", ".skip", "#filter"))
    with still.shows(files["flood"], PHONE) as page:
        assert page.locator("#plain > ul > li").count() == 100
        assert "and 29,900 more findings, none of them worse." in page.locator("body").inner_text()


def test_without_a_script_a_clean_report_is_one_sentence_and_hostile_words_are_text(still, tmp_path):
    (tmp_path / "c.html").write_text(html.render(samples.CLEAN, PLAIN))
    with still.shows(tmp_path / "c.html") as page:
        told = page.locator("body").inner_text()
        assert "Nothing found in 5 layers, 4,312 files, 182 MB." in told
        assert "INCOMPLETE" not in told
    (tmp_path / "h.html").write_text(html.render(spiteful(), PLAIN))
    with still.shows(tmp_path / "h.html") as page:
        assert page.locator("img").count() == 0
        told = page.locator("#plain").inner_text()
        assert told.count('</script><script>document.title="taken"') > 5
        assert not re.search("[\u2028\u202e\x1b]", told)


def test_a_page_whose_script_fails_says_what_is_found(browser, files):
    context = browser.new_context()
    context.add_init_script("JSON.parse = () => { throw new Error('as in a browser too old for it'); }")
    page = context.new_page()
    page.goto(files["shown"].as_uri())
    assert page.locator("#plain").inner_text().startswith("docker:sandbox/agent:latest\n\nINCOMPLETE")
    assert page.locator(".frame").is_hidden()
    context.close()


def test_with_a_script_what_is_found_is_said_once(page):
    assert page.locator("#plain").is_hidden()
    assert page.locator("h1:visible").count() == 1


# ---- filters


def test_findings_are_filtered_by_severity_rule_state_confidence_layer_and_words(page):
    assert said(page) == "6 findings"
    level = page.get_by_role("group", name="Severity", exact=True).get_by_role("button", name="high 2")
    level.click()
    assert (level.get_attribute("aria-pressed"), said(page), len(messages(page))) == ("true", "2 of 6 findings", 2)
    page.locator("#by-confidence").select_option(label="medium (3)")
    assert messages(page) == ["The environment names a mining pool"]
    page.get_by_role("button", name="Clear filters").click()
    assert said(page) == "6 findings"
    assert page.evaluate("document.activeElement.id") == "text"

    page.locator("#by-state").select_option(label="deleted (2)")
    assert said(page) == "2 of 6 findings"
    page.locator("#by-rule").select_option(label="miner/config (1)")
    assert messages(page) == ["xmrig configuration that sends its earnings to pool.example"]
    page.get_by_role("button", name="Clear filters").click()
    page.locator("#by-layer").select_option(label="3 COPY app /app (1)")
    assert messages(page) == ["A Monero address with a valid checksum"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("KWORKER", 2),  # in a path, and in one of evidence
        ("docker/dockerfile:12", 2),
        ("rx/0 stratum", 1),  # each word somewhere in it
        ("miner/wallet", 1),
        ("abababab", 1),  # the digest
        ("0.0.0.0:2222", 1),  # a detail
        ("apt-get", 2),  # the instruction of the layer
        ("nowhere to be found", 0),
    ],
)
def test_words_are_looked_for_in_all_that_is_said_of_a_finding(page, wanted, found):
    page.get_by_label("Search").fill(wanted)

    assert len(messages(page)) == found
    assert said(page) == f"{found} of 6 findings"
    page.get_by_label("Search").press("Escape")
    assert said(page) == "6 findings"


def test_the_counts_at_a_glance_filter(page):
    page.locator("#counts button", has_text="high").click()
    assert said(page) == "2 of 6 findings"


def test_findings_are_grouped_and_groups_fold(page):
    heads = page.locator(".head")
    assert [one.split() for one in heads.all_inner_texts()] == [
        ["critical", "1"], ["high", "2"], ["medium", "1"], ["low", "1"], ["note", "1"],
    ]  # fmt: skip
    page.locator("#by-group").select_option("layer")
    assert [one.split(":")[0] for one in heads.all_inner_texts()] == ["layer 1", "layer 2", "layer 3", "in no layer 1"]
    page.locator("#by-group").select_option("file")
    assert heads.nth(0).inner_text().split() == ["opt/.cache/kworker", "1"]
    page.locator("#by-group").select_option("rule")
    assert heads.nth(0).inner_text() == "Cryptocurrency miner (miner/binary) 1"

    heads.nth(0).click()
    assert heads.nth(0).get_attribute("aria-expanded") == "false"
    assert page.evaluate("document.activeElement.textContent").startswith("Cryptocurrency miner")
    assert len(messages(page)) == 5
    heads.nth(0).press("Enter")
    assert len(messages(page)) == 6


# ---- one finding


def test_a_finding_says_where_why_and_what_to_do(page):
    finding = open_line(page, "xmrig 6.21.0")
    told = facts(finding)

    assert finding.locator(".fix").inner_text().startswith("What to do. Whoever runs code in a sandbox of this image")
    assert told["rule"] == "Cryptocurrency miner miner/binary"
    assert told["about"] == samples.BINARY.description
    assert told["made by"] == "docker/Dockerfile:12-15 by the image's history"
    assert told["where"] == "opt/.cache/kworker, byte 118,272"
    assert told["layer"].startswith("2 (2c2c2c2c2c2c) RUN curl -fsSL https://example.com/setup.tar.gz")
    assert told["state"] == "deleted in layer 4 by RUN rm -rf /opt/.cache; the image still carries it"
    assert told["confidence"] == "high, by 4 kinds of evidence: protocol, algorithm, options, disguise"
    assert (told["family"], told["stripped"]) == ("xmrig", "yes")
    assert told["sha256"] == "ab" * 32
    assert told["fingerprint"] == samples.miner().fingerprint
    links = [(one.inner_text(), one.get_attribute("href")) for one in finding.locator(".links a").all()]
    assert links == [
        ("ATT&CK T1496.001", "https://attack.mitre.org/techniques/T1496/001/"),
        ("ATT&CK T1036.005", "https://attack.mitre.org/techniques/T1036/005/"),
        ("https://attack.mitre.org/techniques/T1496/", "https://attack.mitre.org/techniques/T1496/"),
    ]


def test_a_doubtful_line_is_said_to_be_so(page):
    told = facts(open_line(page, "xmrig configuration"))

    assert told["made by"] == "docker/Dockerfile:12 doubtful, by the image's history: two steps have the same words"
    assert told["also"] == "opt/.cache/kworker, byte 118,272, layer 2"


def test_bytes_are_a_hex_dump_with_the_evidence_marked(page):
    dump = open_line(page, "xmrig 6.21.0").locator(".around")

    rows = dump.inner_text().split("\n")
    assert len(rows) == 10
    assert rows[0] == "0001cdd0  41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f 50  |ABCDEFGHIJKLMNOP|"
    assert rows[3] == "0001ce00  73 74 72 61 74 75 6d 2b 73 73 6c 3a 2f 2f 70 6f  |stratum+ssl://po|"
    assert dump.locator("mark").all_inner_texts() == ["73 74 72 61 74 75 6d 2b 73 73 6c 3a 2f 2f", "stratum+ssl://"]
    assert "byte 118,272" in page.locator(".evidence").first.inner_text()


def test_text_has_its_lines_numbers_and_the_evidence_marked(page):
    box = open_line(page, "xmrig configuration").locator(".around")

    assert box.inner_text().split("\n") == [
        "10  {",
        '11      "pools": [',
        '12          {"url": "stratum+tcp://pool.example:3333",',
        '13           "user": "€"}',
        "14      ]",
        "15  }",
    ]
    assert box.locator("mark").all_inner_texts() == ['"url": "stratum+tcp://pool.example:3333"']
    assert box.locator(".number.on").inner_text().strip() == "12"


def test_details_are_words_and_only_https_is_a_link(page):
    finding = open_line(page, "a program that forwards ports")

    told = facts(finding)
    assert told["forwards"] == "everywhere yes, listen 0.0.0.0:2222"
    assert "none" not in told
    assert finding.locator(".links li").all_inner_texts() == list(NOT_HTTPS)
    assert finding.locator(".links a").count() == 0


def test_the_way_is_told_step_by_step_and_nothing_repeats_its_label(shared, tmp_path):
    (tmp_path / "r.html").write_text(html.render(runs.WATCHED, PLAIN))
    with shared.shows(tmp_path / "r.html") as page:
        finding = open_line(page, "asked 203.0.113.9:22")
        steps = finding.locator(".way li").all_inner_texts()
        assert steps == [
            "ssh was started process, 4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9",
            "asked 203.0.113.9:22 for a tunnel back to port 2222 attempt",
        ]
        names = finding.locator("dt").all_inner_texts()
        assert len(names) == len(set(names))
        assert "A tunnel that was seen at work is never set aside." in finding.inner_text()


# ---- setting aside


def test_an_entry_is_copied_without_the_browsers_clipboard_for_scripts(page):
    finding = open_line(page, "a program that forwards ports")
    finding.get_by_text("Set it aside").click()
    entry = finding.locator("textarea").input_value()
    assert yaml.safe_load(entry) == [
        {
            "rule": "tunnel/tool",
            "path": "usr/bin/fwd [[]1]",
            "image": "sandbox/agent",
            "reason": "TODO",
            "expires": date(2025, 4, 2),
        }
    ]
    assert f'# fingerprint: "{"5a" * 32}"' in entry

    finding.get_by_role("button", name="Copy").click()
    assert finding.get_by_role("status").inner_text() == "Copied."
    page.get_by_label("Search").focus()
    page.keyboard.press("Control+V")
    assert page.get_by_label("Search").input_value().split() == entry.split()


def test_where_nothing_can_be_copied_the_text_is_selected(page):
    finding = open_line(page, "a program that forwards ports")
    finding.get_by_text("Set it aside").click()
    page.evaluate("document.execCommand = () => false")
    finding.get_by_role("button", name="Copy").click()

    finding.get_by_role("status").filter(has_text="Ctrl+C").wait_for()
    box = "document.activeElement"
    assert page.evaluate(
        f"{box}.value.slice({box}.selectionStart, {box}.selectionEnd) === {box}.value && {box}.value.length > 50"
    )


def test_a_confirmed_miner_has_no_entry(page):
    finding = open_line(page, "xmrig 6.21.0")

    assert "A confirmed miner is never set aside." in finding.inner_text()
    assert finding.locator("textarea").count() == 0


def read(entry: str) -> Settings:
    return commands.read("ignore:\n" + "".join(f"  {line}\n" for line in entry.splitlines()))


@given(strategies.findings, strategies.texts)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
def test_a_copied_entry_sets_its_finding_aside(finding, repository):
    target = replace(samples.CLEAN.target, repository=repository)
    report = replace(samples.CLEAN, target=target, findings=(finding,))
    assert bool(html_ignore.never(finding)) == (never_aside(finding) is not None)
    entry = html_ignore.entry(finding, report)
    assume(entry)
    written = yaml.safe_load(entry)[0]
    assume({"path", "fingerprint"} & set(written))
    ignores = read(entry).ignores

    aside = set_aside(report, ignores, None, date(2025, 4, 2))
    assert (len(aside.findings), len(aside.suppressed)) == ((1, 0) if never_aside(finding) else (0, 1))
    assert set_aside(report, ignores, None, date(2025, 4, 3)).findings == (finding,)


def test_an_entry_names_a_process_by_its_program_whatever_its_number():
    place = ProcessLocation("box", 4_711, ("ssh",), b"/usr/bin/ssh")
    found = replace(samples.wallet(), locations=(place,))

    assert yaml.safe_load(html_ignore.entry(found, SHOWN))[0]["path"] == "container:box/*/usr/bin/ssh"


def test_a_path_that_is_no_text_gives_way_to_the_fingerprint():
    written = yaml.safe_load(html_ignore.entry(samples.packed(), SHOWN))[0]

    assert "path" not in written
    assert written["fingerprint"] == samples.packed().fingerprint
    assert yaml.safe_load(html_ignore.entry(samples.packed(), replace(SHOWN, started="?")))[0]["expires"] == "TODO"


# ---- links to a finding


def test_a_link_opens_its_finding_whatever_is_filtered(shared, files):
    wanted = samples.wallet().fingerprint
    with shared.shows(files["shown"]) as page:
        page.get_by_label("Search").fill("xmrig")
        page.get_by_role("group", name="Severity", exact=True).get_by_role("button", name="high 2").click()
        page.evaluate(f"location.hash = '#f-{wanted[:16]}'")
        page.wait_for_function("() => document.activeElement.dataset.finding === '4'")
        assert said(page) == "6 findings"
        assert facts(page.locator("li.finding", has=page.locator(".panel")))["fingerprint"] == wanted
        assert (
            page.locator(".panel").get_by_role("link", name="Link to this finding").get_attribute("href")
            == f"#f-{wanted}"
        )
        page.evaluate("location.hash = '#f-%E0%A4%A'")
        page.wait_for_function(
            "() => document.getElementById('findings-said').textContent.includes('is not in this page')"
        )


def test_a_link_from_outside_opens_the_page_at_its_finding(browser, files):
    fingerprint = samples.crowded(5_000).findings[4_000].fingerprint
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(f"{files['many'].as_uri()}#f-{fingerprint}")
    page.wait_for_function("() => document.activeElement.dataset.finding === '4000'")
    assert page.locator(".panel").is_visible()
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") < 900
    context.close()


# ---- layers


def test_layers_are_drawn_by_size_with_findings_where_they_sit(page):
    parts = page.locator("#layer-bar .part")
    widths = [one.bounding_box()["width"] for one in parts.all()]

    assert widths[0] / widths[1] == pytest.approx(80 / 60, rel=0.1)
    assert widths[4] >= 5
    assert parts.nth(2).locator(".mark").evaluate_all("all => all.map((one) => one.className + one.dataset.count)") == [
        "mark critical1",
        "mark high1",
    ]
    assert parts.nth(2).get_attribute("aria-label").endswith("/opt/.cache/config.json, 1 critical, 1 high")
    assert "from the base image" in parts.nth(0).get_attribute("aria-label")
    rows = [one.locator("th, td").all_inner_texts() for one in page.locator("#layer-table tbody tr").all()]
    assert [row[:2] for row in rows] == [["0", "80 MB"], ["1", "60 MB"], ["2", "12 MB"], ["3", "29 MB"], ["4", "1 kB"]]
    assert [" ".join(row[3].split()) for row in rows] == [
        "none",
        "1 medium 1 note",
        "1 critical 1 high",
        "1 low",
        "none",
    ]
    assert rows[0][2].split() == ["base", "ADD", "file:5d1c7c", "in", "/"]


def test_a_layer_filters_the_findings_and_lets_them_go_again(page):
    part = page.locator("#layer-bar .part").nth(2)
    part.click()
    assert (part.get_attribute("aria-pressed"), said(page)) == ("true", "2 of 6 findings")
    assert page.locator("#by-layer").input_value() == "2"
    part.click()
    assert (part.get_attribute("aria-pressed"), said(page)) == ("false", "6 findings")


def test_layers_are_reached_by_keyboard(page):
    assert page.locator("#layer-bar [tabindex='0']").count() == 1
    page.locator("#layer-bar .part").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "RUN curl -fsSL" in page.locator("#layer-now").inner_text()
    page.keyboard.press("Enter")
    assert said(page) == "2 of 6 findings"
    page.keyboard.press("Escape")
    assert said(page) == "6 findings"


@pytest.mark.parametrize("sizes", [None, [1], ["a"] * 5, [True] * 5, [-1] * 5, [2**70] * 5, 7])
def test_sizes_that_are_not_those_of_the_layers_are_not_shown(sizes):
    report = replace(SHOWN, statistics={"layer_sizes": sizes})
    assert html_layers.data(report, html_findings.Numbers())["sized"] is False


def test_layers_that_a_from_line_brought_are_told_apart():
    found = [replace(samples.wallet(), locations=(samples.place(b"x", n),)) for n in range(5)]
    based = tuple(
        replace(one, source=SourceLine("Dockerfile", 1, 1, Traced.BASE if n < 2 else Traced.HISTORY))
        for n, one in enumerate(found)
    )
    layers = html_layers.data(replace(SHOWN, findings=based), html_findings.Numbers())["all"]
    assert [one["base"] for one in layers] == [True, True, False, False, False]


def test_very_many_layers_are_bounded():
    layers = tuple(Layer(n, None, f"RUN {n}") for n in range(2_000))
    data = html_layers.data(
        replace(samples.CLEAN, image=replace(samples.IMAGE, layers=layers)), html_findings.Numbers()
    )
    assert (data["own"], data["left"], len(data["all"])) == (500, 1_500, 500)


# ---- many findings

MEASURE = """() => {
  const box = document.getElementById("text"), times = [];
  for (const wanted of ["donate", "kworker", "app/1", "wallet deleted", ""]) {
    box.value = wanted;
    const begin = performance.now();
    box.dispatchEvent(new Event("input"));
    document.body.getBoundingClientRect();
    times.push(performance.now() - begin);
  }
  return Math.min(...times.slice(1));
}"""


def test_five_thousand_findings_stay_fluid(browser, shared, files):
    with opened(browser, files["few"]) as few, shared.shows(files["many"]) as many:
        assert nodes(many) < 1.2 * nodes(few) + 50
        assert many.locator("li.finding").count() < 50
        times = [min(page.evaluate(MEASURE) for _ in range(3)) for page in (few, many)]
        assert times[1] < 10 * max(times[0], 1), times  # twenty times as many
        many.get_by_label("Search").fill("no-such-thing")
        assert said(many) == "0 of 5,000 findings"
        many.get_by_label("Search").fill("app/4499/")
        assert many.locator("li.finding").count() == 1
        many.get_by_label("Search").fill("")
        for _ in range(20):
            many.get_by_role("button", name="Next").click()
        assert many.locator("#page-said").inner_text() == "Page 21 of 101"
        assert nodes(many) < 1.2 * nodes(few) + 50
        assert many.locator(".head").first.inner_text().split() == ["low", "4,500,", "continued"]


def test_thirty_thousand_open_with_the_worst_and_say_what_is_left_out(shared, files):
    assert files["flood"].stat().st_size < 13_500_000
    with shared.shows(files["flood"]) as page:
        cut = page.locator("#cut-findings").inner_text()
        left = int(
            re.search(r"leaves out ([\d,]+) of 30,000 findings \(\1 low\): the JSON report has them all", cut)[
                1
            ].replace(",", "")
        )
        assert 0 < left < 27_000
        assert said(page) == f"{30_000 - left:,} findings in this page"
        assert page.locator("#counts").inner_text().split()[:2] == ["3,000", "critical"]
        assert nodes(page) < 2_000
        page.get_by_label("Search").fill("app/10000/")
        assert page.locator("li.finding").count() == 1


def test_signs_of_markup_are_counted_as_what_they_take():
    worst = [replace(samples.wallet(), rule_id=f"r/{n}", message="<" * 1_000) for n in range(4_000)]
    help_ = [Rule(one.rule_id, "n", Severity.LOW, ">" * 1_000, "&" * 4_000) for one in worst]
    text = html.render(replace(samples.CLEAN, findings=tuple(worst), rules=tuple(help_)), PLAIN)
    assert len(text) < 13_500_000
    assert "4,000 findings (" in text


def test_a_message_of_a_million_characters_is_cut():
    long = replace(
        samples.wallet(),
        message="m" * 1_000_000,
        locations=(FileLocation(b"p" * 1_000_000, samples.LAYERS[0]),),
        evidence=tuple(Evidence("d", f"k{n % 50}" * 10_000, b"p", excerpt="e" * 100_000) for n in range(2_000)),
        details={f"{n}" * 1_000: ["d" * 10_000] * 1_000 for n in range(500)},
    )
    empty = len(html.render(samples.CLEAN, PLAIN))
    assert len(html.render(replace(samples.CLEAN, findings=(long,)), PLAIN)) < empty + 200_000


# ---- by keyboard, for everybody, on paper


def test_the_findings_are_used_without_a_mouse(page):
    active = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{active}.textContent") == "Skip to the findings"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{active}.id") == "text"
    page.keyboard.type("xmrig")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{active}.dataset.finding") == "0"
    page.keyboard.press("End")
    assert page.evaluate(f"{active}.dataset.finding") == "1"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{active}.getAttribute('aria-expanded')") == "true"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{active}.className") == "around bytes"
    page.keyboard.press("Escape")
    assert page.evaluate(f"[{active}.dataset.finding, {active}.getAttribute('aria-expanded')]") == ["0", "false"]


def test_colours_are_the_readers_until_a_button_says_otherwise_and_nothing_is_kept(shared, files):
    paper = "getComputedStyle(document.body).backgroundColor"
    with shared.shows(files["shown"], color_scheme="dark") as page:
        assert page.evaluate(paper) == "rgb(15, 19, 23)"
        button = page.get_by_role("button", name="Colours")
        button.click()
        assert (button.inner_text(), page.evaluate(paper)) == ("Colours: light", "rgb(255, 255, 255)")
        page.emulate_media(color_scheme="light")
        button.click()
        assert (button.inner_text(), page.evaluate(paper)) == ("Colours: dark", "rgb(15, 19, 23)")
        assert page.evaluate("document.cookie") == ""
        page.reload()
        assert page.evaluate(paper) == "rgb(255, 255, 255)"


def test_on_paper_what_is_filtered_stands_unfolded_and_controls_are_gone(shared, files):
    with shared.shows(files["shown"], color_scheme="dark") as page:
        page.get_by_label("Search").fill("xmrig")
        page.evaluate(
            """addEventListener("beforeprint", () => { window.seen = [document.querySelectorAll(".panel").length,
              document.querySelector("#aside details").open, document.querySelector(".ignore")?.open]; })"""
        )
        assert page.pdf(format="A4").startswith(b"%PDF-")
        assert page.evaluate("seen.slice(0, 2)") == [2, True]
        assert page.locator(".panel").count() == 0
        page.emulate_media(media="print")
        page.wait_for_function("() => document.querySelectorAll('.panel').length === 2")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        controls = [one for one in page.locator("button, input, select, textarea").all() if one.is_visible()]
        # what is left are buttons that are words of the page
        assert {one.get_attribute("class").split()[0] for one in controls} == {"line", "head", "count", "part", "pick"}


def test_paper_has_an_end(shared, files):
    with shared.shows(files["many"]) as page:
        page.emulate_media(media="print")
        page.wait_for_function("() => document.querySelectorAll('.panel').length === 200")
        assert page.locator("li.finding").count() < 2_001
        assert "more lines that are not printed" in page.locator("#findings-list").inner_text()
        page.emulate_media(media="screen")
        page.wait_for_function("() => document.querySelectorAll('.panel').length === 0")


@pytest.mark.parametrize(
    "how",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"color_scheme": "light", "viewport": PHONE},
        {"color_scheme": "dark", "forced_colors": "active", "reduced_motion": "reduce"},
    ],
    ids=["light", "dark", "narrow", "forced"],
)
def test_axe_finds_nothing_wrong_folded_unfolded_and_filtered(judged, axe, file, how):
    with judged.shows(file, **how) as page:
        page.add_script_tag(content=axe)
        assert violations(page) == []
        for message in ("xmrig 6.21.0", "xmrig configuration", "a program that forwards ports"):
            open_line(page, message)
        for one in page.locator("details > summary:visible").all():
            one.click()
        assert violations(page) == []
        page.get_by_label("Search").fill("nowhere to be found")
        page.get_by_label("Search").fill("xmrig")
        page.locator("#layer-bar .part").nth(2).click()
        assert violations(page) == []


def test_nothing_is_wider_than_a_small_phone(shared, files):
    with shared.shows(files["shown"], PHONE) as page:
        for one in page.locator(".line").all():
            one.click()
        for one in page.locator("details > summary:visible").all():
            one.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_graph_that_was_moved_by_what_unfolds_above_it_is_still_hit(shared, tmp_path):
    (tmp_path / "r.html").write_text(html.render(samples_egress.BOTH, PLAIN))
    with shared.shows(tmp_path / "r.html") as page:
        page.locator("#graph").scroll_into_view_if_needed()
        page.mouse.move(700, 500)
        page.evaluate("document.querySelectorAll('.line').forEach((one, n) => { if (n < 3) one.click(); })")
        page.locator("#graph").scroll_into_view_if_needed()
        at = page.evaluate(
            """() => { const box = document.getElementById("graph").getBoundingClientRect();
              const one = sandscan.graph.edges().filter((edge) => edge.data("label") === "1")[0].renderedMidpoint();
              return [box.x + one.x, box.y + one.y]; }"""
        )
        page.mouse.click(*at)
        assert page.locator("#evidence li").count() == 1


# ---- hostile reports


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts(one)


@given(st.one_of(strategies.reports, strategies.launched, strategies.watched))
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
def test_every_hostile_report_is_data_that_ends_nothing_and_obeys_nobody(report):
    text = html.render(report, PLAIN)

    assert text == html.render(report, PLAIN)
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert not re.search(r"[<>&]|[^\x20-\x7e]", data)
    page = json.loads(data)
    assert len(page["findings"]["all"]) == len(report.findings)
    assert report.run is None or page["run"]["head"]
    for one in texts(page):
        assert len(one) < 5_000
        assert all(sign.isprintable() for sign in one.replace("\n", "")), one
    for rule in page["findings"]["rules"]:
        assert all(address is None or address.startswith("https://") for _, address in rule["links"])


def spiteful() -> Report:
    """Hostile words wherever a report has any."""
    rule = Rule(SPITE, SPITE, Severity.HIGH, SPITE, SPITE, (SPITE, *NOT_HTTPS), (SPITE, "T1/../../x"))
    place = FileLocation(SPITE.encode(), Layer(1, SPITE, SPITE))
    seen = Evidence(SPITE, SPITE, SPITE.encode(), line=1, excerpt=SPITE, context=Context(0, SPITE.encode()[:160]))
    found = Finding(SPITE, Severity.HIGH, Confidence.LOW, SPITE, (place,), (seen,), SPITE, details={SPITE: SPITE})
    source = SourceLine(SPITE, 1, 2, Traced.HISTORY, certain=False, why=SPITE)
    return replace(
        samples.INCOMPLETE,
        findings=(replace(found, source=source), found),
        rules=(rule,),
        suppressed=(Suppressed(found, Aside.IGNORED, SPITE, SPITE, SPITE),),
        target=replace(samples.CLEAN.target, name=SPITE),
        statistics={SPITE: SPITE},
    )


def test_hostile_words_stay_text(shared, tmp_path):
    (tmp_path / "h.html").write_text(html.render(spiteful(), PLAIN))
    with shared.shows(tmp_path / "h.html") as page:
        page.locator(".line").nth(0).click()
        page.locator(".line").nth(1).click()
        for one in page.locator("details > summary:visible").all():
            one.click()
        assert (page.locator("img").count(), page.locator("script").count()) == (0, 3)
        assert page.title() != "taken"
        told = page.locator("body").inner_text()
        assert '</script><script>document.title="taken"' in told
        assert not re.search("[\u2028\u202e\x1b]", told)
        # a name that runs from right to left takes no number beside it with it
        names = page.eval_on_selector_all(
            "code, .message", "all => all.map((one) => getComputedStyle(one).unicodeBidi)"
        )
        assert set(names) == {"isolate"}
        addresses = page.eval_on_selector_all("a[href]", "all => all.map((one) => one.getAttribute('href'))")
        assert all(one.startswith("#") for one in addresses)


@given(strategies.evidence, st.binary(max_size=200), st.integers(0, 10**6))
@settings(deadline=None, max_examples=200)
def test_what_stands_around_is_text_with_numbers_or_bytes_and_never_lost(evidence, data, start):
    shown_ = html_context.around(replace(evidence, context=Context(start, data)))

    if not data:
        assert shown_ is None
    elif "hex" in shown_:
        assert bytes.fromhex(shown_["hex"]) == data[:160]
        ends = [end for mark in shown_["marks"] for end in mark]
        assert ends == sorted(ends)
        assert not ends or 0 <= ends[0] <= ends[-1] <= len(data)
    else:
        numbers = [line for line, _ in shown_["lines"]]
        assert numbers == (
            [None] * len(numbers) if numbers[0] is None else list(range(numbers[0], numbers[0] + len(numbers)))
        )
        told = "".join(part for _, parts in shown_["lines"] for part, _ in parts)
        assert told.isprintable()


@pytest.mark.parametrize(
    ("start", "line", "excerpt", "data", "numbers", "marked"),
    [
        (
            0,
            2,
            "says it otherwise",
            b"one\ntwo\nthree",
            [1, 2, 3],
            ["two"],
        ),  # a file from its beginning: the whole line
        (50, 2, "says it otherwise", b"one\ntwo", [None, None], []),  # nobody knows which
        (50, 8, "two", b"one\r\ntwo\r\nthree\r\n", [7, 8, 9], ["two"]),
        (50, 1, "two", b"one\ntwo", [None, None], ["two"]),  # a line that cannot be
        (
            50,
            8,
            "a long command that is told at length, and more",
            b"x\na long command that is t\\\n",
            [7, 8],
            ["a long command that is t"],
        ),
        (50, 8, "listen 80, forward to 22", b"listen 80;\nforward to 22;\n", [8, 9], ["listen 80", "forward to 22"]),
        (9, 3, "\u20ac", b"\x82\xac a\n\xe2\x82\xac\xe2", [2, 3], ["\u20ac"]),  # cut characters at both ends
    ],
)
def test_lines_have_numbers_where_they_can_be_known(start, line, excerpt, data, numbers, marked):
    seen = html_context.around(Evidence("d", "k", b"f", line=line, excerpt=excerpt, context=Context(start, data)))

    assert [number for number, _ in seen["lines"]] == numbers
    assert [text for _, parts in seen["lines"] for text, on in parts if on] == marked
