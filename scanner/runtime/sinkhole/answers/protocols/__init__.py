"""One file for each protocol, found by walking: what its first bytes look like, and what to answer."""
