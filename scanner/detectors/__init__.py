"""One file per thing looked for; see plugin.py."""
