"""Measures latentrt where it runs; torch only for the comparisons that need it."""
