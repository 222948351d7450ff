"""What a sandbox might reach, in seven words: apart from `egress`, for the command line needs no more of it."""

from enum import StrEnum


class Destination(StrEnum):
    """What a sandbox might reach.

    INTERNET public addresses; PRIVATE RFC 1918, 100.64/10, ULA beyond its own networks; METADATA the clouds' services;
    HOST services of the container's host (Kubernetes: node) bound to 0.0.0.0; ENGINE takeover of the container engine or the
    host; DNS a resolver that carries names out; SIBLINGS the other containers of the launch.
    """

    INTERNET = "internet"
    PRIVATE = "private"
    METADATA = "metadata"
    HOST = "host"
    ENGINE = "engine"
    DNS = "dns"
    SIBLINGS = "siblings"
