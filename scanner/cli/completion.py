"""`sandscan completion`: the script that completes sandscan's command line in a shell."""

from pathlib import Path

import click

SCRIPTS = Path(__file__).with_name("completions")

EPILOG = """\b
Examples:
  source <(sandscan completion bash)   here; in ~/.bashrc for every shell
  source <(sandscan completion zsh)    in ~/.zshrc, after compinit
  sandscan completion fish | source    in ~/.config/fish/config.fish"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script with which a shell completes commands, options and their values."""
    click.echo((SCRIPTS / f"sandscan.{shell}").read_text(encoding="utf-8"), nl=False)
