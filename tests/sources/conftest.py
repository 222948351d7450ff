"""The sources are tried on real engines, registries and tools."""

from tests.engine_fixture import at_engine, engine, locked_registry, registry, skopeo, token_registry

__all__ = ["at_engine", "engine", "locked_registry", "registry", "skopeo", "token_registry"]
