"""Which packages an image has, since which layer, and whose a file is: each manager's databases through several layers."""

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ParseError
from scanner.oci import packages
from scanner.oci.packages import Package, Packages
from tests.engine_fixture import program

STATUS = "var/lib/dpkg/status"
APK = "lib/apk/db/installed"
RPM = "var/lib/rpm/rpmdb.sqlite"
Files = Mapping[str, str | bytes]


def of(*layers: Files) -> Packages:
    def kept(files: Files) -> Callable[[], Mapping[bytes, bytes]]:
        raw = {path.encode(): data.encode() if isinstance(data, str) else data for path, data in files.items()}
        return lambda: raw

    return Packages([kept(files) for files in layers])


def deb(
    name: str, version: str = "1.0", state: str = "install ok installed", arch: str = "amd64", more: str = ""
) -> str:
    return f"Package: {name}\nStatus: {state}\nPriority: optional\n{more}Architecture: {arch}\nVersion: {version}\n\n"


def apk(name: str, version: str, files: str = "", more: str = "") -> str:
    return f"C:Q1aaaa=\nP:{name}\nV:{version}\nA:x86_64\nS:1\nT:text\n{more}{files}\n"


def shown(found: Packages) -> list[tuple[str, str, int, int | None]]:
    return [(p.name, p.version, p.layer, p.removed_by) for p in found.all]


# ---- dpkg


def test_dpkg_names_version_source_place_and_layer():
    more = "Source: openssh (1:9.2p1-2)\nDescription: a client\n Version: not this one\n .\n Package: nor this\n"
    found = of({STATUS: deb("adduser", "3.134", arch="all") + deb("openssh-client", "1:9.2p1-2+deb12u2", more=more)})
    assert found.installed["openssh-client"] == Package(
        name="openssh-client",
        version="1:9.2p1-2+deb12u2",
        manager="dpkg",
        source="openssh",
        path=b"var/lib/dpkg/status",
        line=7,
        layer=0,
        removed_by=None,
        architecture="amd64",
        status="installed",
    )
    assert (found.version("adduser"), found.version("openssh-server")) == ("3.134", None)
    assert found.installed["adduser"].line == 1
    assert found.problems == ()


def test_layers_install_upgrade_remove_and_install_again():
    found = of(
        {STATUS: deb("base") + deb("ssh", "1.0") + deb("curl")},
        {"etc/passwd": "root:x:0:0::/:/bin/sh\n"},
        {STATUS: deb("base") + deb("ssh", "1.1") + deb("autossh")},
        {STATUS: deb("base") + deb("curl") + deb("ssh", "1.1")},
    )
    assert shown(found) == [
        ("autossh", "1.0", 2, 3),
        ("base", "1.0", 0, None),
        ("curl", "1.0", 3, None),
        ("ssh", "1.1", 2, None),
    ]
    assert sorted(found.installed) == ["base", "curl", "ssh"]
    assert found.installed["ssh"].line == 13


@pytest.mark.parametrize(
    ("state", "there"),
    [
        ("install ok installed", True),
        ("hold ok installed", True),
        ("deinstall ok installed", True),
        ("install ok unpacked", True),
        ("install reinstreq half-installed", True),
        ("install ok triggers-pending", True),
        ("deinstall ok config-files", False),
        ("purge ok not-installed", False),
        ("unknown ok not-installed", False),
    ],
)
def test_a_package_is_installed_while_its_programs_are_there(state: str, there: bool):
    found = of({STATUS: deb("ssh")}, {STATUS: deb("ssh", state=state)})
    assert ("ssh" in found.installed) is there
    [package] = found.all
    assert package.removed_by == (None if there else 1)
    assert shown(of({STATUS: deb("ssh", state=state)})) == ([("ssh", "1.0", 0, None)] if there else [])


def test_two_architectures_are_two_packages():
    both = deb("libc6") + deb("libc6", arch="i386")
    found = of({STATUS: both}, {STATUS: deb("libc6", "2.0")})
    assert {(p.architecture, p.version, p.removed_by) for p in found.all} == {
        ("amd64", "2.0", None),
        ("i386", "1.0", 1),
    }
    assert found.version("libc6") == "2.0"


def test_fields_in_any_case_and_records_with_odd_gaps():
    found = of(
        {STATUS: "\n\n\npackage:  a\nSTATUS:install ok installed\nversion:\t2 \n\n\n\n\nPackage: b\nVersion: 3\n"}
    )
    assert shown(found) == [("a", "2", 0, None)]  # dpkg holds what has no status for not installed
    assert found.installed["a"].line == 4


