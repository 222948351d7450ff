"""The command `sandscan`: its sub-commands, and the one place where errors become words and exit codes."""

import os
import signal
import sys
from types import FrameType

import click

from scanner.cli.cache import cache
from scanner.cli.convert import convert
from scanner.cli.explain import explain
from scanner.cli.rules import rules
from scanner.cli.scan import scan
from scanner.cli.schema import schema
from scanner.errors import RuleError, ScannerError, TargetError, UsageError

CLEAN, FINDINGS, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130

EPILOG = """\b
Examples:
  sandscan scan myimage:latest                  an image of the local engine
  sandscan scan archive:app.tar -o sarif=a.sarif -o text
  sandscan scan registry:localhost:5000/app:1 --platform linux/arm64
  sandscan scan rootfs:/mnt/tree --fail-on medium
  sandscan explain miner/binary

\b
Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong usage or no such target,
3 incomplete (something could not be read: never taken for clean), 130 interrupted."""


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from scanner.pipeline import tool_version

        click.echo(f"sandscan {tool_version()}")
        context.exit()


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def command() -> None:
    """Could this sandbox mine, tunnel out, or reach what it must not? Scans container images and says why it believes so."""


for sub_command in (scan, explain, rules, convert, schema, cache):
    command.add_command(sub_command)


def main() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as e:
        code = e.exit_code
    except click.ClickException as e:
        e.show()
        code = e.exit_code
    except (click.Abort, KeyboardInterrupt):
        _leave("sandscan: interrupted; no report was written", INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has left; the report is cut, so this is no clean end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(None, INCOMPLETE)
    except ScannerError as e:
        _leave(f"sandscan: {e}", USAGE if isinstance(e, TargetError | UsageError | RuleError) else INCOMPLETE)
    except MemoryError:
        _leave(
            "sandscan: out of memory; nothing is known of the target. Give it more memory or a lower --limit.",
            INCOMPLETE,
        )
    except Exception:
        # a mistake of ours: whoever reports it needs the traceback, and nobody may take it for findings or for clean
        import traceback

        traceback.print_exc()
        _leave("sandscan: this is a fault of sandscan's; nothing is known of the target. Please report it.", INCOMPLETE)
    sys.exit(code if isinstance(code, int) else CLEAN)


def _terminated(_: int, __: FrameType | None) -> None:
    _leave("sandscan: terminated; no report was written", 128 + signal.SIGTERM)


def _leave(message: str | None, code: int) -> None:
    """End at once: threads that are still matching must not hold up the user. Unnamed files and the worker go with us."""
    if message:
        click.echo(message, err=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)
