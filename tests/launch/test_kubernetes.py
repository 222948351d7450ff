"""Manifests: which objects become which workloads and policies, where each value was said, what is refused and how."""

import json
import re
import time
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitError, ParseError, ScannerError
from scanner.launch.document import read_yaml
from scanner.launch.kubernetes import FORMAT, name_hash
from scanner.launch.plugin import Input, ReadOptions
from scanner.model import Level
from scanner.model.launch import (
    Cluster,
    Default,
    Launch,
    Mount,
    MountKind,
    Peer,
    Place,
    Pod,
    Policy,
    PortRange,
    Said,
    Selector,
    Tier,
    Verb,
)

KUBERNETES = Default("kubernetes")


def read(*texts: str) -> Launch:
    inputs = [Input(f"{n}.yaml" if n else "m.yaml", dedent(text)) for n, text in enumerate(texts)]
    return FORMAT.read(inputs, ReadOptions())


def cluster(*texts: str) -> Cluster:
    found = read(*texts).cluster
    assert found is not None
    return found


def pod_of(spec: str, kind: str = "Pod") -> Pod:
    """The one pod whose spec is given."""
    lines = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
    [found] = cluster(f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n{lines}\n").pods
    return found


def policy_of(spec: str, version: str = "networking.k8s.io/v1", kind: str = "NetworkPolicy") -> Policy:
    lines = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
    [found] = cluster(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: p}}\nspec:\n{lines}\n").policies
    return found


def at(line: int, column: int, file: str = "m.yaml") -> Place:
    return Place(file, line, column)


CONTAINERS = "containers: [{name: c, image: x}]"


# ---- recognition


@pytest.mark.parametrize(
    ("text", "is_it"),
    [
        ("apiVersion: v1\nkind: Pod\n", True),
        ("kind: Pod\napiVersion: v1\n", True),
        ("# a comment\n---\napiVersion: v1\nkind: Pod\n", True),
        ('{"kind": "List", "apiVersion": "v1", "items": []}', True),
        ("services:\n  a:\n    image: x\n", False),
        ("services:\n  a:\n    labels:\n      apiVersion: v1\n      kind: Pod\n", False),
        ("apiVersion: v2\nname: chart\n", False),
        ('{"name": "dev", "image": "x"}', False),
        ("", False),
        ("\x00\x01", False),
        ("apiVersion: {{ .Values.api }}\nkind: Pod\n", True),
    ],
)
def test_manifests_are_known_by_their_content(text, is_it):
    assert FORMAT.recognises(Input("anything.txt", text)) is is_it


# ---- workloads

TEMPLATE = "template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: x}]}}"


@pytest.mark.parametrize(
    ("version", "kind", "spec", "replicas"),
    [
        ("apps/v1", "Deployment", f"{{replicas: 3, {TEMPLATE}}}", 3),
        ("extensions/v1beta1", "Deployment", f"{{{TEMPLATE}}}", 1),
        ("apps/v1", "StatefulSet", f"{{replicas: 0, {TEMPLATE}}}", 0),
        ("apps/v1", "DaemonSet", f"{{{TEMPLATE}}}", 1),
        ("apps/v1", "ReplicaSet", f"{{replicas: 2, {TEMPLATE}}}", 2),
        ("v1", "ReplicationController", f"{{{TEMPLATE}}}", 1),
        ("batch/v1", "Job", f"{{parallelism: 4, {TEMPLATE}}}", 4),
        ("batch/v1", "CronJob", f"{{schedule: '* * * * *', jobTemplate: {{spec: {{{TEMPLATE}}}}}}}", 1),
        ("argoproj.io/v1alpha1", "Rollout", f"{{{TEMPLATE}}}", 1),
    ],
)
def test_workloads_by_kind(version, kind, spec, replicas):
    [found] = cluster(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: w, namespace: ns}}\nspec: {spec}\n").pods
    assert (found.name, found.namespace, found.kind, found.replicas) == ("w", "ns", kind, replicas)
    assert found.labels == {"app": "x"}
    assert found.origin == at(1, 1)
    assert [c.name for c in found.containers] == ["c"]


def test_pods_of_stripped_dumps_are_read():
    [found] = cluster(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{ports: []}, {name: b, ports: {}}, {image: c}]}\n"
    ).pods
    assert [c.name for c in found.containers] == ["container 1", "b", "container 3"]
    assert [c.ports for c in found.containers] == [(), (), ()]
    [bare] = cluster("apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: x}}\nspec: {}\n").pods
    assert (bare.containers, bare.labels) == ((), {"app": "x"})


def test_a_port_without_number_is_none():
    found = pod_of("containers: [{name: c, ports: [{name: web, containerport: 80}, {name: api, containerPort: 81}]}]")
    assert found.containers[0].ports == (("api", 81, "TCP"),)


