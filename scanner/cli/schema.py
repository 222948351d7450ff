"""`sandscan schema`: the JSON Schema of the JSON report, or of one line of `-o jsonl`."""

import json

import click


@click.command()
@click.option("--lines", is_flag=True, help="That of one line of -o jsonl.")
def schema(lines: bool) -> None:
    """Print the JSON Schema that every `-o json` report validates against."""
    from scanner.reports import json as report
    from scanner.reports import jsonl

    click.echo(json.dumps(jsonl.schema() if lines else report.schema(), indent=2))
