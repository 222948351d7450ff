"""A pod's specification: its containers, and what holds each of them in.

Fields: PodSpec and Container of the core/v1 API; Pod Security Standards for what the kubelet gives if nothing is said.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from scanner.errors import ParseError
from scanner.launch.document import Node
from scanner.launch.manifests.networks import attached
from scanner.launch.manifests.values import (
    Fields,
    broken,
    elements,
    fields,
    flag,
    labels,
    number,
    optional,
    said,
    text,
    text_or_empty,
    texts,
)
from scanner.model import Confinement, Default, Mount, MountKind, Pod, PodContainer, Said
from scanner.model.evidence import Json
from scanner.model.launch import Origin

KUBERNETES = Default("kubernetes")
UNCONFINED = Said("unconfined", KUBERNETES)
"""The kubelet starts containers without a seccomp profile unless it is told otherwise (--seccomp-default)."""
_GPUS = ("nvidia.com/", "amd.com/gpu", "gpu.intel.com/", "aws.amazon.com/neuron", "google.com/tpu")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What all objects say of themselves. `owner` is the controller: (kind, name)."""

    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    owner: tuple[str, str] | None
    origin: Origin


def pod(meta: Metadata, kind: str, template: Fields, spec: Node | None, replicas: int) -> Pod:
    """The workload `meta` whose pods have the `template`'s metadata and this specification.

    Containers may be missing, as in dumps that were stripped to what policies look at.
    """
    if spec is None:
        raise ParseError(f"{meta.origin}: a pod needs a spec")
    given = fields(spec, "spec")
    inner = fields(template.get("metadata"), "metadata")
    annotations = labels(inner.get("annotations"), "annotations")
    security = fields(given.get("securityContext"), "securityContext")
    volumes = _volumes(given)
    token = flag(given.get("automountServiceAccountToken"), "automountServiceAccountToken")
    account = said(given.get("serviceAccountName", given.get("serviceAccount")), "serviceAccountName")
    common = _pod_wide(given, security)
    containers = [
        _container(one, init, number, common, security, volumes, annotations)
        for init, name in ((False, "containers"), (True, "initContainers"), (False, "ephemeralContainers"))
        for number, one in enumerate(elements(given.get(name), name), 1)
    ]
    config = fields(given.get("dnsConfig"), "dnsConfig")
    policy = said(given.get("dnsPolicy"), "dnsPolicy")
    return Pod(
        name=meta.name,
        namespace=meta.namespace,
        kind=kind,
        origin=meta.origin,
        labels=labels(inner.get("labels"), "labels"),
        containers=tuple(containers),
        host_network=flag(given.get("hostNetwork"), "hostNetwork"),
        service_account=account,
        token_mounted=token or Said(True, KUBERNETES),
        dns_policy=policy or Said("ClusterFirst", KUBERNETES),
        nameservers=texts(config.get("nameservers"), "nameservers"),
        host_aliases=tuple(_host_aliases(given)),
        replicas=replicas,
        details=_details(given, token),
        networks=attached(annotations, meta.namespace, meta.origin),
    )


def _details(given: Fields, token: Said[bool] | None) -> Mapping[str, Json]:
    """What has no field of its own: read by whoever completes the pod once all objects are known, or shows it."""
    details: dict[str, Json] = {}
    if token is None:
        details["token-unsaid"] = True
    shared = flag(given.get("shareProcessNamespace"), "shareProcessNamespace")
    if shared is not None and shared.value:
        details["shareProcessNamespace"] = True
    secrets = [
        text(name, "name")
        for one in elements(given.get("imagePullSecrets"), "imagePullSecrets")
        if (name := fields(one, "a secret's reference").get("name")) is not None
    ]
    if secrets:
        details["imagePullSecrets"] = tuple(secrets)
    return details


def _host_aliases(given: Fields) -> Iterator[tuple[str, Said[str]]]:
    for one in elements(given.get("hostAliases"), "hostAliases"):
        parts = fields(one, "a host alias")
        if "ip" not in parts:
            raise broken(one, "a host alias needs an ip")
        for name in elements(parts.get("hostnames"), "hostnames"):
            yield text(name, "a host's name"), Said(text(parts["ip"], "ip"), parts["ip"].place)


# ---- what holds for all containers of the pod


def _pod_wide(given: Fields, security: Fields) -> Confinement:
    shared = flag(given.get("shareProcessNamespace"), "shareProcessNamespace")
    users = flag(given.get("hostUsers"), "hostUsers")
    runtime = said(given.get("runtimeClassName"), "runtimeClassName")
    pid = _host(flag(given.get("hostPID"), "hostPID"))
    if pid is None and shared is not None and shared.value:
        pid = Said("pod", shared.origin)
    return Confinement(
        pid=pid,
        ipc=_host(flag(given.get("hostIPC"), "hostIPC")),
        userns=Said("private", users.origin) if users is not None and not users.value else None,
        runtime=runtime,
        sysctls=tuple(_sysctls(security)),
    )


