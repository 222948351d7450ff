"""`sandscan convert`: a saved JSON report in another format, without scanning again."""

import sys

import click

from scanner.cli.options import color, outputs, use_color, width


@click.command(epilog="\b\nExample:\n  sandscan convert report.json -o sarif=report.sarif -o text")
@click.argument("report", type=click.Path())
@outputs
@click.option("-v", "--verbose", is_flag=True, help="All evidence and every notification, nothing folded.")
@color
def convert(report: str, outputs: tuple[str, ...], verbose: bool, color: str) -> None:
    """Render a report that `scan -o json` wrote; `-` reads standard input."""
    from scanner.cli.output import check, emit, read

    wanted = check(outputs)
    emit(read(report), wanted, color=use_color(color, sys.stdout), width=width(), verbose=verbose)
