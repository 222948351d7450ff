"""inspect_k8s_sandbox: Helm values and Compose files as the pods and policies that its chart makes of them."""

from pathlib import Path

import pytest

from scanner.errors import LimitError, ParseError
from scanner.launch import inspect_k8s
from scanner.launch.plugin import Input, ReadOptions
from scanner.launch.recognise import format_of
from scanner.launch.runners import apply
from scanner.model import Launch, Level, Place
from tests.launch.judging import allowed, judged, letters, read

SERVICES = "services:\n  default:\n    image: ubuntu\n    dnsRecord: true\n"

# internet, private, metadata, host, engine, dns
EGRESS = [
    ("nothing", "", "cccccc"),
    ("a domain", "allowDomains: [pypi.org]\n", "lccccl"),
    ("a wildcard", "allowDomains: ['*.debian.org']\n", "lccccl"),
    ("every domain is the world", "allowDomains: ['*']\n", "ooocco"),
    ("a public CIDR", "allowCIDR: [1.1.1.1/32]\n", "lccccc"),
    ("a private CIDR", "allowCIDR: [10.1.0.0/16]\n", "clcccc"),
    ("the world", "allowEntities: [world]\n", "ooocco"),
    ("ports mean nothing without domains", "allowDomainsPorts: [{port: 22}]\n", "cccccc"),
]


@pytest.mark.parametrize(("more", "verdicts"), [e[1:] for e in EGRESS], ids=[e[0] for e in EGRESS])
def test_what_the_values_let_out(more: str, verdicts: str) -> None:
    found = judged(read(inspect_k8s.FORMAT, SERVICES + more), ["cluster.dns=forwards"])
    assert {name: letters(one) for name, one in found.items()} == {"default/default": verdicts}


def test_domains_by_name_on_443_and_80_other_ports_by_address() -> None:
    more = """allowDomains:
  - pypi.org
  - github.com
allowDomainsPorts:
  - port: 22
    protocol: tcp
    domain: github.com
  - port: 9418
"""
    launch = read(inspect_k8s.FORMAT, SERVICES + more)

    assert launch.cluster is not None
    egress = launch.cluster.policies[0]
    told = {
        (rule.peers[0].fqdns[0], port.protocol, port.first, rule.server_names, rule.l7, rule.origin)
        for rule in egress.rules
        if rule.peers and rule.peers[0].fqdns
        for port in rule.ports or ()
    }
    both = ("pypi.org", "github.com")
    assert told == {
        ("pypi.org", "TCP", 443, both, False, Place("f0", 6, 5)),
        ("pypi.org", "TCP", 80, (), True, Place("f0", 6, 5)),
        ("github.com", "TCP", 443, both, False, Place("f0", 7, 5)),
        ("github.com", "TCP", 80, (), True, Place("f0", 7, 5)),
        ("github.com", "TCP", 22, (), False, Place("f0", 9, 5)),
        ("pypi.org", "ANY", 9418, (), False, Place("f0", 12, 5)),
    }
    found = judged(launch)["default/default"]
    assert any("github.com" in hosts and (22, 22) in ports for hosts, _, ports in allowed(found["internet"]))


NETWORKS = """services:
  default:
    image: ubuntu
    networks: [a]
  middle:
    image: nginx
    dnsRecord: true
    networks: [a, b]
  target:
    image: nginx
    networks: [b]
  apart:
    image: nginx
  off:
    image: nginx
    networkIsolated: true
networks:
  a:
  b:
"""


def siblings(launch: Launch) -> dict[str, set[str]]:
    found = judged(launch)
    return {
        name.removeprefix("default/"): {h.removeprefix("default/") for p in one["siblings"].allows for h in p.hosts}
        for name, one in found.items()
    }


def test_pods_meet_on_the_networks_that_they_share() -> None:
    assert siblings(read(inspect_k8s.FORMAT, NETWORKS)) == {
        "default": {"middle"},
        "middle": {"default", "target"},
        "target": {"middle"},
        "apart": set(),
        "off": set(),
    }


def test_without_networks_all_meet_but_what_is_isolated() -> None:
    text = SERVICES + "  web: {image: nginx}\n  off: {image: x, networkIsolated: true}\n"

    assert siblings(read(inspect_k8s.FORMAT, text)) == {"default": {"web"}, "web": {"default"}, "off": set()}


