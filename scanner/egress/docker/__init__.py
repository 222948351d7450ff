"""What a container on Docker reaches, by engine, network, resolver, sibling and right. `graph` draws it; the rest are its rooms."""
