"""Policies of OpenSandbox, OpenShell and sandbox-runtime: what each enforcement lets out, with the line that says so."""

import json

import pytest

from scanner.errors import ParseError
from scanner.launch import opensandbox, openshell, sandbox_runtime
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Default
from scanner.model.egress import ALL_PORTS
from tests.launch.judging import allowed, judged, letters, read

# ---- OpenSandbox

HOST = '[runtime]\ntype = "docker"\nexecd_image = "e"\n'
BRIDGE = HOST + '[docker]\nnetwork_mode = "bridge"\n'
DNS = BRIDGE + '[egress]\nimage = "s"\nmode = "dns"\n'
NFT = BRIDGE + '[egress]\nimage = "s"\nmode = "dns+nft"\n'
NOWHERE = BRIDGE.replace("bridge", "none")


def request(policy: object = None, **more: object) -> str:
    base: dict[str, object] = {"image": {"uri": "python:3.12"}, "entrypoint": ["sh"], "resourceLimits": {}, **more}
    return json.dumps({**base, "networkPolicy": policy} if policy is not None else base, indent=1)


def rules(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"action": action, "target": target} for action, target in pairs]


DENY: dict[str, object] = {"defaultAction": "deny"}
ALLOW: dict[str, object] = {"defaultAction": "allow"}

# internet, private, metadata, host, engine, dns (which of a container hangs on the engine)
OPENSANDBOX: list[tuple[str, tuple[str, ...], str]] = [
    ("the host's network is the default", (HOST,), "ooooc"),
    ("the same with a request without a policy", (HOST, request()), "ooooc"),
    ("a bridge, and no sidecar without a policy", (NFT,), "ooooc"),
    ("a bridge, a request without a policy", (NFT, request()), "ooooc"),
    ("no network at all", (NOWHERE, request()), "cccccc"),
    ("a request alone: the default mode holds names only", (request(DENY),), "ooooco"[:5] + "c"),
    ("dns with a list", (DNS, request({**DENY, "egress": rules(("allow", "pypi.org"))})), "oooocl"),
    ("dns, allowed but for one name", (DNS, request({**ALLOW, "egress": rules(("deny", "a.example"))})), "ooooco"),
    ("dns+nft, nothing allowed", (NFT, request(DENY)), "cccccc"),
    ("dns+nft, a name", (NFT, request({**DENY, "egress": rules(("allow", "pypi.org"))})), "lccccl"),
    ("dns+nft, a wildcard", (NFT, request({**DENY, "egress": rules(("allow", "*.pypi.org"))})), "lccccl"),
    ("dns+nft, public addresses", (NFT, request({**DENY, "egress": rules(("allow", "1.1.1.0/24"))})), "lccccc"),
    ("dns+nft, private addresses", (NFT, request({**DENY, "egress": rules(("allow", "10.0.0.0/8"))})), "clclcc"),
    ("dns+nft, everything", (NFT, request({**DENY, "egress": rules(("allow", "0.0.0.0/0"))})), "ooolcc"),
    ("dns+nft, allowed by default", (NFT, request(ALLOW)), "ooooco"),
    ("dns+nft, all but private", (NFT, request({**ALLOW, "egress": rules(("deny", "10.0.0.0/8"))})), "olooco"),
    (
        "a denied address falls before an allowed one, wherever it stands",
        (NFT, request({**DENY, "egress": rules(("allow", "10.0.0.0/8"), ("deny", "10.0.0.0/8"))})),
        "cccccc",
    ),
    (
        "names count in order: denied before it is allowed",
        (NFT, request({**DENY, "egress": rules(("deny", "pypi.org"), ("allow", "pypi.org"))})),
        "cccccc",
    ),
    (
        "names count in order: allowed before it is denied",
        (NFT, request({**DENY, "egress": rules(("allow", "pypi.org"), ("deny", "*.org"))})),
        "lccccl",
    ),
    ("rules without a default deny the rest", (NFT, request({"egress": rules(("allow", "a.example"))})), "lccccl"),
    ("a policy that says nothing starts open", (NFT, request({})), "ooooco"),
    ("the sidecar's own form", (NFT, json.dumps({**DENY, "egress": rules(("allow", "a.example"))})), "lccccl"),
    ("what the server refuses shares the host's network", (HOST, request(DENY)), "ooooco"),
]