def test_ports_of_a_service_are_all_that_is_let_in_besides_echoes() -> None:
    text = SERVICES + "  web: {image: nginx, ports: [{port: 80, protocol: TCP}]}\n"

    found = judged(read(inspect_k8s.FORMAT, text))["default/default"]["siblings"]
    assert found.verdict == "limited"
    assert {(p.protocol, p.ports) for p in found.allows if p.protocol != "icmp"} == {("tcp", ((80, 80),))}


def test_a_pod_is_what_its_service_says() -> None:
    text = """services:
  default:
    image: ubuntu
    runtimeClassName: CLUSTER_DEFAULT
    command: [tail, -f, /dev/null]
    env: [{name: A, value: b}]
    securityContext: {privileged: true}
    volumes:
      - data:/data
      - name: root
        hostPath: {path: /}
    volumeMounts: [{name: root, mountPath: /host}]
volumes: {data: }
serviceAccountName: agent
automountServiceAccountToken: true
"""
    launch = read(inspect_k8s.FORMAT, text)

    assert launch.cluster is not None
    (pod,) = launch.cluster.pods
    (container,) = pod.containers
    held = container.confinement
    assert (pod.service_account, pod.token_mounted.value) != (None, False)
    assert held.runtime is None
    assert held.privileged is not None
    assert held.privileged.value
    assert {(m.source, m.target) for m in held.mounts if m.source == "/"} == {("/", "/host")}
    assert [said.value for said in container.entrypoint or ()] == ["tail", "-f", "/dev/null"]
    assert judged(launch)["default/default"]["engine"].verdict == "open"


def test_gvisor_is_the_default_and_the_charts_own_service_is_there() -> None:
    launch = read(inspect_k8s.FORMAT, "services:\n  web: {image: nginx, dnsRecord: true}\nallowCIDR: []\n")

    assert launch.cluster is not None
    assert [(p.name, p.containers[0].image.value if p.containers[0].image else None) for p in launch.cluster.pods] == [
        ("default", "python:3.12-bookworm"),
        ("web", "nginx"),
    ]
    runtimes = {p.containers[0].confinement.runtime for p in launch.cluster.pods}
    assert {str(r.origin) for r in runtimes if r} == {"default of runner inspect_k8s_sandbox"}
    assert {r.value for r in runtimes if r} == {"gvisor"}


def test_later_values_go_over_earlier_ones() -> None:
    first = SERVICES + "allowDomains: [pypi.org]\nallowCIDR: [10.0.0.0/8]\n"
    launch = read(inspect_k8s.FORMAT, first, "allowDomains: [github.com]\nallowCIDR:\n")

    found = judged(launch)["default/default"]
    assert letters(found)[:2] == "lc"
    assert {h for hosts, _, _ in allowed(found["internet"]) for h in hosts if "HTTP" not in h} == {"github.com"}


def test_policies_among_additional_resources_count() -> None:
    policy = """additionalResources:
  - apiVersion: cilium.io/v2
    kind: CiliumNetworkPolicy
    metadata: {name: more}
    spec:
      endpointSelector: {}
      egress: [{toCIDR: [10.9.0.0/16]}]
  - |
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: text}
    spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.8.0.0/16}}]}]}
  - {apiVersion: v1, kind: Secret, metadata: {name: s}}
"""
    launch = read(inspect_k8s.FORMAT, SERVICES + policy)

    assert launch.cluster is not None
    assert [(p.kind, p.name) for p in launch.cluster.policies][-2:] == [
        ("CiliumNetworkPolicy", "more"),
        ("NetworkPolicy", "text"),
    ]
    assert not launch.notifications


def test_a_template_among_additional_resources_is_told() -> None:
    launch = read(inspect_k8s.FORMAT, SERVICES + "additionalResources:\n  - 'kind: {{ .Values.x }}'\n")

    (note,) = launch.notifications
    assert note.level is Level.WARNING
    assert note.message.startswith("f0:6:5: ")


@pytest.mark.parametrize("key", ["workingDir: /w", "volumeMounts: []", "args: []", "env: []", "securityContext: {}"])
def test_a_key_of_a_pod_tells_values_from_a_compose_file(key: str) -> None:
    text = f"services:\n  default:\n    image: x\n    {key}\nvolumes: {{}}\n"
    assert format_of(Input("f", text)) is inspect_k8s.FORMAT


def test_without_policies_everything_is_open() -> None:
    found = judged(read(inspect_k8s.FORMAT, SERVICES + "networkPolicy: {enabled: false}\n"), ["cluster.dns=forwards"])
    assert {name: letters(one)[:3] for name, one in found.items()} == {"default/default": "ooo"}


