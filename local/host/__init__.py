"""The HTTP side of the Functions host on loopback, over the real Python worker: `python -m local.host`."""
