"""`sandscan explain`: one rule, as long as one needs to act on it."""

import difflib
from pathlib import Path

import click

from scanner.cli.options import user_rules


@click.command(epilog="\b\nExample:\n  sandscan explain miner/config")
@click.argument("rule")
@user_rules
def explain(rule: str, rules: tuple[str, ...]) -> None:
    """What a rule looks for, what a finding means for a sandbox, and what to do."""
    from scanner.checking.every import every
    from scanner.errors import UsageError
    from scanner.ruleset import load

    ruleset = load([Path(r) for r in rules])
    known = {r.id: r for r in every(ruleset)}
    traits = {r.rule.id: r for r in ruleset.rules if r.evidence}
    found = known.get(rule) or (traits[rule].rule if rule in traits else None)
    if found is None:
        within = [one for one in known if one.startswith(f"{rule.rstrip('/*')}/")]
        close = difflib.get_close_matches(rule, [*known, *traits], 1)
        hint = f"did you mean {close[0]}?" if close else "sandscan rules list shows all of them"
        if within:
            hint = f"there are {', '.join(within)}"
        raise UsageError(f"there is no rule {rule!r}; {hint}")
    kind = f"evidence of class {traits[rule].evidence}" if rule in traits else f"severity up to {found.severity.value}"
    lines = [f"{found.id}: {found.name} ({kind})", "", found.description, "", found.help]
    if found.attack:
        lines += ["", "ATT&CK: " + ", ".join(found.attack)]
    if found.references:
        lines += ["", "See also:", *(f"  {r}" for r in found.references)]
    click.echo("\n".join(lines))
