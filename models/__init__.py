"""Values and their validation: what the two wings, registrar and push, have in common."""
