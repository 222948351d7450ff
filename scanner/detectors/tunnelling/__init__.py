"""Tunnels and proxies: which there are, how each is recognised, and what a command or a configuration of one does."""
