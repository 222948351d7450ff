"""Programs that can connect: real ones of this machine, what tells their sockets, and programs that are none."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import elf
from scanner.content import Content
from scanner.detectors import clients
from scanner.model import FileLocation, Means, MeansKind
from tests.detectors.conftest import File, Link
from tests.engine_fixture import program

Judge = Callable[..., list[object]]

CONNECTS = elf.build(elf.Program(strings=b"x\0" * 100, needed=("libc.so.6",), imports=("puts", "socket", "connect")))
PRINTS = elf.build(elf.Program(strings=b"x\0" * 100, needed=("libc.so.6",), imports=("puts",)))


def executable(data: bytes) -> File:
    return File(data, 0o755)


def means(said: list[object]) -> dict[str, Means]:
    found = [m for m in said if isinstance(m, Means) and m.kind in (MeansKind.CLIENT, MeansKind.INTERPRETER)]
    assert len({m.name for m in found}) == len(found)
    return {m.name: m for m in found}


@pytest.mark.parametrize(
    ("name", "kind", "called"),
    [
        ("curl", MeansKind.CLIENT, "curl"),
        ("ssh", MeansKind.CLIENT, "ssh"),
        ("git", MeansKind.CLIENT, "git"),
        ("bash", MeansKind.INTERPRETER, "bash"),
        ("perl", MeansKind.INTERPRETER, "perl"),
        ("python3", MeansKind.INTERPRETER, "python"),
        ("openssl", MeansKind.CLIENT, "openssl"),
    ],
)
def test_a_real_program_can_open_sockets(judge: Judge, name: str, kind: MeansKind, called: str) -> None:
    path = Path(sys.executable if name == "python3" else program(name)).resolve()

    [found] = means(judge({str(path).lstrip("/"): executable(path.read_bytes())})).values()

    assert (found.kind, found.name) == (kind, called)
    assert found.details["sockets"] is True
    assert found.details["path"] == str(path).lstrip("/")
    assert found.location.display == str(path).lstrip("/").encode()


def test_a_real_static_program_of_go_can_open_sockets(judge: Judge) -> None:
    """The go tool itself, as if it were a client written in Go: it fetches modules, and is linked statically."""
    path = Path(program("go")).resolve()

    [found] = means(judge({"usr/bin/kubectl": executable(path.read_bytes())})).values()

    assert (found.name, found.details["sockets"]) == ("docker", True)


@pytest.mark.parametrize("name", ["true", "cat", "ls", "sed", "tar"])
def test_a_program_of_another_name_is_no_client(judge: Judge, name: str) -> None:
    path = Path(program(name)).resolve()

    assert means(judge({f"usr/bin/{name}": executable(path.read_bytes())})) == {}


def test_it_is_told_with_version_owner_and_layer(judge: Judge) -> None:
    said = judge({}, {"usr/bin/ssh": executable(CONNECTS)}, owners={"usr/bin/ssh": "openssh-client"})

    [found] = means(said).values()
    assert (found.version, found.owner) == ("1.0", "openssh-client")
    assert isinstance(found.location, FileLocation)
    assert found.location.layer.index == 1
    assert found.details["speaks"] == ["ssh"]
    assert found.details["form"] == "dynamic"


@pytest.mark.parametrize(
    ("data", "sockets", "form"),
    [
        (CONNECTS, True, "dynamic"),
        (PRINTS, False, "dynamic"),
        (elf.build(elf.Program(strings=b"\0/dev/tcp/\0", needed=("libc.so.6",), imports=("puts",))), True, "dynamic"),
        (
            elf.build(elf.Program(strings=b"a", needed=("libcurl.so.4",), imports=("curl_easy_perform",))),
            True,
            "dynamic",
        ),
        (elf.build(elf.Program(strings=b"nothing\0")), None, "static"),
        (elf.build(elf.Program(strings=b"/etc/resolv.conf\0")), True, "static"),
        (elf.build(elf.Program(strings=b"nothing\0", sections=False)), None, "static"),
        (b"#!/usr/bin/env python3\n", None, "script"),
    ],
)
def test_whether_it_opens_sockets_is_read_or_left_open(
    judge: Judge, data: bytes, sockets: bool | None, form: str
) -> None:
    [found] = means(judge({"usr/bin/wget": executable(data)})).values()

    assert (found.details["sockets"], found.details["form"]) == (sockets, form)


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("usr/bin/curl", File(CONNECTS, 0o644)),
        ("usr/bin/curl", File(b"curl is a program\n", 0o755)),
        ("usr/bin/curl", File(b"", 0o755)),
        ("usr/bin/curl", File(b"\x7fELF", 0o755)),
        ("usr/bin/curlew", executable(CONNECTS)),
        ("usr/bin/ssh-keygen", executable(CONNECTS)),
        ("usr/share/doc/curl", File(b"text", 0o644)),
        ("etc/init.d/ssh", File(b"#!/bin/sh\n", 0o755)),
        ("opt/a.tar!/bin/curl", executable(CONNECTS)),
    ],
)
def test_what_cannot_be_run_as_a_client_is_none(judge: Judge, path: str, file: File) -> None:
    assert means(judge({path: file})) == {}


def test_what_a_layer_above_deleted_is_no_means(judge: Judge) -> None:
    assert means(judge({"usr/bin/curl": executable(CONNECTS)}, {"usr/bin/curl": None})) == {}


def test_clients_that_are_links_to_busybox_are_told_by_their_names(judge: Judge) -> None:
    files = {
        "bin/busybox": executable(elf.build(elf.Program(strings=b"/etc/resolv.conf\0"))),
        "bin/nc": Link("/bin/busybox"),
        "usr/bin/wget": Link("../../bin/busybox"),
        "usr/bin/telnet": Link("/bin/true"),
        "bin/sh": Link("/bin/busybox"),
    }

    found = means(judge(files))

    assert set(found) == {"busybox", "nc", "wget"}
    assert found["nc"].details["path"] == "bin/nc"
    assert found["nc"].details["form"] == "applet of busybox"
    assert not [f for f in judge(files) if getattr(f, "rule_id", "") == "tunnel/tool"]


def test_netcat_is_a_means_and_its_package_a_note(judge: Judge) -> None:
    said = judge({"bin/nc.openbsd": executable(CONNECTS)}, owners={"bin/nc.openbsd": "netcat-openbsd"})

    assert means(said)["nc"].owner == "netcat-openbsd"
    [note] = [f for f in said if getattr(f, "rule_id", "") == "tunnel/tool"]
    assert getattr(note, "severity", None) == "note"


def test_every_name_is_one_programs() -> None:
    names = "ssh scp curl wget2 nc.openbsd git-remote-https busybox.static python3.12 perl5.36.0 node php8.2 gcc-12 go host aws".split()

    for name in names:
        assert len([p.name for p in clients.PROGRAMS if re.fullmatch(p.files, name.encode())]) == 1, name


@given(st.sampled_from([b"usr/bin/curl", b"bin/bash"]), st.binary(max_size=300), st.booleans())
def test_no_bytes_stop_the_detector(path: bytes, data: bytes, is_elf: bool) -> None:
    raw = CONNECTS[:64] + data if is_elf else data
    for evidence in clients.inspect(Content(path=path, data=memoryview(raw), mode=0o755)):
        assert evidence.facts["sockets"] in (True, False, None)
