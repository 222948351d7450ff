"""`sandscan rules`: which there are, and whether they are sound."""

from pathlib import Path

import click

from scanner.cli.options import user_rules


@click.group()
def rules() -> None:
    """List the rules, or check that each one is sound."""


@rules.command("list")
@user_rules
def list_rules(rules: tuple[str, ...]) -> None:
    """Every rule: what can be reported, and the evidence that findings are made of."""
    from scanner.checking.every import every
    from scanner.ruleset import load

    ruleset = load([Path(r) for r in rules])
    reported = every(ruleset)
    evidence = [r for r in ruleset.rules if r.evidence]
    width = max(len(i) for i in [*(r.id for r in reported), *(r.rule.id for r in evidence)])
    for rule in reported:
        click.echo(f"{rule.id:<{width}}  {rule.severity.value:<8}  {rule.name}")
    click.echo("\nEvidence (YARA), joined into the findings above:")
    for trait in evidence:
        click.echo(f"{trait.rule.id:<{width}}  {trait.evidence:<8}  {trait.rule.name}")


@rules.command()
@click.argument("paths", nargs=-1, metavar="[FILE|DIR]...", type=click.Path())
def check(paths: tuple[str, ...]) -> int:
    """Fail on a rule without help, without an example it hits, or without a near miss it leaves alone.

    Without arguments, our own rules are checked; else yours. A rule's examples lie beside its file, in
    NAME.examples/RULE/hit* and miss*.
    """
    from scanner.rulecheck import check_builtin, check_user

    problems, checked = check_user([Path(p) for p in paths]) if paths else check_builtin()
    for problem in problems:
        click.echo(problem.text)
    errors = sum(p.error for p in problems)
    click.echo(f"{checked} rules checked, {errors} errors, {len(problems) - errors} warnings", err=True)
    return 1 if errors else 0
