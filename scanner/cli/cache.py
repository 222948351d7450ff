"""`sandscan cache`: what is kept between scans."""

import click


@click.group()
def cache() -> None:
    """Look at, or clear, what is kept of layers between scans."""


@cache.command()
def info() -> None:
    """Where the cache is, how many layers it holds, and its size."""
    from scanner.cache import Cache

    store = Cache()
    held = store.info()
    click.echo(f"{held.file}\n{held.layers} layers, {held.size / 1e6:.1f} MB")
    if store.problem:
        click.echo(f"sandscan: {store.problem}", err=True)


@cache.command()
def clear() -> None:
    """Remove everything that is kept."""
    from scanner.cache import Cache
    from scanner.errors import ReportError

    store = Cache()
    try:
        freed = store.clear()
    except OSError as e:
        raise ReportError(f"cannot clear {store.file}: {e.strerror or e}") from e
    click.echo(f"{freed / 1e6:.1f} MB freed")
