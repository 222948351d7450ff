"""Builds run on a real engine, images lie in a real registry."""

from tests.engine_fixture import engine, registry, skopeo

__all__ = ["engine", "registry", "skopeo"]
