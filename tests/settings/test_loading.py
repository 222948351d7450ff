"""What a configuration says reaches the commands that have the option; what is wrong is said with its place."""

import os
import textwrap
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.errors import UsageError
from scanner.model import Ignore
from scanner.settings import load
from tests.settings.commands import known, read, values


def test_what_is_said_of_all_reaches_those_that_have_it_and_what_is_said_of_one_comes_first() -> None:
    said = read(
        """
        fail-on: medium
        severity: low
        no-cache: true
        scan: {fail-on: critical, no-prefilter: true}
        observe:
          seconds: 5
          cpus: 0.5
          memory: 536870912
          guest-env: {CI: true, N: 3, WORD: x=y}
        """
    )
    assert values(said, "scan") == {
        "fail-on": "critical", "severity": "low", "no-cache": True, "no-prefilter": True,
    }  # fmt: skip
    assert values(said, "egress").items() >= {("fail-on", "medium")}
    assert "no-cache" not in values(said, "egress")
    assert values(said, "observe") == {
        "fail-on": "medium", "severity": "low", "no-cache": True, "seconds": 5, "cpus": 0.5, "memory": "536870912",
        "guest-env": ("CI=true", "N=3", "WORD=x=y"),
    }  # fmt: skip
    place = said.options["scan"]["fail_on"].place
    assert (place.file, place.line, place.column) == (".sandscan.yaml", 5, 16)


def test_toml_says_the_same_as_yaml() -> None:
    yaml = read(
        """
        limit: {archive-depth: 3}
        to: [internet, dns]
        observe: {seconds: 2.5}
        ignore:
          - {rule: ssh/*, reason: "a test's key", expires: 2027-01-31}
        """
    )
    toml = read(
        textwrap.dedent(
            """
            [project]
            name = "x"
            [tool.sandscan]
            to = ["internet", "dns"]
            limit.archive-depth = 3
            observe.seconds = 2.5
            [[tool.sandscan.ignore]]
            rule = "ssh/*"
            reason = "a test's key"
            expires = 2027-01-31
            """
        ),
        toml=True,
    )
    for command in known():
        assert values(yaml, command) == values(toml, command)
    [entry], [same] = yaml.ignores, toml.ignores
    assert (entry.rule, entry.reason, entry.expires) == (same.rule, same.reason, same.expires)
    assert (entry.place, same.place) == (".sandscan.yaml:6", "pyproject.toml:8")


def test_an_entry_has_all_that_it_says_and_its_place() -> None:
    said = read(
        """ignore:
  - rule: tunnel/tool
    path: /opt/**/frpc
    image: ghcr.io/acme/*
    fingerprint: 0a1b2c3d4e5f6a7b
    reason: " needed by the build "
    expires: '2027-06-30'
"""
    )
    assert said.ignores == (
        Ignore(
            "needed by the build", date(2027, 6, 30), ".sandscan.yaml:2",
            "tunnel/tool", "/opt/**/frpc", "ghcr.io/acme/*", "0a1b2c3d4e5f6a7b",
        ),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "---\n", "null", "{}", "ignore:\n", "scan:\n"])
def test_a_file_that_says_nothing_changes_nothing(text: str) -> None:
    said = read(text)
    assert (said.file, said.ignores) == (".sandscan.yaml", ())
    assert not any(said.options.values())


