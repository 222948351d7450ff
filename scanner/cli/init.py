"""`sandscan init`: a configuration and a workflow to begin with."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.errors import ReportError, UsageError
from scanner.model import printable

if TYPE_CHECKING:
    from scanner.checking.picking import Picked

WORKFLOW = ".github/workflows/sandscan.yml"
_SHOWN = 20
"""Files left out that are named one by one."""


@click.command(epilog="\b\nExamples:\n  sandscan init\n  sandscan init --stdout")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--stdout", "shows", is_flag=True, help="Print the files, and write nothing.")
@click.pass_context
def init(context: click.Context, force: bool, shows: bool) -> None:
    """Write a commented .sandscan.yaml and a GitHub workflow to the repository's root, made for the Dockerfiles and launch files in
    it."""
    from scanner.checking import launches
    from scanner.checking.picking import pick, root_of
    from scanner.cli.configured import keys
    from scanner.reports.output import write
    from scanner.settings import NAMES
    from scanner.settings.inventory import is_plain, look
    from scanner.settings.starting import configuration, workflow

    group = context.find_root().command
    assert isinstance(group, click.Group)
    root = root_of(Path.cwd())
    picked = pick([root], [])
    given = _texts(picked)
    # what the engine tells of containers ran once, and a chart's templates are nothing yet: nobody launches these
    kinds = {
        name: kind
        for name, kind in launches.recognised(given).items()
        if kind != "docker-inspect" and launches.chart_of(name, given) is None
    }
    groups = launches.groups({name: kind for name, kind in kinds.items() if is_plain(name)}, given)
    found = look(root, [one.name for one in picked], kinds, [one.names for one in groups], root.name)
    texts = {
        NAMES[0]: configuration(keys(group), found, datetime.now(UTC).date()),
        WORKFLOW: workflow(found, requirement()),
    }
    if shows:
        for name, text in texts.items():
            click.echo(f"# ==== {name}\n{text}")
        return
    written = []
    for name, text in texts.items():
        path = _place(root, name)
        there = path if path.exists() else _instead(root, name)
        if there is not None and not (force and there == path):
            click.echo(
                f"{_shown(there)} is there already and was left as it is" + "; --force writes it anew" * (there == path)
            )
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(text, path)
        except (OSError, ReportError) as e:
            why = getattr(e.__cause__ or e, "strerror", None) or e
            raise UsageError(f"cannot write {_shown(path)}: {why}") from e
        written.append(name)
        click.echo(f"wrote {_shown(path)}")
    if not written:
        raise UsageError("nothing was written")
    for name in found.left_out[:_SHOWN]:
        click.echo(f"left out: {printable(name)}, by its name or because there are many; add it by hand")
    if len(found.left_out) > _SHOWN:
        click.echo(f"left out: {len(found.left_out) - _SHOWN:,} more")
    _say_what_next(written, [b.dockerfile for b in found.builds], [one.name for one in found.launches])


def _texts(picked: "Sequence[Picked]") -> dict[str, tuple[Path, bytes]]:
    """Path and content of what may be a launch file of the repository's own, by name."""
    from scanner.checking.launches import is_candidate
    from scanner.checking.picking import opened
    from scanner.settings.inventory import is_own

    some = [one for one in picked if is_candidate(one.name) and is_own(one.name)]
    return {one.picked.name: (one.picked.path, one.data or b"") for one in opened(some, [])}


def _place(root: Path, name: str) -> Path:
    """Where a file goes; raises UsageError where a link leads out of the repository."""
    from scanner.launch.nearby import within

    if within(root.resolve(), name) is None:
        raise UsageError(f"{name} would lead out of {printable(str(root))}; nothing was written")
    return root / name


def _instead(root: Path, name: str) -> Path | None:
    """Another file that says what this one would: two of them are an error."""
    from scanner.settings import NAMES
    from scanner.settings.found import PYPROJECT, has_table

    if name != NAMES[0]:
        return None
    if (root / NAMES[1]).exists():
        return root / NAMES[1]
    return root / PYPROJECT if has_table(root / PYPROJECT) else None


def _shown(path: Path) -> str:
    import os

    return printable(os.path.relpath(path))


def _say_what_next(written: list[str], dockerfiles: list[str], launches: list[str]) -> None:
    if WORKFLOW in written:
        parts = ["checks the repository"]
        if dockerfiles:
            parts.append(f"builds and scans {', '.join(dockerfiles)}")
        if launches:
            parts.append(f"judges {', '.join(launches)}")
        click.echo(f"The workflow {', '.join(parts)}.")
    click.echo(
        "\nNext:\n"
        "  sandscan check                       look at the repository now\n"
        "  sandscan check --write-baseline sandscan-baseline.json\n"
        "                                       accept what is there; name the file as baseline: in the configuration\n"
        f"  git add {' '.join(written)}"
    )


def requirement() -> str:
    """What pipx installs to have this sandscan: its version, or the commit of the repository that it was installed from (PEP 610)."""
    from importlib.metadata import PackageNotFoundError, distribution

    from scanner.version import tool_version

    try:
        direct = json.loads(distribution("sandscan").read_text("direct_url.json") or "{}")
        url, commit = direct["url"], direct["vcs_info"]["commit_id"]
    except (PackageNotFoundError, ValueError, KeyError, TypeError):
        return f"sandscan=={tool_version()}"
    sound = re.fullmatch(r"https://[\w.-]+/[\w./-]+", str(url)) and re.fullmatch(r"[0-9a-f]{40,64}", str(commit))
    return f"git+{url}@{commit}" if sound else f"sandscan=={tool_version()}"
