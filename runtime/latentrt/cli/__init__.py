"""The command `latentrt`: parse, call, print. Nothing heavy is imported before a command runs."""

from latentrt.cli.main import main

__all__ = ["main"]
