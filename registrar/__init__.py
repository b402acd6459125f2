"""The registrar: which devices belong to which user."""
