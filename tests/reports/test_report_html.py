"""What each sandbox reaches, on the page as its reader has it: in a browser, by mouse and by keyboard, light, dark and on paper."""

import hashlib
import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from scanner.reports import html
from scanner.reports.plugin import RenderOptions
from tests.reports import samples_egress
from tests.reports.browser import PHONE, module, violations
from tests.reports.samples_egress import EGRESS, LAUNCHED, hostile, many

PLAIN = RenderOptions()
VENDOR = resources.files("scanner.reports").joinpath("vendor")
SPITE = '</script><script>document.title="taken"</script><!--<img src=x onerror="document.title=1">\u2028'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "reach.html"
    path.write_text(html.render(LAUNCHED, PLAIN))
    return path


def marked(page: Any) -> list[str]:
    """The numbers on the arrows that are marked in the graph."""
    found = page.evaluate("sandscan.graph.edges('.on').map((one) => one.data('label'))")
    return sorted(found, key=int)


# ---- what it shows


def test_the_matrix_has_every_verdict(page):
    rows = page.locator("#matrix-frame tbody tr").all()
    shown = [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]

    assert shown == [
        ["agent", "open", "limited", "open (closed directly)", "closed", "open (closed directly)", "unknown", "closed"],
        ["worker", "limited (closed directly)", *["closed"] * 5, "open"],
        ["builder", *["closed"] * 7],
    ]
    assert page.locator("h3#name").inner_text() == "agent"
    assert page.title() == "launch:compose.yaml: 1 critical"


def test_a_verdict_leads_to_its_paths_and_the_path_stands_out_in_the_graph(page):
    page.get_by_role("button", name="agent, metadata: open (closed directly)").click()

    pressed = page.locator(".path > button[aria-pressed='true']")
    assert pressed.inner_text() == "Path: open, by a takeover"
    assert marked(page) == ["4", "5", "6"]
    evidence = page.locator("#evidence li").all_inner_texts()
    assert evidence[0].startswith("the engine's socket is mounted; read-only does not stop its use (compose.yaml:9)")
    assert len(evidence) == 3
    assert page.evaluate("sandscan.graph.elements('.faded').length") > 0

    page.get_by_role("button", name="Show all paths").press("Enter")
    assert marked(page) == []
    assert page.evaluate("document.activeElement.textContent") == "Path: open, by a takeover"
    assert page.locator("#evidence li").count() == 10


def test_a_verdict_leaves_what_is_pressed_elsewhere(shared, tmp_path):
    (tmp_path / "b.html").write_text(html.render(samples_egress.BOTH, PLAIN))
    with shared.shows(tmp_path / "b.html") as page:
        layer = page.locator("#layer-table .pick").first
        layer.click()
        page.get_by_role("button", name="agent, metadata: open (closed directly)").click()
        assert layer.get_attribute("aria-pressed") == "true"


def test_another_sandbox_has_its_own_graph(page):
    page.get_by_role("button", name="worker, internet: limited (closed directly)").click()

    assert page.locator("h3#name").inner_text() == "worker"
    assert marked(page) == ["1", "2", "3", "4"]
    answer = page.locator(".answer[data-destination='internet']").inner_text()
    assert "allows tcp port 443 to api.example.com, *.pypi.example" in answer
    assert "in the way: the network default is internal (compose.yaml:20)" in answer
    assert (
        "No change known closes all of them: agent is attached to the network default."
        in page.locator("#cuts").inner_text()
    )
    assert page.locator("#cut-label").is_hidden()


def test_the_cut_can_be_seen_applied(page):
    assert "Three changes close all of them:" in page.locator("#cuts").inner_text()
    assert page.evaluate("sandscan.graph.edges('.cut').length") == 0

    page.get_by_label("with the cut applied").check()
    cut = page.evaluate("sandscan.graph.edges('.cut').map((one) => [one.data('label'), one.style('line-style')])")
    assert sorted(cut) == [["2", "dashed"], ["3", "dashed"], ["4", "dashed"], ["8", "dashed"]]