MACHINE = """
    template:
      metadata:
        labels: {app: x}
        annotations: {k8s.v1.cni.cncf.io/networks: "lan, other/dmz@net2"}
      spec:
        domain: {devices: {disks: [{name: root, disk: {bus: virtio}}], gpus: [{name: g, deviceName: nvidia.com/A10}]}}
        networks: [{name: default, pod: {}}, {name: more, multus: {networkName: ns/third}}]
        volumes: [{name: root, containerDisk: {image: "disks/fedora:41"}}]
"""


def test_a_virtual_machine_is_a_workload():
    text = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: vm, namespace: ns}\nspec:" + MACHINE
    [found] = cluster(text).pods
    assert (found.namespace, found.name, found.kind, found.missing) == ("ns", "vm", "VirtualMachine", ())
    assert found.labels == {"app": "x", "kubevirt.io": "virt-launcher"}
    assert [n.value for n in found.networks] == ["ns/third", "ns/lan", "other/dmz"]
    [guest] = found.containers
    assert guest.image is not None
    assert (guest.image.value, guest.image.origin) == ("disks/fedora:41", at(12, 55))
    assert guest.confinement.gpus is not None
    assert (guest.confinement.gpus.value, found.token_mounted.value) == ("nvidia.com/A10", False)


def test_a_virtual_machine_and_what_it_makes_are_one_workload():
    text = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: vm}\nspec:" + MACHINE
    owner = "ownerReferences: [{kind: VirtualMachine, name: vm, controller: true}]"
    instance = (
        f"apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {{name: vm, {owner}}}\nspec: {{}}\n"
    )
    launcher = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: virt-launcher-vm-5d, ownerReferences: "
        f"[{{kind: VirtualMachineInstance, name: vm, controller: true}}]}}\nspec: {{{CONTAINERS}}}\n"
    )
    assert [(p.name, p.kind) for p in cluster(text, instance, launcher).pods] == [("vm", "VirtualMachine")]
    assert [(p.name, p.kind) for p in cluster(text, launcher).pods] == [("vm", "VirtualMachine")]


def test_a_machine_without_the_pods_network_has_unknown_networks_alone():
    text = (
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: vm}\n"
        "spec: {template: {spec: {networks: [{name: a, multus: {networkName: lan}}]}}}\n"
    )
    [found] = cluster(text).pods
    assert [m.key for m in found.missing] == ["network.default/lan"]


@pytest.mark.parametrize(
    ("annotation", "networks"),
    [
        ("lan", ["ns/lan"]),
        ("other/lan@eth5, lan", ["other/lan", "ns/lan"]),
        ('[{"name": "lan"}, {"name": "dmz", "namespace": "other"}]', ["ns/lan", "other/dmz"]),
        ("[broken", ["ns/[broken"]),
        ("", []),
    ],
)
def test_further_networks_of_a_pod(annotation, networks):
    where = json.dumps({"k8s.v1.cni.cncf.io/networks": annotation})
    [found] = cluster(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: ns, annotations: {where}}}\nspec: {{{CONTAINERS}}}\n"
    ).pods
    assert [n.value for n in found.networks] == networks
    assert all(n.origin == at(1, 1) for n in found.networks)


def test_networks_of_pods():
    found = cluster(
        """
        apiVersion: k8s.ovn.org/v1
        kind: UserDefinedNetwork
        metadata: {name: blue, namespace: ns}
        spec: {topology: Layer3, layer3: {role: Primary, subnets: [{cidr: 10.1.0.0/16}]}}
        """,
        """
        apiVersion: k8s.ovn.org/v1
        kind: ClusterUserDefinedNetwork
        metadata: {name: lan}
        spec:
          namespaceSelector: {matchLabels: {net: lan}}
          network: {topology: Localnet, localnet: {role: Secondary}}
        """,
    ).networks
    assert [(n.name, n.namespace, n.namespaces, n.primary, n.overlay) for n in found] == [
        ("blue", "ns", None, True, True),
        ("lan", None, Selector((("net", "lan"),)), False, False),
    ]


def test_a_policy_for_further_networks_alone_closes_nothing_here():
    found = read(
        "apiVersion: k8s.cni.cncf.io/v1beta1\nkind: MultiNetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n"
    )
    assert found.cluster is not None
    assert found.cluster.policies == ()
    assert [n.message for n in found.notifications] == [
        "objects of kind MultiNetworkPolicy (k8s.cni.cncf.io) are not read"
    ]


def test_a_pod_template_object():
    [found] = cluster(f"apiVersion: v1\nkind: PodTemplate\nmetadata: {{name: t}}\n{TEMPLATE}\n").pods
    assert (found.name, found.namespace, found.kind) == ("t", "default", "PodTemplate")


def test_lists_of_any_kind():
    pods = [{"metadata": {"name": n}, "spec": {"containers": [{"name": "c"}]}} for n in ("a", "b")]
    typed = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": pods})
    assert [p.name for p in cluster(typed).pods] == ["a", "b"]
    plain = {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", **p} for p in pods]}
    assert [p.name for p in cluster(json.dumps(plain)).pods] == ["a", "b"]
    nested = {"apiVersion": "v1", "kind": "List", "items": [plain]}
    assert [p.name for p in cluster(json.dumps(nested)).pods] == ["a", "b"]


def test_several_documents_and_files_are_one_cluster():
    found = cluster(
        f"---\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{CONTAINERS}}}\n---\n# nothing\n",
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: b}}\nspec: {{{CONTAINERS}}}\n",
    )
    assert [(p.name, p.origin) for p in found.pods] == [("a", at(3, 1)), ("b", at(1, 1, "1.yaml"))]


