"""`sandscan check`: a repository without any image."""

import gc
from pathlib import Path

import click

from scanner.cli.options import Common, answer, manner, takes_common, user_rules

EPILOG = """\b
What is looked at:
  Dockerfiles       what an image built from them would contain, stage by
                    stage, COPYs put where they land
  launch files      Compose projects, Kubernetes manifests, devcontainers and
                    the other formats of egress
  workflows         what the steps of GitHub's run
  everything else   scripts, crontabs, units, keys, ssh configurations,
                    programs: as in an image
A folder is walked as git sees it: what is committed or could be, and nothing
that .gitignore names. Without git, everything but node_modules and virtual
environments. A file that is named is looked at in any case. No link is
followed, nothing is fetched, nothing is run.

\b
Examples:
  sandscan check
  sandscan check Dockerfile compose.yaml scripts/ --fail-on medium
  sandscan check -o sarif=check.sarif -o text --baseline known.json

\b
Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong usage or
nothing to look at, 3 incomplete."""


@click.command(epilog=EPILOG)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@answer
@user_rules
@manner
@takes_common
def check(
    paths: tuple[str, ...],
    common: Common,
) -> int:
    """Look at a repository without any image: what would be built, what would be launched, what would its scripts do?

    PATH is a file or a folder, the current one if none is named.
    """
    gc.set_threshold(200_000, 50, 100)  # frozen values hold no cycles; looking for some all the time costs a tenth
    from scanner.checking import CheckOptions
    from scanner.checking import check as run
    from scanner.cli.finishing import finish
    from scanner.cli.output import check as wanted_of

    wanted = wanted_of(common.outputs, launched=False)
    options = CheckOptions(rules=common.rule_paths, limits=common.limits)
    report = run([Path(p) for p in paths or (".",)], options)
    return finish(report, common, wanted)
