"""Tunnel tools by every kind of evidence, what of it belongs together, and what is none."""

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import elf, tunnel_networks, tunnel_relays
from scanner import masked
from scanner.content import Content
from scanner.detectors import tunnel_tool
from scanner.detectors.tunnelling import catalogue
from scanner.detectors.tunnelling.catalogue import TOOLS, Sort
from scanner.model import Confidence, FileLocation, Finding, Means, MeansKind, Severity, State
from scanner.ruleset import load
from tests.detectors.conftest import Link
from tests.engine_fixture import program

Detect = Callable[..., list[Finding]]
Judge = Callable[..., list[object]]


def tools(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.rule_id == "tunnel/tool"]


def means(said: list[object], name: str) -> list[Means]:
    return [m for m in said if isinstance(m, Means) and m.kind is MeansKind.TUNNEL and m.name == name]


def dist_info(name: str, version: str = "1.2.3") -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: x\n\nName: other\n".encode()


def go_look_alike(main: str, *dependencies: str) -> bytes:
    """What `go version -m` reads of a stripped program: the build information of Go 1.18 and later, inline."""
    lines = [f"path\t{main}/cmd/x", f"mod\t{main}\tv1.2.3\th1:x="]
    lines += [f"dep\t{one}\tv1.0.0\th1:y=" for one in dependencies]
    text = b"0" * 16 + "\n".join(lines).encode() + b"\n" + b"1" * 16
    info = b"\xff Go buildinf:\x08\x02".ljust(32, b"\0")
    for one in (b"go1.26.1", text):
        size = len(one)
        info += bytes([size & 0x7F | 0x80, size >> 7]) if size > 127 else bytes([size])
        info += one
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400080, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    size = 128 + len(info)
    segment = struct.pack("<IIQQQQQQ", elf.PT_LOAD, elf.READ_WRITE, 0, 0x400000, 0x400000, size, size, 16)
    return (head + segment).ljust(128, b"\0") + info


# ---- the catalogue


def test_the_catalogue_is_long_and_names_nothing_twice() -> None:
    assert len(TOOLS) >= 60
    assert len({t.name for t in TOOLS}) == len(TOOLS)
    for names in ("packages", "programs", "modules", "pip", "npm"):
        every = [name for tool in TOOLS for name in getattr(tool, names)]
        assert sorted(set(every)) == sorted(every)


def test_every_go_module_of_the_catalogue_is_looked_for() -> None:
    [rule] = [r for r in load().rules if r.rule.id == "tunnel/go-module"]
    text = Path("rules/tunnel/go.yar").read_text(encoding="ascii")

    assert rule.evidence == "go"
    missing = [m for t in TOOLS for m in t.modules if f'"mod\\t{m}"' not in text or f'"path\\t{m}"' not in text]
    assert missing == []


def test_more_than_sixty_tools_are_told_by_something_stronger_than_a_name() -> None:
    by_content = {dict(r.meta).get("tool") for r in load().rules if r.evidence == "program"}

    recorded = {t.name for t in TOOLS if t.packages or t.modules or t.pip or t.npm}
    assert len(recorded) > 100
    assert len(by_content) > 60
    assert {t.name for t in TOOLS} - recorded - by_content <= {"vscode-tunnel"}  # told by its command alone


# ---- package databases


def test_a_package_of_dpkg_is_told_with_its_version_and_program(judge: Judge) -> None:
    said = judge({"usr/sbin/iodined": b"\x7fELF", "usr/bin/ls": b""}, owners={"usr/sbin/iodined": "iodine"})
    [found] = tools([f for f in said if isinstance(f, Finding)])

    assert (found.severity, found.confidence, found.state) == (Severity.HIGH, Confidence.HIGH, State.VISIBLE)
    assert found.details["name"] == "iodine"
    assert found.details["evidence"] == ["package"]
    assert (found.details["version"], found.details["package"]) == ("1.0", "iodine")
    assert found.locations[0].display == b"usr/sbin/iodined"
    assert found.message.startswith("iodine 1.0 is a tunnel inside a protocol that firewalls let through")
    [tool] = means(said, "iodine")
    assert (tool.owner, tool.version) == ("iodine", "1.0")


