"""Expected changes: what packages wrote, caches, and a policy. What is expected is kept, and what matters is not silenced."""

import base64
import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.elf import Program, build
from fixtures.keys import public_line
from scanner.errors import LimitError, ParseError, UsageError
from scanner.model import Severity
from scanner.model.run import ChangeKind
from scanner.runtime.drift import RULES
from scanner.runtime.drift.packages import recognised
from scanner.runtime.drift.policy import Expectation, Policy, check_rules, of_globs, parse, read_policy
from tests.runtime.drift.root import ELF, OTHER_ELF, F, Root, changes, drift, judged, noted

INFO = "var/lib/dpkg/info/"
UNIT = "[Service]\nExecStart=/usr/sbin/tool --daemon\n"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def status(*packages: tuple[str, str], state: str = "install ok installed") -> str:
    return "".join(
        f"Package: {name}\nStatus: {state}\nArchitecture: amd64\nVersion: {version}\nDescription: x\n more\n\n"
        for name, version in packages
    )


def dpkg(
    name: str, version: str, files: dict[str, bytes], others: tuple[tuple[str, str], ...] = ()
) -> dict[str, F | str | bytes]:
    """What dpkg leaves of a package: its files, and what the database says of them."""
    folders = sorted({f"/{p.rsplit('/', 1)[0]}" for p in files})
    return {
        **{path: F(data, 0o755 if data[:4] == b"\x7fELF" else 0o644) for path, data in files.items()},
        "var/lib/dpkg/status": status(*others, (name, version)),
        f"{INFO}{name}.list": "\n".join(["/.", *folders, *(f"/{p}" for p in files)]) + "\n",
        f"{INFO}{name}.md5sums": "".join(f"{md5(data)}  {path}\n" for path, data in files.items()),
        f"{INFO}{name}.postinst": F("#!/bin/sh\nset -e\n", 0o755),
    }


def reasons(before: Root, after: Root) -> dict[str, str | None]:
    return {c.path.decode(): c.expected for c in drift(before, after).changes}


BEFORE = {"var/lib/dpkg/status": status(("base", "1"))}
TOOL = dpkg("tool", "2.0-1", {"usr/sbin/tool": ELF, "lib/systemd/system/tool.service": UNIT.encode()}, (("base", "1"),))


def test_what_dpkg_installed_is_told_as_the_containers_own_word_and_as_a_note():
    assert reasons(BEFORE, TOOL)["usr/sbin/tool"] == "dpkg: tool"
    assert reasons(BEFORE, TOOL)[f"{INFO}tool.postinst"] == "dpkg: tool, its postinst"
    found = judged(BEFORE, TOOL)
    assert {f.severity for f in found} == {Severity.NOTE}
    [programs] = [f for f in found if f.rule_id == "drift/new-executable"]
    assert "packages that dpkg wrote (tool" in programs.message
    assert "container's own word" in programs.message
    assert programs.details["count"] == 2


def test_a_file_that_is_not_what_the_package_says_is_not_the_packages():
    [finding] = [f for f in judged(BEFORE, {**TOOL, "usr/sbin/tool": F(OTHER_ELF, 0o755)}) if f.severity.rank > 0]
    assert (finding.rule_id, finding.severity) == ("drift/new-executable", Severity.MEDIUM)
    assert finding.locations[0].path == b"usr/sbin/tool"


def test_only_a_package_of_this_run_counts():
    before = {**TOOL, "usr/sbin/tool": F(OTHER_ELF, 0o755)}
    changed = {**TOOL, "var/lib/dpkg/status": TOOL["var/lib/dpkg/status"] + "\n"}  # type: ignore[operator]
    [finding] = [f for f in judged(before, changed) if f.rule_id == "drift/changed-executable"]
    assert finding.severity is Severity.HIGH
    upgraded = dpkg("tool", "2.1-1", {"usr/sbin/tool": ELF})
    assert reasons({**before, f"{INFO}tool.list": "old"}, upgraded)["usr/sbin/tool"] == "dpkg: tool"


@pytest.mark.parametrize("state", ["deinstall ok config-files", "install ok half-installed", "garbage"])
def test_a_package_that_is_not_installed_has_nothing(state: str):
    after = {**TOOL, "var/lib/dpkg/status": status(("tool", "2.0-1"), state=state)}
    assert reasons(BEFORE, after)["usr/sbin/tool"] is None


