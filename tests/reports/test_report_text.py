import re
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from scanner.model import Aside, Evidence, LaunchLocation, Level, Notification, Report, Severity, printable
from scanner.reports import text, words
from scanner.reports.plugin import RenderOptions
from tests.reports import samples, strategies

SGR = re.compile(r"\x1b\[[0-9;]*m")


def shown(report: Report, width: int = 80, *, color: bool = False, verbose: bool = False) -> str:
    return text.render(report, RenderOptions(width, color, verbose))


def squeezed(value: str) -> str:
    """Without white space, so that a folded path reads as one."""
    return re.sub(r"\s", "", value)


def only(*findings):
    return replace(samples.CLEAN, findings=findings)


def test_the_head_says_what_was_scanned_and_how_bad_it_is():
    head = shown(samples.INFECTED).split("\n\nCRITICAL")[0]

    assert head.startswith("sandscan 0.1.0: docker:sandbox/agent:latest\n")
    assert "9f9f9f9f9f9f  linux/amd64" in head
    assert "5 layers, 4,312 files, 182 MB" in head
    assert "1 critical, 2 high, 1 medium, 1 low, 1 note" in head
    assert "INCOMPLETE" not in head


def test_a_finding_says_what_where_why_and_what_to_do():
    block = shown(only(samples.miner()), 200)

    assert "CRITICAL Cryptocurrency miner (miner/binary)" in block
    assert "  xmrig 6.21.0 under the name of a kernel thread\n" in block
    assert re.search(r"where +opt/\.cache/kworker, byte 118,272\n", block)
    assert re.search(r"layer +2 \(2c2c2c2c2c2c\) RUN curl -fsSL https://example\.com/setup\.tar\.gz \| tar", block)
    assert re.search(r"state +deleted in layer 4 by RUN rm -rf /opt/\.cache; the image still carries it\n", block)
    assert re.search(r"why +high confidence, 4 kinds of evidence:\n", block)
    assert '- protocol: stratum+ssl://, {"id":1,"jsonrpc":"2.0","method":"login", mining.subscribe (+1)\n' in block
    assert "- algorithm: rx/0\n" in block
    assert "What to do: Whoever runs code in a sandbox of this image can mine at your cost. Delete the file" in block


def test_findings_stand_worst_first_and_rule_by_rule():
    mixed = only(samples.wallet(), samples.miner(), samples.packed(), samples.config(), samples.miner(b"opt/second"))

    heads = re.findall(r"^(CRITICAL|HIGH|MEDIUM|LOW|NOTE) .*\((\S+)\)(.*)$", shown(mixed), re.MULTILINE)
    assert heads == [
        ("CRITICAL", "miner/binary", ", 2 times"),
        ("HIGH", "miner/config", ""),
        ("MEDIUM", "miner/packed", ""),
        ("LOW", "miner/wallet", ""),
    ]


def test_the_line_of_the_repository_stands_below_the_place():
    whole = shown(samples.TRACED, 200)

    assert (
        "    where    opt/.cache/kworker, byte 118,272\n"
        "    line     docker/Dockerfile:12-15 (by the image's history)\n"
        "    layer    2 (2c2c2c2c2c2c)" in whole
    )
    assert "    line     docker/Dockerfile:1 (from the base image)\n" in whole
    assert "    line     app/donate.txt:3 (the same file in the repository)\n" in whole
    assert "(doubtful, by the image's history: Lines 12 and 19 have the same words)\n" in whole


