"""The release."""

VERSION = "0.1.0"
"""In log lines, health documents and the `User-Agent` of sends. `pyproject.toml` reads it here; the deployed
app, which has no pyproject.toml, has this module."""