def test_a_list_without_a_package_vouches_for_nothing():
    after = {k: v for k, v in TOOL.items() if k != "var/lib/dpkg/status"}
    assert reasons(BEFORE, {**after, **BEFORE})["usr/sbin/tool"] is None


def test_a_list_before_the_merge_of_usr_names_the_file_behind_it():
    after = {**TOOL, "usr/lib/systemd/system/tool.service": TOOL["lib/systemd/system/tool.service"]}
    del after["lib/systemd/system/tool.service"]
    assert reasons(BEFORE, after)["usr/lib/systemd/system/tool.service"] == "dpkg: tool"


def test_a_forged_database_silences_no_right_key_account_or_preloading():
    """Whoever is root in the container can write all of it."""
    evil = {
        "usr/bin/bash2": build(Program(strings=b"BASH_VERSION\0")),
        "root/.ssh/authorized_keys": public_line("evil").encode() + b"\n",
        "etc/ld.so.preload": b"/usr/lib/x.so\n",
        "etc/sudoers.d/x": b"agent ALL=(ALL) NOPASSWD: ALL\n",
    }
    after = dpkg("evil", "1", evil)
    after["usr/bin/bash2"] = F(evil["usr/bin/bash2"], 0o4755)
    after["usr/bin/net"] = F(ELF, 0o755, capability="cap_sys_admin=ep")
    worst = {f.rule_id: f.severity for f in sorted(judged(BEFORE, after), key=lambda f: f.severity.rank)}
    assert worst["drift/setuid"] is Severity.CRITICAL
    assert worst["drift/authorized-key"] is Severity.HIGH
    assert worst["drift/preload"] is Severity.CRITICAL
    assert worst["drift/account"] is Severity.HIGH
    assert worst["drift/file-capability"] is Severity.HIGH


def test_a_diverted_file_is_the_packages_where_dpkg_put_it():
    after = {**TOOL, "usr/sbin/tool.real": TOOL["usr/sbin/tool"], "usr/sbin/tool": F(OTHER_ELF, 0o755)}
    assert reasons(BEFORE, after)["usr/sbin/tool.real"] is None
    after["var/lib/dpkg/diversions"] = "/usr/sbin/tool\n/usr/sbin/tool.real\nother\n"
    why = reasons(BEFORE, after)
    assert (why["usr/sbin/tool.real"], why["usr/sbin/tool"]) == ("dpkg: tool", None)


def test_apks_database_with_its_checksums():
    def record(name: str, data: bytes) -> str:
        sha1 = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
        return f"C:Q1{name}=\nP:{name}\nV:1\nA:x86_64\nF:usr/bin\nR:{name}\na:0:0:755\nZ:Q1{sha1}\n\n"

    db = "lib/apk/db/installed"
    before = {db: record("old", ELF), "usr/bin/old": F(ELF, 0o755)}
    after = {db: record("old", OTHER_ELF) + record("new", ELF) + record("bad", ELF), "usr/bin/old": F(OTHER_ELF, 0o755)}
    after |= {"usr/bin/new": F(ELF, 0o755), "usr/bin/bad": F(OTHER_ELF, 0o755)}
    why = reasons(before, after)
    assert (why["usr/bin/new"], why["usr/bin/bad"], why["usr/bin/old"]) == ("apk: new", None, None)


def test_pips_record_with_its_hashes_and_scripts():
    def line(path: str, data: bytes) -> str:
        return f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"

    site = "usr/local/lib/python3.11/site-packages/"
    script = b"#!/usr/bin/python3\nimport tool\n"
    record = (
        line("tool/x.so", ELF) + line("../../../bin/tool", script) + "tool-1.dist-info/RECORD,,\n../../../bin/other,,\n"
    )
    record += line("tool.pth", b"import tool\n")
    after = {
        f"{site}tool/x.so": F(ELF),
        f"{site}tool-1.dist-info/RECORD": record,
        f"{site}tool.pth": "import tool\n",
        "usr/local/bin/tool": F(script, 0o755),
        "usr/local/bin/other": F(script, 0o755),
        f"{site}evil.pth": "import evil\n",
    }
    why = reasons({}, after)
    assert why["usr/local/bin/tool"] == why[f"{site}tool/x.so"] == "pip: tool"
    assert why["usr/local/bin/other"] is None
    [finding] = [f for f in judged({}, after) if f.severity.rank > 0]
    assert (finding.rule_id, finding.locations[0].path) == ("drift/persistence", f"{site}evil.pth".encode())


