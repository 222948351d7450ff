"""`sandscan schema`: the JSON Schemas of what sandscan writes and reads."""

import json

import click

from scanner.errors import UsageError


@click.command()
@click.option("--lines", is_flag=True, help="That of one line of -o jsonl.")
@click.option("--config", is_flag=True, help="That of .sandscan.yaml.")
@click.option("--baseline", is_flag=True, help="That of a file that --write-baseline writes.")
@click.pass_context
def schema(context: click.Context, lines: bool, config: bool, baseline: bool) -> None:
    """Print the JSON Schema that every `-o json` report validates against, or another one."""
    if lines + config + baseline > 1:
        raise UsageError("one schema at a time: give --lines, --config or --baseline")
    click.echo(json.dumps(_schema(context, lines, config, baseline), indent=2))


def _schema(context: click.Context, lines: bool, config: bool, baseline: bool) -> object:
    if config:
        from scanner.cli.configured import keys
        from scanner.settings import schema as of_settings

        group = context.find_root().command
        assert isinstance(group, click.Group)
        return of_settings(keys(group))
    if baseline:
        from scanner.suppression import schema as of_baseline

        return of_baseline()
    from scanner.reports import json as report
    from scanner.reports import jsonl

    return jsonl.schema() if lines else report.schema()
