"""The tests; `tests.fakes` holds what several of them share."""
