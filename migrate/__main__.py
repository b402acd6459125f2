"""`python -m migrate`."""

from migrate.cli import app

if __name__ == "__main__":
    app(prog_name="python -m migrate")
