"""`python -m local.host`: serve a Functions app on loopback."""

import sys

from local.host.server import main

if __name__ == "__main__":
    sys.exit(main())
