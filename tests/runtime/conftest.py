"""One engine for all that runs here: one for each file would be started, and stand until the last test has ended."""

from tests.engine_fixture import at_engine, engine

__all__ = ["at_engine", "engine"]
