"""The proof that our samplers are diffusers': one grid of options, for the live tests and for the docs' table."""
