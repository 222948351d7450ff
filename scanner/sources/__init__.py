"""One file per kind of target; see plugin.py."""
