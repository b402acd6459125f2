"""The floor that the libraries set, as a function app of its own."""
