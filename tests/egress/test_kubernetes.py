"""Truth tables for every clause of the policies: one agent, two siblings, a policy, and what it then reaches.

The world: `team/agent` is asked about; `team/db` is in its namespace (labelled `team: a`), `other/web` in one labelled
`env: prod`. A row is a policy and seven letters in the order of Destination (internet, private, metadata, host, engine,
dns, siblings): O open, L limited, C closed, U unknown, `.` not asked.
"""

import itertools
import time
from dataclasses import replace
from textwrap import dedent, indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.egress.assumptions import parse
from scanner.egress.edits import apply
from scanner.egress.kubernetes.graph import pod_graph
from scanner.egress.paths import answers
from scanner.egress.permits import simplify
from scanner.launch.kubernetes import FORMAT
from scanner.launch.plugin import Input, ReadOptions
from scanner.model.egress import Action, Answer, Destination, Graph, Mode, Permit, Verdict
from scanner.model.launch import Launch

LETTERS = {Verdict.OPEN: "O", Verdict.LIMITED: "L", Verdict.CLOSED: "C", Verdict.UNKNOWN: "U"}

NAMESPACES = """
apiVersion: v1
kind: Namespace
metadata: {name: team, labels: {team: a}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {env: prod}}
"""
AGENT = """
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: team, labels: {app: agent}}
spec:
  containers: [{name: main, image: agent}]
"""
DB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: team}
spec:
  replicas: 3
  template:
    metadata: {labels: {app: db, tier: back}}
    spec:
      containers:
        - name: main
          image: database
          ports:
            - {name: web, containerPort: 8080}
            - {name: admin, containerPort: 9090, protocol: TCP}
            - {name: gossip, containerPort: 7000, protocol: UDP}
"""
WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: other, labels: {app: web}}
spec:
  containers: [{name: main, image: pages, ports: [{name: web, containerPort: 80}]}]
"""


def policy(spec: str, kind: str = "NetworkPolicy", name: str = "p", namespace: str | None = "team") -> str:
    version = {
        "NetworkPolicy": "networking.k8s.io/v1",
        "AdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
        "BaselineAdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
        "ClusterNetworkPolicy": "policy.networking.k8s.io/v1alpha2",
        "CiliumNetworkPolicy": "cilium.io/v2",
        "CiliumClusterwideNetworkPolicy": "cilium.io/v2",
    }[kind]
    clusterwide = kind not in ("NetworkPolicy", "CiliumNetworkPolicy")
    where = "" if clusterwide or namespace is None else f", namespace: {namespace}"
    body = indent(dedent(spec).strip(), "  ")
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}{where}}}\nspec:\n{body}\n"


def launch_of(*documents: str) -> Launch:
    given = Input("manifests.yaml", "---\n".join(dedent(d) for d in documents))
    assert FORMAT.recognises(given)
    return FORMAT.read([given], ReadOptions())


def graph_of(launch: Launch, name: str = "team/agent", assume: tuple[str, ...] = ()) -> Graph:
    assert launch.cluster is not None
    pod = next(p for p in launch.cluster.pods if f"{p.namespace}/{p.name}" == name)
    return pod_graph(launch, pod, parse(assume))


def letters(found: tuple[Answer, ...], asked: str = "") -> str:
    said = "".join(LETTERS[a.verdict] for a in found)
    return "".join("." if a == "." else s for s, a in itertools.zip_longest(said, asked or said))


def reach(*policies: str, agent: str = AGENT, assume: tuple[str, ...] = ()) -> tuple[Answer, ...]:
    return answers(graph_of(launch_of(NAMESPACES, agent, DB, WEB, *policies), assume=assume))


def answer(found: tuple[Answer, ...], destination: str) -> Answer:
    return next(a for a in found if a.destination is Destination(destination))


def table(rows):
    return pytest.mark.parametrize(("spec", "expected"), [row[1:] for row in rows], ids=[row[0] for row in rows])


# ---- NetworkPolicy: whom it closes


@table(
    [
        ("no policy at all", None, "OOOOCOO"),
        ("deny all egress", "podSelector: {}\npolicyTypes: [Egress]", "CCCOCCC"),
        ("deny all egress, empty list", "podSelector: {}\npolicyTypes: [Egress]\negress: []", "CCCOCCC"),
        ("both types, no rules", "podSelector: {}\npolicyTypes: [Ingress, Egress]", "CCCOCCC"),
        ("type Ingress alone leaves egress open", "podSelector: {}\npolicyTypes: [Ingress]", "OOOOCOL"),
        ("type Ingress alone, egress rules are not looked at",
         "podSelector: {matchLabels: {app: agent}}\npolicyTypes: [Ingress]\negress: []", "OOOOCOO"),
        ("absent types without egress rules: Ingress only", "podSelector: {matchLabels: {app: agent}}", "OOOOCOO"),
        ("absent types with an empty egress: Ingress only", "podSelector: {matchLabels: {app: agent}}\negress: []", "OOOOCOO"),
        ("absent types with egress rules: Egress too",
         "podSelector: {}\negress: [{ports: [{port: 443}]}]\ningress: [{}]", "LLLOCCL"),
        ("an empty rule allows everything", "podSelector: {}\npolicyTypes: [Egress]\negress: [{}]", "OOOOCOO"),
        ("a selector that selects nobody here", "podSelector: {matchLabels: {app: none}}\npolicyTypes: [Egress]", "OOOOCOO"),
        ("a selector without podSelector selects all", "policyTypes: [Egress]", "CCCOCCC"),
        ("selected by an expression In",
         "podSelector: {matchExpressions: [{key: app, operator: In, values: [agent, x]}]}\npolicyTypes: [Egress]", "CCCOCCC"),
        ("not selected by NotIn",
         "podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [agent]}]}\npolicyTypes: [Egress]", "OOOOCOO"),
        ("NotIn holds for a label that is not there",
         "podSelector: {matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}\npolicyTypes: [Egress]", "CCCOCCC"),
        ("selected by Exists",
         "podSelector: {matchExpressions: [{key: app, operator: Exists}]}\npolicyTypes: [Egress]", "CCCOCCC"),
        ("not selected by DoesNotExist",
         "podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}\npolicyTypes: [Egress]", "OOOOCOO"),
        ("selected by DoesNotExist",
         "podSelector: {matchExpressions: [{key: zone, operator: DoesNotExist}]}\npolicyTypes: [Egress]", "CCCOCCC"),
        ("labels and expressions are anded",
         "podSelector: {matchLabels: {app: agent}, matchExpressions: [{key: zone, operator: Exists}]}\npolicyTypes: [Egress]",
         "OOOOCOO"),
    ]
)  # fmt: skip
def test_whom_a_network_policy_closes(spec, expected):
    found = reach(policy(spec)) if spec is not None else reach()
    assert letters(found, expected) == expected


def test_a_policy_of_another_namespace_closes_nobody_here():
    closed = policy("podSelector: {}\npolicyTypes: [Egress]", namespace="other")
    assert letters(reach(closed)) == "OOOOCOO"


def test_a_policy_without_namespace_is_in_default():
    closed = policy("podSelector: {}\npolicyTypes: [Egress]", namespace=None)
    assert letters(reach(closed)) == "OOOOCOO"


# ---- NetworkPolicy: what its rules allow


def egress(rules: str) -> str:
    return policy(f"podSelector: {{matchLabels: {{app: agent}}}}\npolicyTypes: [Egress]\negress: {rules}")