def test_a_package_without_its_program_is_told_by_its_record(detect: Detect) -> None:
    [found] = tools(detect({}, versions={"libproxychains4": "4.16-2"}))

    place = found.locations[0]
    assert isinstance(place, FileLocation)
    assert (place.path, place.line) == (b"var/lib/dpkg/status", 1)
    assert found.details["name"] == "proxychains-ng"


def test_a_package_of_apk_is_told(detect: Detect) -> None:
    installed = b"P:musl\nV:1.2\n\nP:autossh\nV:1.4g-r3\nA:x86_64\nF:usr/bin\nR:autossh\n\n"

    [found] = tools(detect({"lib/apk/db/installed": installed, "usr/bin/autossh": b"\x7fELF"}))

    assert (found.details["name"], found.details["version"]) == ("autossh", "1.4g-r3")
    assert found.locations[0].display == b"usr/bin/autossh"
    assert found.severity is Severity.MEDIUM


@pytest.mark.parametrize(
    ("package", "severity"),
    [
        ("netcat-openbsd", Severity.NOTE),
        ("netcat-traditional", Severity.LOW),
        ("socat", Severity.LOW),
        ("haproxy", Severity.LOW),
        ("openvpn", Severity.MEDIUM),
        ("proxychains4", Severity.MEDIUM),
        ("tor", Severity.HIGH),
        ("tailscale", Severity.HIGH),
        ("cloudflared", Severity.HIGH),
    ],
)
def test_what_a_tool_is_for_decides_its_weight(detect: Detect, package: str, severity: Severity) -> None:
    [found] = tools(detect({}, versions={package: "1"}))

    assert (found.severity, found.confidence) == (severity, Confidence.HIGH)


@pytest.mark.parametrize(
    "package", ["openssh-client", "curl", "python3", "busybox", "git", "ngrok-foo", "libtor1", "socat-doc"]
)
def test_other_packages_are_no_tools(detect: Detect, package: str) -> None:
    assert tools(detect({}, versions={package: "1"})) == []


def test_a_package_purged_by_a_later_layer_is_deleted(judge: Judge) -> None:
    status = "Package: {}\nStatus: install ok installed\nVersion: 1.4g-1\n\n"
    base, more = status.format("dpkg"), status.format("autossh")

    said = judge(
        {"var/lib/dpkg/status": base.encode()},
        {"var/lib/dpkg/status": (base + more).encode(), "usr/bin/autossh": b"\x7fELF"},
        {"var/lib/dpkg/status": base.encode(), "usr/bin/autossh": None},
    )

    [found] = tools([f for f in said if isinstance(f, Finding)])
    place = found.locations[0]
    assert isinstance(place, FileLocation)
    assert (found.state, found.hidden_by, found.severity) == (State.DELETED, 2, Severity.LOW)
    assert (place.layer.index, place.line) == (1, 5)
    assert means(said, "autossh") == []


# ---- Go


@pytest.fixture(scope="session")
def go_programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two programs that only exit: one whose module is named like chisel's, one that depends on it. Built, never run."""
    go, folder = program("go"), tmp_path_factory.mktemp("go")
    tool, user = folder / "tool", folder / "user"
    for place in (tool / "share", user):
        place.mkdir(parents=True)
    (tool / "go.mod").write_text("module github.com/jpillora/chisel\n\ngo 1.19\n")
    (tool / "main.go").write_text("package main\n\nfunc main() {}\n")
    (tool / "share" / "share.go").write_text("package share\n\nfunc One() int { return 1 }\n")
    (user / "go.mod").write_text(
        "module example.com/app\n\ngo 1.19\n\nrequire github.com/jpillora/chisel v1.9.1\n\n"
        "replace github.com/jpillora/chisel => ../tool\n"
    )
    (user / "main.go").write_text(
        'package main\n\nimport "github.com/jpillora/chisel/share"\n\nfunc main() { println(share.One()) }\n'
    )
    flags = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    for place, options in ((tool, ("-s -w",)), (user, ("-s -w",))):
        subprocess.run(
            [go, "build", "-ldflags", *options, "-o", "out", "."],
            cwd=place,
            check=True,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "GOCACHE": str(folder / "cache"), **flags},
        )
    return {"tool": (tool / "out").read_bytes(), "user": (user / "out").read_bytes()}


