"""A function that does nothing: what the worker library itself costs."""
