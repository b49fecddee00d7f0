"""A fault with its class, its clocks and its journal; told from that journal alone."""
