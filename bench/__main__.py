"""`python -m bench`; kept empty of imports, since every child process imports it."""

if __name__ == "__main__":
    import sys

    from bench.command import main

    sys.exit(main())