def test_containers_beside_every_service_count() -> None:
    extra = "extraContainers:\n  - {name: relay, image: r, securityContext: {privileged: true}}\n"
    found = judged(read(inspect_k8s.FORMAT, SERVICES + extra))
    assert found["default/default"]["engine"].verdict.value != "closed"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (SERVICES + "networkPolicy: {enabled: false}\nallowDomains: [a.b]\n", "f:6:15"),
        (SERVICES + "networkPolicy: {enabled: false}\nnetworks: {a: {}}\n", "f:6:11"),
        (SERVICES + "networkPolicy: off\n", "f:5:16"),
        (SERVICES + "allowDomains: pypi.org\n", "f:5:15"),
        (SERVICES + "allowCIDR: [10.0.0.0/99]\n", "f:5:13"),
        (SERVICES + "allowDomains: [a.b]\nallowDomainsPorts: [{port: x y}]\n", "f:6:"),
        (SERVICES + "allowDomains: [a.b]\nallowDomainsPorts: [{domain: a.b}]\n", "f:6:21"),
        ("services:\n  web: {dnsRecord: true}\n", "f:2:3"),
        (SERVICES + "    networkIsolated: perhaps\n", "f:5:22"),
        (SERVICES + "    volumes: {a: b}\n", "f:5:14"),
        (SERVICES + "allowDomains: [\n", "f:6:1"),
    ],
)
def test_broken_values_are_errors_with_their_place(text: str, place: str) -> None:
    given = Input("f", text)
    assert inspect_k8s.FORMAT.recognises(given)
    with pytest.raises(ParseError, match=f"^{place}"):
        inspect_k8s.FORMAT.read([given], ReadOptions())


# ---- Compose files

COMPOSE = """services:
  agent:
    image: ubuntu
    cap_add: [NET_ADMIN]
  db:
    image: postgres
    network_mode: none
x-inspect_k8s_sandbox:
  allow_domains:
    - pypi.org
"""


def compose(folder: Path, text: str) -> Launch:
    from scanner.launch import compose as reader

    path = folder / "compose.yaml"
    path.write_text(text)
    return reader.FORMAT.read([Input(str(path), text, path)], ReadOptions())


def test_a_compose_project_is_full_of_internet_and_its_pods_are_not(tmp_path: Path) -> None:
    plain = compose(tmp_path, COMPOSE)
    pods = apply(plain, "inspect_k8s_sandbox")

    assert judged(plain)["agent"]["internet"].verdict == "open"
    found = judged(pods)
    assert {name: letters(one)[:3] for name, one in found.items()} == {"default/agent": "lcc", "default/db": "ccc"}
    assert {one["siblings"].verdict for one in found.values()} == {"closed"}
    assert (pods.format, pods.runner, pods.files) == ("inspect_k8s_sandbox", "inspect_k8s_sandbox", plain.files)
    assert pods.cluster is not None
    (rule, *_) = [r for r in pods.cluster.policies[0].rules if r.peers and r.peers[0].fqdns]
    assert isinstance(rule.origin, Place)
    assert rule.origin.line == 10
    assert [c.value for c in pods.cluster.pods[0].containers[0].confinement.cap_add] == ["NET_ADMIN"]


def test_networks_of_a_compose_project_keep_pods_apart(tmp_path: Path) -> None:
    text = """services:
  a: {image: x, networks: [left]}
  b: {image: x, networks: [left, right]}
  c: {image: x, networks: [right]}
networks:
  left: {internal: true}
  right: {internal: true}
"""
    assert siblings(apply(compose(tmp_path, text), "inspect_k8s_sandbox")) == {"a": {"b"}, "b": {"a", "c"}, "c": {"b"}}


def test_without_networks_all_services_meet(tmp_path: Path) -> None:
    text = "services:\n  a: {image: x}\n  b: {image: x}\nx-inspect_k8s_sandbox: {allow_entities: [world]}\n"
    pods = apply(compose(tmp_path, text), "inspect_k8s_sandbox")

    assert siblings(pods) == {"a": {"b"}, "b": {"a"}}
    assert judged(pods)["default/a"]["internet"].verdict == "open"


def test_a_text_that_is_too_long_is_not_taken_apart_to_see_what_it_is() -> None:
    long = SERVICES + "allowDomains:\n" + "  - a.example\n" * 150_000
    given = Input("f", long)
    assert inspect_k8s.FORMAT.recognises(given)
    assert "documents" not in vars(given)
    with pytest.raises(LimitError, match="f: longer than 2 MiB; no file of values is that long"):
        inspect_k8s.FORMAT.read([given], ReadOptions())
