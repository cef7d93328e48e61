"""What is on disk: folders, bundles, weights."""
