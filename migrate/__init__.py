"""Moves the device tokens of Microsoft's C# sample into this app; run once or a few times, never deployed."""
