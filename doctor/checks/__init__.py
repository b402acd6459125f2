"""What was found → what it means (pure): no network, no database, no clock, no terminal."""
