"""The release."""

VERSION = "0.1.0"
"""Also that of the package: `pyproject.toml` reads it here."""
