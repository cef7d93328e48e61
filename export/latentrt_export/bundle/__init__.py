"""A checkpoint becomes a standalone bundle."""
