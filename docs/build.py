"""Makes the pages of docs/ that are told from the code: `python docs/build.py [--check]`.

A page for each rule and its index below docs/rules/, the YARA traits that findings are made of (docs/rules/evidence.md), and the tables
between `<!-- table NAME -->` and `<!-- end -->` in the other pages. What the rules do not say themselves stands in docs/rules.toml; its
examples are judged while the page is made, so that a page says what sandscan says.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from fixtures import elf, keys, miners  # noqa: E402 - the path is set first
from fixtures.debian import with_directories  # noqa: E402
from fixtures.image import Step, archive  # noqa: E402
from fixtures.rules import examples  # noqa: E402
from fixtures.tarball import Member  # noqa: E402
from fixtures.wallet import monero  # noqa: E402
from scanner.cache import Cache  # noqa: E402
from scanner.checking import check  # noqa: E402
from scanner.checking.every import every  # noqa: E402
from scanner.cli import configured  # noqa: E402
from scanner.cli.main import command  # noqa: E402
from scanner.egressing import reach  # noqa: E402
from scanner.model import Confidence, Finding, LaunchLocation, Report, Rule, Severity, never_aside  # noqa: E402
from scanner.pipeline import Options, scan  # noqa: E402
from scanner.reports.output import formats  # noqa: E402
from scanner.ruleset import Ruleset, YaraRule, load  # noqa: E402
from scanner.runtime.diff import DiffOptions, diff  # noqa: E402
from scanner.settings.keys import Key, Kind  # noqa: E402

SPLIT = "\N{ZERO WIDTH SPACE}"
WORDS: Mapping[str, str] = {
    "MINER": "xm" + "rig",
    "POOL": "stratum" + "+tcp://pool.example.com:3333",
    "WALLET": monero(),
    "NO_WALLET": monero()[:-1] + ("a" if monero()[-1] != "a" else "b"),
    "PUBLIC": keys.public_line("a stranger's"),
    "PUBLIC_OWN": keys.public_line("the operator's"),
    "KEY": keys.openssh("the example's"),
    "REVERSE": "-" + "R",
    "DYNAMIC": "-" + "D",
    "DEV_TCP": "/dev" + "/tcp/",
    "SPLIT": "",
}
"""What `@NAME@` in docs/rules.toml stands for: whole, it would make this repository look like what it warns of."""

MADE: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "program": (lambda: elf.build(elf.Program()), "a program"),
    "packed": (lambda: b"MZ\x90\0PE\0\0UPX0" + bytes(64), "the head of a Windows program that UPX packed"),
    "miner.py": (
        lambda: miners.scripts()["miner.py"],
        "a script with a pool's protocol, a pool, algorithms and a wallet in it; `miner.py` of fixtures/miners.py, which ends at once",
    ),
    "sshd": (
        lambda: elf.build(
            elf.Program(b"OpenSSH_9.2p1 Debian-2\0OpenSSH_7.4*\0", needed=("libc.so.6",), imports=("socket",))
        ),
        "OpenSSH's daemon, release 9.2",
    ),
    "ssh": (lambda: elf.build(elf.Program(needed=("libc.so.6",), imports=("socket",))), "an ssh client"),
}
"""Files whose bytes no page shows: how they are made, and what they are called."""

WITH: Mapping[str, tuple[tuple[Member, ...], str]] = {
    "sshd": (
        (
            Member("etc/passwd", b"root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000::/home/bob:/bin/bash\n"),
            Member("etc/shadow", b"root:*:19000:0:99999:7:::\nbob:*:19000:0:99999:7:::\n", 0o640),
            Member("usr/sbin/sshd", MADE["sshd"][0](), 0o755),
        ),
        "Both images hold OpenSSH 9.2's daemon",
    ),
    "ssh": ((Member("usr/bin/ssh", MADE["ssh"][0](), 0o755),), "Both images hold an ssh client"),
}

_SCANS = "`sandscan scan`, by `sandscan check` where it lies in a repository, and by `sandscan diff` and `sandscan observe` where a run brought it"
BEHAVIOURS: Mapping[str, tuple[str, str]] = {
    "build": ("What an image would hold, told from the files that build it", "`sandscan check`"),
    "drift": ("What a run changed", "`sandscan diff` and `sandscan observe`"),
    "egress": (
        "What a launch lets the sandbox reach",
        "`sandscan egress` and `sandscan check`, and with `--launch` by `sandscan scan`, `diff`, `live` and `observe`",
    ),
    "live": ("What runs in a container now", "`sandscan live` and `sandscan observe`"),
    "miner": ("What mines", _SCANS),
    "observed": ("What a watched run tried", "`sandscan observe`"),
    "ssh": ("Keys, daemons and clients of SSH", _SCANS),
    "tunnel": ("What carries traffic out, or lets somebody in", _SCANS),
}
"""What each folder of rules is about, and which commands report it."""

DAEMON = (
    "It counts in full only where the image starts a daemon that reads it, one step less where one lies there and nothing starts it, and "
    "is low at most where none does: [how near a daemon is](../../verdicts.md#how-near-a-daemon-is)."
)
EXPIRES = "2027-06-30"
"""The end of the entries that pages show."""

SHOWN = 100
"""Characters of an example that is shown in a table."""


# ---- examples, judged


@dataclass(frozen=True, slots=True)
class Judged:
    """What a rule says of one example: the findings of that rule alone."""

    files: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]


def spelled(text: str) -> str:
    """The example as it is judged: `@NAME@` as WORDS have them."""
    return re.sub(r"@([A-Z_]+)@", lambda found: WORDS[found[1]], text)


def _member(file: Mapping[str, Any]) -> Member:
    data = MADE[file["make"]][0]() if "make" in file else spelled(file["text"]).encode()
    return Member(file["path"], data, file.get("mode", 0o644))


def _shown(file: Mapping[str, Any]) -> tuple[str, str]:
    """The file's name with what is particular of it, and its text; "" for what has none to show."""
    mode = f", mode {file['mode']:o}" if "mode" in file else ""
    if "make" in file:
        return f"`{file['path']}`{mode}: {MADE[file['make']][1]}", ""
    if "@KEY@" in file["text"]:
        return f"`{file['path']}`{mode}: a private key in OpenSSH's format, without a passphrase", ""
    return f"`{file['path']}`{mode}", spelled(file["text"]) or "(empty)\n"


