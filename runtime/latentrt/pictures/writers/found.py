"""The texts of one picture, to ask for what is wanted of them."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from latentrt.pictures.texts import PARAMETERS, Found


class Texts:
    """The texts of one picture."""

    def __init__(self, found: tuple[Found, ...]) -> None:
        self.found = found

    def get(self, key: str) -> str:
        """The first text of a key; empty where there is none."""
        return next((found.text for found in self.found if found.key == key), "")

    def of_parameters(self) -> Iterator[Found]:
        """Those that may say it all in one, the likeliest first."""
        for key in PARAMETERS:
            yield from (found for found in self.found if found.key == key)

    @cached_property
    def objects(self) -> tuple[tuple[Found, dict[str, Any]], ...]:
        """Those that are an object of JSON, and it."""
        made = []
        for found in self.found:
            data = object_of(found.text)
            if data is not None:
                made.append((found, data))
        return tuple(made)


def object_of(text: str) -> dict[str, Any] | None:
    """The object that a text is in JSON; None where it is none."""
    if not text.lstrip("\0 \r\n\t\ufeff").startswith("{"):
        return None
    try:
        data = json.loads(text.strip("\0 \r\n\t\ufeff"))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