@table(
    [
        ("ports without `to`: any destination", "[{ports: [{port: 443}]}]", "LLLOCCL"),
        ("port 53 without `to`: to anywhere, and the resolver", "[{ports: [{port: 53, protocol: UDP}]}]", "LLLOCOL"),
        ("port 53 by TCP alone reaches the resolver too", "[{ports: [{port: 53}]}]", "LLLOCOL"),
        ("an empty `to` is any destination", "[{to: [], ports: [{port: 443}]}]", "LLLOCCL"),
        ("empty ports are all ports", "[{to: [], ports: []}]", "OOOOCOO"),
        ("all of TCP is not all", "[{ports: [{protocol: TCP}]}]", "LLLOCOL"),
        ("TCP and UDP are not all: policies tell SCTP apart", "[{ports: [{protocol: TCP}, {protocol: UDP}]}]", "LLLOCOL"),
        ("TCP, UDP and SCTP are all that counts", "[{ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]}]", "OOOOCOO"),
        ("SCTP alone", "[{ports: [{protocol: SCTP}]}]", "LLLOCCL"),
        ("a range of ports", "[{ports: [{port: 1, endPort: 65535}, {port: 1, endPort: 65535, protocol: UDP}, {protocol: SCTP}]}]", "OOOOCOO"),
        ("a range that leaves one port out", "[{ports: [{port: 1, endPort: 65534}, {protocol: UDP}]}]", "LLLOCOL"),
        ("a block of all addresses: pods may be in it", "[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "OOOOCUU"),
        ("a block of all IPv6 addresses", "[{to: [{ipBlock: {cidr: '::/0'}}]}]", "LLLOCUU"),
        ("two blocks that are all addresses", "[{to: [{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 128.0.0.0/1}}]}]", "OOOOCUU"),
        ("all but private networks, as it is usually written",
         "[{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16]}}]}]", "OLLOCUU"),
        ("all but private networks, 100.64.0.0/10 not forgotten",
         "[{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 100.64.0.0/10]}}]}]",
         "OCLOCCC"),
        ("one public address", "[{to: [{ipBlock: {cidr: 140.82.112.3/32}}], ports: [{port: 443}]}]", "LCCOCCC"),
        ("a private block", "[{to: [{ipBlock: {cidr: 10.1.0.0/16}}]}]", "CLCOCUU"),
        ("all private blocks",
         "[{to: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 172.16.0.0/12}}, {ipBlock: {cidr: 192.168.0.0/16}}, {ipBlock: {cidr: 100.64.0.0/10}}]}]",
         "COLOCUU"),
        ("the metadata address", "[{to: [{ipBlock: {cidr: 169.254.169.254/32}}]}]", "CCLOCCC"),
        ("an exception counts in its own block alone",
         "[{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}, {ipBlock: {cidr: 10.0.0.0/8}}]}]", "OOOOCUU"),
        ("a rule with a named port says nothing of addresses",
         "[{to: [{ipBlock: {cidr: 140.82.112.0/20}}], ports: [{port: web}]}]", "CCCOCCC"),
        ("a named port without `to`: where pods call something so", "[{ports: [{port: web}]}]", "CCCOCCL"),
        ("pods of the same namespace", "[{to: [{podSelector: {}}]}]", "CCCOCCL"),
        ("pods of all namespaces", "[{to: [{namespaceSelector: {}}]}]", "CCCOCOO"),
        ("an empty namespaceSelector with an empty podSelector", "[{to: [{namespaceSelector: {}, podSelector: {}}]}]", "CCCOCOO"),
        ("a pod by its label", "[{to: [{podSelector: {matchLabels: {app: db}}}]}]", "CCCOCCL"),
        ("a pod by its label is in the own namespace", "[{to: [{podSelector: {matchLabels: {app: web}}}]}]", "CCCOCCC"),
        ("a namespace by its label", "[{to: [{namespaceSelector: {matchLabels: {env: prod}}}]}]", "CCCOCCL"),
        ("a namespace by its own name", "[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}]}]", "CCCOCCL"),
        ("namespace and pod in one peer: both", "[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}, podSelector: {matchLabels: {app: db}}}]}]", "CCCOCCC"),
        ("namespace and pod in two peers: either", "[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}, {podSelector: {matchLabels: {app: db}}}]}]", "CCCOCCO"),
        ("namespaces by an expression", "[{to: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, other]}]}}]}]", "CCCOCCL"),
        ("two rules add up", "[{to: [{podSelector: {}}]}, {to: [{ipBlock: {cidr: 140.82.112.0/20}}]}]", "LCCOCCL"),
        ("a port of one sibling", "[{to: [{podSelector: {}}], ports: [{port: 5432}]}]", "CCCOCCL"),
        ("every port of all siblings by TCP and UDP alone", "[{to: [{namespaceSelector: {}}], ports: [{protocol: TCP}, {protocol: UDP}]}]", "CCCOCOL"),
        ("a named port by the wrong protocol", "[{to: [{podSelector: {}}], ports: [{port: web, protocol: UDP}]}]", "CCCOCCC"),
        ("a named port that nobody has", "[{to: [{namespaceSelector: {}}], ports: [{port: nothing}]}]", "CCCOCCC"),
    ]
)  # fmt: skip
def test_what_egress_rules_allow(spec, expected):
    assert letters(reach(egress(spec)), expected) == expected


def test_named_ports_are_each_pods_own():
    found = answer(reach(egress("[{to: [{namespaceSelector: {}}], ports: [{port: web}]}]")), "siblings")
    assert set(found.allows) == {
        Permit(("team/db",), "tcp", ((8080, 8080),)),
        Permit(("other/web",), "tcp", ((80, 80),)),
    }


def test_a_named_port_keeps_its_protocol():
    found = answer(reach(egress("[{to: [{podSelector: {}}], ports: [{port: gossip, protocol: UDP}]}]")), "siblings")
    assert found.allows == (Permit(("team/db",), "udp", ((7000, 7000),)),)


def test_limited_lists_exactly_what_is_allowed():
    rule = "[{to: [{ipBlock: {cidr: 140.82.112.0/20, except: [140.82.113.0/24]}}], ports: [{port: 443}, {port: 8000, endPort: 8010}]}]"
    found = answer(reach(egress(rule)), "internet")
    assert found.allows == (
        Permit(("140.82.112.0/20",), "tcp", ((443, 443), (8000, 8010)), excepts=("140.82.113.0/24",)),
    )


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (("[]", "[{to: [{podSelector: {}}]}]"), "CCCOCCL"),
        (("[{to: [{podSelector: {}}]}]", "[{to: [{ipBlock: {cidr: 1.1.1.1/32}}]}]"), "LCCOCCL"),
        (("[]", "[{}]"), "OOOOCOO"),
        (("[{ports: [{protocol: TCP}, {protocol: SCTP}]}]", "[{ports: [{protocol: UDP}]}]"), "OOOOCOO"),
        (("[]", "[]"), "CCCOCCC"),
    ],
)
def test_policies_add_up(policies, expected):
    documents = [egress(rules).replace("name: p,", f"name: p{n},") for n, rules in enumerate(policies)]
    assert letters(reach(*documents)) == expected
    assert letters(reach(*reversed(documents))) == expected


# ---- the other side


def ingress(spec: str, namespace: str = "team") -> str:
    return policy(spec, name="in", namespace=namespace)


