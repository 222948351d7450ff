"""`sandscan scan`: one target, one report."""

import sys
from pathlib import Path
from typing import Any

import click

from scanner.cli.launching import launch_files, of_launch
from scanner.cli.options import Common, answer, manner, sources, takes_common, use_color, user_rules

EPILOG = """\b
Targets:
  docker:NAME[:TAG]             the local engine, or the one DOCKER_HOST names
                                (Podman too)
  archive:FILE[:NAME|@DIGEST]   docker save, podman save; plain, gzip or zstd;
                                - for standard input
  oci:DIR[:TAG|@DIGEST]         an OCI image layout
  registry:HOST/NAME[:TAG]      straight from a registry, without an engine
  rootfs:DIR or rootfs:FILE     a tree, or docker export
  anything else                 a path is recognised by its content, else an
                                image of the engine

\b
Examples:
  sandscan scan archive:app.tar
  sandscan scan app:latest -o sarif=app.sarif -o text --fail-on medium
  sandscan scan rootfs:/srv/tree --rules my.yar --no-cache
  sandscan scan app:latest --dockerfile Dockerfile -o sarif=app.sarif
  sandscan scan agent:latest --launch compose.yaml -o html=reach.html -o text"""


@click.command(epilog=EPILOG)
@click.argument("target")
@answer
@launch_files("A launch file of the image: what its sandboxes reach goes into the same report. Repeatable.")
@click.option(
    "--dockerfile",
    metavar="FILE",
    help="What built the image: each finding then names the line that made it.",
)
@click.option(
    "--repo",
    metavar="DIR",
    help="The repository it was built from: a file with the same bytes is named.  [default: where --dockerfile lies]",
)
@user_rules
@sources
@click.option("--no-prefilter", is_flag=True, help="Match every file against every rule: slow, the same findings.")
@manner
@takes_common
def scan(
    target: str,
    common: Common,
    launches: tuple[str, ...],
    dockerfile: str | None,
    repo: str | None,
    platform: str | None,
    engine_access: str,
    insecure_registry: bool,
    no_cache: bool,
    no_prefilter: bool,
    **launch: Any,
) -> int:
    """Scan an image, an archive of one, or a tree: does it mine, does it hold a door, does it open a tunnel?"""
    from scanner.cache import Cache
    from scanner.cli.finishing import finish
    from scanner.cli.output import check
    from scanner.cli.progress import bar
    from scanner.pipeline import Options
    from scanner.sources.plugin import SourceOptions
    from scanner.tracing import TraceOptions
    from scanner.tracing import scan as run

    wanted = check(common.outputs, launched=bool(launches))
    judged = of_launch(launches, launch)
    options = Options(
        source=SourceOptions(platform, engine_access, insecure_registry, common.limits),
        rules=common.rule_paths,
        limits=common.limits,
        cache=None if no_cache else Cache(),
        use_prefilter=not no_prefilter,
    )
    asked = TraceOptions(Path(dockerfile) if dockerfile else None, Path(repo) if repo else None)
    with bar(common.shows_progress, use_color(common.color, sys.stderr)) as progress:
        report = run(target, options, asked, progress)
    if judged is not None:
        from scanner.egressing import with_launch

        report = with_launch(report, launches, judged)
    return finish(report, common, wanted)
