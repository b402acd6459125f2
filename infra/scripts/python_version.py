"""Stops a script at once on a Python that is too old for it.

Every script imports this first. It has to parse on the oldest Python that azd accepts, which is 3.7.
"""

import sys

OLDEST = (3, 9)
"""What macOS ships as `python3`."""

if sys.version_info < OLDEST:
    have = ".".join(str(part) for part in sys.version_info[:3])
    need = ".".join(str(part) for part in OLDEST)
    sys.exit("This script needs Python " + need + " or newer; " + sys.executable + " is " + have + ".")