@table(
    [
        ("a sibling that lets nobody in", "podSelector: {matchLabels: {app: db}}\npolicyTypes: [Ingress]", "L"),
        ("a sibling that is closed for egress alone is called", "podSelector: {matchLabels: {app: db}}\npolicyTypes: [Egress]", "O"),
        ("a sibling that lets the agent in",
         "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{podSelector: {matchLabels: {app: agent}}}]}]", "O"),
        ("a sibling that lets others in",
         "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]", "L"),
        ("a sibling that lets the agent in on one port",
         "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{podSelector: {}}], ports: [{port: web}]}]", "L"),
        ("a sibling that lets everybody in", "podSelector: {matchLabels: {app: db}}\ningress: [{}]", "O"),
        ("a sibling that lets the agent's namespace in",
         "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]", "O"),
        ("a sibling that lets another namespace in",
         "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{namespaceSelector: {matchLabels: {env: prod}}}]}]", "L"),
        ("a sibling that lets blocks in, which may hold pods",
         "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "U"),
        ("a sibling that lets public addresses in",
         "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{ipBlock: {cidr: 8.8.8.0/24}}]}]", "L"),
    ]
)  # fmt: skip
def test_what_siblings_let_in(spec, expected):
    assert LETTERS[answer(reach(ingress(spec)), "siblings").verdict] == expected


def test_siblings_are_reached_where_both_sides_agree():
    out = egress("[{to: [{namespaceSelector: {}}], ports: [{port: 8080}, {port: 9090}, {port: 22}]}]")
    into = ingress(
        "podSelector: {matchLabels: {app: db}}\ningress: [{ports: [{port: 8080}]}, {ports: [{port: admin}]}]"
    )
    found = answer(reach(out, into), "siblings")
    assert found.allows == simplify(
        [
            Permit(("team/db",), "tcp", ((8080, 8080), (9090, 9090))),
            Permit(("other/web",), "tcp", ((22, 22), (8080, 8080), (9090, 9090))),
        ]
    )


def test_a_policy_in_the_siblings_namespace_closes_it():
    found = reach(ingress("podSelector: {}\npolicyTypes: [Ingress]", namespace="other"))
    assert answer(found, "siblings").allows == (Permit(("team/db",)),)


def test_no_siblings_are_closed():
    assert letters(answers(graph_of(launch_of(AGENT)))) == "OOOOCOC"


# ---- what is assumed


@pytest.mark.parametrize(
    ("assume", "expected"),
    [
        ((), "CCCOCCC"),
        (("cni.enforces=true",), "CCCOCCC"),
        (("cni.enforces=false",), "OOOOCOO"),
    ],
)
def test_a_plugin_that_enforces_nothing_makes_policies_nothing(assume, expected):
    assert letters(reach(egress("[]"), assume=assume)) == expected


def test_that_policies_are_enforced_is_said():
    found = answer(reach(egress("[]")), "internet")
    assert any("cni.enforces" in barrier.why and barrier.origin is not None for barrier in found.because)
    sure = answer(reach(egress("[]"), assume=("cni.enforces=true",)), "internet")
    assert not any("cni.enforces" in barrier.why for barrier in sure.because)


@pytest.mark.parametrize(
    ("rules", "assume", "expected"),
    [
        ("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "cluster.pod-cidr=10.244.0.0/16", "OOOOCOO"),
        ("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "cluster.pod-cidr=unmatched", "OOOOCCC"),
        ("[{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]", "cluster.pod-cidr=10.244.0.0/16", "OLOOCCC"),
        ("[{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]", "cluster.pod-cidr=10.244.0.0/16", "CLCOCOO"),
        ("[{to: [{ipBlock: {cidr: 10.244.1.0/24}}]}]", "cluster.pod-cidr=10.244.0.0/16", "CLCOCUU"),
        ("[{to: [{ipBlock: {cidr: 192.168.0.0/16}}]}]", "cluster.pod-cidr=10.244.0.0/16,fd00:10::/64", "CLCOCCC"),
        ("[{to: [{namespaceSelector: {matchLabels: {name: kube-system}}}]}]", "namespace.kube-system=name=kube-system", "CCCOCOC"),
        ("[{to: [{namespaceSelector: {matchLabels: {name: kube-system}}}]}]", "namespace.kube-system=none", "CCCOCCC"),
        ("[{}]", "cluster.dns=internal", "OOOOCCO"),
        ("[{}]", "cluster.dns=forwards", "OOOOCOO"),
        ("[{to: [{ipBlock: {cidr: '::/0'}}]}]", "host.ipv6=false", "CCCOCUU"),
    ],
)  # fmt: skip
def test_assumptions_settle_what_is_unknown(rules, assume, expected):
    assert letters(reach(egress(rules), assume=(assume,))) == expected


@pytest.mark.parametrize(
    ("rules", "destination", "key"),
    [
        ("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "siblings", "cluster.pod-cidr"),
        ("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "dns", "cluster.pod-cidr"),
        ("[{to: [{namespaceSelector: {matchLabels: {name: kube-system}}}]}]", "dns", "namespace.kube-system"),
        ("[{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: dns}}}]}]", "dns", "cluster.dns"),
    ],
)
def test_unknown_names_the_fact_that_is_missing(rules, destination, key):
    found = answer(reach(egress(rules)), destination)
    assert found.verdict is Verdict.UNKNOWN
    assert key in {m.key for m in found.missing}


# ---- names

TO_DNS = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}"


@table(
    [
        ("to the resolver's pods", f"[{{to: [{{{TO_DNS}, podSelector: {{matchLabels: {{k8s-app: kube-dns}}}}}}], ports: [{{port: 53, protocol: UDP}}]}}]", "O"),
        ("to the resolver's pods by TCP", f"[{{to: [{{{TO_DNS}, podSelector: {{matchLabels: {{k8s-app: kube-dns}}}}}}], ports: [{{port: 53}}]}}]", "O"),
        ("to the resolver's namespace", f"[{{to: [{{{TO_DNS}}}], ports: [{{port: 53, protocol: UDP}}]}}]", "O"),
        ("to the resolver's pods, wrong port", f"[{{to: [{{{TO_DNS}}}], ports: [{{port: 5300, protocol: UDP}}]}}]", "C"),
        ("to all pods by the port that OpenShift's resolver has", "[{to: [{namespaceSelector: {}}], ports: [{port: 5353, protocol: UDP}]}]", "U"),
        ("to OpenShift's resolver", "[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: openshift-dns}}}], ports: [{port: 5353, protocol: UDP}]}]", "O"),
        ("to OpenShift's resolver by its label", "[{to: [{namespaceSelector: {}, podSelector: {matchLabels: {dns.operator.openshift.io/daemonset-dns: default}}}], ports: [{port: dns, protocol: UDP}]}]", "O"),
        ("to OpenShift's resolver by the service's port", "[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: openshift-dns}}}], ports: [{port: 53, protocol: UDP}]}]", "C"),
        ("to the resolver's pods, port by its name", f"[{{to: [{{{TO_DNS}}}], ports: [{{port: dns, protocol: UDP}}]}}]", "O"),
        ("to all namespaces", "[{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]", "O"),
        ("to pods of any namespace by the resolver's label", "[{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]}]", "O"),
        ("the resolver's label in the own namespace", "[{to: [{podSelector: {matchLabels: {k8s-app: kube-dns}}}]}]", "C"),
        ("another value of the resolver's label", f"[{{to: [{{{TO_DNS}, podSelector: {{matchLabels: {{k8s-app: coredns}}}}}}]}}]", "C"),
        ("a label of which nobody knows whether the resolver has it", f"[{{to: [{{{TO_DNS}, podSelector: {{matchLabels: {{app: coredns}}}}}}]}}]", "U"),
        ("a label of the namespace that only some clusters have", "[{to: [{namespaceSelector: {matchLabels: {name: kube-system}}}]}]", "U"),
        ("a block with port 53", "[{to: [{ipBlock: {cidr: 10.96.0.10/32}}], ports: [{port: 53, protocol: UDP}]}]", "U"),
        ("a public block with port 53", "[{to: [{ipBlock: {cidr: 8.8.8.8/32}}], ports: [{port: 53, protocol: UDP}]}]", "C"),
        ("a node-local cache's address", "[{to: [{ipBlock: {cidr: 169.254.20.10/32}}], ports: [{port: 53, protocol: UDP}]}]", "C"),
    ]
)  # fmt: skip
def test_names_leave_by_the_clusters_resolver(spec, expected):
    assert LETTERS[answer(reach(egress(spec)), "dns").verdict] == expected


RESOLVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  template:
    metadata: {labels: {k8s-app: kube-dns, app: coredns}}
    spec:
      containers: [{name: main, image: coredns, ports: [{name: dns, containerPort: 53, protocol: UDP}]}]
"""


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (f"[{{to: [{{{TO_DNS}, podSelector: {{matchLabels: {{app: coredns}}}}}}]}}]", "O"),
        (f"[{{to: [{{{TO_DNS}, podSelector: {{matchLabels: {{app: other}}}}}}]}}]", "C"),
        ("[]", "C"),
    ],
)
def test_the_resolvers_own_pods_are_known_if_they_are_among_the_files(rules, expected):
    assert LETTERS[answer(reach(egress(rules), RESOLVER), "dns").verdict] == expected


def test_a_resolver_that_lets_nobody_in_answers_nobody():
    shut = policy("podSelector: {}\npolicyTypes: [Ingress]", name="shut", namespace="kube-system")
    assert LETTERS[answer(reach(RESOLVER, shut), "dns").verdict] == "C"


def with_dns(lines: str) -> str:
    return AGENT.rstrip() + "\n" + indent(dedent(lines).strip(), "  ") + "\n"


@pytest.mark.parametrize(
    ("lines", "rules", "expected"),
    [
        ("dnsPolicy: None\ndnsConfig: {nameservers: [8.8.8.8]}", None, "O"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [8.8.8.8]}", "[]", "C"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [8.8.8.8]}", "[{to: [{ipBlock: {cidr: 8.8.8.8/32}}], ports: [{port: 53, protocol: UDP}]}]", "O"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [8.8.8.8]}", "[{to: [{ipBlock: {cidr: 8.8.4.4/32}}]}]", "C"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [8.8.8.8]}", "[{to: [{ipBlock: {cidr: 8.8.8.8/32}}], ports: [{port: 443}]}]", "C"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [1.1.1.1, 10.0.0.2]}", "[{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]", "O"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [10.96.0.10]}", "[{to: [{namespaceSelector: {}}]}]", "U"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [127.0.0.1]}", None, "U"),
        ("dnsPolicy: None\ndnsConfig: {nameservers: [127.0.0.1]}", "[]", "C"),
        ("dnsPolicy: None", None, "C"),
        ("dnsPolicy: Default", None, "O"),
        ("dnsPolicy: Default", "[]", "C"),
        ("dnsPolicy: Default", "[{ports: [{port: 53, protocol: UDP}]}]", "O"),
        ("dnsPolicy: Default", "[{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 53, protocol: UDP}]}]", "U"),
        ("dnsPolicy: Default", "[{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 443}]}]", "C"),
        ("dnsConfig: {nameservers: [8.8.8.8]}", "[{to: [{ipBlock: {cidr: 8.8.8.8/32}}]}]", "O"),
    ],
)  # fmt: skip
def test_names_leave_by_the_pods_own_nameservers(lines, rules, expected):
    policies = () if rules is None else (egress(rules),)
    assert LETTERS[answer(reach(*policies, agent=with_dns(lines)), "dns").verdict] == expected


# ---- the node's own network

ON_NODE = AGENT.rstrip() + "\n  hostNetwork: true\n"


@pytest.mark.parametrize(
    ("policies", "assume", "expected"),
    [
        ((), (), "OOOOCOO"),
        ((egress("[]"),), (), "UUUOCUU"),
        ((egress("[{ports: [{port: 443}]}]"),), (), "UUUOCUU"),
        ((egress("[{}]"),), (), "OOOOCOO"),
        ((egress("[]"),), ("cni.host-network=false",), "OOOOCOO"),
        ((egress("[]"),), ("cni.host-network=true",), "CCCOCCC"),
        ((egress("[]"),), ("cni.enforces=false",), "OOOOCOO"),
        ((policy("subject: {namespaces: {}}\npriority: 1\negress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]", "AdminNetworkPolicy"),), (), "OOOOCOO"),
        ((policy("endpointSelector: {}\negress: [{}]", "CiliumNetworkPolicy"),), (), "OOOOCOO"),
    ],
)  # fmt: skip
def test_whether_policies_hold_on_the_nodes_network_is_unknown(policies, assume, expected):
    found = reach(*policies, agent=ON_NODE, assume=assume)
    assert letters(found) == expected
    for one in found:
        assert one.verdict is not Verdict.UNKNOWN or "cni.host-network" in {m.key for m in one.missing}


def test_a_sibling_on_the_nodes_network_is_not_surely_selected():
    web = WEB.rstrip() + "\n  hostNetwork: true\n"
    only_web = egress("[{to: [{namespaceSelector: {matchLabels: {env: prod}}}]}]")
    launch = launch_of(NAMESPACES, AGENT, web, only_web)
    assert LETTERS[answer(answers(graph_of(launch)), "siblings").verdict] == "U"
    assert LETTERS[answer(answers(graph_of(launch, assume=("cni.host-network=true",))), "siblings").verdict] == "O"
    assert LETTERS[answer(answers(graph_of(launch, assume=("cni.host-network=false",))), "siblings").verdict] == "C"


# ---- above and below: AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy

EVERYONE = "[{namespaces: {}}, {networks: [0.0.0.0/0, '::/0']}]"


def admin(rules: str, priority: int = 10, subject: str = "{namespaces: {}}", name: str = "anp") -> str:
    return policy(f"priority: {priority}\nsubject: {subject}\negress: {rules}", "AdminNetworkPolicy", name)


def baseline(rules: str, subject: str = "{namespaces: {}}") -> str:
    spec = f"subject: {subject}\negress: {rules}"
    return policy(spec, "BaselineAdminNetworkPolicy", "default")


DENY = f"{{action: Deny, to: {EVERYONE}}}"
ALLOW = f"{{action: Allow, to: {EVERYONE}}}"
PASS = f"{{action: Pass, to: {EVERYONE}}}"
OUT = "to: [{networks: [0.0.0.0/0, '::/0']}]"
PODS = "to: [{namespaces: {}}]"


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        # the admin tier alone
        ((admin(f"[{DENY}]"),), "CCCOCCC"),
        ((admin(f"[{ALLOW}]"),), "OOOOCOO"),
        ((admin(f"[{PASS}]"),), "OOOOCOO"),
        ((admin("[]"),), "OOOOCOO"),
        ((admin(f"[{{action: Deny, {PODS}}}]"),), "OOOOCCC"),
        ((admin("[{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"),), "OLOOCUU"),
        ((admin("[{action: Deny, to: [{networks: [140.82.112.0/20]}]}]"),), "LOOOCOO"),
        ((admin("[{action: Deny, to: [{networks: [169.254.169.254/32]}]}]"),), "OOLOCOO"),
        ((admin(f"[{{action: Deny, {OUT}}}]"),), "CCCOCCC"),
        # ports
        ((admin(f"[{{action: Deny, {OUT}, ports: [{{portNumber: {{protocol: TCP, port: 22}}}}]}}]"),), "LLLOCOL"),
        ((admin(f"[{{action: Deny, {OUT}, ports: [{{portRange: {{protocol: UDP, start: 1, end: 65535}}}}]}}]"),), "LLLOCOL"),
        ((admin(f"[{{action: Deny, {PODS}, ports: [{{namedPort: web}}]}}]"),), "OOOOCOL"),
        # order: the first match wins
        ((admin(f"[{{action: Allow, to: [{{networks: [140.82.112.0/20]}}]}}, {DENY}]"),), "LCCOCCC"),
        ((admin(f"[{DENY}, {{action: Allow, to: [{{networks: [140.82.112.0/20]}}]}}]"),), "CCCOCCC"),
        ((admin(f"[{{action: Pass, {PODS}}}, {DENY}]"),), "CCCOCOO"),
        ((admin(f"[{DENY}, {PASS}]"),), "CCCOCCC"),
        # priorities: the lower number first
        ((admin(f"[{DENY}]", 5, name="a"), admin(f"[{ALLOW}]", 6, name="b")), "CCCOCCC"),
        ((admin(f"[{DENY}]", 6, name="a"), admin(f"[{ALLOW}]", 5, name="b")), "OOOOCOO"),
        ((admin(f"[{PASS}]", 5, name="a"), admin(f"[{DENY}]", 6, name="b")), "OOOOCOO"),
        # equal priorities: unknown where they disagree
        ((admin(f"[{DENY}]", 5, name="a"), admin(f"[{ALLOW}]", 5, name="b")), "UUUOCUU"),
        ((admin(f"[{DENY}]", 5, name="a"), admin(f"[{DENY}]", 5, name="b")), "CCCOCCC"),
        ((admin(f"[{ALLOW}]", 5, name="a"), admin(f"[{ALLOW}]", 5, name="b")), "OOOOCOO"),
        ((admin(f"[{{action: Deny, {PODS}}}]", 5, name="a"), admin("[{action: Allow, to: [{networks: [140.82.112.0/20]}]}]", 5, name="b")), "OOOOCCC"),
        # subjects
        ((admin(f"[{DENY}]", subject="{namespaces: {matchLabels: {env: prod}}}"),), "OOOOCOO"),
        ((admin(f"[{DENY}]", subject="{namespaces: {matchLabels: {team: a}}}"),), "CCCOCCC"),
        ((admin(f"[{DENY}]", subject="{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: agent}}}}"),), "CCCOCCC"),
        ((admin(f"[{DENY}]", subject="{pods: {namespaceSelector: {matchLabels: {env: prod}}, podSelector: {matchLabels: {app: agent}}}}"),), "OOOOCOO"),
        # with NetworkPolicy below it
        ((admin(f"[{ALLOW}]"), egress("[]")), "OOOOCOO"),
        ((admin(f"[{DENY}]"), egress("[{}]")), "CCCOCCC"),
        ((admin(f"[{PASS}, {DENY}]"), egress("[{to: [{podSelector: {}}]}]")), "CCCOCCL"),
        ((admin("[{action: Allow, to: [{networks: [140.82.112.0/20]}]}]"), egress("[]")), "LCCOCCC"),
        ((admin("[{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"), egress("[{ports: [{port: 443}]}]")), "LLLOCCU"),
        # the baseline
        ((baseline(f"[{DENY}]"),), "CCCOCCC"),
        ((baseline(f"[{ALLOW}]"),), "OOOOCOO"),
        ((baseline(f"[{{action: Deny, {PODS}}}]"),), "OOOOCCC"),
        ((baseline(f"[{DENY}]"), egress("[{}]")), "OOOOCOO"),
        ((baseline(f"[{ALLOW}]"), egress("[]")), "CCCOCCC"),
        ((baseline(f"[{DENY}]"), egress("[{to: [{podSelector: {}}]}]")), "CCCOCCL"),
        ((baseline(f"[{DENY}]"), admin(f"[{PASS}]")), "CCCOCCC"),
        ((baseline(f"[{DENY}]"), admin(f"[{ALLOW}]")), "OOOOCOO"),
        ((baseline(f"[{{action: Allow, to: [{{networks: [140.82.112.0/20]}}]}}, {DENY}]"),), "LCCOCCC"),
        ((baseline(f"[{DENY}]"), admin(f"[{PASS}]"), egress("[{to: [{podSelector: {}}]}]")), "CCCOCCL"),
        ((baseline(f"[{DENY}]"), policy("podSelector: {}\npolicyTypes: [Ingress]")), "CCCOCCC"),
        # peers that are no addresses
        ((baseline(f"[{{action: Allow, to: [{{nodes: {{}}}}]}}, {DENY}]"),), "CLCOCCC"),
        ((baseline(f"[{{action: Allow, to: [{{nodes: {{matchLabels: {{pool: a}}}}}}]}}, {DENY}]"),), "CUCOCCC"),
        ((baseline(f"[{{action: Allow, to: [{{domainNames: ['*.example.com']}}]}}, {DENY}]"),), "LCCOCCC"),
    ],
)  # fmt: skip
def test_policies_above_and_below(policies, expected):
    found = reach(*policies)
    assert letters(found) == expected
    assert letters(reach(*reversed(policies))) == expected


def test_equal_priorities_are_named():
    found = answer(reach(admin(f"[{DENY}]", 5, name="a"), admin(f"[{ALLOW}]", 5, name="b")), "internet")
    [missing] = found.missing
    assert missing.key == "policy.priority"
    assert "a, b" in missing.why


def test_admin_ingress_of_siblings():
    def into(action: str, priority: int) -> str:
        spec = f"priority: {priority}\nsubject: {{pods: {{namespaceSelector: {{}}, podSelector: {{matchLabels: {{app: db}}}}}}}}\n"
        spec += f"ingress: [{{action: {action}, from: [{{namespaces: {{matchLabels: {{team: a}}}}}}]}}]"
        return policy(spec, "AdminNetworkPolicy", f"in{priority}")

    shut = ingress("podSelector: {matchLabels: {app: db}}\npolicyTypes: [Ingress]")
    assert LETTERS[answer(reach(into("Deny", 1)), "siblings").verdict] == "L"
    assert LETTERS[answer(reach(into("Allow", 1), shut), "siblings").verdict] == "O"
    assert LETTERS[answer(reach(into("Pass", 1), into("Deny", 2)), "siblings").verdict] == "O"
    assert LETTERS[answer(reach(into("Deny", 1), into("Allow", 2)), "siblings").verdict] == "L"
    assert LETTERS[answer(reach(into("Pass", 1), shut), "siblings").verdict] == "L"


def cluster(tier: str, rules: str, priority: int = 10, name: str = "cnp") -> str:
    spec = f"tier: {tier}\npriority: {priority}\nsubject: {{namespaces: {{}}}}\negress: {rules}"
    return policy(spec, "ClusterNetworkPolicy", name)


ACCEPT = ALLOW.replace("Allow", "Accept")


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ((cluster("Admin", f"[{DENY}]"),), "CCCOCCC"),
        ((cluster("Admin", f"[{ACCEPT}]"), egress("[]")), "OOOOCOO"),
        ((cluster("Admin", f"[{PASS}]"), egress("[]")), "CCCOCCC"),
        ((cluster("Baseline", f"[{DENY}]"), egress("[{}]")), "OOOOCOO"),
        ((cluster("Baseline", f"[{DENY}]"),), "CCCOCCC"),
        ((cluster("Baseline", f"[{PASS}]", 1, "a"), cluster("Baseline", f"[{DENY}]", 2, "b")), "OOOOCOO"),
        ((cluster("Baseline", f"[{ACCEPT}]", 1, "a"), cluster("Baseline", f"[{DENY}]", 2, "b")), "OOOOCOO"),
        ((cluster("Admin", f"[{{action: Deny, {OUT}, protocols: [{{tcp: {{destinationPort: {{number: 22}}}}}}]}}]"),), "LLLOCOL"),
        ((cluster("Admin", f"[{{action: Deny, {OUT}, protocols: [{{udp: {{destinationPort: {{range: {{start: 1, end: 65535}}}}}}}}]}}]"),), "LLLOCOL"),
        ((cluster("Admin", f"[{{action: Deny, {PODS}, protocols: [{{destinationNamedPort: web}}]}}]"),), "OOOOCOL"),
        ((cluster("Admin", "[{action: Accept, to: [{domainNames: [api.example.com]}]}, " + DENY + "]"),), "LCCOCCC"),
    ],
)  # fmt: skip
def test_cluster_network_policies(policies, expected):
    assert letters(reach(*policies)) == expected


# ---- Cilium


def cilium(spec: str, kind: str = "CiliumNetworkPolicy", name: str = "c") -> str:
    return policy(f"endpointSelector: {{matchLabels: {{app: agent}}}}\n{spec}", kind, name)


KUBE_DNS = "{matchLabels: {'k8s:io.kubernetes.pod.namespace': kube-system, 'k8s:k8s-app': kube-dns}}"


@table(
    [
        ("an empty rule closes all", "egress: [{}]", "CCCCCCC"),
        ("an empty list closes nothing", "egress: []", "OOOOCOO"),
        ("ingress rules leave egress", "ingress: [{}]", "OOOOCOO"),
        ("the world", "egress: [{toEntities: [world]}]", "OOOCCCC"),
        ("the cluster", "egress: [{toEntities: [cluster]}]", "CLCOCOO"),
        ("the host", "egress: [{toEntities: [host]}]", "CCCOCCC"),
        ("other nodes", "egress: [{toEntities: [remote-node]}]", "CLCCCCC"),
        ("the API server", "egress: [{toEntities: [kube-apiserver]}]", "CLCCCCC"),
        ("everything", "egress: [{toEntities: [all]}]", "OOOOCOO"),
        ("nothing", "egress: [{toEntities: [none]}]", "CCCCCCC"),
        ("the world on a port", "egress: [{toEntities: [world], toPorts: [{ports: [{port: '443', protocol: TCP}]}]}]", "LLLCCCC"),
        ("ports alone: everywhere", "egress: [{toPorts: [{ports: [{port: '443'}]}]}]", "LLLLCCL"),
        ("a range of ports", "egress: [{toEntities: [world], toPorts: [{ports: [{port: '1', endPort: 65535, protocol: ANY}]}]}]", "OOOCCCC"),
        ("port 0 is all ports", "egress: [{toEntities: [world], toPorts: [{ports: [{port: '0', protocol: ANY}]}]}]", "OOOCCCC"),
        ("a CIDR: never pods", "egress: [{toCIDR: [0.0.0.0/0]}]", "OOOCCCC"),
        ("a CIDR set with an exception", "egress: [{toCIDRSet: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}]}]", "OLOCCCC"),
        ("a group of CIDRs that is not among the files", "egress: [{toCIDRSet: [{cidrGroupRef: g}]}]", "UUUCCCC"),
        ("a cloud's group", "egress: [{toGroups: [{aws: {securityGroupsIds: [sg-1]}}]}]", "UUUCCCC"),
        ("names", "egress: [{toFQDNs: [{matchName: api.example.com}]}]", "LCCCCCC"),
        ("a pattern of names", "egress: [{toFQDNs: [{matchPattern: '*.example.com'}], toPorts: [{ports: [{port: '443'}]}]}]", "LCCCCCC"),
        ("endpoints of the own namespace", "egress: [{toEndpoints: [{}]}]", "CCCCCCL"),
        ("endpoints by label", "egress: [{toEndpoints: [{matchLabels: {'k8s:app': db}}]}]", "CCCCCCL"),
        ("endpoints of another namespace", "egress: [{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': other}}]}]", "CCCCCCL"),
        ("endpoints of a namespace by its label", "egress: [{toEndpoints: [{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.env': prod, app: web}}]}]", "CCCCCCL"),
        ("endpoints of every namespace", "egress: [{toEndpoints: [{matchExpressions: [{key: 'k8s:io.kubernetes.pod.namespace', operator: Exists}]}]}]", "CCCCCOO"),
        ("endpoints that are nobody", "egress: [{toEndpoints: []}]", "CCCCCCC"),
        ("a reserved label is an entity", "egress: [{toEndpoints: [{matchLabels: {'reserved:host': ''}}]}]", "CCCOCCC"),
        ("the resolver", f"egress: [{{toEndpoints: [{KUBE_DNS}], toPorts: [{{ports: [{{port: '53', protocol: ANY}}]}}]}}]", "CCCCCOC"),
        ("the resolver, all names", f"egress: [{{toEndpoints: [{KUBE_DNS}], toPorts: [{{ports: [{{port: '53', protocol: ANY}}], rules: {{dns: [{{matchPattern: '*'}}]}}}}]}}]", "CCCCCOC"),
        ("the resolver, some names", f"egress: [{{toEndpoints: [{KUBE_DNS}], toPorts: [{{ports: [{{port: '53', protocol: ANY}}], rules: {{dns: [{{matchPattern: '*.example.com'}}]}}}}]}}]", "CCCCCLC"),
        ("the resolver, names of the cluster alone", f"egress: [{{toEndpoints: [{KUBE_DNS}], toPorts: [{{ports: [{{port: '53', protocol: ANY}}], rules: {{dns: [{{matchPattern: '*.cluster.local'}}]}}}}]}}]", "CCCCCCC"),
        ("HTTP rules limit what passes", "egress: [{toEntities: [world], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}]", "LLLCCCC"),
        ("names of servers limit what passes", "egress: [{toEntities: [world], toPorts: [{ports: [{port: '443', protocol: TCP}], serverNames: [api.example.com]}]}]", "L..CCCC"),
        ("ICMP alone", "egress: [{toEntities: [world], icmps: [{fields: [{type: 8, family: IPv4}]}]}]", "LLLCCCC"),
        ("a denial closes the rest too", "egressDeny: [{toEntities: [world]}]", "CCCCCCC"),
        ("a denial beats what is allowed", "egress: [{toEntities: [all]}]\negressDeny: [{toEntities: [world]}]", "CLCOCOO"),
        ("a denial of a part", "egress: [{toEntities: [all]}]\negressDeny: [{toCIDR: [10.0.0.0/8]}]", "OLOOCOO"),
        ("a denial of a port", "egress: [{toEntities: [all]}]\negressDeny: [{toEntities: [world], toPorts: [{ports: [{port: '22', protocol: TCP}]}]}]", "LLLOCOO"),
        ("a denial alone, default deny switched off", "egressDeny: [{toEntities: [world]}]\nenableDefaultDeny: {egress: false, ingress: false}", "CCCOCOO"),
        ("default deny switched off", "egress: [{toEntities: [host]}]\nenableDefaultDeny: {egress: false}", "OOOOCOO"),
        ("default deny switched on without rules", "ingress: [{}]\nenableDefaultDeny: {egress: true}", "CCCCCCC"),
        ("a service that is not among the files", "egress: [{toServices: [{k8sService: {serviceName: x, namespace: team}}]}]", "UUUUCUU"),
        ("nodes by label", "egress: [{toNodes: [{matchLabels: {pool: a}}]}]", "CUCCCCC"),
        ("a peer that is not understood", "egress: [{toSomething: [{}]}]", "UUUUCUU"),
    ]
)  # fmt: skip
def test_cilium_policies(spec, expected):
    assert letters(reach(cilium(spec)), expected) == expected


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ((cilium("egress: [{}]"), egress("[{ports: [{port: 443}]}]")), "LLLLCCL"),
        ((cilium("egress: [{toEntities: [host]}]"), egress("[]")), "CCCOCCC"),
        ((cilium("egressDeny: [{toEntities: [world]}]"), egress("[{}]")), "CLCOCOO"),
        ((cilium("egress: [{toFQDNs: [{matchName: a.example.com}]}]"), cilium("egress: [{toEndpoints: [{}]}]", name="d")), "LCCCCCL"),
        ((cilium("egress: [{}]", "CiliumClusterwideNetworkPolicy"),), "CCCCCCC"),
        ((cilium("egress: [{toEndpoints: [{}]}]", "CiliumClusterwideNetworkPolicy"),), "CCCCCOO"),
        ((policy("nodeSelector: {}\negress: [{}]", "CiliumClusterwideNetworkPolicy"),), "OOOOCOO"),
        ((policy("endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': team}}\negress: [{}]", "CiliumClusterwideNetworkPolicy"),), "CCCCCCC"),
        ((policy("endpointSelector: {matchLabels: {'io.cilium.k8s.policy.serviceaccount': default}}\negress: [{}]", "CiliumNetworkPolicy"),), "CCCCCCC"),
        ((policy("endpointSelector: {matchLabels: {'io.cilium.k8s.policy.serviceaccount': robot}}\negress: [{}]", "CiliumNetworkPolicy"),), "OOOOCOO"),
    ],
)  # fmt: skip
def test_ciliums_policies_add_up_with_the_others(policies, expected):
    assert letters(reach(*policies)) == expected
    assert letters(reach(*reversed(policies))) == expected


def test_several_specs_in_one_object():
    both = """
        apiVersion: cilium.io/v2
        kind: CiliumNetworkPolicy
        metadata: {name: two, namespace: team}
        specs:
          - endpointSelector: {matchLabels: {app: agent}}
            egress: [{toEntities: [host]}]
          - endpointSelector: {matchLabels: {app: agent}}
            egress: [{toCIDR: [1.1.1.1/32]}]
    """
    assert letters(reach(both)) == "LCCOCCC"


def test_a_service_that_is_among_the_files():
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: store, namespace: team}\nspec: {selector: {app: db}, ports: [{port: 80}]}\n"
    found = reach(service, cilium("egress: [{toServices: [{k8sService: {serviceName: store}}]}]"))
    assert letters(found) == "CCCCCCL"
    assert answer(found, "siblings").allows == (Permit(("team/db",)),)


def test_a_group_of_cidrs_that_is_among_the_files():
    group = (
        "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: g}\nspec: {externalCIDRs: [1.1.1.0/24]}\n"
    )
    found = reach(group, cilium("egress: [{toCIDRSet: [{cidrGroupRef: g}]}]"))
    assert letters(found) == "LCCCCCC"
    assert answer(found, "internet").allows == (Permit(("1.1.1.0/24",)),)


def test_a_group_of_cidrs_that_is_assumed():
    found = reach(cilium("egress: [{toCIDRSet: [{cidrGroupRef: g}]}]"), assume=("cidrgroup.g=10.0.0.0/8,1.1.1.0/24",))
    assert letters(found) == "LLCCCCC"


def test_ciliums_ingress_of_siblings():
    def into(spec: str) -> str:
        return policy(f"endpointSelector: {{matchLabels: {{app: db}}}}\n{spec}", "CiliumNetworkPolicy", "in")

    for spec, expected in (
        ("ingress: [{}]", "L"),
        ("ingress: [{fromEndpoints: [{matchLabels: {app: agent}}]}]", "O"),
        ("ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]", "L"),
        ("ingress: [{fromEntities: [cluster]}]", "O"),
        ("ingress: [{fromEntities: [world]}]", "L"),
        ("ingressDeny: [{fromEndpoints: [{matchLabels: {app: agent}}]}]\nenableDefaultDeny: {ingress: false}", "L"),
    ):
        assert LETTERS[answer(reach(into(spec)), "siblings").verdict] == expected, spec


# ---- what other groups' policies decide is not known


@pytest.mark.parametrize(
    "manifest",
    [
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: c, namespace: team}\nspec: {egress: [{action: Allow}]}",
        "apiVersion: crd.projectcalico.org/v1\nkind: GlobalNetworkPolicy\nmetadata: {name: c}\nspec: {types: [Egress]}",
        "apiVersion: crd.antrea.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\nspec: {}",
    ],
)
def test_policies_that_are_not_read_leave_nothing_certain(manifest):
    assert letters(reach(manifest + "\n"), "UUU.CUU") == "UUU.CUU"
    assert letters(reach(manifest + "\n", egress("[]")), "UUU.CUU") == "UUU.CUU", "what is closed may be opened by them"


# ---- agent-sandbox

TEMPLATE = """
apiVersion: extensions.agents.x-k8s.io/v1alpha1
kind: SandboxTemplate
metadata: {{name: python, namespace: team}}
spec:
  {policy}
  podTemplate:
    metadata: {{labels: {{app: agent}}}}
    spec:
      containers: [{{name: main, image: agent}}]
"""
CLAIM = """
apiVersion: extensions.agents.x-k8s.io/v1alpha1
kind: SandboxClaim
metadata: {name: job, namespace: team}
spec:
  sandboxTemplateRef: {name: python}
"""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("networkPolicyManagement: Managed", "OLLOCOU"),
        ("", "OLLOCOU"),
        ("networkPolicyManagement: Unmanaged", "OOOOCOO"),
        ("networkPolicyManagement: Unmanaged\n  networkPolicy: {egress: []}", "OOOOCOO"),
        ("networkPolicy: {}", "CCCOCCC"),
        ("networkPolicy: {egress: [{to: [{podSelector: {}}]}]}", "CCCOCCO"),
        ("networkPolicy: {egress: [{ports: [{port: 53, protocol: UDP}]}]}", "LLLOCOL"),
    ],
)
def test_a_claims_policy_is_its_templates(lines, expected):
    launch = launch_of(NAMESPACES, TEMPLATE.format(policy=lines), CLAIM, DB)
    assert letters(answers(graph_of(launch, "team/job"))) == expected


def test_a_bare_sandbox_has_no_policy():
    sandbox = """
        apiVersion: agents.x-k8s.io/v1alpha1
        kind: Sandbox
        metadata: {name: bare, namespace: team}
        spec:
          podTemplate:
            metadata: {labels: {app: agent}}
            spec: {containers: [{name: main, image: agent}]}
    """
    launch = launch_of(NAMESPACES, TEMPLATE.format(policy="networkPolicy: {}"), CLAIM, sandbox)
    assert letters(answers(graph_of(launch, "team/bare"))) == "OOOOCOC", "the claim's pod lets nobody in"
    assert letters(answers(graph_of(launch, "team/job"))) == "CCCOCCC"


def test_a_claim_without_its_template_is_unknown():
    found = answers(graph_of(launch_of(NAMESPACES, CLAIM, DB), "team/job"))
    assert letters(found) == "UUUUCUU"
    assert {m.key for m in answer(found, "internet").missing} == {"file"}


def test_a_templates_policy_is_the_claims_pools_and_sandboxes():
    pool = "apiVersion: extensions.agents.x-k8s.io/v1alpha1\nkind: SandboxWarmPool\nmetadata: {name: warm, namespace: team}\nspec: {replicas: 5, sandboxTemplateRef: {name: python}}\n"
    claim = CLAIM.replace("sandboxTemplateRef: {name: python}", "warmPoolRef: {name: warm}")
    launch = launch_of(NAMESPACES, TEMPLATE.format(policy="networkPolicy: {}"), pool, claim)
    assert letters(answers(graph_of(launch, "team/warm"))) == "CCCOCCC"
    assert letters(answers(graph_of(launch, "team/job"))) == "CCCOCCC"


# ---- rights on the node


def agent_with(lines: str, container: str = "") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: agent, namespace: team, labels: {{app: agent}}}}
spec:
  containers:
    - name: main
      image: agent
{indent(dedent(container).strip(), "      ")}
{indent(dedent(lines).strip(), "  ")}
"""


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (agent_with("", "securityContext: {privileged: true}"), "OOOOOOO"),
        (agent_with("volumes: [{name: v, hostPath: {path: /}}]", "volumeMounts: [{name: v, mountPath: /host}]"), "OOOOOOO"),
        (agent_with("volumes: [{name: v, hostPath: {path: /var/run/docker.sock}}]", "volumeMounts: [{name: v, mountPath: /var/run/docker.sock}]"), "OOOOOOO"),
        (agent_with("volumes: [{name: v, hostPath: {path: /run/containerd/containerd.sock}}]", "volumeMounts: [{name: v, mountPath: /c.sock, readOnly: true}]"), "OOOOOOO"),
        (agent_with("volumes: [{name: v, emptyDir: {}}]", "volumeMounts: [{name: v, mountPath: /work}]"), "CCCOCCC"),
        (agent_with("volumes: [{name: v, hostPath: {path: /srv/data}}]", "volumeMounts: [{name: v, mountPath: /data}]"), "CCCOCCC"),
        (agent_with("", "securityContext: {privileged: false}"), "CCCOCCC"),
        (agent_with("", "securityContext: {capabilities: {add: [SYS_MODULE]}}"), "OOOOOOO"),
        (agent_with("initContainers: [{name: setup, image: x, securityContext: {privileged: true}}]"), "CCCOCCC"),
        (agent_with("initContainers: [{name: side, image: x, restartPolicy: Always, securityContext: {privileged: true}}]"), "OOOOOOO"),
    ],
)  # fmt: skip
def test_rights_on_the_node_open_what_policies_close(agent, expected):
    found = reach(egress("[]"), agent=agent)
    assert letters(found) == expected
    direct = "".join(LETTERS[a.direct] for a in found)
    assert direct in ("CCCOCCC", "CCCOOCC"), "by plain sockets only an engine's socket is more"
    assert (direct[4] == "O") is any(e.kind == "engine-socket" for e in graph_of(launch_of(agent)).edges)


def test_a_runtime_with_a_kernel_of_its_own_is_asked_for():
    agent = agent_with("runtimeClassName: gvisor", "securityContext: {privileged: true}")
    assert letters(reach(egress("[]"), agent=agent)) == "UUUOUUU"
    assert letters(reach(egress("[]"), agent=agent, assume=("runtime.gvisor=isolates",))) == "CCCOCCC"


def test_the_accounts_token_is_a_credential():
    graph = graph_of(launch_of(AGENT))
    assert any(e.kind == "token" and e.target == "credential:service-account" for e in graph.edges)
    without = graph_of(launch_of(AGENT.rstrip() + "\n  automountServiceAccountToken: false\n"))
    assert not any(e.kind == "token" for e in without.edges)
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: team}\nautomountServiceAccountToken: false\n"
    assert not any(e.kind == "token" for e in graph_of(launch_of(AGENT, account)).edges)


# ---- siblings that forward


def proxy(image: str, extra: str = "") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: proxy, namespace: team, labels: {{app: proxy}}}}
spec:
  containers:
    - name: main
      image: {image}
{indent(dedent(extra).strip(), "      ")}
"""


TO_PROXY = egress("[{to: [{podSelector: {matchLabels: {app: proxy}}}], ports: [{port: 3128}]}]")


def test_a_proxy_passes_on_what_its_own_policies_let_it():
    squid = proxy("ubuntu/squid:6.6", 'command: ["socat", "TCP-LISTEN:3128,fork", "TCP:140.82.112.3:443"]')
    launch = launch_of(NAMESPACES, AGENT, squid, TO_PROXY)
    found = answers(graph_of(launch))
    internet = answer(found, "internet")
    assert (internet.verdict, internet.direct) == (Verdict.LIMITED, Verdict.CLOSED)
    assert [p.mode for p in internet.paths] == [Mode.MEDIATED]
    shut = policy("podSelector: {matchLabels: {app: proxy}}\npolicyTypes: [Egress]", name="shut")
    closed = answers(graph_of(launch_of(NAMESPACES, AGENT, squid, TO_PROXY, shut)))
    assert answer(closed, "internet").verdict is Verdict.CLOSED


def test_a_proxy_that_may_not_be_called_passes_nothing_on():
    socat = proxy("alpine/socat", 'command: ["socat", "TCP-LISTEN:8080,fork", "TCP:140.82.112.3:443"]')
    assert (
        answer(answers(graph_of(launch_of(NAMESPACES, AGENT, socat, TO_PROXY))), "internet").verdict is Verdict.CLOSED
    )


def test_an_engine_on_a_siblings_port_is_a_takeover():
    dind = proxy("docker:27-dind", 'securityContext: {privileged: true}\nenv: [{name: DOCKER_TLS_CERTDIR, value: ""}]')
    to_it = egress("[{to: [{podSelector: {matchLabels: {app: proxy}}}], ports: [{port: 2375}]}]")
    assert letters(answers(graph_of(launch_of(NAMESPACES, AGENT, dind, to_it)))) == "OOOOOOO"
    elsewhere = egress("[{to: [{podSelector: {matchLabels: {app: proxy}}}], ports: [{port: 80}]}]")
    assert letters(answers(graph_of(launch_of(NAMESPACES, AGENT, dind, elsewhere)))) == "CCCOCCL"


# ---- edits


def edited(launch: Launch, *ids: str, name: str = "team/agent") -> str:
    graph = graph_of(launch, name)
    actions = {a.id: a for a in graph.actions}
    return letters(answers(graph_of(apply(launch, [actions[i] for i in ids]), name)))


def test_the_policy_that_is_offered_closes_what_no_policy_speaks_of():
    launch = launch_of(NAMESPACES, AGENT, DB, WEB)
    assert edited(launch, "add-policy") == "CCCOCCC"


def test_a_rule_that_is_removed_allows_nothing():
    launch = launch_of(NAMESPACES, AGENT, DB, WEB, egress("[{to: [{podSelector: {}}]}, {ports: [{port: 443}]}]"))
    assert edited(launch, "policy:NetworkPolicy/team/p/rules/1") == "CCCOCCL"
    assert edited(launch, "policy:NetworkPolicy/team/p/rules/0", "policy:NetworkPolicy/team/p/rules/1") == "CCCOCCC"


def test_the_last_rule_of_a_policy_without_types_takes_its_isolation_with_it():
    spec = "podSelector: {matchLabels: {app: agent}}\negress: [{ports: [{port: 443}]}]"
    launch = launch_of(NAMESPACES, AGENT, DB, WEB, policy(spec))
    assert edited(launch, "policy:NetworkPolicy/team/p/rules/0") == "OOOOCOO"


def test_an_edit_names_the_line_that_it_changes():
    texts = (NAMESPACES, agent_with("", "securityContext:\n  privileged: true"), egress("[{ports: [{port: 443}]}]"))
    lines = "---\n".join(dedent(t) for t in texts).splitlines()
    graph = graph_of(launch_of(*texts))
    actions = {a.id: a for a in graph.actions}

    def line_of(action: Action) -> str:
        place = action.edit["place"]
        assert isinstance(place, dict)
        return lines[place["line"] - 1].strip()

    assert line_of(next(a for a in graph.actions if "privileged" in a.id)) == "privileged: true"
    assert line_of(actions["policy:NetworkPolicy/team/p/rules/0"]) == "egress: [{ports: [{port: 443}]}]"
    assert {name for edge in graph.edges for name in edge.actions} <= set(actions)


# ---- properties

SELECTORS = st.sampled_from(
    ["{}", "{matchLabels: {app: agent}}", "{matchLabels: {app: db}}", "{matchLabels: {tier: back}}"]
)
PEERS = st.one_of(
    st.builds("{{podSelector: {}}}".format, SELECTORS),
    st.builds("{{namespaceSelector: {}}}".format, st.sampled_from(["{}", "{matchLabels: {env: prod}}", "{matchLabels: {team: a}}"])),
    st.sampled_from(
        [
            "{ipBlock: {cidr: 0.0.0.0/0}}",
            "{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}",
            "{ipBlock: {cidr: 140.82.112.0/20}}",
            "{ipBlock: {cidr: '::/0'}}",
        ]
    ),
)  # fmt: skip
PORTS = st.sampled_from(["", ", ports: [{port: 443}]", ", ports: [{port: web}]", ", ports: [{protocol: UDP}]"])
RULES = st.builds("{{to: [{}]{}}}".format, PEERS, PORTS)
POLICIES = st.builds(
    lambda selector, types, rules: f"podSelector: {selector}\npolicyTypes: [{types}]\negress: [{', '.join(rules)}]",
    SELECTORS,
    st.sampled_from(["Egress", "Ingress, Egress"]),
    st.lists(RULES, max_size=2),
)
ORDER = [Verdict.CLOSED, Verdict.LIMITED, Verdict.OPEN]
SETTINGS = settings(max_examples=40, deadline=None)


def documents(specs: list[str]) -> list[str]:
    return [policy(spec, name=f"p{n}") for n, spec in enumerate(specs)]


def bounds(graph: Graph) -> dict[Destination, tuple[int, int]]:
    """What surely and what perhaps passes, as places in ORDER: without the edges that wait for facts, and with them."""
    sure = replace(graph, edges=tuple(e for e in graph.edges if not e.missing))
    perhaps = replace(graph, edges=tuple(replace(e, missing=()) for e in graph.edges))
    pairs = zip(answers(sure), answers(perhaps), strict=True)
    return {a.destination: (ORDER.index(a.verdict), ORDER.index(b.verdict)) for a, b in pairs}


@SETTINGS
@given(st.lists(POLICIES, max_size=3), SELECTORS)
def test_a_further_policy_without_rules_never_opens(specs, selector):
    """It closes what was open by default and adds nothing to what others allow."""
    before = bounds(graph_of(launch_of(NAMESPACES, AGENT, DB, WEB, *documents(specs))))
    closing = f"podSelector: {selector}\npolicyTypes: [Ingress, Egress]"
    after = bounds(graph_of(launch_of(NAMESPACES, AGENT, DB, WEB, *documents([*specs, closing]))))
    for destination in Destination:
        assert after[destination][1] <= before[destination][1], destination


@SETTINGS
@given(st.lists(POLICIES, min_size=1, max_size=3), POLICIES)
def test_a_further_policy_never_opens_what_was_not_closed_by_one(specs, more):
    """A policy adds its own rules' traffic and nothing else: no destination gains more than it has by that policy alone."""
    ours = documents(specs)
    before = bounds(graph_of(launch_of(NAMESPACES, AGENT, DB, WEB, *ours)))
    alone = bounds(graph_of(launch_of(NAMESPACES, AGENT, DB, WEB, policy(more, name="more"))))
    after = bounds(graph_of(launch_of(NAMESPACES, AGENT, DB, WEB, *ours, policy(more, name="more"))))
    for destination in Destination:
        if after[destination][0] == 2 and before[destination][1] < 2:
            assert alone[destination][1] >= 1, destination


