"""Launch texts judged as the command line judges them: read by their format, every sandbox's verdicts."""

from collections.abc import Iterable

from scanner.egress.assess import Asked, graph_of, name_of, sandboxes_of
from scanner.egress.assumptions import parse
from scanner.egress.paths import answers
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.model import Launch
from scanner.model.egress import Answer

ORDER = ("internet", "private", "metadata", "host", "engine", "dns")
LETTERS = {"o": "open", "l": "limited", "c": "closed", "u": "unknown"}


def read(format: Format, *texts: str) -> Launch:
    inputs = [Input(f"f{number}", text) for number, text in enumerate(texts)]
    for one in inputs:
        assert format.recognises(one), one.name
    return format.read(inputs, ReadOptions())


def judged(launch: Launch, assume: Iterable[str] = ()) -> dict[str, dict[str, Answer]]:
    """name → destination → answer"""
    asked = Asked(parse(assume))
    return {
        name_of(one): {a.destination.value: a for a in answers(graph_of(launch, one, asked))}
        for one in sandboxes_of(launch)
    }


def letters(found: dict[str, Answer], direct: bool = False) -> str:
    """The verdicts on ORDER by their first letters."""
    return "".join((found[name].direct if direct else found[name].verdict).value[0] for name in ORDER)


def allowed(answer: Answer) -> set[tuple[tuple[str, ...], str, tuple[tuple[int, int], ...]]]:
    return {(p.hosts, p.protocol, p.ports) for p in answer.allows}
