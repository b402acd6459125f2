"""The reference way as a function app of its own."""