def test_distroless_images_have_a_file_for_each_package():
    found = of(
        {
            "var/lib/dpkg/status.d/libssl": "Package: libssl3\nVersion: 3.0.11\nArchitecture: amd64\nSource: openssl\n",
            "var/lib/dpkg/status.d/libssl.md5sums": "0" * 32 + "  usr/lib/x86_64-linux-gnu/libssl.so.3\n",
            "var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12\n",
        },
        {"var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2024a\n"},
    )
    assert shown(found) == [("base-files", "12", 0, None), ("libssl3", "3.0.11", 0, None), ("tzdata", "2024a", 1, None)]
    assert found.installed["libssl3"].path == b"var/lib/dpkg/status.d/libssl"
    assert found.owner(b"usr/lib/x86_64-linux-gnu/libssl.so.3") == "libssl3"
    assert found.files("libssl3") == (b"usr/lib/x86_64-linux-gnu/libssl.so.3",)
    assert found.known


def test_dpkgs_lists_own_files_under_both_names_of_a_merged_usr():
    found = of(
        {
            STATUS: deb("ssh") + deb("bash"),
            "var/lib/dpkg/info/ssh.list": "/.\n/usr\n/usr/bin\n/usr/bin/ssh\n/usr/lib\n/usr/lib/ssh\n/usr/lib/ssh/helper\n",
            "var/lib/dpkg/info/bash.list": "/.\n/bin\n/bin/bash\n",
            "var/lib/dpkg/info/libc6:amd64.list": "/.\n/lib64/ld-linux-x86-64.so.2\n",
            "var/lib/dpkg/info/bash.postinst": "/usr/bin/other\n",
        }
    )
    assert [found.owner(p) for p in (b"usr/bin/ssh", b"bin/ssh", b"lib/ssh/helper")] == ["ssh"] * 3
    assert [found.owner(p) for p in (b"bin/bash", b"usr/bin/bash")] == ["bash"] * 2
    assert found.owner(b"usr/lib64/ld-linux-x86-64.so.2") == "libc6"
    assert [found.owner(p) for p in (b"sbin/ssh", b"usr/bin/other", b"home/bin/bash", b"in/ssh", b"")] == [None] * 5
    assert found.files("ssh") == (b"usr/bin/ssh", b"usr/lib/ssh/helper")
    assert found.files("nobody") == ()


def test_a_removed_packages_list_owns_nothing_that_was_planted_later():
    """`apt purge` deletes the list by a whiteout; what lies at its paths afterwards is nobody's."""
    lists = {"var/lib/dpkg/info/tool.list": "/.\n/usr/bin/tool\n", "var/lib/dpkg/info/base.list": "/.\n/usr/bin/base\n"}
    found = of({STATUS: deb("base") + deb("tool"), **lists}, {STATUS: deb("base")})
    assert found.owner(b"usr/bin/tool") is None
    assert found.owner(b"usr/bin/base") == "base"
    assert found.files("tool") == ()


def test_without_lists_nobody_is_said_to_own_nothing():
    assert not of({STATUS: deb("base")}).known
    assert not of({}).known
    assert of({"var/lib/dpkg/info/base.list": "/.\n/usr/bin/base\n"}).known


# ---- apk


def test_apk_packages_own_their_files():
    files = "F:usr\nF:usr/bin\nM:0:0:0755\nR:ssh\na:0:0:755\nZ:Q1bbbb=\nR:scp\nF:\nR:rootfile\n"
    found = of({APK: apk("musl", "1.2.4-r2") + apk("openssh-client-default", "9.3_p2-r1", files, "o:openssh\n")})
    package = found.installed["openssh-client-default"]
    assert (package.version, package.source, package.manager, package.line) == ("9.3_p2-r1", "openssh", "apk", 9)
    assert (package.path, package.architecture) == (b"lib/apk/db/installed", "x86_64")
    assert [found.owner(p) for p in (b"usr/bin/ssh", b"bin/scp", b"rootfile")] == ["openssh-client-default"] * 3
    assert found.files("openssh-client-default") == (b"rootfile", b"usr/bin/scp", b"usr/bin/ssh")
    assert found.owner(b"usr/bin") is None
    assert found.known


def test_apks_database_may_move_into_usr():
    found = of({APK: apk("a", "1") + apk("b", "1")}, {"usr/" + APK: apk("a", "1") + apk("c", "1")})
    assert shown(found) == [("a", "1", 0, None), ("b", "1", 0, 1), ("c", "1", 1, None)]
    assert found.installed["a"].path == b"usr/lib/apk/db/installed"


