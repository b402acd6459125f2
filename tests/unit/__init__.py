"""Tests without a process, a server or a wait."""
