"""One file per report format, pure functions of a Report; see plugin.py."""
