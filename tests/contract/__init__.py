"""Tests of the edges: the same behaviour over a fake and the real thing, and HTTP against a local server."""
