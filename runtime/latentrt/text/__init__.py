"""From prompt to token ids to conditioning."""
