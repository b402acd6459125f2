"""Finds out why a phone does not ring: `python -m doctor --help`. For operators; never deployed."""