@SETTINGS
@given(st.lists(POLICIES, min_size=1, max_size=3), RULES)
def test_a_further_rule_never_closes(specs, rule):
    before = bounds(graph_of(launch_of(NAMESPACES, AGENT, DB, WEB, *documents(specs))))
    head, _, rules = specs[0].rpartition("egress: [")
    wider = [f"{head}egress: [{rule}{', ' if rules != ']' else ''}{rules}", *specs[1:]]
    after = bounds(graph_of(launch_of(NAMESPACES, AGENT, DB, WEB, *documents(wider))))
    for destination in Destination:
        assert after[destination][1] >= before[destination][0], destination


@SETTINGS
@given(st.lists(POLICIES, max_size=3), st.randoms(use_true_random=False))
def test_verdicts_do_not_depend_on_the_order_of_documents_or_files(specs, random):
    parts = [AGENT, DB, WEB, *NAMESPACES.split("---\n"), *documents(specs)]
    first = answers(graph_of(launch_of(*parts)))
    random.shuffle(parts)
    files = [Input(f"{n}.yaml", part) for n, part in enumerate(parts)]
    launch = FORMAT.read(files, ReadOptions())
    second = answers(graph_of(launch))
    assert letters(first) == letters(second)
    for a, b in zip(first, second, strict=True):
        assert set(a.allows) == set(b.allows)


