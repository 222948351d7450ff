"""Real containers of a real engine."""

from tests.engine_fixture import at_engine, engine

__all__ = ["at_engine", "engine"]
