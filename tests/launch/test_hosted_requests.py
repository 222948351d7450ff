"""Requests to E2B, Modal and Daytona: what each lets out, known by their own keys alone, in JSON, YAML and TOML."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ParseError, ScannerError
from scanner.launch import daytona, e2b, harbor, inspect_k8s, modal, opensandbox, openshell, sandbox_runtime
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.model.egress import ALL_PORTS
from tests.launch.judging import allowed, judged, letters, read

FORMATS = [
    module.FORMAT for module in (daytona, e2b, harbor, inspect_k8s, modal, opensandbox, openshell, sandbox_runtime)
]

# internet, private, metadata, host, engine, dns
VERDICTS: list[tuple[Format, str, str]] = [
    (e2b.FORMAT, '{"templateID": "base", "allowInternetAccess": true}', "occuco"),
    (e2b.FORMAT, '{"templateID": "base", "allowInternetAccess": false}', "cccucc"),
    (e2b.FORMAT, "allow_internet_access = false\n", "cccucc"),
    (e2b.FORMAT, "[network]\nallow_out = ['1.1.1.1']\ndeny_out = ['0.0.0.0/0']\n", "lccucc"),
    (e2b.FORMAT, "network:\n  denyOut: [0.0.0.0/0]\n  allowOut: [8.8.8.0/24]\n", "lccuco"),
    (e2b.FORMAT, '{"network": {"denyOut": ["0.0.0.0/0"], "allowOut": ["api.example.com"]}}', "lccuco"),
    # what is allowed restricts nothing while the rest is not denied
    (e2b.FORMAT, '{"network": {"allowOut": ["api.example.com"]}}', "occuco"),
    (e2b.FORMAT, '{"network": {"denyOut": ["8.8.8.8"]}}', "lccuco"),
    # an allowed address passes whatever is denied, private ones do not all the same
    (e2b.FORMAT, '{"allowInternetAccess": false, "network": {"allowOut": ["10.0.0.0/8"]}}', "cccucc"),
    (e2b.FORMAT, '{"network": {"denyOut": ["0.0.0.0/0"], "allowOut": ["0.0.0.0/0"]}}', "occuco"),
    (modal.FORMAT, '{"block_network": true, "outbound_cidr_allowlist": ["1.0.0.0/8"]}', "cccccc"),
    (modal.FORMAT, "blockNetwork: false\n", "ouuuco"),
    (modal.FORMAT, "cidr_allowlist = ['1.2.3.0/24']\n", "lccucu"),
    (modal.FORMAT, "outbound_cidr_allowlist: []\n", "cccucu"),
    (modal.FORMAT, "outbound_domain_allowlist: [pypi.org]\n", "lccucu"),
    (modal.FORMAT, "outbound_cidr_allowlist: ['0.0.0.0/0']\n", "ouuucu"),
    (daytona.FORMAT, '{"networkBlockAll": true, "networkAllowList": "0.0.0.0/0"}', "cccucc"),
    (daytona.FORMAT, "network_block_all: false\n", "ouuuco"),
    (daytona.FORMAT, "network_allow_list: '208.80.154.232/32, 10.0.0.0/24'\n", "lucucu"),
    (daytona.FORMAT, '{"networkAllowList": ["1.1.1.1"], "domainAllowList": "pypi.org,*.npmjs.org"}', "lccucu"),
    (daytona.FORMAT, '{"networkBlockAll": false, "networkAllowList": ""}', "ouuuco"),
]


@pytest.mark.parametrize(("format", "text", "verdicts"), VERDICTS, ids=[f"{f.name} {t}" for f, t, _ in VERDICTS])
def test_verdicts(format: Format, text: str, verdicts: str) -> None:
    (found,) = judged(read(format, text)).values()

    assert letters(found) == verdicts
    assert letters(found, direct=True) == verdicts
    assert found["siblings"].verdict == "closed"


def test_what_is_limited_lists_exactly_what_passes() -> None:
    text = '{"network": {"denyOut": ["0.0.0.0/0"], "allowOut": ["api.example.com", "*.npmjs.org", "1.1.1.0/24"]}}'
    found = judged(read(e2b.FORMAT, text))["sandbox"]

    assert allowed(found["internet"]) == {
        (("1.1.1.0/24",), "any", ALL_PORTS),
        (("*.npmjs.org", "api.example.com"), "tcp", ((80, 80), (443, 443))),
    }


@pytest.mark.parametrize(
    ("format", "text", "assume", "verdicts"),
    [
        (modal.FORMAT, "block_network: false\n", ["provider.private=closed"], "occuco"),
        (modal.FORMAT, "block_network: false\n", ["provider.private=open", "provider.host=closed"], "ooocco"),
        (modal.FORMAT, "cidr_allowlist: [1.1.1.1]\n", ["provider.dns=closed", "provider.host=closed"], "lccccc"),
        (modal.FORMAT, "cidr_allowlist: [1.1.1.1]\n", ["provider.dns=open"], "lccuco"),
        # what a system only documents gives way to what the user knows better
        (daytona.FORMAT, "networkBlockAll: true\n", ["provider.engine=open"], "oooooo"),
        (e2b.FORMAT, "allowInternetAccess: false\n", ["provider.host=open"], "cccccc"),
    ],
)
def test_what_a_system_does_not_say_is_asked_for_by_name(
    format: Format, text: str, assume: list[str], verdicts: str
) -> None:
    (found,) = judged(read(format, text), assume).values()
    assert letters(found) == verdicts


def test_missing_facts_are_named() -> None:
    found = judged(read(modal.FORMAT, "cidr_allowlist: [10.0.0.0/8]\n"))["sandbox"]

    missing = {name: [m.key for m in found[name].missing] for name in ("private", "host", "dns")}
    assert missing == {"private": ["provider.private"], "host": ["provider.host"], "dns": ["provider.dns"]}


def test_every_sandbox_of_a_file_is_named_and_placed() -> None:
    text = """sandboxes:
  agent:
    block_network: true
  tools:
    name: builder
    outbound_cidr_allowlist:
      - 1.1.1.1