# ---- many


def test_thousands_of_siblings_are_counted_not_named():
    pods = [AGENT]
    for n in range(300):
        pods.append(WEB.replace("name: web,", f"name: web-{n},"))
    pods += [DB, egress("[{to: [{namespaceSelector: {matchLabels: {env: prod}}}], ports: [{port: 80}]}]")]
    graph = graph_of(launch_of(NAMESPACES, *pods))
    assert set(graph.siblings) == {"300 workloads of namespace other", "1 workload of namespace team"}
    assert answer(answers(graph), "siblings").allows == (
        Permit(("300 workloads of namespace other",), "tcp", ((80, 80),)),
    )


def test_one_of_thousands_does_not_count_itself():
    pods = [WEB.replace("name: web,", f"name: web-{n},") for n in range(100)]
    graph = graph_of(launch_of(NAMESPACES, *pods), "other/web-7")
    assert graph.siblings == ("99 workloads of namespace other",)
    assert letters(answers(graph)) == "OOOOCOO"


def test_very_many_rules_are_shown_in_part_and_counted_whole():
    rules = ", ".join(
        f"{{to: [{{ipBlock: {{cidr: 52.0.{n}.0/24}}}}], ports: [{{port: {1000 + n}}}]}}" for n in range(120)
    )
    graph = graph_of(launch_of(NAMESPACES, AGENT, DB, egress(f"[{rules}]")))
    internet = [e for e in graph.edges if e.target == "destination:internet"]
    assert len(internet) == 41
    assert internet[-1].why == "80 further rules allow it"
    assert internet[-1].actions == ()
    allows = answer(answers(graph), "internet").allows
    assert {p.hosts: p.ports for p in allows} == {(f"52.0.{n}.0/24",): ((1000 + n, 1000 + n),) for n in range(120)}