WRONG = [
    ("fail_on: high", "1:1: there is no key 'fail_on'; did you mean fail-on?"),
    ("failon: high", "did you mean fail-on?"),
    ("ignores: []", "did you mean ignore?"),
    ("egres: {}", "did you mean egress?"),
    ("fail-on: hihg", "1:10: 'hihg' is nothing that 'fail-on' may be; did you mean high?"),
    ("fail-on: [high]", "1:10: 'fail-on' is one of critical, high, medium, low, note, never, not a list"),
    ("fail-on: true", "not 'true'"),
    ("fail-on:", "not nothing"),
    ("scan: {seconds: 3}", "1:8: scan has no option 'seconds'; observe has it"),
    ("scan: {fail_on: high}", "scan has no option 'fail_on'; did you mean fail-on?"),
    ("scan: [fail-on]", "1:7: 'scan' is a mapping"),
    ("- fail-on", "1:1: a configuration is a mapping"),
    ("high", "1:1: a configuration is a mapping"),
    ("fail-on: high\nfail-on: low", "2:1: the key fail-on stands on line 1 already"),
    ("no-cache: yes", "1:11: 'no-cache' is true or false"),
    ("no-cache: 'true'", "'no-cache' is true or false"),
    ("observe: {seconds: soon}", "'seconds' is a number, not 'soon'"),
    ("observe: {seconds: 0}", "'seconds' is a number from 0.1 to 86400"),
    ("observe: {seconds: .nan}", "'seconds' is a number"),
    ("observe: {seconds: 1e999}", "'seconds' is a number from"),
    ("observe: {pids: 2.5}", "'pids' is a whole number, not '2.5'"),
    ("observe: {pids: 1}", "'pids' is a number from 2"),
    ("observe: {memory: 1k}", "1:19: 'memory': 1k: write a size"),
    ("limit: {archive-dept: 3}", "1:23: 'limit': 'archive-dept' is no limit; there are"),
    ("limit: {archive-depth: none}", "write archive-depth=NUMBER"),
    ("limit:\n  - archive-depth=3\n  - x=1", "3:5: 'limit': 'x' is no limit"),
    ("limit: {archive-depth: [3]}", "'archive-depth' of 'limit' is a text"),
    ("env: {A=B: c}", "1:7: a name in 'env'"),
    ("env: [NAME]", "write NAME=VALUE"),
    ("assume: {cni.enforce: true}", "cni.enforce"),
    ("keep: [':443x']", "write HOST:PORT"),
    ("to: [internet, moon]", "1:16: 'moon' is nothing that 'to' may be"),
    ("output: [pdf=x.pdf]", "names no report format"),
    ("output: {sarif: x.sarif}", "1:9: 'output' is a list of texts"),
    ("expect: ['/']", "write a path or a glob"),
    ("a: !!python/object:os.system x", "there is no key 'a'"),
    ("fail-on: !!python/name:os.system high", "1:10: the tag tag:yaml.org,2002:python/name:os.system means nothing"),
    ("ignore: !x []", "'ignore' is a list"),
    ("clean: true", "1:1: 'clean' stands in no file: it takes away"),
    ("egress: {fix: true}", "'fix' stands in no file"),
    ("egress: {diff: [a, b]}", "'diff' stands in no file"),
    ("write-baseline: b.json", "would let everything pass"),
    ("live: {watch: true}", "'watch' stands in no file"),
    ("version: true", "there is no key 'version'"),
    ("a: 1\n---\nb: 2", "3:1: a configuration is one document"),
    ("a: [", "no YAML"),
    ("a: \x07", "1:4: no text"),
    ("ignore: {rule: x}", "1:9: 'ignore' is a list of entries"),
    ("ignore: [ssh/*]", "an entry is a mapping"),
    ("ignore:\n  - rule: ssh/*\n    expires: 2027-01-01", "2:5: an entry says why: reason is missing"),
    ("ignore:\n  - rule: ssh/*\n    reason: ' '\n    expires: 2027-01-01", "3:13: 'reason' is a text"),
    ("ignore:\n  - rule: ssh/*\n    reason: x", "2:5: an entry ends: expires is missing"),
    ("ignore:\n  - {rule: ssh/*, reason: x, expires: 2027-02-30}", "2027-02-30 is no day of the calendar"),
    ("ignore:\n  - {rule: ssh/*, reason: x, expires: tomorrow}", "'expires' is a date"),
    ("ignore:\n  - {rule: ssh/*, reason: x, expires: 20270130}", "'expires' is a date"),
    ("ignore:\n  - {image: app, reason: x, expires: 2027-01-01}", "names a rule, a path or a fingerprint"),
    ("ignore:\n  - {rule: '*', reason: x, expires: 2027-01-01}", "would hide everything"),
    ("ignore:\n  - {rule: '**/*', path: '**', reason: x, expires: 2027-01-01}", "would hide everything"),
    ("ignore:\n  - {rule: '[!~]**', reason: x, expires: 2027-01-01}", "would hide everything"),
    ("ignore:\n  - {rule: '[a-z]*/[!]~]*', path: '[ -z]**', reason: x, expires: 2027-01-01}", "would hide everything"),
    ("ignore:\n  - {rule: 'a[z-a]', reason: x, expires: 2027-01-01}", "'rule': the range z-a is empty"),
    ("ignore:\n  - {fingerprint: abc, reason: x, expires: 2027-01-01}", "first 16 digits"),
    ("ignore:\n  - {rule: a/b, until: 2027-01-01, reason: x}", "2:17: an entry has no key 'until'"),
    ("ignore:\n  - {rule: a/b, expire: 2027-01-01, reason: x}", "did you mean expires?"),
    ("ignore:\n  - {rule: a/b, rule: c/d, reason: x, expires: 2027-01-01}", "stands on line 2 already"),
]


