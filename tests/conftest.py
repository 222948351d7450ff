"""What all tests share: the real parts, one of each for every process of tests, and no time limit for an example."""

import os

from hypothesis import settings

from tests.engine_fixture import at_engine, engine, locked_registry, registry, skopeo, token_registry

__all__ = ["at_engine", "engine", "locked_registry", "registry", "skopeo", "token_registry"]

if "CI" not in os.environ:  # there hypothesis has a profile of its own, without one too
    settings.register_profile("busy machine", deadline=None)
    settings.load_profile("busy machine")
