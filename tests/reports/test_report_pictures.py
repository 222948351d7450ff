"""The graph in every form, each read back by a program that knows the form."""

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace

import networkx
import pytest
from hypothesis import HealthCheck, given, settings

from scanner.errors import UsageError
from scanner.model import Report, printable
from scanner.model import egress as e
from scanner.model.egress import Destination
from scanner.reports import dot, drawing, graphml, mermaid, picture, svg
from scanner.reports.output import formats
from scanner.reports.plugin import Part, RenderOptions
from tests.engine_fixture import program
from tests.reports import samples, strategies
from tests.reports.browser import module, opened
from tests.reports.samples_egress import AGENT, EGRESS, LAUNCHED, NETWORK, WIDE, hostile, many

PLAIN = RenderOptions()
PICTURES = (dot, graphml, mermaid, svg)
SVG = "{http://www.w3.org/2000/svg}"
SPITE = (
    '"]; evil [label="x',
    "]]></data><evil/>",
    "</script><script>alert(1)</script>",
    "\\N \\G \\l \\",
    "&lt;b&gt; &amp; &#60;",
    "#quot; #35; #59;",
    "end; click s0n0 call evil() %% ---",
    "`**md**` $x$",
    "\u202e\u2028\x00\x1b[31m\ud800",
    "界" * 90,
    "x" * 900,
    "",
)


def of(*sandboxes: e.SandboxReach) -> Report:
    return replace(LAUNCHED, egress=replace(EGRESS, sandboxes=sandboxes))


@pytest.mark.parametrize("form", PICTURES, ids=lambda form: form.__name__)
def test_without_a_launch_there_is_no_picture(form):
    with pytest.raises(UsageError, match=r"this report has no launch\. Give one: sandscan egress FILE"):
        form.render(samples.INFECTED, PLAIN)


def test_the_pictures_say_that_they_need_a_launch():
    drawn = [one.name for one in formats() if Part.LAUNCH in one.draws]
    assert drawn == ["dot", "graphml", "mermaid", "svg"]


@pytest.mark.parametrize("form", PICTURES, ids=lambda form: form.__name__)
def test_the_same_report_is_the_same_picture_and_a_launch_without_sandboxes_is_one(form):
    assert form.render(LAUNCHED, PLAIN) == form.render(LAUNCHED, PLAIN)
    assert form.render(of(), PLAIN).endswith("\n")


@given(strategies.launched)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
def test_every_picture_of_a_hostile_report_is_made_and_is_well_formed(report):
    for form in PICTURES:
        text = form.render(report, PLAIN)
        assert all(c == "\n" or c.isprintable() for c in text.replace("\t", ""))
    assert ET.fromstring(svg.render(report, PLAIN)).tag == f"{SVG}svg"
    ET.fromstring(graphml.render(report, PLAIN))


# ---- what is drawn


def test_steps_of_paths_walls_and_the_cut_are_told_apart():
    drawn = drawing.drawing(WIDE)

    lines = {(one.source, one.target): one for one in drawn.lines}
    assert lines[AGENT, NETWORK].paths == ("internet-1", "private-1", "dns-1")
    assert lines[NETWORK, "destination:internet"].cut
    assert not lines[AGENT, NETWORK].cut
    assert lines[NETWORK, "destination:host"].wall
    assert lines["resolver:engine", "destination:dns"].doubtful
    dots = {one.id: one for one in drawn.nodes}
    assert dots["destination:metadata"].shown == "open (closed directly)"
    assert [one.id for one in drawn.nodes if one.is_start] == [AGENT]
    assert {one.id for one in drawn.nodes if one.is_destination} == {f"destination:{one.value}" for one in Destination}


def test_what_a_run_tried_is_one_line_for_each_destination():
    tried = tuple(
        e.Edge(AGENT, f"destination:{target}", "observed", e.Mode.DIRECT, f"tried once: tcp host{n}:22; closed: no way")
        for target in ("internet", "private")
        for n in range(7)
    )
    seen = drawing.drawing(replace(WIDE, graph=replace(WIDE.graph, observed=tried)))

    lines = [line for line in seen.lines if line.kind == "observed"]
    assert [(line.source, line.target, line.label) for line in lines] == [
        (AGENT, "destination:internet", "tried"),
        (AGENT, "destination:private", "tried"),
    ]
    assert lines[0].words.count("tried once") == 5
    assert lines[0].words.endswith("and 2 more")