@pytest.mark.parametrize(("texts", "verdicts"), [c[1:] for c in OPENSANDBOX], ids=[c[0] for c in OPENSANDBOX])
def test_opensandbox(texts: tuple[str, ...], verdicts: str) -> None:
    (found,) = judged(read(opensandbox.FORMAT, *texts)).values()
    assert letters(found)[: len(verdicts)] == verdicts


def test_opensandbox_says_why_dns_holds_nothing_and_what_closes_it() -> None:
    from scanner.egress.assess import Asked, assess

    launch = read(opensandbox.FORMAT, DNS, request({**DENY, "egress": rules(("allow", "pypi.org"))}))
    egress, remarks, _ = assess(launch, Asked())

    (sandbox,) = egress.sandboxes
    assert [(r.kind, str(r.origin)) for _, r in remarks] == [("dns-only", "f0:8:8")]
    (step,) = sandbox.answer(egress_destination("internet")).paths[0].steps
    assert "an address needs no name" in step.why
    assert str(step.origin) == "f0:8:8"
    (cut,) = sandbox.cuts
    assert {a.title for a in cut.actions} == {
        'set [egress] mode = "dns+nft"',
        "take pypi.org off the list of sandbox",
    }
    assert cut.verified


def egress_destination(name: str):  # type: ignore[no-untyped-def]
    from scanner.model.egress import Destination

    return Destination(name)


def test_opensandbox_containers_have_what_the_server_gives_them() -> None:
    volumes = [{"name": "d", "host": {"path": "/var/run"}, "mountPath": "/r", "subPath": "docker.sock"}]
    launch = read(opensandbox.FORMAT, BRIDGE, request(volumes=volumes, env={"A": "b"}))

    (container,) = launch.containers
    assert container.image is not None
    assert (container.image.value, str(container.image.origin)) == ("python:3.12", "f1:3:10")
    assert "NET_ADMIN" in {c.value for c in container.confinement.cap_drop}
    assert {c.origin for c in container.confinement.cap_drop} == {Default("runner opensandbox")}
    assert [(m.source, m.target) for m in container.confinement.mounts] == [("/var/run/docker.sock", "/r")]
    assert [p.port for p in container.published] == [44772, 8080]
    assert judged(launch)["sandbox"]["engine"].verdict == "open"


def test_a_volume_takes_over_behind_a_list_as_well() -> None:
    volumes = [{"name": "d", "host": {"path": "/var/run/docker.sock"}, "mountPath": "/d"}]
    found = judged(read(opensandbox.FORMAT, NFT, request(DENY, volumes=volumes)))["sandbox"]

    assert letters(found) == "oooooo"
    assert letters(found, direct=True)[:4] == "cccc"


def test_opensandbox_on_kubernetes_is_a_pod_without_a_policy_and_a_list_with_one() -> None:
    config = '[runtime]\ntype = "kubernetes"\nexecd_image = "e"\n[kubernetes]\nnamespace = "boxes"\n'

    plain = read(opensandbox.FORMAT, config, request())
    assert plain.cluster is not None
    assert [(p.namespace, p.name) for p in plain.cluster.pods] == [("boxes", "sandbox")]
    assert judged(plain)["boxes/sandbox"]["internet"].verdict == "open"
    listed = read(opensandbox.FORMAT, config + '[egress]\nmode = "dns+nft"\n', request(DENY))
    assert letters(judged(listed)["sandbox"])[:3] == "ccc"


def test_an_external_network_is_unknown() -> None:
    launch = read(opensandbox.FORMAT, HOST + '[docker]\nnetwork_mode = "sandboxes"\n')

    assert [(n.key, n.external) for n in launch.networks] == [("sandboxes", True)]
    assert judged(launch)["sandbox"]["internet"].verdict == "unknown"


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        ((DNS.replace('"dns"', '"off"'), request(DENY)), "f0:8:8"),
        ((NFT, request({"defaultAction": "reject", "egress": []})), "f1:10:20"),
        ((NFT, request({**DENY, "egress": [{"action": "drop", "target": "a"}]})), "f1:12:4"),
        ((NFT, request({**DENY, "egress": [{"action": "allow"}]})), "f1:12:4"),
        ((NFT, request(volumes={"a": 1})), "f1:9:13"),
        ((HOST, HOST), "f1:1:1"),
        (("[runtime]\ntype = docker\nexecd_image = 'x'\n",), "f0:2:8"),
    ],
)
def test_broken_opensandbox_files_are_errors_with_their_place(texts: tuple[str, ...], place: str) -> None:
    inputs = [Input(f"f{n}", text) for n, text in enumerate(texts)]
    with pytest.raises(ParseError, match=f"^{place}"):
        opensandbox.FORMAT.read(inputs, ReadOptions())


