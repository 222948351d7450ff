"""What was predicted from a launch's files against what was measured: matrices, and every difference by name."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scanner.egress.assumptions import parse
from scanner.egress.docker.graph import container_graph
from scanner.egress.firewall import read_ruleset
from scanner.egress.paths import answers
from scanner.launch import compose, docker_run
from scanner.launch.plugin import Input, ReadOptions
from scanner.model.egress import Answer, Destination, Verdict
from tests.egress.lab.launches import SANDBOX

FORMS = {"compose": ("compose.yaml", compose.FORMAT), "run": ("run.sh", docker_run.FORMAT)}


@dataclass(frozen=True, slots=True)
class Compared:
    """One verdict. `kind` is `verdict` or `direct`; `why` is what explains a difference, "" where nothing does.

    `asked` are facts that were named as missing and then supplied: it was unknown without them.
    """

    launch: str
    engine: str
    form: str
    destination: str
    kind: str
    predicted: str
    measured: str
    missing: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    why: str = ""

    @property
    def equal(self) -> bool:
        return self.predicted == self.measured

    @property
    def wrongly_closed(self) -> bool:
        """Said to be closed, and it is not: the one mistake that must never be made."""
        return self.predicted == Verdict.CLOSED and self.measured != Verdict.CLOSED


@dataclass(frozen=True, slots=True)
class Explained:
    """A difference that is known. Its parts are patterns; `why` is the reason.

    `missing` is a fact that the answer names, `holds` what stands in its command lines or the host's, `taken` means that the
    sandbox was measured to take the engine.
    """

    launch: str
    destination: str
    predicted: str
    measured: str
    why: str
    engine: str = "*"
    kind: str = "*"
    missing: str = ""
    holds: str = ""
    taken: bool = False

    def fits(self, one: Compared, record: Mapping[str, Any]) -> bool:
        pairs = (
            *((self.launch, one.launch), (self.destination, one.destination), (self.predicted, one.predicted)),
            *((self.measured, one.measured), (self.engine, one.engine), (self.kind, one.kind)),
        )
        named = not self.missing or self.missing in one.missing
        taken = not self.taken or record["verdicts"]["engine"] == "open"
        return (
            named
            and taken
            and self.holds in "\n".join([record["run"], *record["host"]])
            and all(fnmatchcase(value, pattern) for pattern, value in pairs)
        )


EXPLAINED = (
    Explained(
        *("*", "*", "unknown", "*"),
        "whether a right short of full privilege is enough to take the host is not tried: it would take this machine",
        missing="host.escape",
    ),
    Explained(
        *("*", "*", "open", "*"),
        "what SYS_ADMIN without confinement takes over by a control group's release agent is not tried: that agent would run "
        "outside the lab",
        holds="--cap-add SYS_ADMIN",
        kind="verdict",
    ),
    Explained(
        *("*", "*", "open", "*"),
        "whoever takes the engine takes the host's rules away too, which is not tried",
        kind="verdict",
        holds="iptables -I OUTPUT",
        taken=True,
    ),
    Explained(
        *("*", "siblings", "open", "*"),
        "an engine or a host that is taken reaches every container; what it reaches of the siblings is not tried",
        kind="verdict",
        taken=True,
    ),
    Explained(
        *("*", "host", "open", "limited"),
        "a macvlan's packets do not come to the host at the address of the link they leave by; which that is no file says",
        holds="--driver macvlan",
    ),
    Explained(
        *("*", "*", "open", "limited"),
        "what lies behind the router of a LAN that the container stands on: in the lab the internet alone",
        holds="--driver macvlan",
        kind="verdict",
    ),
    Explained(
        *("*", "host", "limited", "closed"),
        "a relay to a private address could be one to the host: which addresses are the host's no file says",
        holds="socat",
    ),
    Explained(
        *("*", "dns", "open", "*"),
        "an engine or a host that is taken resolves names; only the sandbox's own resolver is tried",
        kind="verdict",
        taken=True,
    ),
)


def predicted(record: Mapping[str, Any], form: str, supplied: Iterable[str] = ()) -> tuple[Answer, ...]:
    """The answers for the sandbox of a measured launch, from one of its two texts and what is known of its engine."""
    name, reader = FORMS[form]
    with tempfile.TemporaryDirectory(prefix="sandscan-launch-") as made:
        folder = Path(made)
        for file, text in record["files"].items():
            (folder / file).write_text(text)
        (folder / name).write_text(record[form])
        given = Input(name, record[form], folder / name)
        launch = reader.read([given], ReadOptions())
    ruleset = read_ruleset(record["ruleset"], "ruleset") if record["ruleset"] else None
    sandbox = launch.container(SANDBOX)
    assert sandbox is not None
    return answers(container_graph(launch, sandbox, parse([*record["assume"], *supplied]), ruleset))


def compared(records: Iterable[Mapping[str, Any]], forms: Sequence[str] = tuple(FORMS)) -> tuple[Compared, ...]:
    """Every verdict of every launch, from each of its texts.

    Where a verdict is unknown for want of facts that the lab can supply, they are given and the question is asked again: then
    there is nothing left to want.
    """
    return tuple(row for record in records for form in forms for row in _rows(record, form))


def _rows(record: Mapping[str, Any], form: str) -> Iterator[Compared]:
    found = {answer.destination: answer for answer in predicted(record, form)}
    known = {fact.partition("=")[0]: fact for fact in record["supplies"]}
    asked = tuple(sorted({key for answer in found.values() for key in _missing(answer)} & set(known)))
    again = (
        {answer.destination: answer for answer in predicted(record, form, [known[key] for key in asked])}
        if asked
        else {}
    )
    for destination, answer in found.items():
        for kind in ("verdict", "direct"):
            measured = record["verdicts" if kind == "verdict" else "direct"][destination.value]
            if destination is Destination.SIBLINGS and not all(record["siblings"].values()):
                continue  # one of them serves nothing: no file says so
            unknown = getattr(answer, kind) is Verdict.UNKNOWN
            last = again.get(destination, answer) if unknown else answer
            said = getattr(last, kind).value
            row = Compared(
                *(record["name"], record["engine"], form, destination.value, kind, said, measured, _missing(last)),
                asked if unknown else (),
            )
            yield (row if row.equal else replace(row, why=next((e.why for e in EXPLAINED if e.fits(row, record)), "")))


def _missing(answer: Answer) -> tuple[str, ...]:
    return tuple(dict.fromkeys(missing.key for missing in answer.missing))


def told(rows: Sequence[Compared]) -> str:
    """The matrices, predicted × measured, and each difference below them."""
    lines = []
    for kind in ("verdict", "direct"):
        of_kind = [row for row in rows if row.kind == kind]
        equal = sum(row.equal for row in of_kind)
        wrong = sum(row.wrongly_closed for row in of_kind)
        asked = sum(bool(row.asked) for row in of_kind)
        lines.append(
            f"{kind}: {equal} of {len(of_kind)} equal ({equal / len(of_kind):.1%}), {wrong} wrongly closed; "
            f"{asked} were unknown until a fact was supplied"
        )
        for destination in dict.fromkeys(row.destination for row in of_kind):
            lines += _matrix(destination, [row for row in of_kind if row.destination == destination])
        lines.append("")
    return "\n".join([*lines, *_differences([row for row in rows if not row.equal])]) + "\n"


def _differences(rows: Sequence[Compared]) -> Iterator[str]:
    """One line for what differs in the same way, those wrongly closed first, those explained last."""
    alike: dict[Compared, list[Compared]] = {}
    for row in rows:
        alike.setdefault(replace(row, form="", destination="", kind=""), []).append(row)
    for one, same in sorted(
        alike.items(), key=lambda pair: (not pair[0].wrongly_closed, pair[0].why != "", pair[0].launch)
    ):
        where = ", ".join(dict.fromkeys(f"{row.destination} ({row.kind}, {row.form})" for row in same))
        both = {(row.destination, row.kind) for row in same}
        if len(same) == len(both) * len(FORMS):
            where = ", ".join(dict.fromkeys(f"{row.destination} ({row.kind})" for row in same))
        mark = "WRONGLY CLOSED " if one.wrongly_closed else ""
        hangs = f" (missing {', '.join(one.missing)})" if one.predicted == Verdict.UNKNOWN else ""
        reason = f"\n    {one.why}" if one.why else ""
        yield f"{mark}{one.launch} on {one.engine}: predicted {one.predicted}{hangs}, is {one.measured}: {where}{reason}"


def _matrix(destination: str, rows: Sequence[Compared]) -> list[str]:
    counts = Counter((row.predicted, row.measured) for row in rows)
    verdicts = [verdict.value for verdict in Verdict]
    lines = [f"  {destination:12}" + "".join(f"{f'is {measured}':>12}" for measured in verdicts[:3])]
    lines += [
        f"    {said:10}" + "".join(f"{counts[said, measured] or '.':>12}" for measured in verdicts[:3])
        for said in verdicts
        if any(counts[said, measured] for measured in verdicts[:3])
    ]
    return lines