def test_a_large_cluster_is_judged_in_a_moment():
    """1,000 sandboxes of which every fifth has a policy of its own: no pod is held against every other."""
    pods = [
        WEB.replace("{name: web,", f"{{name: s{n},").replace("{app: web}", f"{{app: web, id: s{n}}}")
        for n in range(1000)
    ]
    own = [
        policy(
            f"podSelector: {{matchLabels: {{id: s{n}}}}}\npolicyTypes: [Ingress, Egress]\n"
            f"egress: [{{to: [{{ipBlock: {{cidr: 52.1.{n % 250}.0/24}}}}], ports: [{{port: 443}}]}}]\n"
            f"ingress: [{{from: [{{podSelector: {{matchLabels: {{id: s{n + 1}}}}}}}]}}]",
            name=f"p{n}",
            namespace="other",
        )
        for n in range(0, 1000, 5)
    ]
    launch = launch_of(NAMESPACES, *pods, *own)
    assert launch.cluster is not None
    began = time.process_time()
    graphs = [pod_graph(launch, pod, parse([])) for pod in launch.cluster.pods]
    took = time.process_time() - began
    assert letters(answers(graphs[0])) == "LCCOCCC"
    assert letters(answers(graphs[1])) == "OOOOCOL", "s1 may call s0, but none of the others that have a policy"
    assert letters(answers(graphs[2])) == "OOOOCOL"
    assert took < 5


