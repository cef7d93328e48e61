"""The pattern of a file's name: `{seed}` and `{index}`, which may say their width, `{index:05d}`."""

import re

PLACEHOLDER = re.compile(r"\{(seed|index)(?::0?([0-9]{1,2})d?)?\}")


def filled(pattern: str, index: int, seed: int) -> str:
    """The name of one picture; other braces stay as they are."""
    values = {"seed": seed, "index": index}
    return PLACEHOLDER.sub(lambda match: f"{values[match[1]]:0{match[2] or 1}d}", pattern)
