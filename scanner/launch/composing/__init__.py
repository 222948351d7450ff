"""Compose, step by step: interpolation, short syntaxes, merging, extends and include, and the containers that come of it."""