def _host(shares: Said[bool] | None) -> Said[str] | None:
    return Said("host", shares.origin) if shares is not None and shares.value else None


def _sysctls(security: Fields) -> Iterator[tuple[str, Said[str]]]:
    for one in elements(security.get("sysctls"), "sysctls"):
        parts = fields(one, "a sysctl")
        if "name" in parts and "value" in parts:
            yield text(parts["name"], "name"), Said(text(parts["value"], "value"), parts["value"].place)


# ---- one container


def _container(
    node: Node,
    init: bool,
    count: int,
    common: Confinement,
    pod_security: Fields,
    volumes: Fields,
    annotations: dict[str, str],
) -> PodContainer:
    """The API asks for a name; dumps that were stripped have none, and say no less about the pod's reach: it is `container N`."""
    given = fields(node, "a container")
    name = optional(given.get("name"), "name") or f"container {count}"
    security = fields(given.get("securityContext"), "securityContext")
    root = security.get("readOnlyRootFilesystem")
    ports, host_ports = _ports(given)
    restart = optional(given.get("restartPolicy"), "restartPolicy")
    return PodContainer(
        name=name,
        image=said(given.get("image"), "image"),
        confinement=replace(
            common,
            user=said(security.get("runAsUser", pod_security.get("runAsUser")), "runAsUser"),
            privileged=flag(security.get("privileged"), "privileged"),
            cap_add=_capabilities(security, "add"),
            cap_drop=_capabilities(security, "drop"),
            seccomp=_profile(security.get("seccompProfile", pod_security.get("seccompProfile")), UNCONFINED),
            apparmor=_apparmor(security, pod_security, name, annotations, node),
            no_new_privileges=_no_escalation(security),
            read_only=Said(True, root.place) if root is not None and root.flag() is True else None,
            mounts=tuple(_mounts(given, volumes)),
            devices=texts_of_devices(given),
            gpus=_gpus(given),
        ),
        ports=ports,
        host_ports=host_ports,
        entrypoint=_words(given.get("command"), "command"),
        command=_words(given.get("args"), "args"),
        environment=tuple(_environment(given)),
        init=init and restart != "Always",
        working_dir=optional(given.get("workingDir"), "workingDir") or None,
    )


def _capabilities(security: Fields, which: str) -> tuple[Said[str], ...]:
    given = fields(security.get("capabilities"), "capabilities")
    return tuple(
        Said(one.value.upper().removeprefix("CAP_"), one.origin)
        for one in texts(given.get(which), f"capabilities.{which}")
    )


def _profile(node: Node | None, default: Said[str] | None) -> Said[str] | None:
    """A profile's name, None for the runtime's own."""
    if node is None:
        return default
    given = fields(node, "a profile")
    kind = optional(given.get("type"), "type")
    if kind == "RuntimeDefault":
        return None
    if kind == "Unconfined":
        return Said("unconfined", given["type"].place)
    if kind == "Localhost":
        return Said(optional(given.get("localhostProfile"), "localhostProfile") or "localhost", node.place)
    raise broken(node, "the type of a profile has to be RuntimeDefault, Unconfined or Localhost")


def _apparmor(
    security: Fields, pod_security: Fields, name: str, annotations: dict[str, str], node: Node
) -> Said[str] | None:
    profile = security.get("appArmorProfile", pod_security.get("appArmorProfile"))
    if profile is not None:
        return _profile(profile, None)
    annotated = annotations.get(f"container.apparmor.security.beta.kubernetes.io/{name}", "runtime/default")
    if annotated == "runtime/default":
        return None
    return Said(annotated.removeprefix("localhost/"), node.place)


def _no_escalation(security: Fields) -> Said[bool] | None:
    allowed = flag(security.get("allowPrivilegeEscalation"), "allowPrivilegeEscalation")
    return None if allowed is None else Said(not allowed.value, allowed.origin)


def _ports(
    given: Fields,
) -> tuple[tuple[tuple[str | None, int, str], ...], tuple[Said[int], ...]]:
    ports = []
    host_ports = []
    listed = given.get("ports")
    if listed is not None and listed.pairs == ():
        listed = None  # `{}`, as some tools print a list that is empty
    for one in elements(listed, "ports"):
        parts = fields(one, "a port")
        if "containerPort" not in parts:
            continue  # such as `containerport`: the API knows no port here, so that no policy finds one by its name
        protocol = (optional(parts.get("protocol"), "protocol") or "TCP").upper()
        ports.append(
            (
                optional(parts.get("name"), "name"),
                number(parts["containerPort"], "containerPort", 0, 65535),
                protocol,
            )
        )
        if "hostPort" in parts:
            host_port = number(parts["hostPort"], "hostPort", 0, 65535)
            if host_port:
                host_ports.append(Said(host_port, parts["hostPort"].place))
    return tuple(ports), tuple(host_ports)


