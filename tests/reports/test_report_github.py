"""What the runner makes of it: the lines are read as actions/runner reads them, and give back what was meant and no more."""

import re
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scanner.model import Level, Notification, Severity, SourceLine, Traced
from scanner.reports import github, words
from scanner.reports.plugin import RenderOptions
from tests.reports import samples, strategies

COMMANDS = {"error", "warning", "notice"}


@dataclass
class Command:
    name: str
    properties: dict[str, str]
    data: str


def runner(output: str) -> list[Command]:
    """As the runner does: lines end at CR or LF, one that begins with `::` after spaces is a command up to the next `::`; else
    `##[` anywhere in it would begin one of the old form."""
    found = []
    for line in re.split(r"\r\n|\r|\n", output):
        if not line:
            continue
        line = line.lstrip()  # noqa: PLW2901
        assert line.startswith("::"), f"the runner would print this line, or find an old command in it: {line!r}"
        head, _, data = line[2:].partition("::")
        name, _, rest = head.partition(" ")
        pairs = [pair.split("=", 1) for pair in rest.split(",") if pair]
        found.append(Command(name, {key: _meant(value, "%3A:", "%2C,") for key, value in pairs}, _meant(data)))
    return found


def _meant(value: str, *more: str) -> str:
    for one in ("%0D\r", "%0A\n", *more, "%25%"):
        value = value.replace(one[:3], one[3:])
    return value


def commands(report) -> list[Command]:
    return runner(github.render(report, RenderOptions()))


def test_a_finding_points_to_its_line_and_says_where_in_the_image_and_what_to_do():
    first, doubtful, *_ = commands(samples.TRACED)

    assert first.name == "error"
    assert first.properties == {
        "file": "docker/Dockerfile",
        "line": "12",
        "endLine": "15",
        "title": "sandscan, critical: Cryptocurrency miner (miner/binary)",
    }
    assert first.data.split("\n") == [
        "xmrig 6.21.0 under the name of a kernel thread.",
        "Where: opt/.cache/kworker, byte 118,272, deleted in layer 4 by RUN rm -rf /opt/.cache; the image still carries it",
        "Why this line: by the image's history",
        f"What to do: {samples.BINARY.help}",
    ]
    assert "Why this line: doubtful" in doubtful.data


def test_errors_come_first_and_the_severity_says_the_kind():
    kinds = [one.name for one in commands(samples.INFECTED)]

    assert kinds == ["error", "error", "error", "warning", "notice", "notice"]


def test_without_a_line_of_the_repository_there_is_no_file():
    assert all("file" not in one.properties for one in commands(samples.INFECTED))


def test_nothing_found_is_nothing_said():
    assert github.render(samples.CLEAN, RenderOptions()) == ""


def test_what_was_not_read_is_a_warning_before_the_findings():
    warnings = [one for one in commands(samples.INCOMPLETE) if one.name == "warning"]

    assert warnings[0].data == "INCOMPLETE: 4 things were not read to the end."
    assert warnings[1].data == "usr/lib/broken.so, layer 1: The ELF parser crashed (3 times)"
    assert "What to do" in warnings[-1].data


def test_the_tenth_of_a_kind_says_how_many_more_there_are():
    notices = [one for one in commands(samples.crowded(300)) if one.name == "notice"]

    assert len(notices) == 10
    assert notices[-1].data.startswith("261 more notices:")  # 270 are low, nine of them are told


def test_many_gaps_leave_room_for_findings():
    gaps = tuple(Notification("layer", Level.ERROR, f"layer {i} is cut off") for i in range(50))
    report = replace(samples.INFECTED, notifications=gaps)

    assert any("Packed executable" in one.properties["title"] for one in commands(report) if one.name == "warning")


def test_a_line_outside_of_the_repository_is_not_pointed_to():
    for name in ("/etc/passwd", "../x", "a/../../x", "", "a/b/.."):
        report = replace(
            samples.CLEAN, findings=(replace(samples.miner(), source=SourceLine(name, 1, 1, Traced.CONTENT)),)
        )
        assert "file" not in commands(report)[0].properties


def planted(text: str):
    """A report that says the text wherever an image's maker may have a word."""
    finding = replace(
        samples.miner(text.encode("utf-8", "surrogatepass") or b"x"),
        message=text,
        source=SourceLine(text or "x", 3, 3, Traced.HISTORY, certain=False, why=text),
    )
    return replace(
        samples.CLEAN,
        findings=(finding, replace(finding, severity=Severity.LOW, rule_id=text)),
        rules=(replace(samples.BINARY, name=text, help=text),),
        notifications=(Notification("layer", Level.ERROR, text, path=text.encode("utf-8", "surrogatepass")),),
    )


CRAFTED = (
    "\n::set-output name=x::y",
    "\r::add-mask::sandscan",
    "\r\n::stop-commands::token",
    "::error file=/etc/passwd::x",
    "x::set-env name=PATH::/tmp",
    "a,line=9,file=b,title=c",
    "%0A::set-output name=x::y",
    "%250A::stop-commands::t%25",
    "\x85::add-path::/tmp\u2028::add-path::/tmp\x0b::debug::x\x0c::debug::x",
    "##[add-mask]sandscan",
    "##[set-output name=x;]y",
    "a=b=c",
)


@given(st.one_of(st.sampled_from(CRAFTED), st.text(st.sampled_from("\r\n\u2028\x85:%,=#[]; aA0D25"), max_size=30)))
@example("%3A%2C%25%0D%0A")
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_text_ends_a_command_or_begins_another(text):
    report = planted(text)
    found = commands(report)

    assert [one.name for one in found] == ["error", "warning", "warning", "notice"]
    for one in found:
        assert set(one.properties) <= {"file", "line", "endLine", "title"}
    critical = found[0]
    assert critical.properties.get("line") in {"3", None}
    assert critical.properties.get("file") == (words.pointing(report.findings[0]) or (None,))[0]
    assert critical.data.startswith(words.sentence(words.plain(text, 1_000) or critical.properties["title"]))


@given(strategies.reports)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
def test_every_report_is_a_few_commands(report):
    found = commands(report)

    assert {one.name for one in found} <= COMMANDS
    assert all(sum(one.name == kind for one in found) <= 10 for kind in COMMANDS)
    for one in found:
        file = one.properties.get("file")
        assert file is None or not (file.startswith("/") or ".." in file.split("/"))
        assert set(one.properties) <= {"file", "line", "endLine", "title"}
    assert len(github.render(report, RenderOptions())) < 30 * 20_000
