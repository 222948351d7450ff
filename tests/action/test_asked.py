"""The inputs alone, and the event: what they become, whatever is in them."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.action.composite import modules, obeyed, outputs, pull_request

asked, event, tell, workflow = modules("asked", "event", "tell", "workflow")

LINES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
NAMES = (
    "IMAGE",
    "INPUT",
    "DOCKERFILE",
    "LAUNCH",
    "PATHS",
    "SEVERITY",
    "FAIL_ON",
    "BASELINE",
    "CONFIG",
    "FORMAT",
    "CATEGORY",
)


def jobs(**inputs: str):
    return asked.jobs(asked.asked({f"INPUT_{name.upper()}": value for name, value in inputs.items()}))


def words(**inputs: str) -> list[tuple[str, ...]]:
    return [asked.command_line(job, {"json": Path("/r/a.json")}) for job in jobs(**inputs)]


def test_every_input_has_its_place_in_a_command_line():
    [line] = words(
        image="agent",
        dockerfile="D",
        launch="a.yaml\n b.yaml ",
        severity="low",
        fail_on="high",
        baseline="b",
        config="c",
    )

    assert line[:2] == ("--config=c", "scan")
    assert line[-2:] == ("--", "agent")
    assert set(line[2:-2]) == {
        "--output=json=/r/a.json",
        "--output=text",
        "--launch=a.yaml",
        "--launch=b.yaml",
        "--dockerfile=D",
        "--repo=.",
        "--severity=low",
        "--fail-on=high",
        "--baseline=b",
    }


def test_what_the_workflow_leaves_open_the_configuration_decides():
    [line] = words(image="agent")

    assert line == ("scan", "--output=json=/r/a.json", "--output=text", "--repo=.", "--", "agent")


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"image": "a\nb", "launch": "compose.yaml"}, "launch belongs to one image"),
        ({"image": "a\nb", "dockerfile": "Dockerfile"}, "dockerfile belongs to one image"),
        ({"dockerfile": "Dockerfile"}, "name the image that was built from it"),
        ({"input": "a", "upload_sarif": "yes"}, "upload-sarif is 'yes'"),
        ({"input": "a", "cache": "maybe"}, "cache is 'maybe'"),
        ({"input": "a", "category": "a\tb"}, "category"),
        ({"input": "a", "format": "html=x"}, "format 'html=x'"),
        ({"input": "a", "config": "a", "ignorefile": "b"}, "two names of one input"),
        ({"input": "a", "severity": "low\nhigh"}, "severity takes one value"),
        ({"input": "a", "output": "out\nexit-code=0"}, "output takes one value"),
        ({"image": "\n".join(f"i{n}" for n in range(21))}, "21 targets are too many"),
    ],
)
def test_a_wrong_input_is_said(inputs: dict[str, str], says: str):
    with pytest.raises(workflow.Wrong, match=says):
        jobs(**inputs)


def test_launches_and_paths_are_judged_as_their_commands_do():
    assert [line[:1] + line[-3:] for line in words(launch="a\nb", paths="x\ny")] == [
        ("egress", "--", "a", "b"),
        ("check", "--", "x", "y"),
    ]


@given(st.dictionaries(st.sampled_from(NAMES), LINES))
@settings(deadline=None)
def test_no_text_becomes_an_option_of_its_own(inputs):
    try:
        found = asked.jobs(asked.asked({f"INPUT_{name}": value for name, value in inputs.items()}))
    except workflow.Wrong:
        return
    for job in found:
        line = asked.command_line(job, {})
        end = line.index("--")
        known = (
            "--config=",
            "--launch=",
            "--dockerfile=",
            "--repo=.",
            "--severity=",
            "--fail-on=",
            "--baseline=",
            "--output=text",
        )
        assert all(word.startswith(known) for word in line[:end] if word not in {"scan", "egress", "check"})
        assert all(line[end + 1 :])
        assert "/" not in job.name
        assert not job.name.startswith((".", "-"))
        assert job.title.isprintable()
    names = [job.name.lower() for job in found]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "content", "uploads"),
    [
        ("push", {"repository": {"full_name": "team/app"}}, True),
        ("schedule", {}, True),
        ("pull_request", pull_request("team/app"), True),
        ("pull_request", pull_request("stranger/app"), False),
        ("pull_request", pull_request(None), False),
        ("pull_request", {"pull_request": {}}, False),
        ("pull_request_review", pull_request("stranger/app"), False),
        ("pull_request_target", pull_request("team/app"), False),
        ("workflow_run", {"repository": {"full_name": "team/app"}}, False),
        ("issue_comment", {"issue": {"pull_request": {}}, "repository": {"full_name": "team/app"}}, False),
        ("check_suite", {"repository": {"full_name": "team/app"}}, False),
        ("status", {"repository": {"full_name": "team/app"}}, False),
        ("push", "no JSON", False),
        ("push", [1], False),
    ],
)
def test_only_what_the_token_may_write_is_uploaded(tmp_path: Path, name: str, content: object, uploads: bool):
    file = tmp_path / "event.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    environment = {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(file)}

    assert (event.why_not_uploaded("auto", environment) == "") is uploads
    assert event.why_not_uploaded("true", environment) == ""
    assert event.why_not_uploaded("false", environment) != ""
    assert event.may_keep(environment) is (name in {"push", "schedule", "pull_request", "pull_request_review"})


def test_without_an_event_nothing_is_uploaded():
    assert event.why_not_uploaded("auto", {}) != ""


@given(st.dictionaries(st.sampled_from(("a", "b")), st.text(st.sampled_from("ab=<\n\r:%sandscan-"), max_size=60)))
@settings(deadline=None)
def test_an_output_is_what_it_was_set_to(values):
    import tempfile

    with tempfile.NamedTemporaryFile("r", encoding="utf-8", newline="") as file:
        os.environ["GITHUB_OUTPUT"] = file.name
        try:
            workflow.output(values)
        finally:
            del os.environ["GITHUB_OUTPUT"]
        assert outputs(file.read()) == values


@given(st.text(), st.text())
@settings(deadline=None)
def test_what_is_said_is_one_command(message, title):
    import contextlib
    import io

    out = io.StringIO(newline="")
    with contextlib.redirect_stdout(out):
        workflow.say("notice", message, title)

    [command] = obeyed(out.getvalue())
    assert (command.name, command.data, command.properties["title"]) == ("notice", message, title)


def outcome(folder: Path, title: str, *, size: int = 0, lines: tuple[str, ...] = ()) -> dict:
    summary, commands = folder / f"{title}.md", folder / f"{title}.commands"
    summary.write_text("x" * size, "utf-8")
    commands.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return {
        "title": title,
        "code": 1,
        "findings": 7,
        "reported": True,
        "commands": str(commands),
        "summary": str(summary),
        "json": "",
        "sarif": "x",
        "why": "",
    }


def test_a_summary_that_does_not_fit_gives_way_to_a_line(tmp_path: Path):
    page = tell.summary([outcome(tmp_path, name, size=900_000) for name in ("a", "b", "c")], "")

    assert len(page.encode()) <= 1 << 20
    assert page.count("the report is too long for this page") == 2
    assert "x" * 900_000 in page


def test_the_reasons_at_the_end_have_room_too(tmp_path: Path):
    """Twenty images with names as long as names can be, none of which is uploaded, behind a report that just fits."""
    wide = "\N{GRINNING FACE}" * 300
    ones = [outcome(tmp_path, f"{n}", size=1 << 10) | {"title": wide, "code": 3, "sarif": ""} for n in range(20)]
    for size in range(1_000_000, 1 << 20, 4_000):
        big = outcome(tmp_path, "big", size=size) | {"title": wide, "code": 3, "sarif": ""}
        assert len(tell.summary([big, *ones], "").encode()) <= 1 << 20


def test_a_carriage_return_begins_no_other_command(tmp_path: Path):
    found = tell._commands(outcome(tmp_path, "a", lines=("::error title=a::b\r::warning title=c::d",)))
    assert found == []


def test_annotations_are_shared_among_targets_and_nothing_else_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    many = tuple(f"::error file=a,line={n},title=t::m{n}" for n in range(10))
    strange = ("::add-mask::x", "plain", "::error file=a,line=1,title=t,col=9::x", "::error title=t::x\r::debug::y")
    tell._annotate(
        {},
        [
            tell._commands(outcome(tmp_path, "a", lines=many)),
            tell._commands(outcome(tmp_path, "b", lines=("::error title=u::only", *strange))),
        ],
    )

    found = obeyed(capsys.readouterr().out)
    assert [one.name for one in found] == ["error"] * 10
    assert [one.data for one in found][:3] == ["m0", "only", "m1"]
    assert "GitHub shows ten of a kind: the step summary has 2 more" in found[-1].data


def test_the_actions_own_words_and_the_refusal_of_an_upload_are_among_the_ten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """GitHub counts all steps of the Action as one, and drops what comes last."""
    lines = tuple(f"::{kind} title=t::m{n}" for kind in ("error", "notice") for n in range(10))
    gone = [outcome(tmp_path, f"gone{n}") | {"reported": False, "code": 2, "why": "not there"} for n in range(3)]
    ones = [outcome(tmp_path, f"half{n}", lines=lines) | {"code": 3, "sarif": ""} for n in range(2)]
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"outcomes": [*gone, *ones], "why_not": ""}))
    monkeypatch.setenv("STATE", str(state))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    assert tell.main() == 0
    found = obeyed(capsys.readouterr().out)
    errors, notices = ([one.data for one in found if one.name == kind] for kind in ("error", "notice"))
    assert [one.split(" ")[0] for one in errors[:3]] == ["gone0", "gone1", "gone2"]
    assert (len(errors), len(notices)) == (10, 9)
    assert "the step summary has 14 more" in errors[-1]
    assert "was not read to its end" in notices[0]
