"""The registrar wing: which devices belong to which user."""
