"""What sandboxes reach, told at a terminal and in Markdown."""

import re
import time
from dataclasses import replace

import pytest
from rich.cells import cell_len

from scanner.model import Missing, Place, Report
from scanner.model import egress as e
from scanner.model.assumption import KNOWN, assumption
from scanner.model.egress import Change, Destination, Mode, Verdict
from scanner.reports import difference, markdown, reach, text
from scanner.reports.plugin import RenderOptions
from tests.reports import samples, samples_egress
from tests.reports.samples_egress import BOTH, EGRESS, LAUNCHED, NARROW, SHUT, WIDE, many

SGR = re.compile(r"\x1b\[[0-9;]*m")


def shown(
    report: Report, width: int = 80, *, color: bool = False, verbose: bool = False, explain: str | None = None
) -> str:
    return text.render(report, RenderOptions(width, color, verbose, explain))


def of(*sandboxes: e.SandboxReach) -> Report:
    return replace(LAUNCHED, egress=replace(EGRESS, sandboxes=sandboxes))


# ---- text


def test_the_head_names_the_launch_and_no_image():
    head = shown(LAUNCHED).split("\n\nWhat each")[0]

    assert head.startswith("sandscan 0.1.0: launch:compose.yaml\n")
    assert "  launch   compose, run by docker: compose.yaml, compose.override.yaml\n" in head
    assert "  assumed  engine.version=20.10.24\n" in head
    assert "layer" not in head
    assert "9f9f9f9f9f9f  linux/amd64" in shown(BOTH)
    assert "3 sandboxes, 5 layers, 4,312 files, 182 MB" in shown(BOTH)


def test_the_matrix_stands_first():
    block = shown(LAUNCHED).split("What each sandbox reaches\n")[1].split("\n\n")[0]

    assert block == (
        "            internet  private  metadata  host     engine   dns      siblings\n"
        "  agent     open      limited  open      closed   open     unknown  closed\n"
        "  directly                     closed             closed\n"
        "  worker    limited   closed   closed    closed   closed   closed   open\n"
        "  directly  closed\n"
        "  builder   closed    closed   closed    closed   closed   closed   closed"
    )


def test_a_name_that_is_too_long_stands_on_its_own_line():
    block = shown(of(replace(SHUT, name="a-namespace/a-workload-with-a-long-name")))

    assert "  a-namespace/a-workload-with-a-long-name\n            closed    closed " in block


def test_a_narrow_terminal_gets_a_list():
    block = shown(of(WIDE), 40)

    assert "  agent\n    internet  open\n    private   limited\n    metadata  open (closed directly)\n" in block


def test_colors_say_nothing_that_the_words_do_not():
    colored = shown(LAUNCHED, color=True)

    assert "\x1b[1;31mopen\x1b[0m" in colored
    assert "\x1b[32mclosed\x1b[0m" in colored
    assert SGR.sub("", colored).replace(" CRITICAL ", "CRITICAL") == shown(LAUNCHED)


def test_a_sandbox_is_told_with_its_paths_the_cut_and_the_questions():
    block = shown(LAUNCHED, 200).split("\n\nagent (")[1].split("\n\nworker (")[0]

    assert block.startswith("service, compose.yaml:3, image python:3.12)\n  internet: open\n")
    assert (
        "  metadata: open (closed directly)\n"
        "    path     open, by a takeover\n"
        "             1. the engine's socket is mounted; read-only does not stop its use (compose.yaml:9); "
        "needs root, or the group docker\n"
        "             2. whoever speaks to it starts containers (compose.yaml:9)\n"
        "             3. a container on the host's network\n"
    ) in block
    assert "    path     open, by plain sockets; connects as it is: curl (usr/bin/curl)\n" in block
    assert "    allows   udp to 10.0.0.0/8 except 10.1.0.0/16, one way: no answer comes back\n" in block
    assert "    missing  engine.dns: where the engine's resolver forwards names\n" in block
    assert (
        "  What is missing can be given:\n    --assume engine.dns=VALUE (VALUE: ADDRESS or host-loopback)\n"
    ) in block
    assert "  host, siblings: closed (--explain deny says by what)\n" in block
    assert (
        "  Three changes close all of them:\n"
        "    1. internal: true on network default (compose.yaml:20); it costs: everything that agent fetches from outside\n"
        "    2. drop the mount of /var/run/docker.sock (compose.yaml:9)\n"
        "    3. dns: [127.0.0.1] for agent (compose.yaml:3)\n"
        "  One change closes engine:\n"
    ) in block
    assert "  Could ROME's tunnel, SSH to the outside, happen here? Yes: TCP reaches any external address" in block
    assert "  Could it mine? Unknown: no image was looked into." in block


