"""A small runner for action.yml: runs its `run` steps in order with bash as GitHub's does, notes its `uses` steps, and reads the log
as the runner would.

Expressions: what action.yml uses of them (contexts, `==`, `!=`, `&&`, `||`, `always()`), and nothing else: an unknown one is an error.
"""

import importlib
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fixtures.image import Step, archive
from fixtures.tarball import Member

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
SANDSCAN = Path(sys.executable).parent / "sandscan"
REPLAY = ROOT / "fixtures" / "rome-replay.tar"
COMPOSE = ROOT / "fixtures" / "rome-launch" / "compose.yaml"
CLEAN = Step("COPY readme /", (Member("srv/readme.txt", b"nothing to see\n"),))
PUSH = {"repository": {"full_name": "team/app"}}


def pull_request(head: str | None) -> dict[str, Any]:
    """The event of a pull request whose branch lies in the repository `head`, None for one that is gone."""
    repository = None if head is None else {"full_name": head}
    return {"pull_request": {"head": {"repo": repository}}, "repository": {"full_name": "team/app"}}


@dataclass
class Command:
    """What the runner takes from the log."""

    name: str
    properties: dict[str, str]
    data: str


@dataclass
class Ran:
    """A whole run: each step's outcome and outputs, what `uses` steps were asked with, the log, the summary, the answer."""

    outcomes: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    used: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    failed: bool = False
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> list[Command]:
        return obeyed(self.log)

    def said(self, kind: str) -> list[str]:
        return [one.data for one in self.commands if one.name == kind]

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(Path(file).read_bytes()) for file in self.answers["json"].splitlines()]

    def sarif(self) -> list[dict[str, Any]]:
        return [json.loads(Path(file).read_bytes()) for file in self.answers["sarif"].splitlines()]


@dataclass
class Runner:
    """One job on one machine: `workspace` is the checked out repository, `temporary` is RUNNER_TEMP."""

    workspace: Path
    temporary: Path
    event_name: str = "push"
    event: Mapping[str, Any] | str = field(default_factory=lambda: PUSH)
    refuses: frozenset[str] = frozenset()
    """Names of `uses` steps that fail."""
    given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Steps that are not run, by id, with their outputs."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, **inputs: str) -> Ran:
        unknown = {name.replace("_", "-") for name in inputs} - set(ACTION["inputs"])
        assert not unknown, f"action.yml has no {unknown}"
        values = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        ran = Ran()
        files = self.temporary / f"_runner-{secrets.token_hex(4)}"
        files.mkdir(parents=True)
        event = files / "event.json"
        event.write_text(self.event if isinstance(self.event, str) else json.dumps(self.event), "utf-8")
        for number, step in enumerate(ACTION["runs"]["steps"]):
            context = Context(values, ran)
            name, key = step["name"], step.get("id", f"#{number}")
            condition = str(step.get("if", "success()"))
            if not context.truth(condition) or (ran.failed and "always()" not in condition):
                ran.outcomes[key] = "skipped"
                continue
            if key in self.given:
                ran.outcomes[key], ran.outputs[key] = "success", dict(self.given[key])
                continue
            if "uses" in step:
                ran.used[name] = {k: context.filled(str(v)) for k, v in step.get("with", {}).items()}
                good = name not in self.refuses
            else:
                good = self._shell(ran, key, step, context, files / str(number), event)
            ran.outcomes[key] = "success" if good else "failure"
            ran.failed |= not good and not step.get("continue-on-error", False)
        ran.answers = {name: Context(values, ran).filled(one["value"]) for name, one in ACTION["outputs"].items()}
        return ran

    def _shell(self, ran: Ran, key: str, step: dict[str, Any], context: "Context", files: Path, event: Path) -> bool:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an expression in a script is pasted into it"
        files.mkdir()
        for name in ("output", "summary", "script"):
            (files / name).touch()
        (files / "script").write_text(step["run"], "utf-8")
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("INPUT_", "GITHUB_", "SANDSCAN_"))},
            "GITHUB_OUTPUT": str(files / "output"),
            "GITHUB_STEP_SUMMARY": str(files / "summary"),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_EVENT_NAME": self.event_name,
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_ACTION_PATH": str(ROOT),
            "RUNNER_TEMP": str(self.temporary),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            # the machine's own python3 may be older than the runner's
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **self.environment,
            **{k: context.filled(str(v)) for k, v in step.get("env", {}).items()},
        }
        # as the runner calls it: docs.github.com, "Workflow syntax", jobs.<job_id>.steps[*].shell
        done = subprocess.run(
            ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(files / "script")),
            env=environment,
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        ran.log += f"{done.stdout.decode('utf-8', 'replace')}\n"
        summary = (files / "summary").read_bytes()
        assert len(summary) <= 1 << 20, "GitHub drops a longer summary whole"
        ran.summary += summary.decode()
        ran.outputs[key] = outputs((files / "output").read_text("utf-8"))
        return done.returncode == 0


