"""KubeVirt's virtual machines: each runs in a pod of its own, which has the machine's labels and is held to policies like any.

Kinds and fields: kubevirt.io/v1 (VirtualMachine, VirtualMachineInstance, VirtualMachineInstanceReplicaSet). An agent inside
is in the guest: it has the pod's network, and of the node what the machine is given as a device.
"""

from collections.abc import Iterator

from scanner.launch.document import Node
from scanner.launch.manifests.networks import attached
from scanner.launch.manifests.podspec import Metadata
from scanner.launch.manifests.values import Fields, elements, fields, labels, optional, said, text, texts
from scanner.model import Confinement, Default, Missing, Pod, PodContainer, Said

KUBEVIRT = Default("kubevirt")
_LAUNCHER = "kubevirt.io"


def machine(meta: Metadata, kind: str, template: Fields, replicas: int) -> Pod:
    """The workload `meta` whose machines have the `template`'s metadata and specification."""
    spec = fields(template.get("spec"), "spec")
    inner = fields(template.get("metadata"), "metadata")
    networks = tuple(_networks(spec, meta.namespace))
    config = fields(spec.get("dnsConfig"), "dnsConfig")
    on_pods = not elements(spec.get("networks"), "networks") or any(
        "pod" in fields(one, "a network") for one in elements(spec.get("networks"), "networks")
    )
    missing: tuple[Missing, ...] = ()
    if not on_pods and networks:
        why = "what the networks lead to that the machine has instead of the pods' own"
        missing = (Missing(f"network.{networks[0].value}", why, networks[0].origin),)
    return Pod(
        name=meta.name,
        namespace=meta.namespace,
        kind=kind,
        origin=meta.origin,
        labels={**labels(inner.get("labels"), "labels"), _LAUNCHER: "virt-launcher"},
        containers=(PodContainer("guest", _image(spec), Confinement(gpus=_gpus(spec))),),
        token_mounted=Said(_has_account(spec), KUBEVIRT),
        dns_policy=said(spec.get("dnsPolicy"), "dnsPolicy") or Said("ClusterFirst", Default("kubernetes")),
        nameservers=texts(config.get("nameservers"), "nameservers"),
        replicas=replicas,
        missing=missing,
        networks=(*networks, *attached(labels(inner.get("annotations"), "annotations"), meta.namespace, meta.origin)),
    )


def _volumes(spec: Fields) -> Iterator[Fields]:
    return (fields(one, "a volume") for one in elements(spec.get("volumes"), "volumes"))


def _image(spec: Fields) -> Said[str] | None:
    """Where the guest's disk comes from as an image."""
    for volume in _volumes(spec):
        image = fields(volume.get("containerDisk"), "containerDisk").get("image")
        if image is not None:
            return said(image, "image")
    return None


def _has_account(spec: Fields) -> bool:
    """A guest gets a token only as a disk that is asked for."""
    return any("serviceAccount" in volume for volume in _volumes(spec))


def _gpus(spec: Fields) -> Said[str] | None:
    devices = fields(fields(spec.get("domain"), "domain").get("devices"), "devices")
    for one in elements(devices.get("gpus"), "gpus"):
        return Said(optional(fields(one, "a GPU").get("deviceName"), "deviceName") or "a GPU", one.place)
    return None


def _networks(spec: Fields, namespace: str) -> Iterator[Said[str]]:
    for one in elements(spec.get("networks"), "networks"):
        name: Node | None = fields(fields(one, "a network").get("multus"), "multus").get("networkName")
        if name is not None:
            written = text(name, "networkName")
            yield Said(written if "/" in written else f"{namespace}/{written}", name.place)