def test_what_is_too_much_is_left_out_and_counted_paths_last():
    more = tuple(e.Node(f"container:c{i}", "container", f"c{i}") for i in range(500))
    ends = tuple(e.Edge(NETWORK, one.id, "sibling", e.Mode.DIRECT, "there", None) for one in more)
    graph = replace(WIDE.graph, nodes=(*more, *WIDE.graph.nodes), edges=(*ends, *WIDE.graph.edges))
    drawn = drawing.drawing(replace(WIDE, graph=graph))

    assert len(drawn.nodes) == drawing.NODES
    assert len(drawn.lines) + drawn.left_out == 500 + 10
    on_paths = {number for one in drawn.lines if one.paths for number in [one.number]}
    assert len(on_paths) == 9
    for form, words in ((svg, "more steps not drawn here"), (mermaid, "more steps not drawn")):
        assert words in form.render(of(replace(WIDE, graph=graph)), PLAIN)


def test_arrows_between_the_same_two_nodes_are_one():
    twice = replace(WIDE.graph.edges[1], why="by IPv6 too", actions=())
    made = picture.picture(replace(WIDE, graph=replace(WIDE.graph, edges=(*WIDE.graph.edges, twice))))

    [arrow] = [one for one in made.arrows if one.words.startswith("2 ")]
    assert arrow.numbers == "2, 10"
    assert not arrow.cut  # one of the two stays


# ---- Graphviz


def graphviz(text: str) -> dict[str, object]:
    done = subprocess.run(
        [program("dot"), "-Tjson"], input=text.encode(), capture_output=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr.decode()) == (0, ""), text[:2_000]
    parsed: dict[str, object] = json.loads(done.stdout)
    return parsed


def test_graphviz_reads_what_is_written():
    read = graphviz(dot.render(LAUNCHED, PLAIN))

    clusters = [one["name"] for one in read["objects"] if one["name"].startswith("cluster")]
    assert clusters == ["cluster_s0", "cluster_s1", "cluster_s2"]
    edges = read["edges"]
    assert len(edges) == 10 + 6
    assert sum(one["style"] == "dashed" for one in edges) == 4
    assert sum(one.get("arrowhead") == "tee" for one in edges) == 2
    labels = {one.get("label") for one in read["objects"]}
    assert "metadata\\nopen (closed directly)" in labels


@pytest.mark.parametrize("spite", SPITE)
def test_graphviz_takes_hostile_words_for_words(spite):
    read = graphviz(dot.render(hostile(spite), PLAIN))

    assert len([one for one in read["objects"] if not one["name"].startswith("cluster")]) == 12 + 11 + 8
    assert len(read["edges"]) == len(graphviz(dot.render(hostile("x"), PLAIN))["edges"])


# ---- GraphML


def test_graphml_is_read_by_a_graph_library(tmp_path):
    (tmp_path / "g.graphml").write_text(graphml.render(LAUNCHED, PLAIN))
    read = networkx.read_graphml(tmp_path / "g.graphml", force_multigraph=True)

    assert read.is_directed()
    agent = [node for node, facts in read.nodes(data=True) if facts["sandbox"] == "agent"]
    assert len(agent) == 12
    by_name = {facts["name"]: facts for node, facts in read.nodes(data=True) if node in agent}
    assert by_name[AGENT]["start"] is True
    assert by_name[NETWORK]["location"] == "compose.yaml:20"
    assert by_name["destination:dns"]["verdict"] == "unknown"
    facts = [facts for _, _, facts in read.edges(data=True)]
    assert sum(one["cut"] for one in facts) == 4
    assert sum(one["barrier"] for one in facts) == 2
    assert {one["sandbox"] for one in facts} == {"agent", "worker"}
    assert read.graph["left_out"] == 0


@pytest.mark.parametrize("spite", SPITE)
def test_graphml_keeps_hostile_words_as_words(tmp_path, spite):
    (tmp_path / "g.graphml").write_text(graphml.render(hostile(spite), PLAIN))
    read = networkx.read_graphml(tmp_path / "g.graphml", force_multigraph=True)

    assert len(read) == 12 + 11 + 8


# ---- SVG and Mermaid, in a browser


