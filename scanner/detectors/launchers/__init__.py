"""Commands that a container would run: read from shell text, and from every file that starts something. No plug-in here."""