@pytest.mark.parametrize(("text", "says"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(text)
    assert str(raised.value).startswith(".sandscan.yaml:")
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.sandscan]\nfail_on = 'high'", "pyproject.toml:2:1: there is no key 'fail_on'; did you mean fail-on?"),
        ("[tool.sandscan]\nfail-on = 3", "pyproject.toml:2:11: '3' is nothing that 'fail-on' may be"),
        ("[tool.sandscan]\nquiet = 2027-01-01", "pyproject.toml:2:1: 'quiet' holds only in a file that you name"),
        ("[tool.sandscan]\nno-cache = 2027-01-01", "'no-cache' is true or false"),
        ("[tool.sandscan]\na = 1\na = 2", "pyproject.toml:3:"),
        ("[tool.other]\na = 1", "has no table [tool.sandscan]"),
        ("[tool]\nsandscan = 3", "pyproject.toml:2:12: a configuration is a mapping"),
        ("[[tool.sandscan.ignore]]\nrule = 'a/b'\nreason = 'x'\nexpires = 2027-01-01T00:00:00", "'expires' is a date"),
    ],
)
def test_what_is_wrong_in_toml_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(text, toml=True)
    assert says in str(raised.value)


def test_a_thousand_entries_are_enough() -> None:
    entry = "\n  - {rule: a/b, reason: x, expires: 2027-01-01}"
    assert len(read("ignore:" + entry * 1000).ignores) == 1000
    with pytest.raises(UsageError, match="more than 1000 entries"):
        read("ignore:" + entry * 1001)


def test_a_bomb_of_aliases_ends_in_an_error() -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(UsageError, match="values, aliases counted"):
        read("\n".join(lines))


# ---- paths


def test_paths_begin_at_the_files_folder_wherever_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ci/deep").mkdir(parents=True)
    text = "env-file: [my/vars]\noutput: [text, out.sarif, json=-, html=page.html]\nbaseline: known.json\nlaunch: 'container:x'"
    for place, up in ((".", ""), ("ci/deep", "../../")):
        monkeypatch.chdir(tmp_path / place)
        said = values(read(text, tmp_path), "scan")
        assert said == {
            "env-file": (f"{up}my/vars",),
            "output": ("text", f"sarif={up}out.sarif", "json=-", f"html={up}page.html"),
            "baseline": f"{up}known.json",
            "launch": (f"{up}container:x" if up else "./container:x",),
        }


@pytest.mark.parametrize(
    "text",
    [
        "baseline: ../known.json",
        "baseline: /etc/shadow",
        "env-file: [link/x]",
        "ruleset: link",
        "env-file: [a/../../b]",
        "output: [sarif=../x.sarif]",
        "output: [/tmp/x.sarif]",
        "output: [text=link/x.txt]",
        "output: ['text=.git/config.txt']",
        "output: [text=hooks/pre-commit]",
        "output: [markdown=x.pth]",
        "output: [sarif=.x.sarif]",
        "output: [text=dotted]",
        "observe: {pcap: ../x.pcap}",
        "observe: {pcap: run.sh}",
        "observe: {pcap: .git/x.pcap}",
        'baseline: "a\\0b"',
    ],
)
def test_a_found_file_reaches_nothing_outside_of_its_folder_and_writes_reports_alone(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "link").symlink_to(tmp_path)
    (folder / "dotted").symlink_to(".git/config")
    with pytest.raises(UsageError, match=r"^\.sandscan\.yaml:1:\d+: "):
        read(text, folder)


