"""The progress bar on standard error: bytes, layers, files with evidence so far."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scanner.pipeline import Step


@contextmanager
def bar(shown: bool, color: bool) -> Iterator[Callable[[Step], None]]:
    """A function to call with every step; it draws only if `shown`, and cleans up after itself."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=not color, file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TextColumn("{task.fields[hits]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as progress:
        task = progress.add_task("opening", total=None, hits="")

        def show(step: Step) -> None:
            files = "file" if step.carriers == 1 else "files"
            progress.update(
                task,
                description=f"layer {min(step.layer + 1, step.layers)}/{step.layers}",
                total=step.total if step.total >= 0 else None,
                completed=step.read,
                hits=f"{step.carriers} {files} with evidence" if step.carriers else "",
            )

        yield show