# ---- OpenShell

POLICY = """version: 1
filesystem_policy:
  read_only: [/usr]
landlock: {compatibility: best_effort}
network_policies:
"""


def policy(*endpoints: str, binaries: str = "[{path: /usr/bin/curl}]") -> str:
    listed = "".join(f"      - {{{one}}}\n" for one in endpoints)
    return f"{POLICY}  a:\n    endpoints:\n{listed}    binaries: {binaries}\n"


OPENSHELL = [
    ("nothing is allowed", "version: 1\nprocess: {}\nlandlock: {}\n", "cccccc"),
    ("no rules", POLICY + "  {}\n", "cccccc"),
    ("a name and its port", policy("host: api.example.com, port: 443"), "lccccl"),
    ("inspected or not, the connection passes", policy("host: a.example, port: 443, protocol: rest, access: read-only"), "lccccl"),
    ("no binary, no rule", policy("host: a.example, port: 443", binaries="[]"), "cccccc"),
    ("a private network", policy("port: 5432, allowed_ips: [10.20.0.0/16]"), "clcccc"),
    ("metadata is refused whatever a rule says", policy("port: 80, allowed_ips: [169.254.169.254/32]"), "cccccc"),
    ("loopback is refused", policy("host: 127.0.0.1, port: 80"), "cccccc"),
    ("Alibaba's metadata is an address like others", policy("port: 80, allowed_ips: [100.100.100.200]"), "cclccc"),
    ("the gateway's host", policy("host: host.openshell.internal, port: 8080"), "clclcl"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "verdicts"), [c[1:] for c in OPENSHELL], ids=[c[0] for c in OPENSHELL])
def test_openshell(text: str, verdicts: str) -> None:
    found = judged(read(openshell.FORMAT, text))["sandbox"]

    assert letters(found) == verdicts
    assert letters(found, direct=True) == "cccccc"  # no plain socket gets past the proxy


def test_openshell_names_the_binaries_the_ports_and_the_line() -> None:
    launch = read(
        openshell.FORMAT, policy("host: API.example.com, ports: [443, 8443]", "host: '*.x.example', port: 22")
    )
    found = judged(launch)["sandbox"]

    assert allowed(found["internet"]) == {
        (("api.example.com",), "tcp", ((443, 443), (8443, 8443))),
        (("*.x.example",), "tcp", ((22, 22),)),
    }
    step = found["internet"].paths[0].steps[-1]
    assert step.needs == ("/usr/bin/curl",)
    assert str(step.origin) in ("f0:8:16", "f0:9:16")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (policy("port: 1"), "f:8:9"),
        (policy("host: a, port: 70000"), "f:8:25"),
        (policy("host: a, port: x"), "f:8:25"),
        (policy("host: a, port: 1", binaries="/usr/bin/curl"), "f:9:15"),
        (policy("host: a, port: 1", binaries="[{name: a}]"), "f:9:16"),
        (POLICY + "  a: {endpoints: {}, binaries: []}\n", "f:6:18"),
        ("version: 1\nnetwork_policies:\n  a: {endpoints: [}\n", "f:3:"),
    ],
)
def test_broken_openshell_policies_are_errors_with_their_place(text: str, place: str) -> None:
    given = Input("f", text)
    assert openshell.FORMAT.recognises(given)
    with pytest.raises(ParseError, match=f"^{place}"):
        openshell.FORMAT.read([given], ReadOptions())


# ---- sandbox-runtime


def srt(**network: object) -> str:
    return json.dumps({"network": {"allowedDomains": [], "deniedDomains": [], **network}, "filesystem": {}})