def test_what_a_controller_made_is_not_shown_beside_it():
    def owned(kind: str, name: str, by: str, whose: str) -> str:
        reference = f"[{{apiVersion: v1, kind: {by}, name: {whose}, controller: true}}]"
        spec = CONTAINERS if kind == "Pod" else TEMPLATE
        version = "v1" if kind == "Pod" else "apps/v1"
        return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, ownerReferences: {reference}}}\nspec: {{{spec}}}\n"

    deployment = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec: {{{TEMPLATE}}}\n"
    made = owned("ReplicaSet", "d-1", "Deployment", "d"), owned("Pod", "d-1-x", "ReplicaSet", "d-1")
    assert [(p.kind, p.name) for p in cluster(deployment, *made).pods] == [("Deployment", "d")]
    assert [(p.kind, p.name) for p in cluster(*made).pods] == [("ReplicaSet", "d-1")]
    static = owned("Pod", "kube-proxy-n1", "Node", "n1")
    assert [(p.kind, p.name) for p in cluster(static).pods] == [("Pod", "kube-proxy-n1")]


def test_pods_of_one_controller_are_one_workload():
    def pod(name: str, labels: str) -> str:
        owner = "ownerReferences: [{kind: ReplicaSet, name: web-5d, controller: true}]"
        return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {labels}, {owner}}}\nspec: {{{CONTAINERS}}}\n"

    pods = (
        pod("web-5d-a", "{app: web, pod-template-hash: '1'}"),
        pod("web-5d-b", "{app: web, pod-template-hash: '2'}"),
        pod("web-5d-c", "{app: other}"),
    )
    [one] = cluster(*pods).pods
    assert (one.kind, one.name, one.replicas, one.labels) == ("ReplicaSet", "web-5d", 3, {})
    selecting = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: "
    letting = "[{from: [{podSelector: {matchExpressions: [{key: app, operator: Exists}]}}]}]"
    policies = (
        selecting + "{podSelector: {matchLabels: {app: web}}}\n",
        selecting + f"{{podSelector: {{}}, ingress: {letting}}}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: p}\nspec: {selector: {app: web}}\n",
    )
    for tells_apart in policies:
        found = cluster(*pods, tells_apart).pods
        assert [(p.kind, p.name, p.replicas) for p in found] == [("ReplicaSet", "web-5d", 2), ("Pod", "web-5d-c", 1)]
        assert found[0].labels == {"app": "web"}


@pytest.mark.parametrize(
    "spec",
    [
        "hostNetwork: true, containers: [{name: c, image: x}]",
        "containers: [{name: c, image: y}]",
        "containers: [{name: c, image: x, securityContext: {privileged: true}}]",
        "containers: [{name: c, image: x, ports: [{containerPort: 1}]}]",
        "volumes: [{name: v, hostPath: {path: /}}], containers: [{name: c, image: x, volumeMounts: [{name: v, mountPath: /h}]}]",
    ],
)
def test_a_pod_with_other_rights_is_shown_beside_those_of_its_controller(spec):
    def pod(name: str, spec: str) -> str:
        owner = "ownerReferences: [{kind: ReplicaSet, name: web, controller: true}]"
        return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, {owner}}}\nspec: {{{spec}}}\n"

    found = cluster(pod("a", CONTAINERS), pod("b", spec), pod("c", CONTAINERS)).pods
    assert [(p.kind, p.name, p.replicas) for p in found] == [("ReplicaSet", "web", 2), ("Pod", "b", 1)]


def test_of_two_with_one_name_the_later_counts_and_it_is_said():
    def pod(image: str) -> str:
        return (
            f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"
        )

    launch = read(pod("one"), pod("two"))
    assert launch.cluster is not None
    assert [p.containers[0].image.value for p in launch.cluster.pods] == ["one"], "1.yaml comes before m.yaml"
    [note] = launch.notifications
    assert note.level is Level.WARNING
    assert "Pod/default/a is there twice" in note.message


# ---- a pod's specification