@pytest.mark.parametrize(
    "report", [LAUNCHED, hostile(SPITE[2]), hostile("界" * 90), many(40)], ids=["plain", "spite", "wide", "many"]
)
def test_every_word_of_the_svg_fits_its_box(tmp_path, shared, report):
    file = tmp_path / "p.svg"
    file.write_text(svg.render(report, PLAIN))
    with shared.shows(file) as page:
        outside = page.evaluate(
            """() => [...document.querySelectorAll("g.node")].flatMap((node) => {
              const box = node.querySelector("rect").getBBox();
              return [...node.querySelectorAll("text")].filter((text) => {
                const one = text.getBBox();
                return one.x < box.x || one.x + one.width > box.x + box.width + 0.5 || one.y + one.height > box.y + box.height + 2;
              }).map((text) => text.textContent);
            })"""
        )
        beyond = page.evaluate(
            """() => { const all = document.documentElement; const wide = all.viewBox.baseVal.width, high = all.viewBox.baseVal.height;
              return [...document.querySelectorAll("text")].filter((text) => {
                const one = text.getBBox(); return one.x + one.width > wide + 1 || one.y + one.height > high + 1; }).map((text) => text.textContent); }"""
        )
        scripts = page.evaluate("document.querySelectorAll('script, a, image, foreignObject').length")
    assert (outside, beyond, scripts) == ([], [], 0)


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(15, 19, 23)")])
def test_the_svg_is_light_or_dark_as_the_reader_is(tmp_path, shared, scheme, paper):
    file = tmp_path / "p.svg"
    file.write_text(svg.render(LAUNCHED, PLAIN))
    with shared.shows(file, color_scheme=scheme) as page:
        assert page.evaluate("getComputedStyle(document.querySelector('.paper')).fill") == paper


def test_the_svg_tells_each_numbered_line(tmp_path):
    root = ET.fromstring(svg.render(of(WIDE), PLAIN))
    words = [one.text for one in root.iter(f"{SVG}text")]

    badges = [one.find(f"{SVG}text").text for one in root.iter(f"{SVG}g") if one.get("class") == "badge"]
    assert sorted(badges, key=int) == [str(number) for number in range(1, 11)]
    assert "agent is attached to the network default (compose.yaml:6)" in words
    assert "INPUT drops what comes from the bridge (rules.v4:7) [stands in the way]" in words
    assert "Three changes close all of them:" in words


def test_many_sandboxes_are_drawn_by_kind_and_the_rest_is_said():
    text = svg.render(many(50), PLAIN)

    assert text.count('role="group"') == svg.SANDBOXES
    assert f"{50 - svg.SANDBOXES} more sandboxes not drawn here" in text


@pytest.fixture(scope="module")
def drawn_by_mermaid(tmp_path_factory, browser) -> Iterator[Callable[[str], tuple[dict[str, int], str]]]:
    """How many nodes, edges and subgraphs Mermaid itself draws of a text, and every word in its picture."""
    file = tmp_path_factory.mktemp("mermaid") / "m.html"
    file.write_text("<!doctype html><meta charset=utf-8><body>")
    library = module("mermaid/dist/mermaid.min.js")
    with opened(browser, file) as page:
        page.add_script_tag(content=library.read_text("utf-8"))

        def draw(text: str) -> tuple[dict[str, int], str]:
            found = page.evaluate(
                """async (text) => {
                  mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
                  const { svg } = await mermaid.render("drawn", text);
                  document.body.innerHTML = svg;
                  const count = (what) => document.querySelectorAll(what).length;
                  return [{ nodes: count("g.node"), edges: count("path.flowchart-link"), subgraphs: count("g.cluster") },
                    document.body.textContent];
                }""",
                text,
            )
            return found[0], found[1]

        yield draw


def test_mermaid_draws_what_is_written(drawn_by_mermaid):
    drawn, words = drawn_by_mermaid(mermaid.render(LAUNCHED, PLAIN))

    assert drawn == {"nodes": 12 + 11 + 8, "edges": 10 + 6, "subgraphs": 3}
    assert "/var/run/docker.sock" in words
    assert "open (closed directly)" in words


@pytest.mark.parametrize("spite", SPITE)
def test_mermaid_takes_hostile_words_for_words(drawn_by_mermaid, spite):
    drawn, words = drawn_by_mermaid(mermaid.render(hostile(spite), PLAIN))

    assert drawn["nodes"] == 12 + 11 + 8
    assert re.sub(r"\s", "", printable(spite, 40))[:30].rstrip("…") in re.sub(r"\s", "", words)


def test_mermaid_stays_within_what_github_draws():
    text = mermaid.render(many(500), PLAIN)

    assert len(text) <= 50_000
    assert len(re.findall(r"--> |-\.->|-\.-x|\.->|\.-x", text)) <= 500
    assert "more sandboxes not drawn here" in text
