"""The values that pass between the stages. Frozen, standard library only, no behaviour beyond what a value knows of itself."""

from scanner.model.entry import Entry, Kind, State
from scanner.model.evidence import Evidence, Json, Level, Notification
from scanner.model.finding import ConfigLocation, FileLocation, Finding, Location, fingerprint
from scanner.model.image import Descriptor, Image, ImageConfig, Layer, Target
from scanner.model.limits import Limits
from scanner.model.means import Kept, Means, MeansKind
from scanner.model.report import SCHEMA_VERSION, Report, Tool
from scanner.model.rule import Confidence, Rule, Severity
from scanner.model.text import capital, printable

__all__ = [
    "SCHEMA_VERSION",
    "Confidence",
    "ConfigLocation",
    "Descriptor",
    "Entry",
    "Evidence",
    "FileLocation",
    "Finding",
    "Image",
    "ImageConfig",
    "Json",
    "Kept",
    "Kind",
    "Layer",
    "Level",
    "Limits",
    "Location",
    "Means",
    "MeansKind",
    "Notification",
    "Report",
    "Rule",
    "Severity",
    "State",
    "Target",
    "Tool",
    "capital",
    "fingerprint",
    "printable",
]