def _words(node: Node | None, what: str) -> tuple[Said[str], ...] | None:
    return None if node is None else texts(node, what)


def _environment(given: Fields) -> Iterator[tuple[str, Said[str | None]]]:
    for one in elements(given.get("env"), "env"):
        parts = fields(one, "a variable")
        if "name" not in parts:
            raise broken(one, "a variable needs a name")
        value = parts.get("value")
        known = None if "valueFrom" in parts else "" if value is None else text_or_empty(value, "value")
        yield text(parts["name"], "name"), Said(known, (value or parts["name"]).place)


def _gpus(given: Fields) -> Said[str] | None:
    resources = fields(given.get("resources"), "resources")
    for which in ("limits", "requests"):
        for name, value in fields(resources.get(which), which).items():
            if name.startswith(_GPUS):
                return Said(f"{text_or_empty(value, name)} {name}", value.place)
    return None


def texts_of_devices(given: Fields) -> tuple[Said[str], ...]:
    """Block devices (`volumeDevices`), as `CLAIM:PATH`."""
    return tuple(
        Said(f"{optional(parts.get('name'), 'name')}:{text(parts['devicePath'], 'devicePath')}", one.place)
        for one in elements(given.get("volumeDevices"), "volumeDevices")
        if "devicePath" in (parts := fields(one, "a device"))
    )


# ---- volumes


def _volumes(given: Fields) -> Fields:
    """Each volume's own field (`hostPath`, `configMap`, …) by the volume's name, as the mapping that holds it."""
    found: Fields = {}
    for one in elements(given.get("volumes"), "volumes"):
        parts = fields(one, "a volume")
        if "name" not in parts:
            raise broken(one, "a volume needs a name")
        found[text(parts["name"], "name")] = one
    return found


def _mounts(given: Fields, volumes: Fields) -> Iterator[Mount]:
    for one in elements(given.get("volumeMounts"), "volumeMounts"):
        parts = fields(one, "a mount")
        if "mountPath" not in parts:
            raise broken(one, "a mount needs a mountPath")
        target = text(parts["mountPath"], "mountPath")
        read_only = flag(parts.get("readOnly"), "readOnly")
        name = optional(parts.get("name"), "name") or ""
        below = (optional(parts.get("subPath"), "subPath") or "").strip("/")
        volume = volumes.get(name)
        kinds = fields(volume, "a volume") if volume is not None else {}
        is_read_only = read_only is not None and read_only.value
        if "hostPath" in kinds:
            host = fields(kinds["hostPath"], "hostPath")
            if "path" not in host:
                raise broken(kinds["hostPath"], "hostPath needs a path")
            source = text(host["path"], "path")
            source = f"{source.rstrip('/')}/{below}" if below else source
            yield Mount(MountKind.BIND, source, target, is_read_only, one.place)
        elif "emptyDir" in kinds or not kinds.keys() - {"name"}:
            yield Mount(MountKind.OTHER, f"emptyDir {name}", target, is_read_only, one.place)
        elif "configMap" in kinds:
            yield from _config_map(kinds["configMap"], target, below, one)
        else:
            kind = min(kinds.keys() - {"name"})
            claim = kind in ("persistentVolumeClaim", "ephemeral", "nfs", "csi")
            yield Mount(
                MountKind.VOLUME if claim else MountKind.OTHER, f"{kind} {name}", target, is_read_only, one.place
            )


def _config_map(node: Node, target: str, below: str, mount: Node) -> Iterator[Mount]:
    """One mount per file that is named, else one of the whole map; whoever knows the map puts its text in."""
    given = fields(node, "configMap")
    name = optional(given.get("name"), "name") or ""
    items = []
    for one in elements(given.get("items"), "items"):
        parts = fields(one, "an item")
        if "key" in parts and "path" in parts:
            items.append((text(parts["key"], "key"), text(parts["path"], "path")))
    if below:
        key = next((key for key, path in items if path == below), below)
        yield Mount(MountKind.OTHER, f"configMap {name}/{key}", target, True, mount.place)
    elif items:
        for key, path in items:
            yield Mount(MountKind.OTHER, f"configMap {name}/{key}", f"{target.rstrip('/')}/{path}", True, mount.place)
    else:
        yield Mount(MountKind.OTHER, f"configMap {name}", target, True, mount.place)
