"""`sandscan schema`: the JSON Schema of the JSON report."""

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema that every `-o json` report validates against."""
    from scanner.reports.json import schema as report_schema

    click.echo(json.dumps(report_schema(), indent=2))
