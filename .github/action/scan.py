"""Scans every target that the inputs name, and says what came of it: files, numbers, exit code. Never fails the step."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import event
from asked import Asked, Job, asked, command_line, jobs, reports
from workflow import Wrong, environment, output, say, shown, temporary, unheeded

CLEAN, FINDINGS, USAGE, INCOMPLETE = 0, 1, 2, 3
TAIL = 4_000
PRIVATE = frozenset({"sarif", "github"})
"""Reports that are not for the artifact as they come: SARIF is handed on only if the scan was whole."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a target: `commands` and `summary` are files, empty where there are none; `why` the last words of a scan
    that gave no report."""

    title: str
    code: int
    findings: int
    reported: bool
    commands: str = ""
    summary: str = ""
    json: str = ""
    sarif: str = ""
    why: str = ""


def main() -> int:
    output({"exit-code": str(INCOMPLETE)})  # stands if the step dies; the last value of an output counts
    try:
        inputs = asked(os.environ)
        todo = jobs(inputs)
        folder = _folder(inputs)
    except Wrong as e:
        say("error", str(e), "sandscan: the workflow's inputs")
        output({"exit-code": str(USAGE), "findings": "0"})
        return 0
    work = temporary() / f"work-{secrets.token_hex(4)}"
    work.mkdir(parents=True)
    kept = (temporary() if inputs.cache else work) / "cache"
    before = _digest(kept)
    outcomes = [_scanned(inputs, job, folder, work, kept) for job in todo]
    outcomes = _categorised(inputs, outcomes)
    state = work / "outcomes.json"
    why_not = event.why_not_uploaded(inputs.upload, os.environ)
    state.write_text(json.dumps({"outcomes": [asdict(one) for one in outcomes], "why_not": why_not}), "utf-8")
    sarif = [one.sarif for one in outcomes if one.sarif]
    after = _digest(kept)
    store = inputs.cache and after and after != before and event.may_keep(os.environ)
    output(
        {
            "exit-code": str(_code([one.code for one in outcomes])),
            "findings": str(sum(one.findings for one in outcomes)),
            "json": "\n".join(one.json for one in outcomes if one.json),
            "sarif": "\n".join(sarif),
            "sarif-folder": str(folder / "sarif") if sarif and not why_not else "",
            "reports": str(folder) if any(one.reported for one in outcomes) else "",
            "artifact": f"sandscan-{todo[0].name}-{secrets.token_hex(4)}",
            "cache-key": f"{os.environ['CACHE_PREFIX']}{after[:16]}" if store else "",
            "state": str(state),
        }
    )
    return 0


def _folder(inputs: Asked) -> Path:
    """An empty place for reports. Raises Wrong for one outside of the workspace and of RUNNER_TEMP, or with files in it."""
    if not inputs.output:
        folder = temporary() / f"reports-{secrets.token_hex(4)}"
    else:
        folder = Path(inputs.output).resolve()
        allowed = [Path(os.environ[name]).resolve() for name in ("GITHUB_WORKSPACE", "RUNNER_TEMP")]
        if not any(folder != one and folder.is_relative_to(one) for one in allowed):
            raise Wrong(f"output {shown(inputs.output)!r} lies neither in the workspace nor in RUNNER_TEMP")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Wrong(f"output {shown(inputs.output)!r} is not empty: reports of two scans would be taken for one's")
        (folder / "sarif").mkdir()
    except OSError as e:
        raise Wrong(f"output {shown(str(folder))!r} cannot be made: {e.strerror or e}") from e
    return folder


def _scanned(inputs: Asked, job: Job, folder: Path, work: Path, kept: Path) -> Outcome:
    """Runs sandscan on one target. Its report for people goes to the log, where nothing in it is obeyed."""
    files = reports(inputs, job, folder)
    files.update({form: work / files[form].name for form in PRIVATE})
    own = {"COLUMNS": "120", **environment(), "SANDSCAN_CACHE_DIR": str(kept)}
    program = temporary() / "venv" / "bin" / "sandscan"
    with unheeded():
        print(f"sandscan {job.command}: {job.title}", flush=True)
        code, said = _run((str(program), *command_line(job, files)), own)
    reported = files["json"].is_file() and code in {CLEAN, FINDINGS, INCOMPLETE}
    if not reported:
        # 130, a signal, a fault of ours: nothing is known, which is never clean
        return Outcome(job.title, USAGE if code == USAGE else INCOMPLETE, 0, reported=False, why=_last(said))
    whole = code in {CLEAN, FINDINGS} and files["sarif"].is_file()
    return Outcome(
        job.title,
        code,
        len(json.loads(files["json"].read_bytes())["findings"]),
        reported=True,
        commands=str(files["github"]),
        summary=str(files["markdown"]),
        json=str(files["json"]),
        sarif=str(shutil.move(files["sarif"], folder / "sarif" / files["sarif"].name)) if whole else "",
    )


def _run(words: Sequence[str], own: dict[str, str]) -> tuple[int, bytes]:
    """The exit code, and the end of what was said on standard error. Both streams are shown as they come."""
    with subprocess.Popen(words, env=own, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = b""
        while chunk := os.read(process.stderr.fileno(), 65_536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            said = (said + chunk)[-TAIL:]
    return process.returncode, said


def _last(said: bytes) -> str:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(("sandscan: ", "Error: "))]
    return shown(" ".join(own[-2:] or lines[-1:]), 1_000)


def _categorised(inputs: Asked, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Each SARIF file with the category that it is to have. Two of one category would close each other's alerts: then none is
    handed on, and the step's answer is that of a wrong input."""
    used: dict[str, str] = {}
    for one in outcomes:
        if not one.sarif:
            continue
        log = json.loads(Path(one.sarif).read_bytes())
        for run in log["runs"]:
            own = run["automationDetails"]["id"]
            if inputs.category:
                own = f"{inputs.category}/" + (own.removeprefix("sandscan/") if len(outcomes) > 1 else "")
                run["automationDetails"]["id"] = own
            if own in used:
                say(
                    "error",
                    f"{used[own]} and {one.title} both have the category {shown(own)}. Scan them in two steps, each with a category.",
                )
                return [_without_sarif(each) for each in outcomes]
            used[own] = one.title
        if inputs.category:
            Path(one.sarif).write_text(json.dumps(log), "utf-8")
    return list(outcomes)


def _without_sarif(one: Outcome) -> Outcome:
    if one.sarif:
        Path(one.sarif).unlink()
    return Outcome(**{**asdict(one), "sarif": "", "code": USAGE})


def _code(codes: Sequence[int]) -> int:
    """The worst: a wrong target, then what is not known, then findings."""
    return next((one for one in (USAGE, INCOMPLETE, FINDINGS) if one in codes), CLEAN)


def _digest(folder: Path) -> str:
    """Of the cache's file, empty without one."""
    file = folder / "layers.sqlite"
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