# ---- networks of pods


def spaces(team: str = "", other: str = "") -> str:
    """The two namespaces with the label that a network of their own asks for, or without."""
    own = {"own": ", k8s.ovn.org/primary-user-defined-network: ''", "": ""}
    return (
        f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: team, labels: {{team: a{own[team]}}}}}\n---\n"
        f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: other, labels: {{env: prod{own[other]}}}}}\n"
    )


def of_namespace(namespace: str, role: str = "Primary", name: str = "net") -> str:
    return (
        f"apiVersion: k8s.ovn.org/v1\nkind: UserDefinedNetwork\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{topology: Layer3, layer3: {{role: {role}, subnets: [{{cidr: 10.1.0.0/16}}]}}}}\n"
    )


def of_many(selector: str) -> str:
    return (
        "apiVersion: k8s.ovn.org/v1\nkind: ClusterUserDefinedNetwork\nmetadata: {name: wide}\n"
        f"spec: {{namespaceSelector: {selector}, network: {{topology: Layer2, layer2: {{role: Primary}}}}}}\n"
    )


def service(kind: str) -> str:
    spec = f"{{type: {kind}, selector: {{app: web}}, ports: [{{port: 80}}]}}"
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: other}}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("documents", "expected", "siblings"),
    [
        ((spaces(),), "OOOOCOO", ("other/web", "team/db")),
        ((spaces("own"), of_namespace("team")), "OOOOCOL", ("team/db",)),
        ((spaces("own", "own"), of_namespace("team"), of_namespace("other")), "OOOOCOL", ("team/db",)),
        ((spaces("", "own"), of_namespace("other")), "OOOOCOL", ("team/db",)),
        ((spaces("own", "own"), of_many("{}")), "OOOOCOO", ("other/web", "team/db")),
        ((spaces("own", "own"), of_many("{matchLabels: {env: prod}}"), of_namespace("team")), "OOOOCOL", ("team/db",)),
        # without the label a namespace stays on the cluster's network, whoever selects it
        ((spaces("own"), of_many("{}")), "OOOOCOL", ("team/db",)),
        ((spaces(), of_namespace("team")), "OOOOCOO", ("other/web", "team/db")),
        # the second interface is no network of its own
        ((spaces(), of_namespace("team", "Secondary")), "OOOOCOO", ("other/web", "team/db")),
        # nobody knows which network a labelled namespace is on whose network is not there
        ((spaces("own", "own"), of_namespace("other")), "OOOOCOU", None),
        ((spaces("own", "own"), of_namespace("team"), of_namespace("team", name="two")), "OOOOCOU", None),
        # a namespace that is not among the files may have the label
        ((of_namespace("team"),), "OOOOCOU", None),
        # the ports of nodes lead from one network to another, so it is said, not always
        ((spaces("own"), of_namespace("team"), service("ClusterIP")), "OOOOCOL", ("team/db",)),
        ((spaces("own"), of_namespace("team"), service("NodePort")), "OOOOCOU", None),
        ((spaces("own"), of_namespace("team"), service("LoadBalancer")), "OOOOCOU", None),
    ],
)
def test_networks_of_pods_are_kept_apart(documents, expected, siblings):
    graph = graph_of(launch_of(*documents, AGENT, DB, WEB))
    found = answers(graph)
    assert letters(found) == expected
    if siblings is not None:
        assert tuple(sorted({h for p in answer(found, "siblings").allows for h in p.hosts})) == siblings
    else:
        assert {m.key for m in answer(found, "siblings").missing} <= {"namespace.team", "service"}