@pytest.mark.parametrize("text", ["baseline: pipe", "ruleset: pipe", "output: [json=pipe.json]", "policy: link"])
def test_a_pipe_that_a_repository_brings_is_not_waited_for(tmp_path: Path, text: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link").symlink_to("pipe")
    command = "diff: {" if text.startswith("policy") else ""
    with pytest.raises(UsageError, match=r"is neither a file nor a folder$"):
        read(f"{command}{text}{'}' * bool(command)}", tmp_path)
    assert read(text.replace("policy", "ruleset"), tmp_path, found=False).options["scan"]
    assert read(f"baseline: {'x' * 300}", tmp_path).options["scan"]


def test_what_is_written_within_the_folder_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = values(read("output: [sarif=build/x.sarif]\nobserve: {pcap: run.pcap}", tmp_path), "observe")
    assert said == {"output": ("sarif=build/x.sarif",), "pcap": "run.pcap"}


@pytest.mark.parametrize(
    "text",
    [
        "quiet: true",
        "rules: [ours.yar]",
        "insecure-registry: true",
        "egress: {image: ['a=registry:x/y']}",
        "egress: {command: docker run x}",
    ],
)
def test_what_only_the_user_may_say_holds_in_a_named_file_alone(text: str) -> None:
    with pytest.raises(UsageError, match="only in a file that you name with --config"):
        read(text)
    assert read(text, found=False).options["egress"] or read(text, found=False).options["scan"]


def test_a_named_file_may_lead_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = values(read("output: [sarif=../x.sarif]\nbaseline: /b/c.json", tmp_path, found=False), "scan")
    assert said["output"] == ("sarif=../x.sarif",)
    assert Path(os.path.normpath(tmp_path / str(said["baseline"]))) == Path("/b/c.json")


def test_every_option_that_names_a_file_is_known_to(tmp_path: Path) -> None:
    """A new option that reads or writes a file, and is not seen to, would lead out of the folder."""
    roles = {key.name: key.role.value for keys in known().values() for key in keys if key.role.value != "word"}
    expected = {
        "baseline": "reads", "dockerfile": "reads", "env-file": "reads", "launch": "reads", "output": "report", "pcap": "writes",
        "policy": "reads", "provenance": "reads", "repo": "reads", "rules": "reads", "ruleset": "reads", "write-baseline": "reads",
    }  # fmt: skip
    assert {name: expected.get(name) for name in roles} == roles
    words = {key.name for keys in known().values() for key in keys if key.role.value == "word"}
    assert not [name for name in words if any(part in name.split("-") for part in ("file", "dir", "path", "folder"))]


# ---- files


def test_a_link_that_leads_out_is_not_followed_unless_it_is_named(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "other.yaml").write_text("fail-on: never")
    (inside / ".sandscan.yaml").symlink_to("../other.yaml")
    with pytest.raises(UsageError, match="a link that leads out of its folder"):
        load(inside / ".sandscan.yaml", known(), found=True)
    assert values(load(inside / ".sandscan.yaml", known(), found=False), "scan") == {"fail-on": "never"}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".sandscan.yaml")
    with pytest.raises(UsageError, match="no regular file"):
        load(tmp_path / ".sandscan.yaml", known(), found=True)
    with pytest.raises(UsageError, match="there is no such file"):
        load(tmp_path / "none.yaml", known(), found=False)


def test_bytes_that_are_no_text_have_their_place(tmp_path: Path) -> None:
    file = tmp_path / ".sandscan.yaml"
    file.write_bytes(b"fail-on: high\n# \xff\n")
    with pytest.raises(UsageError, match=r"\.sandscan\.yaml:2:3: no text in UTF-8"):
        load(file, known(), found=True)


# ---- hostile bytes

PIECES = st.sampled_from(
    ["fail-on", "scan", "ignore", "rule", "reason", "expires", "2027-01-01", "limit", ": ", "\n", "  ", "- ", "[", "]", "{", "}",
     ",", "&a ", "*a", "!!x ", "<<", "'", '"', "|\n", "#", "---\n", "true", "1e400", "\u0000", "\u202e", "high", "=", ".", "../x"]
)  # fmt: skip


@settings(deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=30).map("".join)), st.booleans(), st.booleans())
@example("a: 0x" + "f" * 400, False, True)
@example("[tool.sandscan]\nobserve.seconds=inf", True, True)
@example("[tool.sandscan]\nobserve.pids=999999999999999999999999999999", True, True)
@example("observe: {pids: " + "9" * 5000 + "}", False, True)
def test_no_text_is_answered_with_anything_but_settings_or_words(text: str, toml: bool, found: bool) -> None:
    try:
        read(f"[tool.sandscan]\n{text}" if toml else text, toml=toml, found=found)
    except UsageError as e:
        assert str(e).isprintable()  # noqa: PT017


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_either(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "hostile.yaml"
    file.write_bytes(data)
    try:
        load(file, known(), found=True)
    except UsageError as e:
        assert str(e)  # noqa: PT017