def test_a_record_vouches_for_nothing_outside_its_own_prefix():
    line = b"* * * * * root /work/x\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(line).digest()).decode().rstrip("=")
    for site in ("usr/local/lib/python3.11/site-packages", "work/x", "lib/python3/dist-packages"):
        up = "../" * (site.count("/") + 1)
        after = {f"{site}/tool-1.dist-info/RECORD": f"{up}etc/cron.d/x,sha256={digest},\n", "etc/cron.d/x": line}
        [finding] = judged({}, after)
        assert (finding.rule_id, finding.severity) == ("drift/persistence", Severity.HIGH)


def test_npms_lockfile_names_packages():
    lock = json.dumps({"packages": {"node_modules/esbuild": {"version": "1"}}})
    after = {"work/node_modules/.package-lock.json": lock, "work/node_modules/esbuild/bin/esbuild": F(ELF, 0o755)}
    after["work/node_modules/other/x"] = F(ELF, 0o755)
    why = reasons({}, after)
    assert why["work/node_modules/esbuild/bin/esbuild"] == "npm: esbuild, without a checksum"
    assert why["work/node_modules/other/x"] is None


def test_caches_are_expected_and_programs_in_them_are_not():
    after = {
        "work/__pycache__/m.cpython-311.pyc": "x",
        "work/.pytest_cache/v/lastfailed": "{}",
        "var/lib/apt/lists/x": "x",
        "etc/ld.so.cache": "x",
        "var/cache/apt/x": F(ELF, 0o755),
    }
    why = reasons({}, after)
    assert why.pop("var/cache/apt/x") is None
    assert all(str(reason).startswith("cache: ") for reason in why.values())


def test_a_database_that_was_not_read_is_said():
    [note] = noted(BEFORE, {**TOOL, "var/lib/dpkg/status": F("x", unread=True)})
    assert note.incomplete
    assert "/var/lib/dpkg/status was not read" in note.message


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "var/lib/dpkg/status",
                f"{INFO}tool.list",
                f"{INFO}tool.md5sums",
                "lib/apk/db/installed",
                "a/x-1.dist-info/RECORD",
                "node_modules/.package-lock.json",
                "usr/lib/sysimage/rpm/rpmdb.sqlite",
            ]
        ),
        st.binary(max_size=200)
        | st.sampled_from(
            [b'{"packages": []}', b"[1]", b'"', b"P:x\nF:usr/sbin\nR:tool\nZ:Q1\xff\n", b"tool,sha256=\xff,1\n"]
        ),
    )
)
def test_no_database_breaks_the_reader_or_vouches_for_what_it_does_not_name(broken: dict[str, bytes]):
    after: Root = {**TOOL, **broken}
    files = {
        k.encode(): (v.data if isinstance(v, F) else v.encode() if isinstance(v, str) else v) for k, v in after.items()
    }
    owned, _ = recognised(
        changes(BEFORE, after),
        lambda p: BEFORE["var/lib/dpkg/status"].encode() if p.endswith(b"status") else None,
        files.get,
    )
    assert owned.keys() <= files.keys()


# ---- policy


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("/work/**", "work/a/b", True),
        ("/work/**", "work", True),
        ("/work/**", "workshop/a", False),
        ("/work/*", "work/a", True),
        ("/work/*", "work/a/b", False),
        ("**/*.pyc", "a/b/c.pyc", True),
        ("**/*.pyc", "c.pyc", True),
        ("/a/**/b", "a/b", True),
        ("/a/**/b", "a/x/y/b", True),
        ("/a/?", "a/b", True),
        ("/a/[!x]", "a/x", False),
        ("/a/[a-c]z", "a/bz", True),
        ("/a/[a-c]z", "a/-z", False),
        ("/a.b", "aXb", False),
        ("/x/[", "x/[", True),
    ],
)
def test_a_glob(glob: str, path: str, matches: bool):
    assert Expectation(glob).matches(path.encode(), ChangeKind.ADDED) is matches