def test_policies_hold_within_a_network_of_pods():
    closed = policy("podSelector: {}\npolicyTypes: [Egress]")
    found = answers(graph_of(launch_of(spaces("own"), of_namespace("team"), AGENT, DB, WEB, closed)))
    assert letters(found) == "CCCOCCC"
    graph = graph_of(launch_of(spaces("own"), of_namespace("team"), AGENT, WEB))
    assert letters(answers(graph)) == "OOOOCOC"
    [why] = [b for b in graph.barriers if b.target == "destination:siblings"]
    assert why.why == "the pods of other are on another network than this one, and networks of pods are kept apart"


def test_no_policy_holds_on_a_network_that_a_pod_has_besides():
    more = AGENT.replace("labels:", "annotations: {k8s.v1.cni.cncf.io/networks: lan}, labels:")
    closed = policy("podSelector: {}\npolicyTypes: [Egress]")
    assert letters(reach(closed, agent=more)) == "UUUOCCU"
    assert {m.key for m in answer(reach(closed, agent=more), "internet").missing} == {"network.team/lan"}
    assert letters(reach(agent=more)) == "OOOOCOO"
    assert letters(reach(closed, agent=more, assume=("network.team/lan=open",))) == "OOOOCCU"
    assert letters(reach(closed, agent=more, assume=("network.team/lan=internal",))) == "CCCOCCU"
    assert letters(reach(closed, agent=more, assume=("network.team/lan=none",))) == "CCCOCCC"


def test_an_overlay_leads_to_those_on_it_alone():
    more = AGENT.replace("labels:", "annotations: {k8s.v1.cni.cncf.io/networks: lan}, labels:")
    closed = policy("podSelector: {}\npolicyTypes: [Egress]")
    overlay = of_namespace("team", "Secondary", "lan")
    assert letters(reach(closed, overlay, agent=more)) == "CCCOCCC"
    beside = "apiVersion: v1\nkind: Pod\nmetadata: {name: y, namespace: team, annotations: {k8s.v1.cni.cncf.io/networks: lan}}\nspec: {}\n"
    found = reach(closed, overlay, beside, agent=more)
    assert letters(found) == "CCCOCCU"
    assert answer(found, "siblings").allows == (Permit(("team/y",)),)


def test_a_denied_port_of_sctp_is_a_port_that_a_sibling_has():
    rule = "[{action: Deny, to: [{namespaces: {}}], ports: [{portNumber: {protocol: SCTP, port: 9003}}]}]"
    denied = policy(f"priority: 1\nsubject: {{namespaces: {{}}}}\negress: {rule}", "AdminNetworkPolicy")
    assert letters(reach(denied)) == "OOOOCOL"


def test_what_is_denied_on_ipv6_alone_is_there_on_ipv4():
    rule = "[{action: Deny, to: [{networks: ['fc00::/6']}]}]"
    denied = policy(f"priority: 1\nsubject: {{namespaces: {{}}}}\negress: {rule}", "AdminNetworkPolicy")
    assert letters(reach(denied)) == "OOOOCOO"
    both = policy(
        "priority: 1\nsubject: {namespaces: {}}\negress: [{action: Deny, to: [{networks: ['::/0', 0.0.0.0/0]}]}]",
        "AdminNetworkPolicy",
    )
    assert letters(reach(both)) == "CCCOCCC"


def test_a_range_that_ends_before_it_starts_holds_no_port():
    rules = (
        "[{action: Allow, to: [{namespaces: {}}], ports: [{portRange: {start: 10, end: 1}}]},"
        " {action: Deny, to: [{namespaces: {}}]}]"
    )
    admin = policy(f"priority: 1\nsubject: {{namespaces: {{}}}}\negress: {rules}", "AdminNetworkPolicy")
    assert letters(reach(admin)) == "OOOOCCC"
    denied = "[{action: Deny, to: [{namespaces: {}}], ports: [{portRange: {start: 10, end: 1}}]}]"
    admin = policy(f"priority: 1\nsubject: {{namespaces: {{}}}}\negress: {denied}", "AdminNetworkPolicy")
    assert letters(reach(admin)) == "OOOOCOO"


def test_a_pod_on_the_nodes_network_may_count_as_the_node():
    """What a node sends to its own pods they always let in; whether that holds for such a pod, the API leaves open."""
    agent = AGENT.replace("containers:", "hostNetwork: true\n  containers:")
    shut = [policy("podSelector: {}\npolicyTypes: [Ingress]", namespace=n) for n in ("team", "other")]
    assert letters(reach(*shut)) == "OOOOCOC"
    assert letters(reach(*shut, agent=agent)) == "OOOOCOU"
    assert [m.key for m in answer(reach(*shut, agent=agent), "siblings").missing] == ["cni.host-network"]
    assert letters(reach(*shut, agent=agent, assume=("cni.host-network=true",))) == "OOOOCOC"
    loose = answer(reach(*shut, agent=agent, assume=("cni.host-network=false",)), "siblings")
    assert (loose.verdict, [m.key for m in loose.missing]) == (Verdict.UNKNOWN, ["nodes"])