def test_what_is_missing_and_how_to_give_it_is_said(page):
    answer = page.locator(".answer[data-destination='dns']").inner_text()

    assert "missing engine.dns: where the engine's resolver forwards names" in answer
    assert "--assume engine.dns=VALUE (VALUE: ADDRESS or host-loopback)" in answer


def test_a_step_in_the_graph_shows_its_evidence(page):
    page.locator("#graph").scroll_into_view_if_needed()
    at = page.evaluate(
        """() => { const box = document.getElementById("graph").getBoundingClientRect();
          const one = sandscan.graph.edges().filter((edge) => edge.data("label") === "1")[0].renderedMidpoint();
          return [box.x + one.x, box.y + one.y]; }"""
    )
    page.mouse.click(*at)

    assert page.locator("#evidence li").all_inner_texts() == [
        "agent is attached to the network default (compose.yaml:6)"
    ]


def test_every_label_of_the_graph_fits_its_node(page):
    wide = page.evaluate(
        """() => { const pen = document.createElement("canvas").getContext("2d"); pen.font = "12px monospace";
          return sandscan.graph.nodes().filter((one) => one.data("label").split("\\n").some((line) => pen.measureText(line).width > one.width()))
            .map((one) => one.data("label")); }"""
    )
    assert wide == []


# ---- by keyboard


