"""One run: from a request to finished pictures."""
