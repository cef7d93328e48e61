"""Processes, interleaved rounds, and what is read off the machine meanwhile."""
