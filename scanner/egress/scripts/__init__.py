"""Firewalls that a launch's own scripts set up: their shell text read, followed and judged, never run."""