def test_what_a_container_may_do():
    found = pod_of(
        """
        hostPID: true
        hostIPC: true
        hostNetwork: true
        runtimeClassName: gvisor
        serviceAccountName: robot
        automountServiceAccountToken: false
        dnsPolicy: None
        dnsConfig: {nameservers: [1.1.1.1]}
        hostAliases: [{ip: 10.0.0.9, hostnames: [a.corp, b.corp]}]
        securityContext:
          runAsUser: 1000
          seccompProfile: {type: RuntimeDefault}
          sysctls: [{name: net.ipv4.ip_forward, value: "1"}]
        containers:
        - name: main
          image: img
          command: [sh, -c]
          args: [run]
          ports: [{name: web, containerPort: 80, hostPort: 8080}, {containerPort: 53, protocol: udp}]
          env: [{name: A, value: b}, {name: S, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: E}]
          resources: {limits: {nvidia.com/gpu: 2}}
          securityContext:
            privileged: true
            allowPrivilegeEscalation: false
            capabilities: {add: [cap_net_admin, SYS_PTRACE], drop: [ALL]}
            appArmorProfile: {type: Unconfined}
        """
    )
    [main] = found.containers
    held = main.confinement
    assert held.privileged == Said(True, at(27, 19))
    assert held.no_new_privileges == Said(True, at(28, 33))
    assert [c.value for c in held.cap_add] == ["NET_ADMIN", "SYS_PTRACE"]
    assert held.cap_drop == (Said("ALL", at(29, 63)),)
    assert (held.user, held.seccomp, held.apparmor) == (Said("1000", at(15, 16)), None, Said("unconfined", at(30, 31)))
    assert [s and s.value for s in (held.pid, held.ipc, held.runtime)] == ["host", "host", "gvisor"]
    assert held.sysctls == (("net.ipv4.ip_forward", Said("1", at(17, 50))),)
    assert held.gpus is not None
    assert held.gpus.value == "2 nvidia.com/gpu"
    assert main.ports == (("web", 80, "TCP"), (None, 53, "UDP"))
    assert [p.value for p in main.host_ports] == [8080]
    assert [(k, v.value) for k, v in main.environment] == [("A", "b"), ("S", None), ("E", "")]
    assert [w.value for w in main.entrypoint or ()] == ["sh", "-c"]
    assert [w.value for w in main.command or ()] == ["run"]
    assert found.host_network == Said(True, at(7, 16))
    assert (found.service_account, found.token_mounted.value) == (Said("robot", at(9, 23)), False)
    assert (found.dns_policy.value, [n.value for n in found.nameservers]) == ("None", ["1.1.1.1"])
    assert [(name, ip.value) for name, ip in found.host_aliases] == [("a.corp", "10.0.0.9"), ("b.corp", "10.0.0.9")]


def test_what_is_so_if_nothing_is_said():
    found = pod_of(CONTAINERS)
    held = found.containers[0].confinement
    assert held.seccomp == Said("unconfined", KUBERNETES)
    assert (held.privileged, held.user, held.pid, held.apparmor, held.mounts) == (None, None, None, None, ())
    assert (found.host_network, found.token_mounted) == (None, Said(True, KUBERNETES))
    assert found.dns_policy == Said("ClusterFirst", KUBERNETES)


def test_the_containers_own_context_wins():
    found = pod_of(
        """
        securityContext: {runAsUser: 1, seccompProfile: {type: Unconfined}}
        containers: [{name: c, securityContext: {runAsUser: 0, seccompProfile: {type: Localhost, localhostProfile: p.json}}}]
        """
    )
    held = found.containers[0].confinement
    assert held.user is not None
    assert held.seccomp is not None
    assert (held.user.value, held.seccomp.value) == ("0", "p.json")


def test_containers_that_start_before_and_beside():
    found = pod_of(
        """
        shareProcessNamespace: true
        containers: [{name: main}]
        initContainers: [{name: setup}, {name: sidecar, restartPolicy: Always}]
        ephemeralContainers: [{name: debug}]
        """
    )
    assert [(c.name, c.init) for c in found.containers] == [
        ("main", False), ("setup", True), ("sidecar", False), ("debug", False),
    ]  # fmt: skip
    assert found.containers[0].confinement.pid == Said("pod", at(5, 26))


def test_volumes_by_what_they_are():
    found = pod_of(
        """
        containers:
        - name: c
          volumeMounts:
          - {name: host, mountPath: /host}
          - {name: host, mountPath: /etc/only, subPath: etc, readOnly: true}
          - {name: work, mountPath: /work}
          - {name: claim, mountPath: /data}
          - {name: key, mountPath: /key}
          - {name: gone, mountPath: /gone}
        volumes:
        - {name: host, hostPath: {path: /}}
        - {name: work, emptyDir: {}}
        - {name: claim, persistentVolumeClaim: {claimName: x}}
        - {name: key, secret: {secretName: s}}
        """
    )
    assert found.containers[0].confinement.mounts == (
        Mount(MountKind.BIND, "/", "/host", False, at(8, 7)),
        Mount(MountKind.BIND, "/etc", "/etc/only", True, at(9, 7)),
        Mount(MountKind.OTHER, "emptyDir work", "/work", False, at(10, 7)),
        Mount(MountKind.VOLUME, "persistentVolumeClaim claim", "/data", False, at(11, 7)),
        Mount(MountKind.OTHER, "secret key", "/key", False, at(12, 7)),
        Mount(MountKind.OTHER, "emptyDir gone", "/gone", False, at(13, 7)),
    )


