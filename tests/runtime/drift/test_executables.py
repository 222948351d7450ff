"""Programs that a run brought or changed: which are told alone, which by folder, and how much each weighs."""

import pytest

from fixtures.elf import Program, build
from scanner.model import FileLocation, Severity
from tests.content.upx_pack import pack
from tests.runtime.drift.root import ELF, LAYER, OTHER_ELF, F, judged, of

NEW, CHANGED = "drift/new-executable", "drift/changed-executable"
SCRIPT = "#!/bin/sh\necho hello\n"


@pytest.mark.parametrize(
    ("path", "severity", "says"),
    [
        ("usr/bin/helper", Severity.MEDIUM, "in a folder of the system, by no package"),
        ("tmp/a.out", Severity.LOW, "/tmp"),
        ("dev/shm/a.out", Severity.MEDIUM, "gone at the next start"),
        ("tmp/.x", Severity.HIGH, "a hidden file"),
        ("var/tmp/[kworker]", Severity.HIGH, "named like a kernel thread"),
        ("work/kworker", Severity.HIGH, "named like a kernel thread"),
        ("work/kworker-u8:2", Severity.HIGH, "named like a kernel thread"),
        ("tmp/sshd", Severity.HIGH, "named like a program of the system"),
        ("work/...", Severity.HIGH, "a name made not to be noticed"),
        ("work/.. /run", Severity.HIGH, "a name made not to be noticed"),
        ("work/.hidden/tool", Severity.LOW, "/work/.hidden"),
        ("tmp/.hidden/tool", Severity.HIGH, "in a hidden folder"),
        ("work/build/app", Severity.NOTE, "/work/build"),
        ("home/agent/.cargo/bin/rg", Severity.NOTE, "/home/agent/.cargo"),
        ("usr/local/bin/pytest", Severity.NOTE, "/usr/local"),
        ("work/sshd", Severity.NOTE, "/work/sshd"),
        ("usr/local/bin/ssh", Severity.MEDIUM, "before the system's own program of that name"),
        ("usr/local/lib/ssh", Severity.NOTE, "/usr/local/lib/ssh"),
    ],
)
def test_where_a_new_program_lies_and_what_it_is_called_weighs(path: str, severity: Severity, says: str):
    [finding] = of(NEW, {}, {path: F(ELF, 0o755)})
    assert finding.severity is severity
    assert says in finding.message
    assert finding.locations == (FileLocation(path.encode(), LAYER),)
    assert finding.details["time"] == "2027-01-15T08:00:00Z"
    assert finding.details["owner"] == "root"
    assert finding.details["change"] == "added"


def test_a_program_without_section_headers_is_a_little_odd_and_a_packed_one_is_more():
    bare = build(Program(strings=b"x", sections=False))
    assert [f.severity for f in of(NEW, {}, {"work/tool": F(bare, 0o755)})] == [Severity.LOW]
    packed = pack(build(Program(strings=b"honest words, packed\n" * 200)), "2e")
    [finding] = of(NEW, {}, {"work/tool": F(packed, 0o755)})
    assert finding.severity is Severity.MEDIUM
    assert "packed" in finding.details["signs"]


def test_ordinary_programs_are_told_by_folder_with_their_number():
    after = {f"work/build/obj{i}.o": F(ELF) for i in range(30)} | {"work/build/run": F(SCRIPT, 0o755, uid=1000)}
    [finding] = of(NEW, {}, after)
    assert finding.severity is Severity.NOTE
    assert "below /work/build: 30 ELF files, 1 script" in finding.message
    assert finding.details["count"] == 31
    assert finding.details["owners"] == ["agent", "root"]
    assert {
        "path": "/work/build/run",
        "owner": "agent",
        "time": "2027-01-15T08:00:00Z",
        "size": len(SCRIPT),
    } in finding.details["files"]
    assert len(finding.locations) == 20


def test_a_folders_fingerprint_stays_when_another_file_is_built():
    [one] = of(NEW, {}, {"work/build/a": F(ELF, 0o755)})
    [other] = of(NEW, {}, {"work/build/b": F(ELF, 0o755), "work/build/c": F(ELF, 0o755)})
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize("file", [F(SCRIPT, 0o644), F("text", 0o755), F(b"", 0o755), F(link="/bin/sh")])
def test_what_cannot_be_started_is_no_program(file: F):
    assert judged({}, {"usr/bin/thing": file}) == []


def test_an_execute_bit_makes_a_program_of_a_script():
    [finding] = of(NEW, {"tmp/x.sh": F(SCRIPT)}, {"tmp/x.sh": F(SCRIPT, 0o755)})
    assert finding.severity is Severity.LOW


def test_another_owner_makes_no_new_program():
    assert of(NEW, {"usr/bin/x": F(ELF, 0o755)}, {"usr/bin/x": F(ELF, 0o755, uid=7)}) == []
    assert of(CHANGED, {"usr/bin/x": F(ELF, 0o755)}, {"usr/bin/x": F(ELF, 0o700)}) == []


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        ("usr/bin/ls", Severity.HIGH),
        ("lib/x86_64-linux-gnu/libc.so.6", Severity.HIGH),
        ("usr/local/bin/tool", Severity.LOW),
        ("work/build/app", Severity.NOTE),
        ("usr/lib/python3/dist-packages/x.so", Severity.NOTE),
    ],
)
def test_a_changed_program_of_the_system_weighs_more_than_a_compilers_output(path: str, severity: Severity):
    [finding] = of(CHANGED, {path: F(ELF, 0o755)}, {path: F(OTHER_ELF, 0o755)})
    assert finding.severity is severity
    assert of(NEW, {path: F(ELF, 0o755)}, {path: F(OTHER_ELF, 0o755)}) == []


def test_the_same_size_and_time_and_another_content_is_told_as_meant_not_to_be_seen():
    evil = ELF[:-1] + bytes([ELF[-1] ^ 1])
    before, after = F(ELF, 0o755, modified=1.6e9), F(evil, 0o755, modified=1.6e9)
    [finding] = of(CHANGED, {"usr/sbin/sshd": before}, {"usr/sbin/sshd": after})
    assert finding.severity is Severity.CRITICAL
    assert "its size and its time are those of before, though its content is not" in finding.message
    assert finding.details["sha256"] != finding.details["sha256_before"]
    [later] = of(CHANGED, {"usr/sbin/sshd": before}, {"usr/sbin/sshd": F(evil, 0o755)})
    assert later.severity is Severity.HIGH
    [work] = of(CHANGED, {"work/app": before}, {"work/app": after})
    assert work.severity is Severity.MEDIUM


def test_very_many_odd_programs_are_folded_and_all_counted():
    found = of(NEW, {}, {f"tmp/.x{i}": F(ELF, 0o755) for i in range(450)})
    alone = [f for f in found if "count" not in f.details]
    [folded] = [f for f in found if "count" in f.details]
    assert (len(alone), folded.details["count"], folded.severity) == (100, 350, Severity.HIGH)


def test_a_folder_of_the_system_with_many_new_programs_is_told_once():
    found = of(NEW, {}, {f"usr/lib/jvm/jdk/bin/j{i}": F(ELF, 0o755) for i in range(40)})
    assert [(f.severity, f.details["count"]) for f in found] == [(Severity.MEDIUM, 40)]
    assert "below /usr/lib/jvm: 40 ELF files" in found[0].message
