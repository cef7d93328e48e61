"""Graph + weights + provider → session."""
