"""Programs that mine: compiled ones by YARA's traits in their bytes, scripts by what their strings and their code do."""

import re
from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors.mining import forms, lexing, programs, scripts, traits
from scanner.detectors.mining.verdict import said
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Evidence, Finding, Json, Level, Location, Notification, Rule, Severity, State, printable
from scanner.oci.view import ImageView

MINER_BINARY = Rule(
    id="miner/binary",
    name="Program that mines",
    severity=Severity.CRITICAL,
    description="A compiled program or a script that mines a cryptocurrency, told by independent classes of evidence: "
    "a pool's protocol, proof-of-work algorithms, a miner's options, functions and messages.",
    help="Whoever runs in the sandbox can start it and spend its processors or graphics cards on someone else's coins. "
    "Find the instruction that put it there and remove it; a file deleted in a later layer is still in the image, so "
    "build the image again without it.",
    references=("https://attack.mitre.org/techniques/T1496/001/",),
    attack=("T1496.001",),
)

_KINDS = ("protocol", "algorithm", "options", "pool", "symbols", "messages", "node")
_SYMBOLS = (
    r"randomx_|cryptonight|cn_slow_hash|scanhash_|stratum_(?:gen|recv|send|subscribe|authorize|handle|thread|ctx)|xmrig|xmrstak|minethd|"
    r"EthStratumClient|CUDAMiner|CLMiner|PoolManager|ethash_|k_?heavyhash|kaspa_miner|workio_|submit_upstream_work|miner_thread"
)
_MODULES = re.compile(r"(?i)gominer|cpuminer|xmrig|stratum|cryptonight|randomx|ethash|crypto-?miner")
_GPU = re.compile(rb"libOpenCL\.so|OpenCL\.dll|libcuda\.so|nvcuda\.dll|libnvidia-ml\.so|libamdhip64\.so|nvrtc")
_CODE = re.compile(rb"hashlib|randomx|cryptonight|scrypt|sha256d")
_EXECUTABLE = re.compile(rb"\x7fELF[\x01\x02][\x01\x02]\x01|This program cannot be run in DOS mode")
_WEB = re.compile(rb"(?i)<script|importScripts|new\s+\w+\.(?:Anonymous|User|Token)\s*\(")
_DOCUMENT = re.compile(rb"(?i)\.(?:md|rst|adoc|txt|pod|tex|po|list)(?:\.gz)?$")


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """One Evidence for each class of sign, in a program of any form; nothing for documents and data."""
    from scanner.content import archives

    form = forms.form(content.name, content.head)
    language = None if form else lexing.language(content.name, content.head)
    if (
        form is None
        and language is None
        and not content.is_text
        and archives.kind(content.head) is None
        and _holds_program(content)
    ):
        form = forms.EMBEDDED
    yield from _web(content, form, language)
    if form is not None:
        yield from _compiled(content, form)
    elif language is not None and language != "shell" and _talks(content):
        yield from scripts.inspect(content, language, programs.DETECTOR)


def _talks(content: Content) -> bool:
    """Whether the rules saw more in the script than a name that a text may carry."""
    return any(m.rule.evidence not in ("family", "wallet", "packing", "source") for m in traits.of(content, "miner"))


def _holds_program(content: Content) -> bool:
    """Whether a program begins somewhere before the last match: appended to a picture, kept in a database."""
    last = max((s.offset for m in traits.of(content, "miner") for s in m.strings), default=0)
    return _EXECUTABLE.search(content.data[:last]) is not None


def _compiled(content: Content, form: str) -> Iterator[Evidence | Notification]:
    found = traits.traits(content, _KINDS)
    if not found:
        return
    family = traits.family(content)
    if form in (forms.ELF, forms.OBJECT):
        yield from _built(content, form, family)
    for trait in found:
        facts: dict[str, Json] = {"rule": trait.rule, "form": form, "strings": list(trait.texts)}
        if family:
            facts["family"] = family
        if trait.kind == "pool":
            facts["pools"] = traits.pool_hosts(trait.texts)
        yield _piece(content, trait.kind, trait.offset, ", ".join(trait.texts[:6]), facts)
    if form == forms.BYTECODE and (code := _CODE.search(content.data)) and re.search(rb"(?i)nonce", content.data):
        yield _piece(content, "algorithm", code.start(), "code that hashes with a nonce", {"form": form})
    gpu = _GPU.search(content.data)
    if gpu:
        yield _piece(content, "gpu", gpu.start(), gpu.group().decode("ascii"), {"form": form})
    wallet = next(iter(traits.valid_wallets(content)), None)
    if wallet:
        facts = {"form": form, "coin": wallet.coin, "wallet": wallet.address}
        yield _piece(content, "wallet", wallet.offset, wallet.address, facts)