def test_a_stripped_go_program_is_told_by_its_main_module_whatever_its_name(
    judge: Judge, go_programs: dict[str, bytes]
) -> None:
    said = judge({"usr/lib/.cache/kworker": go_programs["tool"], "usr/bin/app": go_programs["user"]})

    [found] = tools([f for f in said if isinstance(f, Finding)])
    assert found.locations[0].display == b"usr/lib/.cache/kworker"
    assert (found.details["name"], found.details["evidence"]) == ("chisel", ["go-module"])
    assert (found.severity, found.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert "main module github.com/jpillora/chisel" in found.evidence[0].excerpt
    assert [m.location.display for m in means(said, "chisel")] == [b"usr/lib/.cache/kworker"]


@pytest.mark.parametrize(
    ("module", "name", "confidence"),
    [
        ("github.com/fatedier/frp", "frp", Confidence.HIGH),
        ("github.com/go-gost/gost/v3", "gost", Confidence.HIGH),
        ("github.com/XTLS/Xray-core", "xray-core", Confidence.HIGH),
        ("tailscale.com", "tailscale", Confidence.HIGH),
        ("iox", "iox", Confidence.MEDIUM),
    ],
)
def test_go_build_information_of_the_bytes_alone(
    detect: Detect, module: str, name: str, confidence: Confidence
) -> None:
    [found] = tools(detect({"opt/x": go_look_alike(module)}))

    assert (found.details["name"], found.details["version"], found.confidence) == (name, "v1.2.3", confidence)


@pytest.mark.parametrize(
    "data",
    [
        go_look_alike("example.com/app", "github.com/jpillora/chisel", "tailscale.com"),
        go_look_alike("github.com/jpillora/chiselled"),
        go_look_alike("tailscale.community/x"),
        b"path\tgithub.com/jpillora/chisel\nmod\tgithub.com/jpillora/chisel\tv1\n",
        b"\x7fELF" + b"\0" * 60 + b"mod\tgithub.com/jpillora/chisel\tv1\n",
    ],
)
def test_what_only_speaks_of_a_module_is_no_tool(detect: Detect, data: bytes) -> None:
    assert tools(detect({"usr/bin/chisel": data})) == []


# ---- Python and npm


@pytest.mark.parametrize(
    ("path", "data", "name", "kind"),
    [
        (
            "usr/lib/python3.11/site-packages/sshuttle-1.1.1.dist-info/METADATA",
            dist_info("sshuttle"),
            "sshuttle",
            "pip",
        ),
        ("usr/lib/python3/dist-packages/sshuttle.egg-info/PKG-INFO", dist_info("sshuttle"), "sshuttle", "pip"),
        ("opt/v/lib/python3.9/site-packages/proxy.py-2.4.dist-info/METADATA", dist_info("Proxy.py"), "proxy.py", "pip"),
        ("opt/v/lib/python3.9/site-packages/proxy_py-2.4.dist-info/METADATA", dist_info("proxy.py"), "proxy.py", "pip"),
        ("usr/lib/python3.11/site-packages/pyngrok-7.0.0.dist-info/METADATA", dist_info("pyngrok"), "ngrok", "pip"),
        (
            "app/node_modules/localtunnel/package.json",
            b'{"name": "localtunnel", "version": "1.2.3"}',
            "localtunnel",
            "npm",
        ),
        ("app/node_modules/@ngrok/ngrok/package.json", b'{"version": "1.2.3", "name": "@ngrok/ngrok"}', "ngrok", "npm"),
        (
            "usr/lib/node_modules/a/node_modules/ngrok/package.json",
            b'{"name":"ngrok","version":"1.2.3"}',
            "ngrok",
            "npm",
        ),
    ],
)
def test_distributions_of_pip_and_npm_are_told(detect: Detect, path: str, data: bytes, name: str, kind: str) -> None:
    [found] = tools(detect({path: data}))

    assert (found.details["name"], found.details["evidence"], found.details["version"]) == (name, [kind], "1.2.3")
    assert found.confidence is Confidence.HIGH
    assert found.locations[0].display == path.encode()


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("usr/lib/python3.11/site-packages/ngrok_foo-1.0.dist-info/METADATA", dist_info("ngrok-foo")),
        ("usr/lib/python3.11/site-packages/sshuttle-1.0.dist-info/METADATA", dist_info("sshuttle-gui")),
        ("usr/lib/python3.11/site-packages/sshuttle-1.0.dist-info/METADATA", b"\nName: sshuttle\n"),
        ("usr/lib/python3.11/site-packages/sshuttle-1.0.dist-info/RECORD", dist_info("sshuttle")),
        ("usr/lib/python3.11/site-packages/x-1.0.dist-info/METADATA", b"Name: x\nRequires-Dist: sshuttle\n\n"),
        ("app/node_modules/localtunnel/package.json", b'{"version": "1.2.3"}'),
        ("app/node_modules/localtunnel/package.json", b'{"name": "local-tunnel"}'),
        ("app/node_modules/localtunnel/package.json", b'{"name": ["localtunnel"]}'),
        ("app/node_modules/localtunnel/package.json", b"[" * 100_000),
        ("app/node_modules/ngrok-foo/package.json", b'{"name": "ngrok-foo"}'),
        ("app/package.json", b'{"name": "app", "dependencies": {"localtunnel": "^2"}}'),
        ("app/requirements.txt", b"sshuttle\npyngrok\n"),
        ("usr/bin/chisel", b"\x7fELF" + b"\0" * 60),
        ("usr/local/bin/ngrok", b"#!/bin/sh\necho none\n"),
        ("usr/bin/tailscaled", b""),
    ],
)
def test_a_name_alone_is_never_enough(detect: Detect, path: str, data: bytes) -> None:
    assert tools(detect({path: data})) == []


