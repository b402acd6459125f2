"""Makes the sample a package of its own for linters: its module is named like the app's."""
