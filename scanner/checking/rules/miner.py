"""Miners that a build fetches, installs or is built on."""

import re
from collections.abc import Iterator

from scanner.checking.builds import Order
from scanner.checking.rules.commands import installs, is_url, urls
from scanner.checking.rules.plugin import Check, Hit, Seen, Sign
from scanner.credentials import mask
from scanner.detectors.launchers.shell import Command
from scanner.detectors.mining.families import COMMON_WORDS, PROGRAMS, program_family
from scanner.detectors.mining.startup import Startup, assess
from scanner.detectors.mining.wallets import Purse
from scanner.model import Confidence, Rule, Severity, printable

RULE = Rule(
    id="build/miner",
    name="Miner brought by a build",
    severity=Severity.HIGH,
    description="A miner that a Dockerfile fetches from its releases or its repository, installs by its name, is built on (FROM), or "
    "starts. A name that is only printed or copied is none.",
    help="Every sandbox from the image could mine on whoever pays for it. Take the instruction out, and find out who put it in.",
    references=("https://attack.mitre.org/techniques/T1496/001/",),
    attack=("T1496.001", "T1195.002"),
)


def judge(seen: Seen) -> Iterator[Hit]:
    """One hit for a stage: its signs together say how sure it is, or one command that says enough by itself."""
    signs: list[Sign] = []
    started: list[Startup] = []
    purse = Purse()
    for order in seen.orders:
        if not order.command.remote:
            signs += _of_order(seen, order, purse, started)
    for copy in seen.stage.copies:
        for source in copy.sources:
            if copy.keyword == "ADD" and is_url(source) and _is_miner(source):
                signs.append(Sign("fetch", printable(mask(source), 200), seen.build.file, copy.line))
    base = seen.stage.base.partition("@")[0]
    if len(seen.stage.lineage) == 1 and (named := _family_of_image(base)) is not None:
        signs.insert(0, Sign("base image", f"FROM {printable(base, 120)} ({named})", seen.build.file, seen.stage.line))
    kinds = list(dict.fromkeys(sign.kind for sign in signs))
    if not signs or kinds == ["name"]:
        return
    certain = any((verdict := one.verdict()) is not None and verdict[1] is Confidence.HIGH for one in started)
    sure = Confidence.HIGH if certain or len(kinds) > 1 else Confidence.MEDIUM
    first = next(sign for sign in signs if sign.kind != "name")
    ordered = (first, *(sign for sign in signs if sign is not first))
    said = {
        "fetch": "fetches a miner",
        "package": "installs a miner",
        "base image": "is built on a miner's image",
        "launch": "starts a miner",
    }
    message = f"The build {' and '.join(said[k] for k in kinds if k in said)}: {first.shown}."
    yield Hit(Severity.HIGH, sure, message, ordered[:10], (seen.stage.name,), {"kinds": kinds})


def _of_order(seen: Seen, order: Order, purse: Purse, started: list[Startup]) -> Iterator[Sign]:
    """The signs in a command; one that starts a miner is added to `started`."""
    shown = printable(mask(" ".join(order.command.argv)), 200)
    for url in urls(order.command):
        if _is_miner(url):
            yield Sign("fetch", printable(mask(url), 200), order.file, seen.line_of(order, url))
    for package in installs(order.command):
        name = package.name.rsplit("/", 1)[-1].lower()
        if name in PROGRAMS and name not in COMMON_WORDS:
            yield Sign(
                "package", f"package {printable(package.word, 80)}", order.file, seen.line_of(order, package.word)
            )
    startup = assess(order.command, purse)
    if startup is not None and not startup.fetches and startup.verdict() is not None:
        started.append(startup)
        kind = "name" if startup.kinds == ("name",) else "launch"
        yield Sign(kind, shown, order.file, seen.line_of(order, order.command.name))


def _is_miner(url: str) -> bool:
    fetched = assess(Command(("git", url.removeprefix("git+")), 1), Purse())
    return fetched is not None and fetched.fetches is not None


def _family_of_image(base: str) -> str | None:
    """The family that a base image's name stands for, its owner's name included: `xmrig/xmrig:6`, `owner/cpuminer-opt`."""
    name = re.sub(r":[\w.-]+\Z", "", base).rsplit("/", 1)[-1].lower()
    found = program_family(name)
    return found if found is not None and name not in COMMON_WORDS else None


PLUGIN = Check(RULE, judge)