# ---- content


def test_a_renamed_program_is_told_by_its_content(judge: Judge) -> None:
    data = tunnel_relays.examples()["tunnel/program-autossh"].hits[0]

    said = judge({"usr/lib/.cache/kworker": data})

    [found] = tools([f for f in said if isinstance(f, Finding)])
    assert (found.details["name"], found.details["evidence"]) == ("autossh", ["content"])
    assert (found.confidence, found.locations[0].display) == (Confidence.MEDIUM, b"usr/lib/.cache/kworker")
    assert len(means(said, "autossh")) == 1


def test_content_under_the_tools_own_name_is_sure(detect: Detect) -> None:
    [found] = tools(detect({"usr/local/bin/autossh": tunnel_relays.examples()["tunnel/program-autossh"].hits[0]}))

    assert found.confidence is Confidence.HIGH


def test_every_rule_of_content_leads_to_a_finding_of_its_tool(detect: Detect) -> None:
    """One image with a program of every rule: none is lost, and each has its own place."""
    rules = {r.rule.id: str(dict(r.meta)["tool"]) for r in load().rules if r.evidence == "program"}
    examples = {**tunnel_relays.examples(), **tunnel_networks.examples()}
    files = {f"opt/{number}": examples[rule].hits[0] for number, rule in enumerate(rules)}

    found = {(f.locations[0].display, f.details["name"]) for f in tools(detect(files))}

    assert [rule for n, (rule, tool) in enumerate(rules.items()) if (f"opt/{n}".encode(), tool) not in found] == []


def test_package_and_program_are_one_finding(detect: Detect) -> None:
    files = {"usr/bin/autossh": tunnel_relays.examples()["tunnel/program-autossh"].hits[0]}

    [found] = tools(detect(files, owners={"usr/bin/autossh": "autossh"}))

    assert found.details["evidence"] == ["content", "package"]
    assert (found.confidence, found.details["version"], found.details["package"]) == (Confidence.HIGH, "1.0", "autossh")
    assert [p.display for p in found.locations] == [b"usr/bin/autossh"]


def test_a_copy_beside_the_package_is_a_finding_of_its_own(detect: Detect) -> None:
    data = tunnel_relays.examples()["tunnel/program-autossh"].hits[0]

    found = tools(detect({"usr/bin/autossh": data, "opt/x": data}, owners={"usr/bin/autossh": "autossh"}))

    assert {f.locations[0].display: f.details["package"] for f in found} == {
        b"usr/bin/autossh": "autossh",
        b"opt/x": None,
    }