def test_an_entry_takes_ordinary_findings_away_and_the_change_stays_with_its_reason():
    after = {"work/.x/tool": F(ELF, 0o755), "tmp/.y": F(ELF, 0o755)}
    policy = parse("expect:\n  - path: /work/**\n    reason: the task\n", "p.yaml")
    [finding] = judged({}, after, policy=policy)
    assert finding.locations[0].path == b"tmp/.y"
    assert {c.path: c.expected for c in drift({}, after, policy).changes}[
        b"work/.x/tool"
    ] == "policy: /work/** (the task)"


def test_a_policy_on_some_rules_leaves_the_packages_word_to_the_others():
    policy = parse("expect: [{path: /**, rules: [drift/new-executable]}]", "p")
    assert {f.severity for f in judged(BEFORE, TOOL, policy=policy)} == {Severity.NOTE}
    assert {f.rule_id for f in judged(BEFORE, TOOL, policy=policy)} == {"drift/persistence"}


def test_what_matters_stays_until_its_rule_is_named_in_full():
    after = {"work/su": F(ELF, 0o4755)}

    def rules(policy: Policy) -> list[str]:
        return [f.rule_id for f in judged({}, after, policy=policy)]

    assert rules(of_globs(["/work/**"])) == ["drift/setuid"]
    assert rules(parse("expect: [{path: /work/**, rules: ['*']}]", "p")) == ["drift/setuid"]
    assert rules(parse("expect: [{path: /work/**, rules: [drift/setuid]}]", "p")) == ["drift/new-executable"]
    assert rules(parse("expect: [{path: /work/**, rules: [drift/setuid, drift/*]}]", "p")) == []
    assert len(rules(parse("expect: [{path: /work/**, change: deleted}]", "p"))) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("expect:\n  - pth: /work\n", "p.yaml:2:5: an entry has no key 'pth'; did you mean path?"),
        ("expct: []\n", "p.yaml:1:1: a policy has no key 'expct'; did you mean expect?"),
        (
            "expect:\n  - path: /work\n    change: [add]\n",
            "p.yaml:3:14: no change is called 'add'; did you mean added?",
        ),
        ("expect:\n  - change: added\n", "p.yaml:2:5: an entry needs a path"),
        ("expect: /work/**\n", "p.yaml:1:9: a policy has a list under `expect`"),
        ("expect:\n  - path: /\n", "p.yaml:2:11: path is a path or a glob"),
        ("expect:\n  - path: /a/[z-a]\n", "p.yaml:2:11: /a/[z-a] is no glob"),
        ("expect:\n  - path: /a\n    rules: []\n", "p.yaml:3:12: rules is empty"),
        ("a: [\n", "p.yaml:2:1: no YAML"),
        ("- x\n", "p.yaml:1:1: a policy is a mapping of expect"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, says: str):
    with pytest.raises(ParseError) as raised:
        parse(text, "p.yaml")
    assert str(raised.value).startswith(says)


def test_a_rule_that_nobody_has_or_that_a_pattern_cannot_cover_is_an_error():
    ids = [r.id for r in RULES] + ["miner/binary"]
    check_rules(parse("expect: [{path: a, rules: [drift/*, miner/binary]}]", "p"), ids)
    with pytest.raises(UsageError, match=r"did you mean drift/setuid\?"):
        check_rules(parse("expect: [{path: a, rules: [drift/setud]}]", "p"), ids)
    with pytest.raises(UsageError, match="covers nothing"):
        check_rules(parse("expect: [{path: a, rules: [miner/*]}]", "p"), ids)


def test_a_policy_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot read the policy"):
        read_policy(tmp_path / "none.yaml")
    (tmp_path / "p").write_bytes(b"\xff")
    with pytest.raises(ParseError, match="no UTF-8"):
        read_policy(tmp_path / "p")
    with pytest.raises(UsageError, match="--expect"):
        of_globs(["/"])


@given(st.text(alphabet="ab/*?[]!-\\.", min_size=1, max_size=12), st.binary(max_size=12))
def test_a_glob_is_refused_or_asks_any_path(glob: str, path: bytes):
    try:
        policy = of_globs([glob])
    except UsageError:
        return
    assert policy.entries[0].matches(path, ChangeKind.ADDED) in (True, False)


@given(
    st.text(max_size=80)
    | st.sampled_from(["expect: [{path: 1, change: {}}]", "expect: [&a [*a]]", "expect: [{path: a, rules: ~}]"])
)
def test_any_text_is_a_policy_or_an_error(text: str):
    with suppress(ParseError, LimitError):
        assert all(entry.path for entry in parse(text, "p").entries)