def machine(folder: Path, sandscan: Path = SANDSCAN) -> Runner:
    """A checked out repository with the replay and its launch file in it, and a runner that has Python, and on which the tests' own
    sandscan is installed, or the program that stands for it: `install` is tried in test_install.py."""
    workspace = folder / "work" / "app"
    workspace.mkdir(parents=True)
    (workspace / "replay.tar").symlink_to(REPLAY)
    (workspace / "compose.yaml").write_bytes(COMPOSE.read_bytes())
    (workspace / "clean.tar").write_bytes(archive((CLEAN,), {}, "team/clean:1"))
    return installed(workspace, folder / "temp", sandscan)


def installed(workspace: Path, temporary: Path, sandscan: Path = SANDSCAN, **environment: str) -> Runner:
    """A runner that has Python and the tests' own sandscan, and begins with the scan."""
    programs = temporary / "sandscan" / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "sandscan").symlink_to(sandscan)
    kept = str(temporary / "sandscan" / "cache")
    given = {"python": {"ready": "true"}, "install": {"cache-folder": kept, "cache-prefix": "sandscan-p-"}}
    return Runner(workspace, temporary, given=given, environment=environment)


def outputs(text: str) -> dict[str, str]:
    """What the runner reads from GITHUB_OUTPUT: `name=value`, or `name<<DELIMITER` up to the line that is the delimiter."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if match := re.fullmatch(r"([^=<]+)<<(.+)", line):
            value = []
            for inner in lines:
                if inner == match[2]:
                    break
                value.append(inner)
            else:
                raise AssertionError(f"{match[1]} is not closed")
            found[match[1]] = "\n".join(value)
        elif line:
            name, equals, value_ = line.partition("=")
            assert equals, f"the runner fails on {line!r}"
            found[name] = value_
    return found


def obeyed(log: str) -> list[Command]:
    """The commands that the runner finds: lines that begin with `::`, or have `##[` in them, unless they are stopped."""
    found, stopped = [], ""
    for raw in re.split(r"\r\n|\r|\n", log):
        line = raw.lstrip()
        if stopped:
            stopped = "" if line == f"::{stopped}::" else stopped
            continue
        if match := re.fullmatch(r"::([a-z-]+)(?: (.*?))?::(.*)", line):
            pairs = dict(pair.split("=", 1) for pair in (match[2] or "").split(",") if pair)
            found.append(Command(match[1], {k: _meant(v, "%3A:", "%2C,") for k, v in pairs.items()}, _meant(match[3])))
            if match[1] == "stop-commands":
                stopped = match[3]
        elif "##[" in line:
            found.append(Command("##", {}, line))
    assert not stopped, "the log ends while commands are stopped: nothing after it would be told"
    return [one for one in found if one.name != "stop-commands"]


def _meant(value: str, *more: str) -> str:
    for one in ("%0D\r", "%0A\n", *more, "%25%"):
        value = value.replace(one[:3], one[3:])
    return value


@dataclass
class Context:
    """What expressions see; `steps` are the ids that may be named, `event` is `github.event_name`."""

    inputs: dict[str, str]
    ran: Ran
    steps: Sequence[dict[str, Any]] = field(default_factory=lambda: ACTION["runs"]["steps"])
    event: str = ""

    def filled(self, text: str) -> str:
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: self.value(match[1]), text)

    def truth(self, expression: str) -> bool:
        return self.value(expression) not in {"", "false"}

    def value(self, expression: str) -> str:
        """GitHub's `||` and `&&` give one of their sides; `==` of strings looks at no case."""
        text = expression.strip()
        for operator, takes_first in (("||", True), ("&&", False)):
            if operator in text:
                first, _, rest = text.partition(operator)
                left = self.value(first)
                return left if (left not in {"", "false"}) is takes_first else self.value(rest)
        for operator, equal in (("==", True), ("!=", False)):
            if operator in text:
                left, _, right = text.partition(operator)
                same = self.value(left).lower() == self.value(right).lower()
                return "true" if same is equal else "false"
        return self._one(text)

    def _one(self, text: str) -> str:
        if match := re.fullmatch(r"'([^']*)'", text):
            return match[1]
        if text in {"always()", "success()"}:
            return "true"
        if text == "github.event_name":
            return self.event
        if match := re.fullmatch(r"inputs\.([a-z-]+)", text):
            return self.inputs[match[1]]
        if match := re.fullmatch(r"steps\.([a-z]+)\.outputs\.([a-z-]+)", text):
            assert any(step.get("id") == match[1] for step in self.steps), text
            return self.ran.outputs.get(match[1], {}).get(match[2], "")
        if match := re.fullmatch(r"steps\.([a-z]+)\.outcome", text):
            return self.ran.outcomes.get(match[1], "")
        raise AssertionError(f"an expression that this runner does not know: {text}")


def modules(*names: str) -> list[Any]:
    """The Action's own modules, which import each other by their bare names."""
    folder = str(ROOT / ".github" / "action")
    sys.path.insert(0, folder)
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(folder)