def test_what_is_set_aside_is_counted_and_listed_by_verbose():
    whole, more = shown(samples.TRACED, 200), shown(samples.TRACED, 200, verbose=True)

    counts = "1 known from the baseline sandscan-baseline.json, 2 ignored (.sandscan.yaml), the first until 2027-01-31"
    assert f"  set aside  {counts} (--verbose lists them)\n" in whole
    assert whole.endswith(
        "1 critical, 2 high, 1 medium, 1 low; 3 set aside; 5 layers, 4,312 files, 182 MB, read in 1.2 s.\n"
    )
    assert "An address of our own tests" not in whole
    assert f"  set aside  {counts}\n" in more
    assert (
        "  LOW Wallet address (miner/wallet)\n"
        "    where    app/tests/wallet.txt, line 1\n"
        "    by       ignored until 2027-06-30 (.sandscan.yaml:4): An address of our own tests\n" in more
    )
    assert "    by       known from the baseline sandscan-baseline.json: known on 2025-01-01\n" in more
    nothing = shown(replace(samples.TRACED, findings=()), 200)
    assert nothing.endswith(
        "Nothing found, but for what is set aside: 6 rules over 5 layers, 4,312 files, 182 MB, "
        "overwritten and deleted files included, read in 1.2 s.\n"
    )


def test_files_of_a_repository_have_no_layers():
    whole = shown(samples.CHECKED)

    assert whole.startswith("sandscan 0.1.0: check .\n")
    assert "    where    docker/Dockerfile:7-9\n    why" in whole
    assert whole.endswith("1 critical, 1 low; 12 files, 8 kB, read in 0.04 s.\n")
    clean = shown(replace(samples.CHECKED, findings=()), 200)
    assert clean.endswith("Nothing found: 6 rules over 12 files, 8 kB, read in 0.04 s.\n")
    for told in (whole.replace("sandbox of this image", ""), clean):
        assert not re.search(r"layer|image|\bline  ", told)


def test_a_finding_points_into_the_repository_or_nowhere():
    launch = replace(samples.wallet(), locations=(LaunchLocation("./deploy//compose.yaml", 3, 5),))
    traced = replace(samples.miner(), source=samples.STEPS)

    assert words.pointing(traced) == ("docker/Dockerfile", 12, 15)
    assert words.pointing(replace(launch, source=replace(samples.STEPS, end_line=12))) == (
        "docker/Dockerfile",
        12,
        None,
    )
    assert words.pointing(launch) == ("deploy/compose.yaml", 3, None)
    assert words.pointing(samples.miner()) is None
    for name in ("/etc/x", "../x", "a/../../x", "", ".", "./", "standard input"):
        assert words.pointing(replace(launch, locations=(LaunchLocation(name, 1),))) is None
        assert words.pointing(replace(traced, source=replace(samples.STEPS, file=name))) is None


def test_entries_of_one_file_are_counted_together_and_the_first_end_is_said():
    ignored = samples.TRACED.suppressed[1]
    report = replace(
        samples.CLEAN,
        suppressed=(
            replace(ignored, place="a.yaml:9", expires="2027-03-01"),
            replace(ignored, place="a.yaml:2", expires="2027-02-01"),
            replace(ignored, place="pyproject.toml", expires=None),
            replace(ignored, how=Aside.BASELINE, place="b.json"),
        ),
    )

    assert words.set_aside(report) == (
        "2 ignored (a.yaml), the first until 2027-02-01",
        "1 ignored (pyproject.toml)",
        "1 known from the baseline b.json",
    )
    assert words.set_aside(replace(report, suppressed=report.suppressed[1:2])) == (
        "1 ignored (a.yaml), until 2027-02-01",
    )
    assert words.set_aside(samples.CLEAN) == ()


def test_other_places_and_evidence_elsewhere_are_named():
    block = shown(only(samples.config()), 200)

    assert re.search(r"also +opt/\.cache/kworker, byte 118,272, layer 2\n", block)
    assert "- options: --config /opt/.cache/config.json in etc/cron.d/cache, line 1\n" in block


def test_a_field_of_the_config_is_a_place():
    assert re.search(r"where +image config, Env\[1\]\n", shown(samples.INFECTED))


def test_verbose_shows_all_evidence_with_its_place():
    block = shown(samples.INFECTED, 200, verbose=True)

    assert "- protocol: keepalived, byte 118,500\n" in block
    assert "(+1)" not in block
    assert "- algorithm: randomx_create_vm, line 40\n" in block
    assert "keepalived" not in shown(samples.INFECTED, 200)