@pytest.mark.parametrize(
    ("mount", "volume", "expected"),
    [
        ("{name: v, mountPath: /etc/squid}", "{name: cm}", [("/etc/squid/a.conf", "A"), ("/etc/squid/b.conf", "B")]),
        ("{name: v, mountPath: /etc/squid.conf, subPath: a.conf}", "{name: cm}", [("/etc/squid.conf", "A")]),
        ("{name: v, mountPath: /etc}", "{name: cm, items: [{key: b.conf, path: c.conf}]}", [("/etc/c.conf", "B")]),
        ("{name: v, mountPath: /x, subPath: c}", "{name: cm, items: [{key: b.conf, path: c}]}", [("/x", "B")]),
        ("{name: v, mountPath: /etc}", "{name: elsewhere}", [("/etc", None)]),
    ],
)
def test_the_text_of_a_config_map_is_mounted(mount, volume, expected):
    pod = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: c, volumeMounts: [{mount}]}}], volumes: [{{name: v, configMap: {volume}}}]}}\n"
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {a.conf: A, b.conf: B}\n"
    for order in ((pod, config), (config, pod)):
        [found] = cluster(*order).pods
        assert [(m.target, m.content) for m in found.containers[0].confinement.mounts] == expected


def test_an_account_may_keep_its_token():
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\nautomountServiceAccountToken: false\n"

    def mounted(spec: str) -> bool:
        pod = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{spec}, {CONTAINERS}}}\n"
        return cluster(pod, account).pods[0].token_mounted.value

    assert mounted("restartPolicy: Never")
    assert not mounted("serviceAccountName: robot")
    assert not mounted("serviceAccount: robot")
    assert mounted("serviceAccountName: robot, automountServiceAccountToken: true")


def test_the_old_annotation_for_apparmor():
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a, annotations: {{container.apparmor.security.beta.kubernetes.io/c: unconfined}}}}\nspec: {{{CONTAINERS}}}\n"
    held = cluster(text).pods[0].containers[0].confinement
    assert held.apparmor is not None
    assert held.apparmor.value == "unconfined"


# ---- policies


@pytest.mark.parametrize(
    ("spec", "egress", "ingress", "implied"),
    [
        ("podSelector: {}", False, True, True),
        ("podSelector: {}\negress: []", False, True, True),
        ("podSelector: {}\negress: [{}]", True, True, True),
        ("podSelector: {}\npolicyTypes: [Egress]", True, False, False),
        ("podSelector: {}\npolicyTypes: [Ingress]\negress: [{}]", False, True, False),
        ("podSelector: {}\npolicyTypes: [Ingress, Egress]", True, True, False),
        ("podSelector: {}\npolicyTypes: []", False, True, True),
    ],
)
def test_which_directions_a_network_policy_closes(spec, egress, ingress, implied):
    found = policy_of(spec)
    assert (found.isolates_egress, found.isolates_ingress, found.implied) == (egress, ingress, implied)


def test_a_network_policy_in_full():
    found = policy_of(
        """
        podSelector: {matchLabels: {b: "2", a: "1"}, matchExpressions: [{key: k, operator: In, values: [y, x]}]}
        policyTypes: [Egress]
        egress:
        - to:
          - podSelector: {}
          - namespaceSelector: {matchLabels: {t: "1"}}
            podSelector: {matchLabels: {app: db}}
          - ipBlock: {cidr: 10.1.2.3/8, except: [10.9.0.0/16]}
          ports:
          - {port: 80}
          - {port: 1000, endPort: 2000, protocol: UDP}
          - {port: web, protocol: SCTP}
          - {protocol: UDP}
        - {}
        """
    )
    assert found.pods == Selector((("a", "1"), ("b", "2")), (("k", "In", ("x", "y")),))
    first, second = found.rules
    assert first.peers == (
        Peer(pods=Selector(), namespace="default", origin=at(9, 7)),
        Peer(pods=Selector((("app", "db"),)), namespaces=Selector((("t", "1"),)), origin=at(10, 7)),
        Peer(cidr="10.0.0.0/8", excepts=("10.9.0.0/16",), origin=at(12, 7)),
    )
    assert first.ports == (
        PortRange("TCP", 80, 80),
        PortRange("UDP", 1000, 2000),
        PortRange("SCTP", name="web"),
        PortRange("UDP"),
    )
    assert (second.peers, second.ports, second.origin) == (None, None, at(18, 5))