def test_the_page_is_used_without_a_mouse(page):
    page.get_by_role("link", name="What each sandbox reaches").press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "agent, internet: open"
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.ariaLabel") == "agent, internet: open"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "private: limited"
    assert page.locator("#said").inner_text() == "2 steps marked in the graph"
    assert marked(page) == ["1", "3"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Path: limited, by plain sockets"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert marked(page) == ["4", "5", "6"]


def test_one_stop_of_the_tab_key_is_the_whole_matrix(page):
    assert page.locator("#matrix-frame td button[tabindex='0']").count() == 1
    page.get_by_role("button", name="worker, dns: closed").click()
    assert page.locator("#matrix-frame td button[tabindex='0']").get_attribute("aria-label") == "worker, dns: closed"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(judged, axe, file, scheme):
    with judged.shows(file, color_scheme=scheme) as page:
        page.get_by_role("button", name="agent, engine").click()
        page.add_script_tag(content=axe)
        assert violations(page) == []


# ---- light, dark, paper


def wait_for_colors(page: Any, paper: str, label: str) -> None:
    """The paper, and the agent's label in the graph."""
    page.wait_for_function(
        """([paper, label]) => getComputedStyle(document.body).backgroundColor === paper
          && sandscan.graph.nodes("[?start]").style("color") === label""",
        arg=[paper, label],
    )


def test_the_page_and_the_graph_follow_the_readers_scheme(page):
    page.emulate_media(color_scheme="dark")
    wait_for_colors(page, "rgb(15, 19, 23)", "rgb(232,236,240)")
    page.emulate_media(color_scheme="light")
    wait_for_colors(page, "rgb(255, 255, 255)", "rgb(27,31,36)")


def test_paper_is_white_whatever_the_scheme_and_has_no_controls(shared, file):
    with shared.shows(file, color_scheme="dark") as page:
        page.emulate_media(media="print")
        wait_for_colors(page, "rgb(255, 255, 255)", "rgb(0,0,0)")
        assert not any(one.is_visible() for one in page.locator(".bar").all())
        assert page.locator("#paths").is_visible()


def test_the_printer_gets_a_graph_for_paper(shared, file):
    with shared.shows(file, color_scheme="dark") as page:
        wait_for_colors(page, "rgb(15, 19, 23)", "rgb(232,236,240)")
        page.evaluate(
            "addEventListener('beforeprint', () => { window.seen = sandscan.graph.nodes('[?start]').style('color'); })"
        )
        assert page.pdf(format="A4").startswith(b"%PDF-")
        assert page.evaluate("seen") == "rgb(0,0,0)"
        wait_for_colors(page, "rgb(15, 19, 23)", "rgb(232,236,240)")


def test_nothing_is_wider_than_a_phone(shared, file):
    with shared.shows(file, PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


# ---- hostile names, and what the page may do


def test_hostile_names_stay_text(shared, tmp_path):
    (tmp_path / "h.html").write_text(html.render(hostile(SPITE), PLAIN))
    with shared.shows(tmp_path / "h.html") as page:
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 4
        assert page.locator("h3#name").inner_text().startswith("</script><script>document.title=")
        assert "taken" in page.title()  # as the words of the launch's name, in the middle of them
        assert page.title() != "taken"


def test_hostile_names_cannot_end_their_element():
    text = html.render(hostile(SPITE), PLAIN)

    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data)["reach"]["names"] == [html.printable(SPITE)] * 3
    assert not re.search(r"[<>&\u2028\u2029]", data)


def test_the_policy_allows_what_the_page_brings_and_no_more(shared, file, tmp_path):
    text = file.read_text()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)

    rules = dict(one.split(" ", 1) for one in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", one) for one in rules["script-src"].split())
    assert "unsafe" not in policy
    changed = text.replace("</body>", "<script>document.title = 'ran'</script></body>")
    (tmp_path / "c.html").write_text(changed)
    with pytest.raises(AssertionError, match="Content Security Policy"), shared.shows(tmp_path / "c.html") as page:
        assert page.title() != "ran"


def test_the_page_needs_nothing_but_itself(file):
    text = file.read_text()

    assert not re.search(r"""<(?:link|script|img|iframe)[^>]*(?:src|href)=["'](?!data:,)""", text)
    assert "@import" not in text
    assert "url(" not in html._file("page/page.css")


# ---- many sandboxes


def test_ten_thousand_sandboxes_are_found_and_shown(shared, tmp_path):
    text = html.render(many(10_000), PLAIN)
    assert len(text) < 12_000_000
    (tmp_path / "m.html").write_text(text)
    with shared.shows(tmp_path / "m.html") as page:
        assert page.locator("#matrix-frame tbody tr").count() == 3
        assert "3,334 alike" in page.locator("#matrix-frame tbody tr").first.inner_text()
        page.get_by_label("Find a sandbox").fill("agent-123")
        assert page.locator("#found").inner_text() == "11 found"
        page.keyboard.press("ArrowDown")
        assert page.locator("h3#name").inner_text() == "team-4/agent-123"
        page.keyboard.press("ArrowDown")
        assert page.locator("h3#name").inner_text() == "team-5/agent-1230"
        page.get_by_label("Find a sandbox").fill("agent-9999")
        page.keyboard.press("Enter")
        assert page.locator("h3#name").inner_text() == "team-3/agent-9999"
        said = page.locator("#about").inner_text()
        assert said.startswith("internet open, private limited, metadata open (closed directly)")
        assert "sandscan egress -o json has all of them" in said


def test_few_sandboxes_need_no_picker(page):
    assert page.locator("#picker").is_hidden()


def test_a_launch_that_starts_nothing_is_a_page(shared, tmp_path):
    (tmp_path / "e.html").write_text(html.render(replace(LAUNCHED, egress=replace(EGRESS, sandboxes=())), PLAIN))
    with shared.shows(tmp_path / "e.html") as page:
        assert "The launch starts no sandbox." in page.locator("#matrix-frame").inner_text()
        assert page.locator("#chosen").is_hidden()


# ---- the library


def test_the_library_is_what_npm_ships():
    assert VENDOR.joinpath("cytoscape.min.js").read_bytes() == module("cytoscape/dist/cytoscape.min.js").read_bytes()
    assert VENDOR.joinpath("cytoscape.LICENSE").read_bytes() == module("cytoscape/LICENSE").read_bytes()


def test_the_library_is_the_one_that_is_written_down():
    digest = hashlib.sha256(VENDOR.joinpath("cytoscape.min.js").read_bytes()).hexdigest()
    told = VENDOR.joinpath("README.md").read_text()

    assert digest in told
    version = json.loads((Path(__file__).parents[2] / ".ci" / "package.json").read_text())["dependencies"]["cytoscape"]
    assert f"| {version} | MIT" in told
