"""Means: what lies ready in an image for whoever runs in it. Harmless alone; the launch gives the opportunity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.model.evidence import Json
from scanner.model.finding import Location


class MeansKind(StrEnum):
    """What one could do with it: connect as it is, be written a few lines in, forward, open somebody's door."""

    CLIENT = "client"
    INTERPRETER = "interpreter"
    SERVER = "server"
    TUNNEL = "tunnel"
    CREDENTIAL = "credential"
    ACCESS = "access"
    """A credential joined with the place it opens: a hypothesis, for nobody tried it."""


@dataclass(frozen=True, slots=True)
class Means:
    """One thing that a container sees, with where it lies. A fact for the egress graph, never an alarm.

    `owner` is the distribution package it belongs to, `version` that package's (or what the thing says of itself), each
    None where nothing says. `details` never hold a secret.
    """

    kind: MeansKind
    name: str
    location: Location
    version: str | None = None
    owner: str | None = None
    details: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """A document that stays with its layer for whole-image questions: a file's own bytes, or what a detector made of it."""

    path: bytes
    data: bytes
