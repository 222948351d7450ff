"""The command as a user runs it: exit codes, what goes to which stream, what a file holds, how it ends."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import jsonschema
import pytest

from fixtures.image import Step, archive
from fixtures.tarball import Member
from tests.cli.forked import run

REPLAY = Path(__file__).parents[2] / "fixtures" / "rome-replay.tar"
SANDSCAN = [sys.executable, "-m", "scanner.cli"]


def spawned(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a shell does; `run` forks a process that has loaded sandscan."""
    env = {**os.environ, "SANDSCAN_CACHE_DIR": str(cwd / "cache"), **environment}
    return subprocess.run(
        [*SANDSCAN, *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    file = tmp_path / "clean.tar"
    file.write_bytes(archive([Step("COPY x /", (Member("etc/motd", b"welcome\n"),))], {}, "clean:1"))
    return file


def test_findings_are_exit_code_1_and_the_report_alone_is_on_stdout(tmp_path: Path):
    done = spawned("scan", f"archive:{REPLAY}", "-o", "json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["complete"] is True
    assert {f["rule_id"] for f in report["findings"]} >= {"miner/binary", "miner/config"}
    [deleted] = [f for f in report["findings"] if f["rule_id"] == "miner/binary" and f["state"] == "deleted"]
    assert deleted["severity"] in ("high", "critical")
    assert deleted["details"]["family"] == "xmrig"
    assert deleted["locations"][0]["layer"]["created_by"]


def test_the_json_report_keeps_its_schema(tmp_path: Path):
    schema = json.loads(run("schema", cwd=tmp_path).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    report = json.loads(run("scan", REPLAY, "-o", "json", cwd=tmp_path).stdout)
    jsonschema.validate(report, schema)


def test_nothing_found_is_exit_code_0(tmp_path: Path, clean: Path):
    done = spawned("scan", clean, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no findings" in done.stdout.lower()


@pytest.mark.parametrize(("threshold", "code"), [("never", 0), ("critical", 1), ("note", 1)])
def test_the_threshold_decides(tmp_path: Path, threshold: str, code: int):
    assert run("scan", REPLAY, "--fail-on", threshold, "-q", cwd=tmp_path).returncode == code


def test_severity_leaves_out_and_says_so_but_never_opens_the_gate(tmp_path: Path):
    done = run("scan", REPLAY, "--severity", "critical", "-o", "json", cwd=tmp_path)
    report = json.loads(done.stdout)
    milder = {(f["rule_id"], f["confidence"]) for f in report["findings"] if f["severity"] != "critical"}
    assert milder == {
        ("miner/binary", "high"),
        ("miner/config", "high"),
        ("miner/launch", "high"),
    }  # nothing hides them
    assert report["statistics"]["left_out_by_severity"] > 0
    assert done.returncode == 1
    high = run("scan", REPLAY, "--severity", "critical", "--fail-on", "high", "-q", cwd=tmp_path)
    assert high.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scan", "archive:missing.tar"], "missing.tar"),
        (["scan", "./missing"], "missing"),
        (["scan", "archve:x.tar"], "archive:"),
        (["scan", "archive:"], "archive:"),
        (["scan", ""], "no target"),
        (["scan", "x", "-o", "jsn"], "json"),
        (["scan", "x", "-o", "json", "-o", "text"], "standard output"),
        (["scan", "x", "-o", "json=a", "-o", "sarif=a"], "same file"),
        (["scan", "x", "-o", "json=nowhere/a.json"], "nowhere"),
        (["scan", "x", "--limit", "depth=3"], "archive-depth"),
        (["scan", "x", "--limit", "archive-depth=many"], "archive-depth="),
        (["scan", "x", "--limit", "archive-depth=²"], "archive-depth="),
        (["scan", "x", "--limit", f"archive-depth={'9' * 5000}"], "archive-depth="),
        (["scan", "x", "--config", "a.yaml"], "before the command: sandscan --config"),
        (["scan", str(REPLAY), "--rules", "a" * 300], "File name too long"),
        (["scan", str(REPLAY), "--write-baseline", "a" * 300], "File name too long"),
        (["scan", str(REPLAY), "-o", f"json={'a' * 300}"], "File name too long"),
        (["explain", "miner/binry"], "miner/binary"),
        (["convert", "missing.json"], "missing.json"),
        (["scan"], "TARGET"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_to_do(tmp_path: Path, arguments: list[str], says: str):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_broken_rule_names_its_file_and_line(tmp_path: Path, clean: Path):
    (tmp_path / "bad.yar").write_text("rule x {\n  condition:\n    $nowhere\n}\n")
    done = run("scan", clean, "--rules", "bad.yar", cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(r"bad\.yar:[34]: undefined string", done.stderr)


def test_reports_go_to_files_whole_and_convert_renders_them_again(tmp_path: Path):
    done = run(
        "scan", REPLAY, "-o", "json=r.json", "-o", "sarif=r.sarif", "-o", "markdown=r.md", "-o", "text", cwd=tmp_path
    )
    assert done.returncode == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.md", "r.sarif"]
    again = run("convert", "r.json", "-o", "sarif", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, (tmp_path / "r.sarif").read_text())
    assert run("convert", "r.json", "-o", "text", cwd=tmp_path, COLUMNS="80").stdout == done.stdout


def test_colours_follow_the_flag_then_no_color_then_force_color(tmp_path: Path):
    def coloured(*arguments: str, **environment: str) -> bool:
        return "\x1b[" in run("scan", REPLAY, *arguments, cwd=tmp_path, **environment).stdout

    assert not coloured()
    assert coloured("--color", "always", NO_COLOR="1")
    assert coloured(FORCE_COLOR="1")
    assert not coloured(FORCE_COLOR="1", NO_COLOR="1")
    assert not coloured("--color", "never", FORCE_COLOR="1")


def test_explain_and_list_say_what_rules_mean(tmp_path: Path):
    listed = run("rules", "list", cwd=tmp_path).stdout
    for rule in ("miner/binary", "miner/config", "miner/launch", "miner/wallet", "miner/packed", "miner/source"):
        assert rule in listed
        explained = run("explain", rule, cwd=tmp_path)
        assert explained.returncode == 0
        assert len(explained.stdout.splitlines()) >= 5
    group = run("explain", "miner/*", cwd=tmp_path)
    assert (group.returncode, "there are miner/binary, " in group.stderr) == (2, True)


def test_our_own_rules_are_sound(tmp_path: Path):
    done = run("rules", "check", cwd=Path(__file__).parents[2], SANDSCAN_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stdout


def test_the_cache_can_be_looked_at_and_cleared(tmp_path: Path):
    own = partial(run, cwd=tmp_path, SANDSCAN_CACHE_DIR=str(tmp_path / "cache"))
    own("scan", REPLAY, "-q")
    assert "11 layers" in own("cache", "info").stdout
    assert own("cache", "clear").returncode == 0
    assert "0 layers" in own("cache", "info").stdout
    assert own("scan", REPLAY, "-q", "--no-cache").returncode == 1
    assert "0 layers" in own("cache", "info").stdout


def test_help_shows_examples_and_exit_codes(tmp_path: Path):
    text = run("--help", cwd=tmp_path).stdout
    assert "sandscan scan archive:app.tar" in text
    assert "Exit codes" in text
    assert run("scan", "--help", cwd=tmp_path).returncode == 0


def test_help_fits_a_terminal_of_80_columns(tmp_path: Path):
    top = run("--help", cwd=tmp_path, COLUMNS="80").stdout
    commands = re.findall(r"^  (\w+) {2,}", top.partition("Commands:")[2].partition("Examples:")[0], re.MULTILINE)
    assert {"check", "scan", "observe"} <= set(commands)
    for words in ((), *((one,) for one in commands)):
        said = run(*words, "--help", cwd=tmp_path, COLUMNS="80").stdout
        assert [line for line in said.splitlines() if len(line) > 80] == [], words


def test_help_loads_none_of_the_heavy_libraries(tmp_path: Path):
    code = (
        "import sys; sys.argv = ['sandscan', '--help']\n"
        "from scanner.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'yara', 'lief', 'hyperscan', 'docker', 'requests', 'rich', 'sarif_om', 'isal', 'zstandard', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == "[]\n"


def big(folder: Path, count: int) -> Path:
    """A tree that takes a while: so many small archives."""
    import gzip

    packed = gzip.compress(os.urandom(1 << 17) + bytes(8 << 20), 1)
    for i in range(count):
        (folder / "tree" / f"{i % 10}").mkdir(parents=True, exist_ok=True)
        (folder / "tree" / f"{i % 10}" / f"{i}.gz").write_bytes(packed)
    return folder / "tree"


def reads(pid: int, tree: Path) -> bool:
    """Whether the process has anything of the tree open."""
    with suppress(OSError):  # what was closed meanwhile
        return any(tree in one.readlink().parents for one in Path(f"/proc/{pid}/fd").iterdir())
    return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_at_once_and_writes_no_report(tmp_path: Path, number: int, code: int):
    tree = big(tmp_path, 500)
    process = subprocess.Popen(
        [*SANDSCAN, "scan", f"rootfs:{tree}", "-o", "json=report.json", "--no-cache"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not reads(process.pid, tree):
        time.sleep(0.01)
    process.send_signal(number)
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert process.returncode == code, "it was done before it could be interrupted"
    assert "no report" in errors
    assert "Traceback" not in errors
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tree"]


def test_a_terminal_shows_progress_and_is_left_clean(tmp_path: Path):
    tree = big(tmp_path, 30)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*SANDSCAN, "scan", f"rootfs:{tree}", "--no-cache", "-o", "json=r.json"],
        cwd=tmp_path,
        stderr=slave,
        stdout=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    assert process.wait(60) == 0
    assert b"layer 1/1" in seen
    assert seen.count(b"\x1b[?25l") == seen.count(b"\x1b[?25h"), "the cursor is back"


def test_a_fault_of_ours_is_neither_clean_nor_findings(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import scanner.tracing\n"
        "def broken(*_): raise RuntimeError('a fault put in on purpose')\n"
        "scanner.tracing.scan = broken\n"
    )
    done = spawned("scan", REPLAY, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 3
    assert "a fault put in on purpose" in done.stderr
    assert "fault of sandscan" in done.stderr
    assert done.stdout == ""


def test_a_reader_that_leaves_early_is_no_crash(tmp_path: Path):
    command = f"{' '.join(SANDSCAN)} scan {REPLAY} -o json | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "Traceback" not in done.stderr