def test_a_cut_that_is_none_says_why():
    block = shown(of(NARROW), 200)

    assert "  No change known closes all of them: agent is attached to the network default.\n" in block
    doubted = replace(WIDE, cuts=(replace(WIDE.cuts[1], verified=False),))
    assert "One change closes engine (not verified: the changed launch was not judged again):" in shown(
        of(doubted), 200
    )


def test_destinations_that_are_reached_alike_are_told_once():
    paths = WIDE.answer(Destination.INTERNET).paths
    answers = tuple(
        e.Answer(one, Verdict.OPEN, Verdict.OPEN, paths=tuple(replace(p, destination=one) for p in paths))
        for one in (Destination.INTERNET, Destination.METADATA)
    )
    block = shown(of(replace(WIDE, answers=answers)), 200)

    assert "  internet, metadata: open\n" in block
    assert block.count("the engine masquerades") == 1


def test_of_each_mode_the_path_that_gives_most_is_told():
    internet = WIDE.answer(Destination.INTERNET)
    less = replace(internet.paths[0], id="internet-2", verdict=Verdict.LIMITED)
    pivot = replace(WIDE.answer(Destination.METADATA).paths[0], destination=Destination.INTERNET)
    relay = replace(NARROW.answer(Destination.INTERNET).paths[0], verdict=Verdict.UNKNOWN)
    answer = replace(internet, paths=(relay, less, internet.paths[0], pivot))

    assert reach.worst(answer, every=False) == (internet.paths[0], pivot)
    assert reach.worst(answer, every=True) == (internet.paths[0], pivot, relay, less)
    assert "2 more paths (--explain allow)" in shown(of(replace(WIDE, answers=(answer,))), 200)


def test_explain_deny_names_what_stands_in_the_way():
    block = shown(LAUNCHED, 200, explain="deny")

    assert "  host: closed\n    because  INPUT drops what comes from the bridge (rules.v4:7)\n" in block
    assert "  metadata: open (closed directly)\n    because  a rule drops it (rules.v4:9)\n" in block
    assert "  internet: open\n    because  nothing stands in the way\n" in block
    assert "network_mode: none gives no network (compose.yaml:42)" in block
    assert "by a takeover" not in block


def test_explain_allow_shows_every_path():
    paths = tuple(replace(WIDE.answer(Destination.INTERNET).paths[0], id=f"internet-{i}") for i in range(9))
    answer = replace(WIDE.answer(Destination.INTERNET), paths=paths, paths_left_out=3)
    report = of(replace(WIDE, answers=(answer,)))

    assert shown(report, 200, explain="allow").count("    path     open") == 9
    assert "3 more paths not listed\n" in shown(report, 200, explain="allow")
    assert shown(report, 200).count("    path     open") == 1
    assert "11 more paths (--explain allow)\n" in shown(report, 200)


def test_that_no_image_was_looked_at_is_said_once():
    assert shown(of(NARROW, replace(NARROW, name="other"))).count("No image was looked at") == 1
    assert "No image was looked at" not in shown(of(SHUT))


def test_findings_of_a_launch_are_brief_for_their_paths_are_told():
    block = shown(LAUNCHED, 200)

    assert (
        "  agent can take over the engine: the engine's socket is mounted\n    where    compose.yaml:9:9\n  What to do:"
        in block
    )
    assert "kind of evidence" not in block
    assert "- engine-socket: the engine's socket is mounted" in shown(LAUNCHED, 200, verbose=True)


def test_many_sandboxes_are_grouped_by_their_verdicts_and_quickly():
    report = many(10_000)
    begin = time.process_time()
    block = shown(report)
    assert time.process_time() - begin < 2

    assert "(3,334 alike)" in block
    assert len(block.splitlines()) < 150
    assert "9,997 more sandboxes with verdicts as above: --verbose tells more" in block


def test_a_launch_without_findings_says_what_was_judged():
    last = shown(replace(of(SHUT), findings=()), 200).splitlines()[-1]

    assert last == "Nothing found: 2 rules over 1 sandbox, read in 0.12 s."
    assert "The launch starts no sandbox." in shown(of())


@pytest.mark.parametrize("width", [24, 40, 80, 160])
def test_no_line_is_wider_than_the_terminal(width):
    for report in (LAUNCHED, BOTH, many(30), samples_egress.hostile("界" * 60)):
        assert max(cell_len(line) for line in shown(report, width, verbose=True).splitlines()) <= width


# ---- words