def judged(rule: Rule, note: Mapping[str, Any], files: Sequence[Mapping[str, Any]], cmd: Sequence[str] = ()) -> Judged:
    """What sandscan says of the rule, given these files. Raises ValueError where they could not be read to their end."""
    with TemporaryDirectory(prefix="sandscan-docs-") as folder:
        report = _report(rule, note, files, cmd, Path(folder))
    if not report.complete:
        raise ValueError(
            f"docs/rules.toml: {rule.id}: an example is not read to its end: {report.notifications[0].message}"
        )
    return Judged(tuple(map(_shown, files)), report.findings_of(rule.id))


def _report(
    rule: Rule, note: Mapping[str, Any], files: Sequence[Mapping[str, Any]], cmd: Sequence[str], folder: Path
) -> Report:
    # without a prefilter, which for a few small files would take longer to make; with a cache, for that is most of the time
    options = Options(use_prefilter=False, cache=Cache())
    behaviour = rule.id.partition("/")[0]
    if behaviour in ("egress", "build"):
        for file in files:
            place = folder / file["path"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(_member(file).data)
        if behaviour == "build":
            return check([folder])
        return reach(folder / note["launch"])
    if behaviour == "drift":
        before = {file["path"]: _member(file) for file in note["before"]}
        after = before | {file["path"]: _member(file) for file in files}
        _save(folder / "before.tar", before.values(), ())
        _save(folder / "after.tar", after.values(), ())
        return diff(f"archive:{folder}/before.tar", f"archive:{folder}/after.tar", DiffOptions(options))
    members = {member.path: member for member in (WITH[note["with"]][0] if "with" in note else ())}
    members |= {file["path"]: _member(file) for file in files}
    _save(folder / "example.tar", members.values(), cmd)
    return scan(f"archive:{folder}/example.tar", options)


def _save(path: Path, members: Any, cmd: Sequence[str]) -> None:
    step = Step("COPY . /", with_directories(members))
    path.write_bytes(archive([step], {"Cmd": list(cmd)} if cmd else {}, "example:1"))


# ---- pages


def pages() -> Mapping[str, str]:
    """Every generated page, by its path below docs/."""
    ruleset = load()
    rules = every(ruleset)
    notes = tomllib.loads((HERE / "rules.toml").read_text())
    if odd := notes.keys() - {rule.id for rule in rules}:
        raise ValueError(f"docs/rules.toml: there is no rule {sorted(odd)[0]!r}")
    made = {f"rules/{rule.id}.md": page(rule, notes.get(rule.id, {}), ruleset) for rule in rules}
    made["rules/README.md"] = index(rules, notes)
    made["rules/evidence.md"] = evidence(ruleset)
    return made


def page(rule: Rule, note: Mapping[str, Any], ruleset: Ruleset) -> str:
    """One rule's page. Raises ValueError where BEHAVIOURS does not say what kind of rule it is."""
    behaviour = rule.id.partition("/")[0]
    if behaviour not in BEHAVIOURS:
        raise ValueError(f"docs/build.py: BEHAVIOURS does not say what {behaviour}/ is about")
    parts = [
        f"# {rule.id}: {rule.name}",
        rule.description,
        f"Reported by {BEHAVIOURS[behaviour][1]}.",
        "## What it means, and what to do",
        rule.help,
        "## How bad",
        _severities(rule, note),
    ]
    if note.get("daemon"):
        parts.append(DAEMON)
    if traits := [t for t in ruleset.rules if t.behaviour == behaviour and t.evidence in note.get("evidence", ())]:
        parts += ["## Evidence", *_traits(rule, traits)]
    parts += [*_examples(rule, note), "## Setting it aside", *_aside(rule)]
    if rule.attack or rule.references:
        parts += ["## See also", _links(rule)]
    parts.append(f"`sandscan explain {rule.id}` says the same at a terminal. [All rules](../README.md).")
    return "\n\n".join(parts) + "\n"


def _severities(rule: Rule, note: Mapping[str, Any]) -> str:
    if "least" not in note:
        return f"Up to **{rule.severity}**."
    least, most = _bounds(rule, note)
    if least is most:
        return str(note["weighs"])
    return f"From **{least}** to **{most}**. {note['weighs']}"


def _bounds(rule: Rule, note: Mapping[str, Any]) -> tuple[Severity, Severity]:
    """The lowest and the highest severity, which is the rule's own. Raises ValueError where they stand the wrong way round."""
    least = Severity(note["least"])
    if least.rank > rule.severity.rank:
        raise ValueError(f"docs/rules.toml: {rule.id}: {rule.severity}, the rule's own, is less than {least}")
    return least, rule.severity


def _traits(rule: Rule, traits: Sequence[YaraRule]) -> Iterator[str]:
    kinds = list(dict.fromkeys(t.evidence for t in traits))
    yield (
        f"{len(traits)} YARA rules give the classes {_listed(f'`{k}`' for k in kinds)}; none of them is a finding by itself. "
        f"[What each looks for](../evidence.md#{rule.id.partition('/')[0]}), with an example and a near miss."
    )


def _listed(words: Iterable[str]) -> str:
    some = list(words)
    return some[0] if len(some) == 1 else f"{', '.join(some[:-1])} and {some[-1]}"


def _examples(rule: Rule, note: Mapping[str, Any]) -> Iterator[str]:
    if "hit" in note:
        cmd = note.get("cmd", ())
        hit = judged(rule, note, note["hit"], note.get("hit_cmd", cmd))
        miss = judged(rule, note, note["miss"], cmd)
        _held(rule, note, hit, miss)
        yield "## Example"
        if "with" in note:
            starts = ", and start it." if cmd else "."
            yield WITH[note["with"]][1] + starts
        if "before" in note:
            yield "Before the run:"
            yield from _files(tuple(map(_shown, note["before"])))
            yield "After it:"
        yield from _files(hit.files, note.get("hit_cmd", ()))
        yield from (f"> **{f.severity}**: {_quoted(f.message)}" for f in hit.findings[:1])
        yield "And a near miss, which is " + ("left alone:" if not miss.findings else f"a {miss.findings[0].severity}:")
        yield from _files(miss.files)
        yield from (f"> **{f.severity}**: {_quoted(f.message)}" for f in miss.findings[:1])
    elif "seen" in note:
        yield "## Example"
        yield f"Found: {note['seen']}"
        yield f"Left alone: {note['unseen']}"


def _held(rule: Rule, note: Mapping[str, Any], hit: Judged, miss: Judged) -> None:
    """Raises ValueError where the example is none, the near miss is hit, or a severity lies outside of what is promised."""
    if not hit.findings:
        raise ValueError(f"docs/rules.toml: {rule.id}: the example gives no finding of the rule")
    if [f.severity.value for f in miss.findings[:1]] != ([note["miss_gives"]] if "miss_gives" in note else []):
        said = [f"{f.severity}: {f.message}" for f in miss.findings]
        raise ValueError(f"docs/rules.toml: {rule.id}: the near miss gives {said}")
    least, most = _bounds(rule, note)
    for finding in (*hit.findings, *miss.findings):
        if not least.rank <= finding.severity.rank <= most.rank:
            raise ValueError(
                f"docs/rules.toml: {rule.id}: an example is {finding.severity}, outside of what the page says"
            )


def _files(files: Sequence[tuple[str, str]], cmd: Sequence[str] = ()) -> Iterator[str]:
    for name, text in files:
        yield name + (":" if text else ".")
        if text:
            yield f"```text\n{text}```"
    if cmd:
        yield f"The image starts `{' '.join(cmd)}`."


def _quoted(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", text)


def _aside(rule: Rule) -> Iterator[str]:
    kept = [confidence for confidence in Confidence if _is_kept(rule, confidence)]
    if len(kept) == len(Confidence):
        yield (
            "Never: a tunnel that was seen at work is not hidden by an entry or a baseline. "
            "[Why](../../verdicts.md#what-is-never-set-aside)."
        )
        return
    if kept:
        yield (
            f"Only findings whose confidence is not {_listed(kept)}: a confirmed miner is not hidden by an entry or a baseline. "
            "[Why](../../verdicts.md#what-is-never-set-aside). For the others, in `.sandscan.yaml`:"
        )
    else:
        yield "In `.sandscan.yaml`, with a reason and an end ([configuration](../../configuration.md#ignoring-findings)):"
    yield f"```yaml\nignore:\n  - rule: {rule.id}\n    reason: why this one is meant to be there\n    expires: {EXPIRES}\n```"


def _is_kept(rule: Rule, confidence: Confidence) -> bool:
    """Whether nothing sets a finding of that confidence aside."""
    at = LaunchLocation("example", 1)
    return never_aside(Finding(rule.id, rule.severity, confidence, "", (at,), (), "0" * 64)) is not None


def _links(rule: Rule) -> str:
    techniques = [f"- ATT&CK [{t}](https://attack.mitre.org/techniques/{t.replace('.', '/')}/)" for t in rule.attack]
    known = {f"https://attack.mitre.org/techniques/{t.replace('.', '/')}/" for t in rule.attack}
    return "\n".join([*techniques, *(f"- <{url}>" for url in rule.references if url not in known)])


def index(rules: Sequence[Rule], notes: Mapping[str, Mapping[str, Any]]) -> str:
    """All rules, by what they are about."""
    parts = [
        "# Rules",
        (
            f"{len(rules)} rules can be reported. Each page says what is looked for, what it means, what to do, how bad it is and what changes "
            "that, with an example and a near miss. `sandscan rules list` prints the list, and what [evidence](evidence.md) findings are made of."
        ),
    ]
    for behaviour in dict.fromkeys(rule.id.partition("/")[0] for rule in rules):
        title, commands = BEHAVIOURS[behaviour]
        parts += [f"## {behaviour}", f"{title}. Reported by {commands}."]
        rows = [
            f"| [`{r.id}`]({r.id}.md) | {_span(r, notes.get(r.id, {}))} | {r.name} |"
            for r in rules
            if r.id.startswith(behaviour + "/")
        ]
        parts.append("\n".join(["| rule | severity | |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _span(rule: Rule, note: Mapping[str, Any]) -> str:
    if "least" not in note:
        return rule.severity.value
    least, most = _bounds(rule, note)
    return least.value if least is most else f"{least} to {most}"


def evidence(ruleset: Ruleset) -> str:
    """The YARA traits, with an example and a near miss of each."""
    parts = [
        "# Evidence",
        (
            "What findings are made of. Each line is a YARA rule that sees a trait in one file; a detector counts the classes of the traits that "
            "lie together, and only several classes, or one that cannot be mistaken, are a finding ([verdicts](../verdicts.md)). The examples are "
            "those of fixtures/, by which `sandscan rules check` tests every rule: a text that it hits, and a near miss that it leaves alone. "
            "Examples that are no text, or that are long, are not shown."
        ),
    ]
    given = examples()
    for behaviour in dict.fromkeys(r.behaviour for r in ruleset.rules):
        rows = [
            f"| `{r.rule.id}` | {r.evidence} | {_cell(r.rule.description)} | {_sample(given[r.rule.id].hits)} | {_sample(given[r.rule.id].misses)} |"
            for r in ruleset.rules
            if r.behaviour == behaviour and r.evidence
        ]
        head = ["| trait | class | | hits | leaves alone |", "| --- | --- | --- | --- | --- |"]
        parts += [f"## {behaviour}", "\n".join([*head, *rows])]
    return "\n\n".join(parts) + "\n"


def _sample(texts: Sequence[bytes]) -> str:
    """The first that can be shown in a table, as code; "" if none can."""
    for data in texts:
        text = data.decode("utf-8", "replace").strip("\0\n ").replace("\0", " ␀ ").replace("\n", " ↵ ")
        if text.isprintable() and text and "`" not in text and "�" not in text and len(text) <= SHOWN:
            return f"`{text.replace('|', chr(92) + '|')}`"
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


# ---- tables in the other pages


def tables() -> Mapping[str, Callable[[], str]]:
    """What may stand between `<!-- table NAME -->` and `<!-- end -->`."""
    return {"formats": _formats, "keys": _keys, "refused": _refused}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _options() -> Mapping[str, dict[str, Key]]:
    """The keys of a configuration, each by the commands that have it."""
    found: dict[str, dict[str, Key]] = {}
    for name, options in configured.keys(command).items():
        for key in options:
            found.setdefault(key.name, {})[name] = key
    return dict(sorted(found.items()))


def _keys() -> str:
    rows = []
    for name, having in _options().items():
        key = next(iter(having.values()))
        if not key.refused:
            value = ", ".join(f"`{choice}`" for choice in key.choices) or _KINDS[key.kind]
            default = f" (`{key.default}`)" if key.default not in (None, False, "") and not key.several else ""
            rows.append(
                (
                    f"`{name}`",
                    ", ".join(having),
                    value + (", several" if key.several else "") + default,
                    _cell(key.help.removesuffix(" Repeatable.")),
                )
            )
    return _table(("key", "of", "value", ""), rows)


_KINDS = {Kind.FLAG: "true or false", Kind.TEXT: "text", Kind.INTEGER: "whole number", Kind.NUMBER: "number"}


def _refused() -> str:
    rows = []
    for name, having in _options().items():
        key = next(iter(having.values()))
        if key.refused:
            rows.append((f"`{name}`", "in no file", key.refused))
        elif key.named_only:
            rows.append((f"`{name}`", "only in a file that `--config` names", key.named_only))
    return _table(("key", "", "because"), rows)


def _formats() -> str:
    return _table(("format", ""), ((f"`{one.name}`", one.summary) for one in formats()))


_TABLE = re.compile(r"(<!-- table (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The page with its tables made anew; raises ValueError for a table that there is not."""
    made = tables()

    def fill(found: re.Match[str]) -> str:
        if found["name"] not in made:
            raise ValueError(f"there is no table {found['name']}; there are {', '.join(made)}")
        return f"{found[1]}{made[found['name']]().strip()}\n{found[3]}"

    return _TABLE.sub(fill, text)


def everything() -> Mapping[Path, str]:
    """All that this program writes, by its place."""
    made = {HERE / path: text for path, text in pages().items()}
    for path in sorted(HERE.glob("*.md")):
        made[path] = filled(path.read_text())
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docs/build.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a page is stale")
    options = parser.parse_args(arguments)

    try:
        made = everything()
    except ValueError as e:
        print(e, file=sys.stderr)
        return 1
    gone = sorted(set((HERE / "rules").rglob("*.md")) - made.keys())
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if options.check:
        for path in (*stale, *gone):
            print(f"{path.relative_to(HERE.parent)} is not what docs/build.py makes.", file=sys.stderr)
        if stale or gone:
            print("Run `python docs/build.py` and commit what it changes.", file=sys.stderr)
        return int(bool(stale or gone))
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path])
    for path in gone:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