def test_notes_are_brief():
    block = shown(only(samples.source()))

    assert "NOTE Miner source code (miner/source)\n  Source code of RandomX\n" in block
    assert "usr/src/randomx/vm.cpp, line 40" in block
    assert "What to do" not in block


def test_no_findings_say_what_was_looked_at():
    last = shown(samples.CLEAN, 200).splitlines()[-1]

    assert last == (
        "Nothing found: 6 rules over 5 layers, 4,312 files, 182 MB, overwritten and deleted files included, "
        "read in 1.2 s."
    )


def test_nothing_found_is_never_said_of_what_was_not_read():
    unread = replace(samples.CLEAN, notifications=samples.UNREAD)
    block = shown(unread, 200)

    assert "Nothing found:" not in block
    assert "Nothing found in what could be read: 6 rules" in block
    assert block.endswith("; INCOMPLETE: 4 things were not read to the end.\n")


def test_what_was_not_read_is_listed_worst_first():
    block = shown(samples.INCOMPLETE, 200)

    lines = block.split("Not read to the end\n")[1].splitlines()
    assert lines[0] == "  error    usr/lib/broken.so, layer 1: The ELF parser crashed (3 times)"
    assert lines[1] == "  warning  app/deep.zip!/a.zip!/b.zip, layer 3: Archives nest deeper than 6 levels"
    assert lines[3:5] == [
        "Remarks",
        "  note     The engine keeps its layers in containerd: read through its API",
    ]
    assert lines[-1] == (
        "1 critical, 2 high, 1 medium, 1 low, 1 note; 5 layers, 4,312 files, 182 MB, read in 1.2 s; "
        "INCOMPLETE: 4 things were not read to the end."
    )


def test_a_remark_leaves_the_report_complete():
    noted = replace(samples.CLEAN, notifications=samples.UNREAD[2:])

    assert "INCOMPLETE" not in shown(noted)
    assert "Not read" not in shown(noted)


def test_statistics_that_are_missing_are_not_made_up():
    block = shown(replace(samples.CLEAN, statistics={}), 200)

    assert "Nothing found: 6 rules over 5 layers, overwritten and deleted files included." in block
    assert "files," not in block.replace("deleted files", "")


def test_many_findings_fold_and_say_so():
    block = shown(samples.crowded(1_000), 200)

    assert "miner/binary), 100 times" in block
    assert "… and 90 more: --verbose shows more, the JSON report has them all" in block
    assert "… and 890 more" in block
    assert block.count("where ") == 20
    assert shown(samples.crowded(1_000), 200, verbose=True).count("where ") == 1_000


def test_many_gaps_fold_and_are_counted():
    many = tuple(Notification("content", Level.WARNING, f"number {i}", b"x", count=2) for i in range(50))
    block = shown(replace(samples.CLEAN, notifications=many))

    assert "number 19" in block
    assert "number 20" not in block
    assert "… and 60 more" in block
    assert "INCOMPLETE: 100 things" in block


# ---- terminals


def test_a_pipe_gets_no_escapes_and_no_trailing_blanks():
    for line in shown(samples.INCOMPLETE).splitlines():
        assert "\x1b" not in line
        assert line == line.rstrip()


