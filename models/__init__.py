"""Values and their validation, shared by `registrar`, `push` and `health`."""
