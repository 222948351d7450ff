import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scanner.errors import ReportError
from scanner.reports.output import formats, parse_output, write


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_the_formats_are_these():
    assert [one.name for one in formats()] == [
        "dot",
        "github",
        "graphml",
        "html",
        "json",
        "jsonl",
        "markdown",
        "mermaid",
        "sarif",
        "svg",
        "text",
    ]
    assert all(one.summary for one in formats())
    for one in formats():  # a format is found by the name of its file
        assert parse_output(one.name) == (one, None)


@pytest.mark.parametrize(
    ("value", "name", "path"),
    [
        ("sarif", "sarif", None),
        ("json=-", "json", None),
        ("sarif=out.sarif", "sarif", "out.sarif"),
        ("json=/tmp/a=b.json", "json", "/tmp/a=b.json"),
        ("text=report.sarif", "text", "report.sarif"),
        ("out.sarif", "sarif", "out.sarif"),
        ("dir/out.sarif.json", "sarif", "dir/out.sarif.json"),
        ("OUT.JSON", "json", "OUT.JSON"),
        ("summary.md", "markdown", "summary.md"),
        ("reach.html", "html", "reach.html"),
        ("trace.jsonl", "jsonl", "trace.jsonl"),
        ("reach.gv", "dot", "reach.gv"),
        ("reach.mmd", "mermaid", "reach.mmd"),
        ("./text.txt", "text", "./text.txt"),
    ],
)
def test_an_output_is_a_format_and_a_file(value, name, path):
    one, file = parse_output(value)

    assert one.name == name
    assert file == (Path(path) if path else None)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("sarfi=out.sarif", "did you mean sarif\\?"),
        ("SARIF", "did you mean sarif\\?"),
        ("jsn", "did you mean json\\?"),
        ("md", "did you mean markdown\\?"),
        ("txt=x", "did you mean text\\?"),
        ("yaml", r"'yaml' names no report format: \(choose from dot, github, graphml, html, json, .*, text\)"),
        ("", "'' names no report format"),
        ("=x", "'=x' names no report format"),
        ("json=", "no file after json="),
        ("out.xml", "names no report format"),
        ("html_run", "names no report format"),
        ("plugin=x", "names no report format"),
        ("../json", "names no report format"),
        ("\x1b[31m", r"x1b\[31m"),
    ],
)
def test_a_wrong_output_gets_a_hint(value, hint):
    with pytest.raises(ReportError, match=hint):
        parse_output(value)


def test_a_report_is_written_whole_with_the_umasks_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write("ü\n", tmp_path / "r.json")
    finally:
        os.umask(before)

    assert (tmp_path / "r.json").read_bytes() == "ü\n".encode()
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o640
    assert names(tmp_path) == ["r.json"]


def test_an_older_report_is_replaced_in_one_step(tmp_path):
    target = tmp_path / "r.json"
    target.write_text("old")
    held = target.open()

    write("new", target)
    assert held.read() == "old"
    assert target.read_text() == "new"


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to("real/r.json")

    write("x", tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert names(tmp_path / "real") == ["r.json"]


def test_a_device_is_written_to_and_stays_a_device():
    write("x", Path("/dev/null"))

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()

    write("through", tmp_path / "pipe")
    reader.join(10)
    assert read == ["through"]
    assert names(tmp_path) == ["pipe"]


def test_a_full_device_is_an_error():
    with pytest.raises(ReportError, match="cannot write the report /dev/full: No space left on device"):
        write("x", Path("/dev/full"))


@pytest.mark.parametrize(
    ("path", "why"),
    [("missing/r.json", "No such file or directory"), ("file/r.json", "Not a directory"), (".", "Is a directory")],
)
def test_an_impossible_place_is_an_error_that_names_it(tmp_path, path, why):
    (tmp_path / "file").touch()

    with pytest.raises(ReportError, match=why):
        write("x", tmp_path / path)
    assert names(tmp_path) == ["file"]


def test_a_name_that_is_too_long_is_an_error(tmp_path):
    with pytest.raises(ReportError, match="File name too long"):
        write("x", tmp_path / ("n" * 300))
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_leaves_the_old_report_and_nothing_else(tmp_path):
    """A file size limit stops the write in its middle, as a full disk does."""
    target = tmp_path / "r.json"
    target.write_text("old")
    code = (
        "import sys, signal, resource\n"
        "from pathlib import Path\n"
        "from scanner.errors import ReportError\n"
        "from scanner.reports.output import write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try:\n"
        "    write('x' * 1_000_000, Path(sys.argv[1]))\n"
        "except ReportError as e:\n"
        "    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code, str(target)], capture_output=True, text=True, check=True)

    assert f"cannot write the report {target}: File too large" in done.stdout
    assert target.read_text() == "old"
    assert names(tmp_path) == ["r.json"]


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write("x", tmp_path / "r.json")
    assert names(tmp_path) == []


def test_the_formats_load_no_heavy_library():
    code = "import sys; from scanner.reports.output import formats; formats(); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"rich", "sarif_om", "attr", "yara", "lief", "docker"} & set(done.stdout.split())
