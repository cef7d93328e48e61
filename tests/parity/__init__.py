"""The proof that our samplers are diffusers': one grid of options, for the live tests and for the docs' table.

`golden`, `oracle`, `compare` and `verdict` need torch and diffusers; the rest runs without.
"""
