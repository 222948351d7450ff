"""Which lines made which layer, as the builder recorded it: BuildKit's provenance with mode=max.

Format: in-toto statements with SLSA predicates v0.2 and v1; BuildKit's own part is documented in docs/attestations/slsa-provenance.md
(`source.locations`: steps to lines, `source.infos`: the Dockerfile, `layers`: steps to the layers below and with their own).
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scanner.errors import SourceError
from scanner.oci.manifest import Document, document_of

MOST_STEPS = 2_000

_V02 = "https://mobyproject.org/buildkit@v1#metadata"


@dataclass(frozen=True, slots=True)
class Recorded:
    """`text` is the Dockerfile that was built; `lines` maps the index of a layer to its first and last line."""

    text: bytes
    lines: dict[int, tuple[int, int]]


def recorded(statements: Iterable[bytes], stored: Sequence[str | None]) -> Recorded | None:
    """What the first statement that knows says of layers with these digests (of the blobs as stored); None where none does.

    Raises SourceError for a statement that is broken.
    """
    for statement in statements:
        what = "the provenance"
        predicate = document_of(statement, what).object("predicate")
        metadata = predicate.object("runDetails").object("metadata").object("buildkit_metadata")
        if not metadata.has("source"):
            metadata = predicate.object("metadata").object(_V02)
        infos = metadata.object("source").objects("infos")
        if not infos or not metadata.has("layers"):
            continue
        try:
            text = base64.b64decode(infos[0].text("data"), validate=True)
        except (binascii.Error, ValueError) as e:
            raise SourceError(f"{what} holds a Dockerfile that is not in base64") from e
        locations = metadata.object("source").object("locations")
        if len(locations.names()) > MOST_STEPS:
            raise SourceError(f"{what} has the lines of {len(locations.names())} steps, more than any build has")
        lines: dict[int, set[tuple[int, int]]] = {}
        for step, layer in _steps(metadata, tuple(stored)):
            if (span := _span(locations, step)) is not None:
                lines.setdefault(layer, set()).add(span)
        unanimous = {layer: next(iter(spans)) for layer, spans in lines.items() if len(spans) == 1}
        if unanimous:
            return Recorded(text, unanimous)
    return None


def _steps(metadata: Document, stored: tuple[str | None, ...]) -> set[tuple[str, int]]:
    """Steps with the layer each of them put on top: a step lists all layers up to its own."""
    layers = metadata.object("layers")
    outputs = layers.names()
    if len(outputs) > MOST_STEPS:
        raise SourceError(f"the provenance names {len(outputs)} steps with layers, more than any build has")
    found = set()
    for output in outputs:
        for chain in layers.lists(output):
            digests = tuple(one.text("digest") for one in chain)
            if digests and digests == stored[: len(digests)]:
                found.add((output.partition(":")[0], len(digests) - 1))
    return found


def _span(locations: Document, step: str) -> tuple[int, int] | None:
    """First and last line of a step in the first file; None where it has none, or stands in another file."""
    numbers: list[int] = []
    for location in locations.object(step).objects("locations"):
        if location.size("sourceIndex") > 0:
            return None
        for one in location.objects("ranges"):
            numbers += (one.object("start").size("line"), one.object("end").size("line"))
    return (min(numbers), max(numbers)) if numbers and min(numbers) > 0 else None
