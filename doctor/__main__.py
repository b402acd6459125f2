"""`python -m doctor`."""

from doctor.cli import app

if __name__ == "__main__":
    app(prog_name="python -m doctor")