other:
  - block_network: false
  - block_network: false
"""
    launch = read(modal.FORMAT, text)

    assert {h.name: str(h.origin) for h in launch.hosted} == {
        "agent": "f0:3:5",
        "builder": "f0:5:5",
        "other": "f0:9:5",
        "other #2": "f0:10:5",
    }
    builder = next(h for h in launch.hosted if h.name == "builder")
    assert str(builder.rules[0].origin) == "f0:7:9"


@pytest.mark.parametrize(
    ("format", "text", "place"),
    [
        (e2b.FORMAT, '{"network": {"allowOut": {"a": 1}}}', "f:1:26"),
        (e2b.FORMAT, '{"network":\n {"allowOut": [1, {}]}}', "f:2:19"),
        (e2b.FORMAT, '{"network": {"allowOut": ["a"]}, "allowInternetAccess": "perhaps"}', "f:1:57"),
        (modal.FORMAT, "block_network: false\ncidr_allowlist: {a: b}\n", "f:2:17"),
        (modal.FORMAT, "cidr_allowlist: [a]\nblock_network: maybe\n", "f:2:16"),
        (daytona.FORMAT, "networkAllowList: [[a]]\n", "f:1:20"),
        (modal.FORMAT, "block_network = tru\n", "f:1:17"),
        (modal.FORMAT, '{"block_network": true', "f:1:23"),
    ],
)
def test_broken_requests_are_errors_with_their_place(format: Format, text: str, place: str) -> None:
    given = Input("f", text)
    assert format.recognises(given)
    with pytest.raises(ParseError, match=f"^{place}: "):
        format.read([given], ReadOptions())


# ---- recognition

OTHERS = {
    "pyproject": '[project]\nname = "x"\ndependencies = ["modal"]\n[tool.ruff]\nline-length = 100\n',
    "cargo": '[package]\nname = "x"\n[dependencies]\nserde = "1"\n',
    "package": '{"name": "x", "version": "1.0.0", "scripts": {"a": "b"}, "dependencies": {"c": "1"}}',
    "tsconfig": '{"compilerOptions": {"strict": true}, "include": ["src"]}',
    "helm": "replicaCount: 1\nimage:\n  repository: nginx\nservice:\n  type: ClusterIP\n  port: 80\nresources: {}\n",
    "services helm": "services:\n  web:\n    image: nginx\n    enabled: true\nglobal:\n  domain: x\ningress: {}\n",
    "compose": "services:\n  a:\n    image: x\n    command: [a]\n    networks: [b]\nnetworks:\n  b:\n    internal: true\n",
    "kubernetes": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n",
    "networkpolicy": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {}, egress: []}\n",
    "agent-sandbox": "apiVersion: a/v1\nkind: SandboxTemplate\nspec: {networkPolicy: {egress: [{to: []}]}}\n",
    "devcontainer": '{"image": "x", "runArgs": ["--network=none"], "postStartCommand": "a"}',
    "github": "name: ci\non: push\njobs:\n  a:\n    runs-on: x\n    services:\n      db: {image: pg}\n",
    "dockerd": '{"hosts": ["tcp://0.0.0.0"], "icc": false}',
    "inspect": '[{"Id": "a", "HostConfig": {"NetworkMode": "none"}}]',
    "server toml": '[server]\nhost = "0.0.0.0"\nport = 80\n[log]\nlevel = "info"\n',
    "runtime toml": '[runtime]\ntype = "tokio"\nthreads = 4\n',
    "docker toml": '[docker]\nnetwork_mode = "host"\nimage = "x"\n[build]\na = 1\n',
    "agent toml": '[agent]\nname = "x"\nmodel = "y"\n[environment]\nPATH = "/bin"\n',
    "environment toml": '[environment]\nnetwork_mode = "bridge"\n',
    "network json": '{"network": {"host": "a", "ports": [1]}}',
    "filesystem json": '{"filesystem": {"root": "/"}, "network": {}}',
    "eslint": '{"rules": {"a": "error"}, "env": {"node": true}}',
    "policies": "network_policies: [a, b]\nversion: 1\n",
    "policies of others": "network_policies:\n  a: {allow: true}\n",
    "empty": "",
    "null": "null",
    "list": "[]",
    "words": "block the network please, allowedDomains or not",
    "openapi": "openapi: 3.0.0\ncomponents: {schemas: {A: {properties: {block_network: {type: boolean}}}}}\n",
    "schema": '{"$defs": {"x": {"networkBlockAll": true}}}',
}


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_something_else_is_not_recognised(format: Format, name: str) -> None:
    assert not format.recognises(Input(name, OTHERS[name]))


OWN = {
    "e2b": '{"network": {"allowOut": []}}',
    "modal": "block_network: true\n",
    "daytona": "networkBlockAll: true\n",
    "harbor": '[environment]\nnetwork_mode = "public"\n',
    "opensandbox": '[runtime]\ntype = "docker"\nexecd_image = "x"\n',
    "openshell": "version: 1\nnetwork_policies: {a: {endpoints: [{host: b, port: 1}], binaries: [{path: /c}]}}\n",
    "sandbox-runtime": '{"network": {"allowedDomains": [], "deniedDomains": []}}',
    "inspect_k8s_sandbox": "services: {default: {image: a, dnsRecord: true}}\nallowDomains: []\n",
}


@pytest.mark.parametrize("name", OWN)
def test_each_file_is_recognised_by_one_format(name: str) -> None:
    assert [f.name for f in FORMATS if f.recognises(Input("f", OWN[name]))] == [name]


# ---- hostile input

WORDS = sorted(
    {
        *(
            "network",
            "allowOut",
            "denyOut",
            "allowInternetAccess",
            "block_network",
            "cidr_allowlist",
            "networkBlockAll",
        ),
        *("networkAllowList", "domainAllowList", "environment", "agent", "verifier", "network_mode", "allowed_hosts"),
        *(
            "steps",
            "runtime",
            "docker",
            "egress",
            "mode",
            "networkPolicy",
            "defaultAction",
            "action",
            "target",
            "volumes",
        ),
        *("host", "path", "image", "uri", "network_policies", "endpoints", "binaries", "ports", "port", "allowed_ips"),
        *("allowedDomains", "deniedDomains", "allowUnixSockets", "httpProxyPort", "services", "default", "networks"),
        *("allowDomains", "allowDomainsPorts", "allowCIDR", "allowEntities", "domain", "additionalResources", "kind"),
        *("spec", "networkIsolated", "securityContext", "privileged", "name", "version", "env", "task", "filesystem"),
    }
)
ODD = st.sampled_from(
    ["", "a", "*", "0.0.0.0/0", "999.1.1.1/99", "a:99999999", "[::1]:1", "public", "allowlist", "no-network", "true"]
)
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | ODD | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=14,
)


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
@settings(max_examples=50, deadline=None)
@given(value=st.dictionaries(st.sampled_from(WORDS), NESTED, max_size=5))
def test_no_document_breaks_a_reader(format: Format, value: dict[str, Any]) -> None:
    given = Input("f", json.dumps(value))
    format.recognises(given)
    try:
        launch = format.read([given], ReadOptions())
    except ScannerError as e:
        assert "f:" in str(e)  # noqa: PT017 - either way is right
        return
    judged(launch)


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
@settings(max_examples=30, deadline=None)
@given(text=st.text(st.sampled_from("[]{}:=,\"'#-\n \tab0*&!|>") | st.characters(), max_size=80))
def test_no_text_breaks_a_reader(format: Format, text: str) -> None:
    given = Input("f", text)
    format.recognises(given)
    try:
        format.read([given], ReadOptions())
    except ScannerError as e:
        assert str(e)  # noqa: PT017 - either way is right
