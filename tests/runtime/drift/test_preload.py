"""Code that a run put before every program."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.model import Severity
from scanner.runtime.drift.preload import preloaded
from tests.runtime.drift.root import ELF, F, of

RULE = "drift/preload"


def test_an_entry_of_ld_so_preload_with_the_library_that_the_run_wrote():
    [finding] = of(RULE, {}, {"etc/ld.so.preload": "/usr/lib/libhide.so # x\n", "usr/lib/libhide.so": F(ELF)})
    assert finding.severity is Severity.CRITICAL
    assert "Every program loads /usr/lib/libhide.so first, by /etc/ld.so.preload" in finding.message
    assert "this run wrote the library" in finding.message
    assert str(finding.details["sha256"]).startswith("sha256:")


@pytest.mark.parametrize(
    ("before", "after"), [("", "# nothing\n\n"), ("/a.so\n/b.so\n", "/b.so:/a.so\n"), ("/a.so", "")]
)
def test_nothing_new_is_preloaded(before: str, after: str):
    assert of(RULE, {"etc/ld.so.preload": before}, {"etc/ld.so.preload": after}) == []


@pytest.mark.parametrize(
    ("path", "content", "severity", "variable"),
    [
        ("etc/environment", "LD_PRELOAD=/work/x.so\n", Severity.HIGH, "LD_PRELOAD"),
        ("root/.bashrc", "export A=1 LD_AUDIT=/work/x.so; true\n", Severity.HIGH, "LD_AUDIT"),
        ("etc/profile.d/a.sh", "LD_PRELOAD='/work/x.so'\nexport LD_PRELOAD\n", Severity.HIGH, "LD_PRELOAD"),
        ("etc/crontab", "LD_PRELOAD=/work/x.so\n", Severity.HIGH, "LD_PRELOAD"),
        (
            "etc/systemd/system/a.service",
            "[Service]\nEnvironment=LD_PRELOAD=/work/x.so\nExecStart=/bin/x\n",
            Severity.HIGH,
            "LD_PRELOAD",
        ),
        ("root/.bashrc", 'export NODE_OPTIONS="--require /work/x.js"\n', Severity.HIGH, "NODE_OPTIONS"),
        ("root/.bashrc", "export LD_LIBRARY_PATH=/tmp/lib:$LD_LIBRARY_PATH\n", Severity.MEDIUM, "LD_LIBRARY_PATH"),
        ("root/.ssh/environment", "LD_PRELOAD=/work/x.so\n", Severity.HIGH, "LD_PRELOAD"),
        ("etc/security/pam_env.conf", "LD_PRELOAD DEFAULT=/work/x.so\n", Severity.HIGH, "LD_PRELOAD"),
    ],
)
def test_a_variable_in_a_file_that_sets_the_environment(path: str, content: str, severity: Severity, variable: str):
    [finding] = of(RULE, {}, {path: content})
    assert (finding.severity, finding.details["variable"]) == (severity, variable)


@pytest.mark.parametrize(
    "line",
    [
        "# LD_PRELOAD=/x.so",
        "unset LD_PRELOAD",
        "LD_PRELOAD=",
        "export NODE_OPTIONS=--max-old-space-size=4096",
        "LD_LIBRARY_PATH=/opt/cuda/lib64",
    ],
)
def test_a_line_that_loads_nothing(line: str):
    assert of(RULE, {}, {"root/.bashrc": line + "\n"}) == []


@pytest.mark.parametrize(
    ("folder", "severity"),
    [
        ("/tmp/lib", Severity.HIGH),
        ("/home/agent/.x", Severity.HIGH),
        ("/usr/lib/x86_64-linux-gnu/libfakeroot", Severity.LOW),
    ],
)
def test_a_folder_where_the_linker_looks(folder: str, severity: Severity):
    [finding] = of(RULE, {}, {"etc/ld.so.conf.d/x.conf": f"# a\n{folder}\n"})
    assert (finding.severity, finding.details["folder"]) == (severity, folder)


def test_a_library_before_the_systems_own():
    [finding] = of(RULE, {}, {"usr/local/lib/libpam.so.0": F(ELF)})
    assert finding.severity is Severity.HIGH
    for near in ("usr/local/lib/libfoo.so.1", "usr/lib/libpam.so.0", "work/lib/libpam.so.0"):
        assert of(RULE, {}, {near: F(ELF)}) == []


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes):
    assert all(isinstance(one, str) and one for one in preloaded(data))
    assert "/x.so" in preloaded(data + b"\n/x.so\n")
