"""The page that `python -m local` serves: simulated phones that ring, and switches for the hub."""
