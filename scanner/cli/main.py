"""The command `sandscan`: its sub-commands, and the one place where errors become words and exit codes."""

import errno
import gc
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from scanner.cli.cache import cache
from scanner.cli.check import check
from scanner.cli.completion import completion
from scanner.cli.config import config
from scanner.cli.configured import Configured, configure
from scanner.cli.convert import convert
from scanner.cli.diff import diff
from scanner.cli.egress import egress
from scanner.cli.explain import explain
from scanner.cli.init import init
from scanner.cli.live import live
from scanner.cli.observe import observe
from scanner.cli.rules import rules
from scanner.cli.scan import scan
from scanner.cli.schema import schema
from scanner.cli.stop import INTERRUPTED, TERMINATED, at_once, leave
from scanner.errors import RuleError, ScannerError, TargetError, UsageError
from scanner.model import printable

CLEAN, FINDINGS, USAGE, INCOMPLETE = 0, 1, 2, 3

EPILOG = """\b
Examples:
  sandscan scan myimage:latest             an image of the local engine
  sandscan scan archive:app.tar -o sarif=a.sarif -o text
  sandscan scan registry:localhost:5000/app:1 --platform linux/arm64
  sandscan scan rootfs:/mnt/tree --fail-on medium
  sandscan check .                         what a repository would build, run
  sandscan egress compose.yaml             what it reaches, and what closes it
  sudo sandscan observe myimage -- pytest  what it tries, shut in
  sudo sandscan live mycontainer           what runs now, with whom it speaks
  sandscan diff container:mycontainer      what its run changed
  sandscan explain miner/binary

\b
Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong usage or no
such target, 3 incomplete (something could not be read: never taken for
clean), 130 interrupted."""


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from scanner.version import tool_version

        click.echo(f"sandscan {tool_version()}")
        context.exit()


@click.group(
    cls=Configured,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    metavar="FILE",
    envvar="SANDSCAN_CONFIG",
    show_envvar=True,
    help="The configuration, instead of .sandscan.yaml or [tool.sandscan] in pyproject.toml here or above, up to the repository's root.",
)
@click.option("--no-config", is_flag=True, help="Follow no configuration.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.pass_context
def command(context: click.Context, config: str | None, no_config: bool) -> None:
    """Could this sandbox mine, tunnel out, or reach what it must not? Scans container images, launch files and running containers, and says why it believes so."""
    configure(context, config, no_config)


for sub_command in (
    scan,
    check,
    egress,
    observe,
    live,
    diff,
    explain,
    rules,
    convert,
    schema,
    init,
    config,
    cache,
    completion,
):
    command.add_command(sub_command)


def _is_argument(path: str) -> bool:
    """Whether a path comes from the command line; Python 3.11 raises where it asks whether there is a file by too long a name."""
    return any(Path(path).name in word for word in sys.argv[1:])


def _fault() -> NoReturn:
    """A mistake of ours: whoever reports it needs the traceback, and nobody may take it for findings or for clean."""
    import traceback

    traceback.print_exc()
    leave("sandscan: this is a fault of sandscan's; nothing is known of the target. Please report it.", INCOMPLETE)


def main() -> None:
    """Run the command line and exit."""
    at_once()
    if "_SANDSCAN_COMPLETE" in os.environ:  # click's name for it: a shell asks what could follow
        from scanner.cli.completing import prepare

        prepare(command)
    try:
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as e:
        code = e.exit_code
    except click.ClickException as e:
        e.show()
        if isinstance(e, click.NoSuchOption) and e.option_name in ("--config", "--no-config"):
            click.echo(f"{e.option_name} stands before the command: sandscan {e.option_name} …", err=True)
        code = e.exit_code
    except (click.Abort, KeyboardInterrupt):
        leave("sandscan: interrupted; no report was written", INTERRUPTED)
    except SystemExit as e:
        if e.code != TERMINATED:
            raise
        leave("sandscan: terminated; no report was written", TERMINATED)
    except BrokenPipeError:
        # whoever read our output has left; the report is cut, so this is no clean end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        leave(None, INCOMPLETE)
    except ScannerError as e:
        leave(f"sandscan: {e}", USAGE if isinstance(e, TargetError | UsageError | RuleError) else INCOMPLETE)
    except MemoryError:
        leave(
            "sandscan: out of memory; nothing is known of the target. Give it more memory or a lower --limit.",
            INCOMPLETE,
        )
    except OSError as e:
        if e.errno != errno.ENAMETOOLONG or not _is_argument(str(e.filename)):
            _fault()
        leave(f"sandscan: {printable(str(e.filename))}: {e.strerror}", USAGE)
    except Exception:
        _fault()
    gc.freeze()  # the interpreter would look for cycles in all that goes with it anyway: a twentieth of a short run
    sys.exit(code if isinstance(code, int) else CLEAN)
