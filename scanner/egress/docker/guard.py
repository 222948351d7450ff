"""What stands between a container and its networks in its own network namespace: nothing, or rules (own_rules.py)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.egress.docker.resolver import Asked
from scanner.egress.docker.scene import Scene
from scanner.model.egress import Permit
from scanner.model.launch import Container, Missing, Network, Origin

if TYPE_CHECKING:
    from scanner.egress.docker.own_rules import Own


@dataclass(frozen=True, slots=True)
class Passed:
    """What the rules let pass of a permit, by one line of the script; `why` is "" where there are no rules."""

    permit: Permit
    why: str = ""
    origin: Origin | None = None
    missing: tuple[Missing, ...] = ()


class Guard:
    """No rules at all: whatever a network lets through passes."""

    mark = ""
    """What tells the nodes that are seen through these rules from those that are not."""
    dropped: tuple[tuple[str, Origin | None], ...] = ()
    own: "Own | None" = None

    def onward(self, permit: Permit) -> tuple[Passed, ...]:
        """Of addresses beyond the networks."""
        return (Passed(permit),)

    def bridge(self, network: Network, permit: Permit, six: bool = False) -> tuple[Passed, ...]:  # noqa: ARG002 - nothing is asked
        """Of the host, called at its address on a network's bridge."""
        return (Passed(permit),)

    def host(self, permit: Permit) -> tuple[Passed, ...]:
        """Of the host, called at any of its addresses."""
        return (Passed(permit),)

    def peer(self, there: Container, network: Network, permit: Permit) -> tuple[Passed, ...]:  # noqa: ARG002
        """Of a sibling, called at its address on a network."""
        return (Passed(permit),)

    def loopback(self, permit: Permit) -> tuple[Passed, ...]:
        """Of what lives in the same namespace."""
        return (Passed(permit),)

    def asked(self, one: Asked, kind: str) -> Iterator[tuple[Asked, tuple[Missing, ...]]]:  # noqa: ARG002
        """Of questions for names, asked in this way by a resolver of this kind."""
        yield one, ()


OPEN = Guard()


def guard_of(scene: Scene, owner: Container) -> Guard:
    """The rules that stand in the namespace of a container. What follows scripts is loaded where there are some."""
    if not any(c.scripts for c in scene.launch.containers):
        return OPEN
    from scanner.egress.docker.own_rules import rules_of

    return rules_of(scene, owner) or OPEN