def test_a_program_deleted_above_weighs_less_and_is_no_means(judge: Judge) -> None:
    data = tunnel_relays.examples()["tunnel/program-autossh"].hits[0]

    said = judge({"opt/x": data}, {"opt/x": None})

    [found] = tools([f for f in said if isinstance(f, Finding)])
    assert (found.state, found.hidden_by, found.severity) == (State.DELETED, 1, Severity.LOW)
    assert means(said, "autossh") == []


def test_the_same_program_in_two_layers_is_one_finding(detect: Detect) -> None:
    data = tunnel_relays.examples()["tunnel/program-autossh"].hits[0]

    [found] = tools(detect({"opt/x": data}, {"opt/x": data + b"\n"}))

    assert [p.layer.index for p in found.locations if isinstance(p, FileLocation)] == [1, 0]


def test_a_python_package_and_its_files_are_one_finding(detect: Detect) -> None:
    data = tunnel_relays.examples()["tunnel/program-autossh"].hits[0]
    folder = "usr/lib/python3.11/site-packages"
    examples = {**tunnel_relays.examples(), **tunnel_networks.examples()}
    [rule] = [r.rule.id for r in load().rules if dict(r.meta).get("tool") == "sshuttle"]
    files = {
        f"{folder}/sshuttle/server.py": examples[rule].hits[0],
        f"{folder}/sshuttle-1.1.dist-info/METADATA": dist_info("sshuttle"),
        "opt/x": data,
    }

    found = {str(f.details["name"]): f for f in tools(detect(files))}

    assert set(found) == {"sshuttle", "autossh"}
    assert found["sshuttle"].details["evidence"] == ["pip", "content"]
    assert [p.display.decode() for p in found["sshuttle"].locations] == list(files)[1::-1]


def test_every_message_survives_the_mask(detect: Detect) -> None:
    found = tools(detect({}, versions={package: "1.0" for tool in TOOLS for package in tool.packages}))

    assert len(found) > 100
    assert [f.message for f in found if masked.finding(f).message != f.message] == []


# ---- configuration


def test_a_configuration_belongs_to_the_tool_that_is_there(detect: Detect) -> None:
    files = {
        "etc/frp/frpc.toml": b'serverAddr = "relay.acme.net"\nserverPort = 7000\n[[proxies]]\nname = "ssh"\ntype = "tcp"\nlocalPort = 22\nremotePort = 6000\n'
    }

    [alone] = tools(detect(files))
    [both] = tools(detect({**files, "usr/bin/frpc": go_look_alike("github.com/fatedier/frp")}))

    assert (alone.details["name"], alone.details["evidence"], alone.severity) == ("frp", ["config"], Severity.MEDIUM)
    assert alone.message.startswith("Configuration of frp")
    assert (both.details["evidence"], both.severity) == (["go-module", "config"], Severity.HIGH)
    assert both.locations[0].display == b"usr/bin/frpc"
    assert "relay.acme.net" in both.message


# ---- never an end


@given(
    st.sampled_from(["a/node_modules/ngrok/package.json", "a/sshuttle-1.dist-info/METADATA", "etc/frpc.ini"]),
    st.binary(max_size=400),
)
def test_no_bytes_stop_the_detector(path: str, data: bytes) -> None:
    list(tunnel_tool.inspect(Content(path=path.encode(), data=memoryview(data))))


@given(st.lists(st.sampled_from(["tailscale.com", "github.com", "jpillora", "chisel", "", "v2", "iox"]), max_size=6))
def test_no_module_stops_the_catalogue(parts: list[str]) -> None:
    assert catalogue.of_module("/".join(parts)) is None or "/".join(parts)


def test_links_are_no_second_program(detect: Detect) -> None:
    data = tunnel_relays.examples()["tunnel/program-autossh"].hits[0]

    assert len(tools(detect({"opt/x": data, "usr/bin/x": Link("/opt/x")}))) == 1


def test_every_sort_is_weighed() -> None:
    assert set(catalogue.SEVERITY) == set(Sort)
    assert json.dumps([s.value for s in Sort])
