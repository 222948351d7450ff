"""Builds run on a real engine."""

from tests.engine_fixture import engine

__all__ = ["engine"]
