"""Pictures in and out, and how they were made."""