def _built(content: Content, form: str, family: str | None) -> Iterator[Evidence | Notification]:
    """What the frame of an ELF program adds: functions by their names, modules of Go, how it was built, a packer's traces."""
    facts = content.elf(_SYMBOLS)
    if facts is None:
        return
    if facts.partial is not None:
        message = f"a program with a miner's traits was searched for names but could not be parsed: {facts.partial}"
        yield Notification("content", Level.WARNING, message, content.path, content.inner)
    modules = [facts.go.path, facts.go.module, *(m for m, _ in facts.go.dependencies)] if facts.go else []
    named = [m for m in modules if _MODULES.search(m)]
    how: dict[str, Json] = {
        "form": form,
        "machine": facts.machine,
        "static": facts.static,
        "stripped": facts.stripped,
        "compilers": list(facts.compilers[:4]),
    }
    if family:
        how["family"] = family
    if len(facts.symbols) >= 2 or named:
        how["symbols"] = list(facts.symbols[:12])
        how["modules"] = named[:12]
        how["count"] = facts.matching
        yield _piece(content, "symbols", 0, ", ".join([*named, *facts.symbols][:6]), how)
    else:
        yield _piece(content, "build", 0, ", ".join([facts.machine, *facts.compilers[:2]]), how)
    if facts.packing is not None:
        yield _piece(content, "packing", 0, "packed by UPX or its like", {"form": form})


def _piece(content: Content, kind: str, offset: int, excerpt: str, facts: dict[str, Json]) -> Evidence:
    return Evidence(programs.DETECTOR, kind, content.path, content.inner, offset, None, printable(excerpt), facts)


def _web(content: Content, form: str | None, language: str | None) -> Iterator[Evidence]:
    """A page or a script that starts a web miner; and WebAssembly with CryptoNight's functions."""
    for match in traits.of(content, "miner"):
        if match.rule.evidence == "web" and language == "javascript" and not _DOCUMENT.search(content.name):
            for string in traits.counted(content, match):
                around = bytes(content.data[max(0, string.offset - 120) : string.offset + string.length])
                if _WEB.search(around):
                    facts: dict[str, Json] = {"form": forms.SCRIPT, "family": "web miner"}
                    yield Evidence(
                        programs.DETECTOR,
                        "web",
                        content.path,
                        content.inner,
                        string.offset,
                        content.line_of(string.offset),
                        printable(string.data, 120),
                        facts,
                    )
                    break
        told = {string.identifier for string in match.strings}
        if match.rule.rule.id == "miner/symbols-cryptonight" and form == forms.WASM and {"$1", "$2", "$3"} <= told:
            first = match.strings[0]
            facts = {"form": form, "family": "web miner"}
            yield _piece(content, "web", first.offset, "WebAssembly that computes CryptoNight", facts)


def judge(view: ImageView) -> Iterator[Finding]:
    """One finding for each place where a program lies that mines, or that could (note)."""
    for group in programs.merged(programs.programs(view)):
        program = group[0]
        first = program.first
        severity = program.verdict.severity
        if first.state is not State.VISIBLE and severity is Severity.CRITICAL:
            severity = Severity.HIGH
        yield view.finding(
            MINER_BINARY,
            at=first.location,
            state=first.state,
            hidden_by=first.hidden_by,
            severity=severity,
            confidence=program.verdict.confidence,
            message=_message(program),
            evidence=programs.evidence(program),
            details=_details(program, view),
            related=_related(group),
        )


def _related(group: list[programs.Program]) -> Iterator[Location]:
    """The program's other files, and the same place in other layers: one location for each file of each layer."""
    seen: set[tuple[int, bytes, tuple[bytes, ...]]] = set()
    for program in group:
        for sighting in program.sightings:
            e = sighting.evidence
            place = (sighting.layer.index, e.path, e.inner)
            if place not in seen and len(seen) < 20:
                seen.add(place)
                if len(seen) > 1:
                    yield sighting.location


def _message(program: programs.Program) -> str:
    first = program.first.evidence
    form = str(first.facts.get("form", "file"))
    if not program.mines:
        if "node" in program.verdict.support:
            also = f"; it {said(program.verdict.core)}" if program.verdict.core else ""
            return f"Software of a node, which can mine on its own if told to{also}."
        return f"Not a miner by itself, but it {said(program.verdict.core)}."
    name = f"{program.family}: " if program.family else ""
    kinds = (*program.verdict.core, *(k for k in program.verdict.support if k in ("web", "packing", "gpu")))
    more = f", and {len(kinds) - 3} signs more" if len(kinds) > 4 else ""
    hiding = "; it " + ", ".join(program.hiding) if program.hiding else ""
    return f"{name}{form} that {said(kinds[: 3 if more else 4])}{more}{hiding}."


def _details(program: programs.Program, view: ImageView) -> dict[str, Json]:
    facts = [s.evidence.facts for s in program.sightings]
    pools = dict.fromkeys(str(p) for f in facts for p in _listed(f.get("pools")) + _listed(f.get("pool")))
    details: dict[str, Json] = {
        "family": program.family,
        "form": str(facts[0].get("form", "")),
        "classes": list(program.verdict.core),
        "support": list(program.verdict.support),
        "disguise": list(program.hiding),
        "pools": list(pools)[:20],
        "package": view.owner(program.first.evidence.path),
    }
    built = next((f for f in facts if "stripped" in f), None)
    if built is not None:
        details |= {key: built[key] for key in ("machine", "static", "stripped", "compilers")}
    wallets = list(dict.fromkeys(str(f["wallet"]) for f in facts if "wallet" in f))
    if wallets:
        details["wallets"] = wallets[:5]
    return details


def _listed(value: Json) -> list[Json]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


PLUGIN = Detector(
    "miner_binary",
    version=2,
    rules=(MINER_BINARY,),
    wants=Wants(behaviours=("miner",)),
    inspect=inspect,
    judge=judge,
)