def test_admin_policies_in_full():
    found = policy_of(
        """
        priority: 7
        subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}
        egress:
        - name: one
          action: Deny
          to: [{networks: [10.0.0.0/8, "fd00::/8"]}, {nodes: {}}, {domainNames: ["*.x.org"]}]
          ports: [{portNumber: {port: 1, protocol: UDP}}, {portRange: {start: 5, end: 6}}, {namedPort: web}]
        ingress:
        - {action: Pass, from: [{namespaces: {}}, {pods: {namespaceSelector: {}, podSelector: {}}}]}
        """,
        "policy.networking.k8s.io/v1alpha1",
        "AdminNetworkPolicy",
    )
    assert (found.tier, found.priority, found.namespace, found.namespaces) == (Tier.ADMIN, 7, None, Selector())
    assert (found.isolates_egress, found.isolates_ingress) == (False, False)
    out, into = found.rules
    assert (out.verb, out.name, out.ingress) == (Verb.DENY, "one", False)
    assert [p.cidr for p in out.peers or ()] == ["10.0.0.0/8", "fd00::/8", None, None]
    assert (out.peers or ())[2].nodes == Selector()
    assert (out.peers or ())[3].fqdns == ("*.x.org",)
    assert out.ports == (PortRange("UDP", 1, 1), PortRange("TCP", 5, 6), PortRange("ANY", name="web"))
    assert (into.verb, into.ingress, into.ports) == (Verb.PASS, True, None)


def test_ciliums_labels_lose_their_source():
    found = policy_of(
        """
        endpointSelector: {matchLabels: {"k8s:app": a, "any:tier": b, plain: c}}
        egress:
        - toEndpoints:
          - {matchLabels: {"k8s:io.kubernetes.pod.namespace": other, "k8s:app": db}}
          - {matchLabels: {app: same}}
          - {matchLabels: {"k8s:io.cilium.k8s.namespace.labels.env": prod}}
        """,
        "cilium.io/v2",
        "CiliumNetworkPolicy",
    )
    assert found.pods == Selector((("app", "a"), ("plain", "c"), ("tier", "b")))
    a, b, c = found.rules[0].peers or ()
    assert (a.pods, a.namespaces) == (
        Selector((("app", "db"),)), Selector((("kubernetes.io/metadata.name", "other"),)),
    )  # fmt: skip
    assert (b.namespaces, b.namespace) == (None, "default")
    assert c.namespaces == Selector((("env", "prod"),))


def test_kinds_that_are_not_read_are_counted():
    route = "apiVersion: route.openshift.io/v1\nkind: Route\nmetadata: {name: r}\n"
    launch = read(route, route, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n")
    assert [(n.level, n.message, n.count) for n in launch.notifications] == [
        (Level.NOTE, "objects of kind Route (route.openshift.io) are not read", 2),
        (Level.NOTE, "objects of kind Secret are not read", 1),
    ]


def test_the_same_kind_of_another_group_is_another_kind():
    launch = read(
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: c}\nspec: {selector: all()}\n"
    )
    assert launch.cluster is not None
    [found] = launch.cluster.policies
    assert found.kind == "NetworkPolicy (projectcalico.org)"
    assert {rule.verb for rule in found.rules} == {Verb.ALLOW, Verb.DENY}
    [note] = launch.notifications
    assert (note.level, "is not read" in note.message) == (Level.WARNING, True)
    knative = read("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: c}\nspec: {}\n")
    assert knative.cluster is not None
    assert not knative.cluster.services


def test_services_and_namespaces():
    found = cluster(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {a: b}}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\nspec: {selector: {app: x}, clusterIP: 10.96.0.7, ports: [{name: web, port: 80, targetPort: 8080}, {port: 53, protocol: UDP, targetPort: dns}, {port: 1}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: e}\nspec: {type: ExternalName, externalName: x.org}\n",
    )
    assert found.namespaces[0].labels == {"a": "b", "kubernetes.io/metadata.name": "n"}
    store, outside = found.services
    assert (store.selector, store.cluster_ip) == ({"app": "x"}, "10.96.0.7")
    assert store.ports == (("web", 80, 8080, "TCP"), (None, 53, "dns", "UDP"), (None, 1, 1, "TCP"))
    assert (outside.type, outside.external_name, outside.selector) == ("ExternalName", "x.org", {})


# ---- agent-sandbox


def test_a_names_hash_is_fnv():
    assert (name_hash(""), name_hash("a"), name_hash("foobar")) == ("811c9dc5", "e40c292c", "bf9cf968")


SANDBOX_TEMPLATE = f"""
apiVersion: extensions.agents.x-k8s.io/v1alpha1
kind: SandboxTemplate
metadata: {{name: t}}
spec: {{podTemplate: {{metadata: {{labels: {{app: x}}}}, spec: {{{CONTAINERS}}}}}}}
"""
LABEL = "agents.x-k8s.io/sandbox-template-ref-hash"


def sandbox_object(kind: str, spec: str, version: str = "extensions.agents.x-k8s.io/v1alpha1") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: s}}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ((), [("SandboxTemplate", "t")]),
        ((sandbox_object("SandboxClaim", "{sandboxTemplateRef: {name: t}}"),), [("SandboxClaim", "s")]),
        (
            (sandbox_object("SandboxWarmPool", "{replicas: 3, sandboxTemplateRef: {name: t}}"),),
            [("SandboxWarmPool", "s")],
        ),
        (
            (
                sandbox_object("SandboxWarmPool", "{sandboxTemplateRef: {name: t}}").replace("name: s", "name: w"),
                sandbox_object("SandboxClaim", "{warmPoolRef: {name: w}}", "extensions.agents.x-k8s.io/v1beta1"),
            ),
            [("SandboxWarmPool", "w"), ("SandboxClaim", "s")],
        ),
    ],
)
def test_what_a_template_becomes(objects, expected):
    found = cluster(SANDBOX_TEMPLATE, *objects)
    assert [(p.kind, p.name) for p in found.pods] == expected
    for pod in found.pods:
        assert pod.labels == {"app": "x", LABEL: name_hash("t")}
        assert pod.token_mounted == Said(False, Default("agent-sandbox"))
        assert [n.value for n in pod.nameservers] == ["8.8.8.8", "1.1.1.1"]
    [policy] = found.policies
    assert (policy.name, policy.pods) == ("t-network-policy", Selector(((LABEL, name_hash("t")),)))
    assert policy.rules[0].peers is not None
    assert policy.rules[0].peers[0].excepts == ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")


