"""The included model: its files, and what it paints: scenes, the words for them, and their pictures."""