def test_colors_change_nothing_but_colors(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")  # the options decide, the CLI has read the environment before
    monkeypatch.setenv("TERM", "dumb")
    colored = shown(samples.INCOMPLETE, color=True)

    assert SGR.search(colored)
    assert squeezed(SGR.sub("", colored)) == squeezed(shown(samples.INCOMPLETE))


@pytest.mark.parametrize("width", [1, 24, 40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_path_is_lost(width):
    long = b"opt/" + b"/".join(b"directory-%d" % i for i in range(30)) + b"/miner"
    report = replace(samples.INCOMPLETE, findings=(samples.miner(long), *samples.INCOMPLETE.findings))

    block = shown(report, width)
    assert max(cell_len(line) for line in block.splitlines()) <= max(width, text.NARROWEST)
    for path in (long.decode(), "app/vendor.tar.gz!/w\\xe9heels/fast.whl!/fast/_core.so", "etc/cron.d/cache"):
        assert path in squeezed(block)


def test_markup_in_hostile_words_is_text():
    found = replace(samples.miner(b"opt/[red]x[/red]"), message="[bold]m[/bold]")
    block = shown(only(found), 200, color=True)

    assert "[bold]m[/bold]" in block
    assert "opt/[red]x[/red], byte" in block


@given(
    strategies.reports | strategies.launched | strategies.watched,
    st.sampled_from([24, 40, 80, 200]),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=80)
def test_no_terminal_obeys_a_hostile_report(report, width, color, verbose):
    block = shown(report, width, color=color, verbose=verbose)

    plain = SGR.sub("", block) if color else block
    assert all(c == "\n" or c.isprintable() for c in plain)
    assert max((cell_len(line) for line in plain.splitlines()), default=0) <= width
    assert ("INCOMPLETE: " in plain.replace("\n", " ")) or report.complete
    assert block.endswith("\n")
    assert block == shown(report, width, color=color, verbose=verbose)


@given(strategies.paths, st.sampled_from([24, 80]))
@settings(deadline=None, max_examples=60)
def test_every_path_can_be_read_back_whole(raw, width):
    block = shown(only(samples.miner(raw)), width)

    assert squeezed(printable(raw, 4_096)) in squeezed(block)


def test_a_large_report_takes_time_in_proportion():
    def seconds(count):
        report = samples.crowded(count)
        begin = time.process_time()
        shown(report)
        return time.process_time() - begin

    seconds(100)
    assert seconds(30_000) < 100 * seconds(300)


# ---- words


@pytest.mark.parametrize(
    ("history", "instruction"),
    [
        (None, ""),
        ("", ""),
        ('/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'),
        ("/bin/sh -c #(nop) ADD file:5d in / ", "ADD file:5d in /"),
        ("/bin/sh -c apt-get update &&     apt-get install -y x", "RUN apt-get update && apt-get install -y x"),
        ("RUN /bin/sh -c rm -rf /x # buildkit", "RUN rm -rf /x"),
        ("|2 A=1 B=2 /bin/sh -c make", "RUN make"),
        ("RUN |1 A=1 /bin/sh -c make # buildkit", "RUN make"),
        ("COPY app /app # buildkit", "COPY app /app"),
        ('ENTRYPOINT ["/bin/sh" "-c" "x"]', 'ENTRYPOINT ["/bin/sh" "-c" "x"]'),
        ("RUN echo \x1b[31m", "RUN echo \\x1b[31m"),
    ],
)
def test_an_instruction_is_read_out_of_the_history(history, instruction):
    assert words.instruction(history) == instruction


def test_a_huge_history_entry_is_read_in_no_time():
    begin = time.perf_counter()
    assert words.instruction("|9 " + "/bin/sh -c" * 10**6, 50).endswith("…")
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1 kB"),
        (182_000_000, "182 MB"),
        (2_400_000_000, "2.4 GB"),
        (10**16, "10,000 TB"),
    ],
)
def test_sizes(count, said):
    assert words.size(count) == said


def test_the_tally_counts_notes_as_notes():
    assert words.tally(()) == "no findings"
    assert words.tally((samples.source(), samples.source(), samples.miner())) == "1 critical, 2 notes"


def test_worst_first_is_stable():
    low, high = samples.wallet(), samples.miner(severity=Severity.HIGH)
    sure = replace(low, confidence=samples.miner().confidence, evidence=(Evidence("m", "k", b"x"),))

    assert words.worst_first([low, sure, high]) == [high, sure, low]
