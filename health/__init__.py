"""Health: is the process alive, and does everything work that it needs?"""