def test_a_sandbox_of_its_own():
    spec = f"{{podTemplate: {{spec: {{{CONTAINERS}}}}}}}"
    found = cluster(sandbox_object("Sandbox", spec, "agents.x-k8s.io/v1alpha1"))
    [pod] = found.pods
    assert (pod.kind, pod.token_mounted.value, found.policies) == ("Sandbox", True, ())


def test_a_claim_without_template_is_there_with_what_is_missing():
    [pod] = cluster(sandbox_object("SandboxClaim", "{sandboxTemplateRef: {name: gone}}")).pods
    assert "SandboxTemplate gone is not among the files" in pod.missing[0].why


# ---- errors


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("apiVersion: v1\nkind: Pod\n", "1:1", "metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "1:1", "needs a spec"),
        (
            "apiVersion: k8s.ovn.org/v1\nkind: UserDefinedNetwork\nmetadata: {name: a}\nspec: {topology: Layer2}\n",
            "1:1",
            "needs a topology",
        ),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: x}\n", "4:20", "has to be a list"),
        ("apiVersion: v1\nkind: Pod\nmetadata: [a]\nspec: {}\n", "3:11", "has to be a mapping"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostNetwork: maybe, containers: [{name: c}]}\n",
            "4:21",
            "true or false",
        ),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n", "1:1", "spec.template is missing"),
        ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n", "1:1", "spec is missing"),
        ("- a\n- b\n", "1:1", "has to be a mapping"),
        ("a: b\n", "1:1", "apiVersion and kind"),
        ("apiVersion: v1\nkind: [Pod]\n", "2:7", "has to be text"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a\n", "4:1", "no YAML"),
    ],
)
def test_what_is_broken_is_an_error_with_its_place(text, where, what):
    with pytest.raises(ParseError, match=what) as error:
        read(text)
    assert str(error.value).startswith(f"m.yaml:{where}: ")


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("policyTypes: [Egres]", "Ingress and Egress"),
        ("podSelector: {matchLabel: {a: b}}", "matchLabel"),
        ("podSelector: {matchExpressions: [{key: a, operator: Is}]}", "operator"),
        ("podSelector: {matchExpressions: [{key: a, operator: In}]}", "needs values"),
        ("podSelector: {matchExpressions: [{key: a, operator: Exists, values: [x]}]}", "takes no values"),
        ("podSelector: {matchExpressions: [{operator: Exists}]}", "key and operator"),
        ("egress: [{to: [{}]}]", "names nobody"),
        ("egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]", "no CIDR"),
        ("egress: [{to: [{ipBlock: {cidr: 10.0.0.1}}]}]", "no CIDR"),
        ("egress: [{to: [{ipBlock: {except: [10.0.0.0/8]}}]}]", "needs a cidr"),
        ("egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]", "not both"),
        ("egress: [{ports: [{port: 0}]}]", "1 to 65535"),
        ("egress: [{ports: [{port: 70000}]}]", "1 to 65535"),
        ("egress: [{ports: [{port: 10, endPort: 9}]}]", "endPort"),
        ("egress: [{ports: [{port: web, endPort: 9}]}]", "endPort"),
        ("egress: [{ports: [{endPort: 9}]}]", "endPort needs a port"),
        ("egress: [{ports: [{port: 1, protocol: GRE}]}]", "protocol"),
        ("egress: {to: []}", "has to be a list"),
    ],
)
def test_what_the_api_refuses_of_a_network_policy(spec, what):
    with pytest.raises(ParseError, match=what):
        policy_of(spec)