# ---- rpm


def test_rpm_documents_are_read_wherever_the_database_lies():
    first = "P:openssh-clients\nV:1:9.9p1-3\nA:x86_64\no:openssh\nF:usr/bin\nR:ssh\n\n"
    kernels = "P:kernel\nV:6.1-1\nA:x86_64\n\nP:kernel\nV:6.2-1\nA:x86_64\n\n"
    found = of({RPM: first + kernels}, {"usr/lib/sysimage/rpm/Packages.db": first + "P:bash\nV:5-1\n\n"})
    assert shown(found) == [
        ("bash", "5-1", 1, None),
        ("kernel", "6.1-1", 0, 1),
        ("kernel", "6.2-1", 0, 1),
        ("openssh-clients", "1:9.9p1-3", 0, None),
    ]
    package = found.installed["openssh-clients"]
    assert (package.line, package.manager, package.path) == (None, "rpm", b"usr/lib/sysimage/rpm/Packages.db")
    assert found.owner(b"bin/ssh") == "openssh-clients"


def test_two_databases_in_one_layer_are_read_both():
    found = of({RPM: "P:a\nV:1-1\n\n", "var/lib/rpm/Packages": "P:a\nV:1-1\n\nP:b\nV:1-1\n\n"})
    assert shown(found) == [("a", "1-1", 0, None), ("b", "1-1", 0, None)]


# ---- the real dpkg


def test_dpkg_querys_own_answers(tmp_path: Path):
    """An installation by the real dpkg: two packages, one of them removed again, its configuration left."""
    dpkg, root = program("dpkg"), tmp_path / "root"
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "var/lib/dpkg/updates").mkdir()
    (root / STATUS).touch()
    (root / "var/lib/dpkg/available").touch()

    def run(*arguments: str | Path) -> None:
        command = [dpkg, f"--root={root}", "--force-not-root,script-chrootless,depends,bad-path", "--log=/dev/null"]
        subprocess.run([*command, *arguments], check=True, capture_output=True)

    snapshots = []
    for name, version in (("tiny", "1:1.0-3"), ("gone", "0.1"), ("tiny", "1:1.1-1")):
        tree = tmp_path / f"{name}-{len(snapshots)}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "etc" / name).mkdir(parents=True)
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin" / name).write_text("#!/bin/sh\n")
        (tree / "etc" / name / "conf").write_text("x\n")
        (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}/conf\n")
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@b>\nDescription: d\n"
        (tree / "DEBIAN/control").write_text(control + ("Source: small (1.0)\n" if name == "tiny" else ""))
        subprocess.run([program("dpkg-deb"), "--root-owner-group", "-b", tree, f"{tree}.deb"], check=True, stdout=-3)
        run("-i", f"{tree}.deb")
        snapshots.append(snapshot(root))
    run("-r", "gone")
    found = of(*snapshots, snapshot(root))

    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package} ${Version} ${Status}\\n"]
    told = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    assert told == ["gone 0.1 deinstall ok config-files", "tiny 1:1.1-1 install ok installed"]
    assert shown(found) == [("gone", "0.1", 1, 3), ("tiny", "1:1.1-1", 2, None)]
    assert found.installed["tiny"].source == "small"
    assert found.files("tiny") == (b"etc/tiny/conf", b"usr/bin/tiny")
    assert [found.owner(p) for p in (b"usr/bin/tiny", b"usr/bin/gone", b"etc/gone/conf")] == ["tiny", None, "gone"]


def snapshot(root: Path) -> dict[str, bytes]:
    folder = root / "var/lib/dpkg"
    files = [folder / "status", *(folder / "info").glob("*.list")]
    return {str(f.relative_to(root)): f.read_bytes() for f in files}


def test_the_packages_of_this_machine():
    if shutil.which("dpkg-query") is None or not Path("/" + STATUS).exists():
        pytest.skip("no dpkg here")
    found = of(snapshot(Path("/")))
    form = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\n"
    told = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in told.splitlines()]
    expected = sorted(row for row in rows if row[0] not in ("config-files", "not-installed"))
    assert expected == sorted([p.status, p.name, p.version, p.architecture, p.source or p.name] for p in found.all)


# ---- damage and limits


def test_a_layer_that_cannot_be_loaded_is_told_and_the_others_are_read():
    def damaged() -> Mapping[bytes, bytes]:
        raise ParseError("not kept files")

    found = Packages([lambda: {STATUS.encode(): deb("a").encode()}, damaged])
    assert sorted(found.installed) == ["a"]
    assert found.problems == ("the package databases of layer 1 cannot be read: not kept files; scan with --no-cache",)