SRT = [
    ("nothing is allowed", srt(), "cccccc"),
    ("no network section", '{"filesystem": {"denyRead": [], "allowWrite": ["."]}}', "cccccc"),
    ("a name", srt(allowedDomains=["github.com"]), "lccccl"),
    ("denied comes first", srt(allowedDomains=["github.com"], deniedDomains=["github.com"]), "cccccc"),
    ("a wildcard denies what is under it", srt(allowedDomains=["a.x.org"], deniedDomains=["*.x.org"]), "cccccc"),
    ("not the name itself", srt(allowedDomains=["x.org"], deniedDomains=["*.x.org"]), "lccccl"),
    ("deny-all", srt(allowedDomains=["github.com"], deniedDomains=["*"]), "cccccc"),
    ("one port of all denied", srt(allowedDomains=["github.com"], deniedDomains=["*:22"]), "lccccl"),
    ("the only port denied", srt(allowedDomains=["github.com:22"], deniedDomains=["*:22"]), "cccccc"),
    ("an address", srt(allowedDomains=["10.1.2.3:80"]), "clcccc"),
    ("an address of IPv6", srt(allowedDomains=["[fd00::1]:80"]), "clcccc"),
    ("metadata by address", srt(allowedDomains=["169.254.169.254"]), "cclccc"),
    ("metadata by name", srt(allowedDomains=["metadata.google.internal"]), "cclccl"),
    ("the machine itself", srt(allowedDomains=["localhost:8080"]), "clclcl"),
    ("a proxy of one's own", srt(httpProxyPort=3128), "uuuccu"),
    ("every Unix socket", srt(allowAllUnixSockets=True), "uuuuuu"),
    ("the engine's socket, on macOS", srt(allowUnixSockets=["/var/run/docker.sock"]), "uuuuuu"),
    ("another socket", srt(allowUnixSockets=["/tmp/agent.sock"]), "cccccc"),
    ("local ports, on macOS", srt(allowLocalBinding=True), "cccucc"),
]


@pytest.mark.parametrize(("text", "verdicts"), [c[1:] for c in SRT], ids=[c[0] for c in SRT])
def test_sandbox_runtime(text: str, verdicts: str) -> None:
    found = judged(read(sandbox_runtime.FORMAT, text))["sandbox"]

    assert letters(found) == verdicts
    if "u" not in verdicts:
        assert letters(found, direct=True) == "cccccc"  # no plain socket gets past the proxies


def test_sandbox_runtime_lists_ports() -> None:
    text = srt(allowedDomains=["github.com", "*.npmjs.org:443"], deniedDomains=["*:22"])
    found = judged(read(sandbox_runtime.FORMAT, text))["sandbox"]

    assert allowed(found["internet"]) == {
        (("github.com",), "tcp", ((1, 21), (23, 442), (444, 65535))),
        (("*.npmjs.org", "github.com"), "tcp", ((443, 443),)),
    }
    assert ALL_PORTS not in {ports for _, _, ports in allowed(found["internet"])}


@pytest.mark.parametrize(("system", "engine"), [("macos", "open"), ("linux", "closed")])
def test_a_single_socket_is_opened_on_macos_alone(system: str, engine: str) -> None:
    launch = read(sandbox_runtime.FORMAT, srt(allowUnixSockets=["/var/run/docker.sock"]))

    assert judged(launch, [f"host.system={system}"])["sandbox"]["engine"].verdict == engine
    unknown = judged(launch)["sandbox"]["engine"]
    assert [m.key for m in unknown.missing] == ["host.system"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"network": {"allowedDomains": ["a.b", {}], "deniedDomains": []}}', "f:1:40"),
        ('{"network": {"allowedDomains": [], "deniedDomains": {}}}', "f:1:53"),
        ('{"network": {"allowedDomains": [], "allowLocalBinding": "x"}}', "f:1:57"),
        ('{"network": {"allowedDomains": [}', "f:1:33"),
    ],
)
def test_broken_settings_are_errors_with_their_place(text: str, place: str) -> None:
    given = Input("f", text)
    assert sandbox_runtime.FORMAT.recognises(given)
    with pytest.raises(ParseError, match=f"^{place}: "):
        sandbox_runtime.FORMAT.read([given], ReadOptions())
