"""This machine's own limits, and the least time that they allow."""