def test_limits_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packages, "PACKAGES", 3)
    monkeypatch.setattr(packages, "PATHS", 5)
    many = "".join(deb(f"p{n}") for n in range(4))
    found = of({STATUS: many, "var/lib/dpkg/info/p0.list": "/a\n/b\n/c\n", "var/lib/dpkg/info/p1.list": "/d\n/e\n/f\n"})
    assert sorted(found.installed) == ["p0", "p1", "p2"]
    assert found.problems == ("var/lib/dpkg/status has more than 3 packages: not all were read",)
    assert (found.owner(b"c"), found.owner(b"d")) == ("p0", None)
    assert found.problems[1].startswith("packages list more than 5 files")
    changing = of(*({STATUS: deb(f"a{n}") + deb(f"b{n}")} for n in range(9)))
    assert len(changing.all) == 6
    assert changing.problems == ("the layers name more than 6 packages: not all were read",)


def test_long_folders_of_many_files_do_not_fill_the_memory():
    folder = "d" * 4000
    found = of({APK: "P:a\nV:1\n" + f"F:{folder}\n" + "R:x\n" * 200_000 + "F:" + "e" * 5000 + "\nR:y\n"})
    assert found.owner(b"x") is None
    assert found.problems[0].startswith("packages list more than")
    assert found.files("a") == ()


def test_names_are_safe_to_print():
    found = of({STATUS: b"Package: a\x1b[31m\xffb\nStatus: install ok installed\nVersion: \xe2\x80\xae1\n\n"})
    assert shown(found) == [("a\\x1b[31m\\xffb", "\\u202e1", 0, None)]


HOSTILE = {
    "empty lines": b"\n" * 4_000_000,
    "records": b"Package: a\nStatus: a\n\n" * 150_000,
    "one name": b"P:a\nV:1\n\n" * 200_000,
    "a long line": b"Package: " + b"a" * 4_000_000,
    "folders": b"P:a\nF:\n" + b"F:x\n" * 700_000,
    "files": b"P:a\nF:x\n" + b"R:y\n" * 700_000,
    "fields": b"Package: a\n" * 300_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", [STATUS, APK, RPM, "var/lib/dpkg/info/x.list", "var/lib/dpkg/status.d/x.md5sums"])
def test_time_follows_size(path: str, name: str):
    found = of({path: HOSTILE[name]})
    began = time.process_time()
    assert found.owner(b"nothing") is None
    assert found.version("nothing") is None
    assert found.files("a") is not None
    assert time.process_time() - began < 5


def test_questions_are_quick():
    lists = {
        f"var/lib/dpkg/info/p{n}.list": "/.\n" + "".join(f"/usr/share/p{n}/a-folder-of/{i}/file\n" for i in range(200))
        for n in range(500)
    }
    found = of({STATUS: "".join(deb(f"p{n}", more="Description: d\n" + " x\n" * 300) for n in range(500)), **lists})
    began = time.process_time()
    assert found.version("p7") == "1.0"
    assert found.owner(b"usr/share/p7/a-folder-of/199/file") == "p7"
    assert time.process_time() - began < 3, "of 100,000 paths"


LINES = st.lists(
    st.sampled_from(
        [b"Package: a", b"P:a", b"P:", b"V:1", b"Version: 2", b"F:usr", b"F:", b"R:x", b"", b"", b"Status: x installed"]
    )
    | st.binary(max_size=12),
    max_size=40,
)
PATHS = [STATUS, APK, "usr/" + APK, RPM, "var/lib/dpkg/info/a.list", "var/lib/dpkg/status.d/a"]


@given(st.lists(st.dictionaries(st.sampled_from(PATHS), LINES), max_size=4))
@settings(max_examples=200, deadline=None)
def test_no_bytes_raise_and_every_package_stands_where_it_says(layers: list[dict[str, list[bytes]]]):
    contents = [{path: b"\n".join(lines) for path, lines in files.items()} for files in layers]
    found = of(*contents)
    found.owner(b"usr/x")
    for package in found.all:
        assert 0 <= package.layer < len(layers)
        assert package.removed_by is None or package.layer < package.removed_by < len(layers)
        assert (package.name in found.installed) or package.removed_by is not None
        if package.line is not None and package.removed_by is None:
            last = [c[package.path.decode()] for c in contents if package.path.decode() in c][-1]
            line = last.split(b"\n")[package.line - 1].lower()
            assert line.startswith((b"package:", b"p:")), (package, line)
        found.files(package.name)
