"""The health wing: is this process alive, and is everything there that it needs?"""
