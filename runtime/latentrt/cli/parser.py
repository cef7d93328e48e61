"""An argument parser whose commands are filled in when they are called for, and whose errors look like ours."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's, with three differences.

    `fill` adds the arguments when this parser is first used, so that `latentrt --help` imports no command. An error is
    one line, `latentrt: error: …`, without the usage, and exits with 2. Options cannot be abbreviated.
    """

    fill: "Callable[[Parser], None] | None" = None

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def parse_known_args(  # type: ignore[override]  # argparse declares overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Fill in, then parse."""
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:  # said here, where the command's own page can be named
            hint = (
                ""
                if any(word.startswith("-") for word in unknown)
                else "; a value of several words stands in quotes"
            )
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Print the error and where to read more; exit with 2."""
        self.exit(2, f"latentrt: error: {message}; see `{self.prog} --help`\n")