@pytest.mark.parametrize(
    ("kind", "spec", "what"),
    [
        ("AdminNetworkPolicy", "subject: {namespaces: {}}", "needs a priority"),
        ("AdminNetworkPolicy", "priority: 1001\nsubject: {namespaces: {}}", "0 to 1000"),
        ("AdminNetworkPolicy", "priority: 1", "needs a subject"),
        ("AdminNetworkPolicy", "priority: 1\nsubject: {}", "subject has to name"),
        ("AdminNetworkPolicy", "priority: 1\nsubject: {namespaces: {}, pods: {}}", "one of them"),
        ("AdminNetworkPolicy", "priority: 1\nsubject: {namespaces: {}}\negress: [{action: Drop, to: [{namespaces: {}}]}]", "action"),
        ("AdminNetworkPolicy", "priority: 1\nsubject: {namespaces: {}}\negress: [{action: Deny}]", "at least one peer"),
        ("AdminNetworkPolicy", "priority: 1\nsubject: {namespaces: {}}\negress: [{action: Deny, to: [{}]}]", "exactly one"),
        ("AdminNetworkPolicy", "priority: 1\nsubject: {namespaces: {}}\negress: [{action: Deny, to: [{networks: [x]}]}]", "no CIDR"),
        ("AdminNetworkPolicy", "priority: 1\nsubject: {namespaces: {}}\negress: [{action: Deny, to: [{namespaces: {}}], ports: [{}]}]", "exactly one"),
        ("BaselineAdminNetworkPolicy", "subject: {namespaces: {}}\negress: [{action: Pass, to: [{namespaces: {}}]}]", "above the baseline"),
        ("ClusterNetworkPolicy", "priority: 1\nsubject: {namespaces: {}}", "tier"),
        ("ClusterNetworkPolicy", "tier: Middle\npriority: 1\nsubject: {namespaces: {}}", "tier"),
    ],
)  # fmt: skip
def test_what_the_api_refuses_of_admin_policies(kind, spec, what):
    with pytest.raises(ParseError, match=what):
        policy_of(spec, "policy.networking.k8s.io/v1alpha1", kind)


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .Values.on }}\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n{{- end }}\n",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n",
        'apiVersion: v1\nkind: Pod\nmetadata:\n  name: "{{ .Release.Name }}"\nspec: {containers: [{name: c}]}\n',
        'apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: "{{ .Release.Namespace }}"\n',
    ],
)
def test_a_template_is_to_be_rendered_first(text):
    with pytest.raises(ParseError, match="render it first"):
        read(text)


def test_braces_in_a_value_make_no_template():
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '{{ $labels.pod }}'}\n"
    assert read(text).cluster is not None


# ---- hostile input


def told(given: Input) -> bool:
    """Whether it was read, or refused with the file's name and a place."""
    try:
        return FORMAT.read([given], ReadOptions()).cluster is not None
    except ScannerError as e:
        return re.match(rf"{given.name}:\d+:\d+: ", str(e)) is not None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_hostile_bytes_end_in_an_error_of_ours_or_a_launch(data):
    text = "apiVersion: v1\nkind: Pod\n" + data.decode("utf-8", "replace")
    assert told(Input("m.yaml", text))


KEYS = st.sampled_from(
    "apiVersion kind metadata name namespace labels spec template containers securityContext capabilities add volumes "
    "hostPath path egress to ports port podSelector matchLabels matchExpressions key operator values ipBlock cidr items "
    "podTemplate networkPolicy toEndpoints toPorts rules dns ownerReferences".split()
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 70000),
        st.sampled_from(
            ["Pod", "v1", "List", "NetworkPolicy", "networking.k8s.io/v1", "cilium.io/v2", "", "In", "{{ x }}"]
        ),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)
KINDS = st.sampled_from(
    [
        ("v1", "Pod"),
        ("v1", "List"),
        ("apps/v1", "Deployment"),
        ("batch/v1", "CronJob"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"),
        ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
        ("cilium.io/v2", "CiliumNetworkPolicy"),
        ("agents.x-k8s.io/v1alpha1", "Sandbox"),
        ("extensions.agents.x-k8s.io/v1alpha1", "SandboxTemplate"),
        ("extensions.agents.x-k8s.io/v1alpha1", "SandboxClaim"),
        ("v1", "Service"),
        ("v1", "ConfigMap"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(KINDS, st.dictionaries(KEYS, VALUES, max_size=6), VALUES)
def test_objects_of_any_shape_end_in_an_error_of_ours_or_a_launch(kind, rest, spec):
    version, name = kind
    object = {**rest, "metadata": {"name": "a"}, "spec": spec, "apiVersion": version, "kind": name}
    assert told(Input("m.json", json.dumps(object)))


def test_lists_within_lists_end():
    text = '{"apiVersion":"v1","kind":"List","items":[' * 300 + "]}" * 300
    with pytest.raises(LimitError):
        read(text)


def test_a_bomb_of_aliases_is_no_launch():
    layers = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))
    with pytest.raises((LimitError, ParseError)):
        read(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n{layers}\n")


def test_a_large_dump_is_read_document_by_document():
    sandbox = SANDBOX_TEMPLATE.replace("extensions.agents", "agents").replace("SandboxTemplate", "Sandbox")
    text = "---".join(sandbox.replace("{name: t}", f"{{name: s{n}}}") for n in range(1500))
    began = time.process_time()
    [*documents] = read_yaml(text, "m.yaml")
    parsed = time.process_time() - began
    began = time.process_time()
    found = cluster(text)
    took = time.process_time() - began
    assert len(found.pods) == len(documents) == 1500
    assert took < parsed * 4 + 0.5, "converting costs no more than a few times what parsing does"
