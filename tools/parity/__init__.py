"""The proof that our samplers are diffusers': one grid of options, for the live tests, the golden files and the docs' table."""