@pytest.mark.parametrize(
    ("permit", "said"),
    [
        (e.Permit(("0.0.0.0/0",)), "anything to 0.0.0.0/0"),
        (
            e.Permit(("api.example.com",), "tcp", ((443, 443), (8000, 8100))),
            "tcp port 443, 8000-8100 to api.example.com",
        ),
        (e.Permit(("10.0.0.0/8",), "any", ((53, 53),)), "any protocol port 53 to 10.0.0.0/8"),
        (
            e.Permit(("0.0.0.0/0",), "udp", excepts=("10.0.0.0/8", "192.168.0.0/16"), reply=False),
            "udp to 0.0.0.0/0 except 10.0.0.0/8, 192.168.0.0/16, one way: no answer comes back",
        ),
        (e.Permit((), "tcp", ()), "tcp port none to nothing"),
        (e.Permit(tuple(f"h{i}" for i in range(30)), "tcp"), "tcp to h0, h1, h2, h3, h4, h5, h6, h7 and 22 more"),
    ],
)
def test_what_passes_in_words(permit, said):
    assert reach.permit(permit) == said


@pytest.mark.parametrize("known", KNOWN, ids=lambda one: one.key)
def test_every_fact_that_is_missing_can_be_given_as_it_is_said(known):
    key = known.key.replace("NAME", "it's a name")
    assert assumption(key) is known
    said = reach.supply(Missing(key, "it matters"))

    assert said.startswith("--assume ")
    assert said.endswith(f"(VALUE: {known.values})")
    assert ("'" in said) is ("NAME" in known.key)


def test_a_file_is_named_as_the_user_named_it():
    assert reach.origin(Place("caf\udce9/compose.yaml", 3, 7)) == "caf\\udce9/compose.yaml:3"


# ---- Markdown


def test_markdown_has_the_matrix_and_folds_each_sandbox():
    page = markdown.render(LAUNCHED, RenderOptions())

    assert "| Sandbox | internet | private | metadata | host | engine | dns | siblings |" in page
    assert (
        "| `agent` | **open** | **limited** | **open (closed directly)** | closed | **open (closed directly)** | "
        "**unknown** | closed |"
    ) in page
    assert page.count("<details><summary><code>agent</code></summary>") == 1
    assert "    2. whoever speaks to it starts containers (compose.yaml:9)" in page
    assert "- Three changes close all of them:\n  1. internal: true on network default (compose.yaml:20)" in page
    assert "- what is missing can be given: `--assume engine.dns=VALUE (VALUE: ADDRESS or host-loopback)`" in page
    assert page.index("What each sandbox reaches") < page.index("| Severity |")


def test_markdown_of_many_sandboxes_stays_short_and_says_so():
    page = markdown.render(many(10_000), RenderOptions())

    assert len(page) < 20_000
    assert "and 3,324 more" in page
    assert "*9,997 more sandboxes are not told here: the JSON report has them all.*" in page


# ---- a change of a launch


def test_a_change_is_told_with_what_it_opens_first():
    closed, opened = WIDE.answer(Destination.HOST), replace(WIDE.answer(Destination.ENGINE), paths_left_out=0)
    changes = (
        Change(
            "agent",
            Destination.DNS,
            WIDE.answer(Destination.DNS),
            closed,
            opens=False,
            closed=WIDE.answer(Destination.DNS).paths,
        ),
        Change("agent", Destination.ENGINE, closed, opened, opens=True, opened=opened.paths, wider=opened.allows),
        Change("new", Destination.INTERNET, None, WIDE.answer(Destination.INTERNET), opens=True),
    )
    told = difference.render(changes, "old.yaml", "new.yaml", RenderOptions(200))

    assert told.startswith(
        "What new.yaml changes against old.yaml\n\nagent\n  opens engine: closed → open (closed directly)\n"
    )
    assert "    +        anything to engine\n" in told
    assert "    + path   open, by a takeover; connects as it is: curl (usr/bin/curl)\n" in told
    assert "  closes dns: unknown → closed\n    - path   unknown, by plain sockets\n" in told
    assert "new\n  opens internet: not there → open\n" in told
    assert told.endswith("\n2 sandboxes may reach more than before.\n")


def test_no_change_is_said():
    told = difference.render((), "a", "b", RenderOptions())

    assert told.endswith("Nothing: every sandbox reaches what it reached before.\n")


def test_the_sample_has_every_verdict_and_every_mode():
    """Else the tests above would show less than they say."""
    answers = [one for sandbox in EGRESS.sandboxes for one in sandbox.answers]
    assert {one.verdict for one in answers} == set(Verdict)
    assert {path.mode for one in answers for path in one.paths} == set(Mode)
    assert samples.INFECTED.egress is None
