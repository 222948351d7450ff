"""The values that pass between the stages. Frozen, standard library only, no behaviour beyond what a value knows of itself."""

from importlib import import_module
from typing import TYPE_CHECKING

from scanner.model.entry import Entry, Kind, State
from scanner.model.evidence import Context, Evidence, Json, Level, Notification
from scanner.model.finding import (
    ConfigLocation,
    FileLocation,
    Finding,
    FlowStep,
    LaunchLocation,
    Location,
    ProcessLocation,
    fingerprint,
    worst_first,
)
from scanner.model.image import Descriptor, History, Image, ImageConfig, Layer, Target
from scanner.model.limits import Limits
from scanner.model.means import Kept, Means, MeansKind
from scanner.model.report import SCHEMA_VERSION, Report, Tool
from scanner.model.rule import Confidence, Rule, Severity
from scanner.model.source import SourceLine, Traced
from scanner.model.standing import never_aside
from scanner.model.suppressed import Aside, Ignore, Suppressed
from scanner.model.text import capital, printable

if TYPE_CHECKING:
    from scanner.model.launch import (
        Attachment,
        Cluster,
        Confinement,
        Container,
        Default,
        Enforcement,
        Hosted,
        HostRule,
        Launch,
        Missing,
        Mount,
        MountKind,
        Namespace,
        Network,
        Origin,
        Peer,
        Place,
        Pod,
        PodContainer,
        PodNetwork,
        Policy,
        PolicyRule,
        PortRange,
        Published,
        Said,
        Script,
        Selector,
        Service,
        Tier,
        Verb,
    )
else:

    def __getattr__(name: str) -> object:
        """A value of launches, loaded when first asked for: there are many, and most processes have no launch."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("scanner.model.launch"), name)


__all__ = [
    "SCHEMA_VERSION",
    "Aside",
    "Attachment",
    "Cluster",
    "Confidence",
    "ConfigLocation",
    "Confinement",
    "Container",
    "Context",
    "Default",
    "Descriptor",
    "Enforcement",
    "Entry",
    "Evidence",
    "FileLocation",
    "Finding",
    "FlowStep",
    "History",
    "HostRule",
    "Hosted",
    "Ignore",
    "Image",
    "ImageConfig",
    "Json",
    "Kept",
    "Kind",
    "Launch",
    "LaunchLocation",
    "Layer",
    "Level",
    "Limits",
    "Location",
    "Means",
    "MeansKind",
    "Missing",
    "Mount",
    "MountKind",
    "Namespace",
    "Network",
    "Notification",
    "Origin",
    "Peer",
    "Place",
    "Pod",
    "PodContainer",
    "PodNetwork",
    "Policy",
    "PolicyRule",
    "PortRange",
    "ProcessLocation",
    "Published",
    "Report",
    "Rule",
    "Said",
    "Script",
    "Selector",
    "Service",
    "Severity",
    "SourceLine",
    "State",
    "Suppressed",
    "Target",
    "Tier",
    "Tool",
    "Traced",
    "Verb",
    "capital",
    "fingerprint",
    "never_aside",
    "printable",
    "worst_first",
]
