"""`make bench`: how fast the app is, beside the floor, the reference way and the public clients."""
