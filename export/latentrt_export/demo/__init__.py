"""The demo model: its pictures, its training, its measurement."""
