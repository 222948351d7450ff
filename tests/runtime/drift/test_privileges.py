"""Set-id bits and capabilities that a run gave to files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.elf import Program, build
from scanner.model import Severity
from scanner.runtime.drift.privileges import permitted
from tests.runtime.drift.root import ELF, OTHER_ELF, F, of

SETUID, CAPABILITY = "drift/setuid", "drift/file-capability"
BASH = build(Program(strings=b"BASH_VERSION\0BASHOPTS\0"))


def test_a_copy_of_a_shell_with_roots_bit_is_the_worst():
    [finding] = of(SETUID, {}, {"var/tmp/.b": F(BASH, 0o4755)})
    assert finding.severity is Severity.CRITICAL
    assert "/var/tmp/.b is set-user-id now and runs as uid 0 (root)" in finding.message
    assert "it is bash" in finding.message
    assert finding.details["mode"] == "4755"
    assert finding.details["mode_before"] is None


@pytest.mark.parametrize(
    ("file", "severity"),
    [
        (F(ELF, 0o4755), Severity.HIGH),
        (F(ELF, 0o4755, uid=1000), Severity.MEDIUM),
        (F(ELF, 0o4644), Severity.LOW),
        (F("#!/bin/sh\nid\n", 0o4755), Severity.LOW),
        (F(ELF, 0o2755, gid=42), Severity.MEDIUM),
        (F(ELF, 0o2755, gid=1000), Severity.LOW),
    ],
)
def test_whose_rights_it_gives_and_whether_the_kernel_gives_them(file: F, severity: Severity):
    [finding] = of(SETUID, {}, {"work/tool": file})
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (F(ELF, 0o4755), F(ELF, 0o4750)),
        (F(ELF, 0o4755), F(OTHER_ELF, 0o755)),
        (F(ELF, 0o755), F(ELF, 0o1755)),
        (F(ELF, 0o644), F(ELF, 0o2644)),
    ],
)
def test_no_new_bit_is_no_finding(before: F, after: F):
    assert of(SETUID, {"usr/bin/passwd": before}, {"usr/bin/passwd": after}) == []


def test_a_bit_on_other_content_or_under_another_owner_is_new():
    [content] = of(SETUID, {"usr/bin/passwd": F(ELF, 0o4755)}, {"usr/bin/passwd": F(BASH, 0o4755)})
    assert content.severity is Severity.CRITICAL
    assert "it had the bit before, on other content" in content.message
    [owner] = of(SETUID, {"usr/bin/x": F(ELF, 0o4755, uid=1000)}, {"usr/bin/x": F(ELF, 0o4755)})
    assert owner.severity is Severity.HIGH


def test_a_moved_program_keeps_its_bit_and_is_told_with_where_it_was():
    [finding] = of(SETUID, {"usr/bin/su": F(ELF, 0o4755)}, {"tmp/.su": F(ELF, 0o4755)})
    assert "the bit was on /usr/bin/su before" in finding.message
    assert finding.details["moved_from"] == ["/usr/bin/su"]


@pytest.mark.parametrize(
    ("capability", "severity", "gained"),
    [
        ("cap_setuid=ep", Severity.HIGH, ["cap_setuid"]),
        ("cap_net_raw,cap_net_admin=eip", Severity.MEDIUM, ["cap_net_admin", "cap_net_raw"]),
        ("cap_net_bind_service=ep", Severity.LOW, ["cap_net_bind_service"]),
        ("=ep", Severity.HIGH, ["all"]),
        ("cap_sys_admin=i", Severity.LOW, []),
        ("0xdeadbeef ??", Severity.HIGH, []),
    ],
)
def test_which_capability_matters(capability: str, severity: Severity, gained: list[str]):
    [finding] = of(CAPABILITY, {"opt/x": F(ELF, 0o755)}, {"opt/x": F(ELF, 0o755, capability=capability)})
    assert (finding.severity, finding.details["gained"]) == (severity, gained)


def test_an_interpreter_that_may_become_root_is_the_worst():
    [finding] = of(CAPABILITY, {}, {"usr/bin/python3.11": F(ELF, 0o755, capability="cap_setuid=ep")})
    assert finding.severity is Severity.CRITICAL


def test_a_capability_that_was_there_or_is_taken_away_is_no_finding():
    held = F(ELF, 0o755, capability="cap_net_raw=ep")
    assert of(CAPABILITY, {"bin/ping": held}, {"bin/ping": F(ELF, 0o750, capability="cap_net_raw=ep")}) == []
    assert of(CAPABILITY, {"bin/ping": held}, {"bin/ping": F(ELF, 0o755)}) == []
    [moved] = of(CAPABILITY, {"bin/ping": held}, {"bin/ping": F(BASH, 0o755, capability="cap_net_raw=ep")})
    assert moved.details["gained"] == ["cap_net_raw"]


@given(st.text(alphabet="cap_setuid,netrw=+-eip 0x\x00é", max_size=60))
def test_no_text_of_capabilities_breaks_the_reader(text: str):
    found = permitted(text)
    assert found is None or all(isinstance(name, str) and name for name in found)
