"""The settings of a schedule given number by number."""

from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from latentrt.checks import number
from latentrt.errors import SettingError
from latentrt.painting.kinds import floats, several
from latentrt.painting.setting import Entry, Option, Setting
from latentrt.pictures.metadata import number_text

_GROUP = "the schedule, number by number"


class Numbers:
    """One number or more, none below 0."""

    def check(self, name: str, value: Any) -> tuple[float, ...]:
        """A tuple of floats."""
        numbers = several(value)
        if not numbers:
            raise SettingError(name, expected="a list of numbers, one at least", got=value)
        return tuple(number(name, one, 0) for one in numbers)

    def read(self, name: str, text: str) -> tuple[float, ...]:
        """With commas or spaces between them."""
        return self.check(name, floats(text))

    def write(self, value: Sequence[float]) -> str:
        """With spaces between them."""
        return " ".join(map(number_text, value))


class ScheduleSettings(TypedDict, total=False):
    """In place of a number of steps, which follows from them."""

    timesteps: Annotated[
        Sequence[float] | None,
        Setting(
            Numbers(),
            "the timesteps at which the network is asked, falling, in place of the sampler's own spacing, where its "
            "diffusers class takes them. Default: what the model's files advise, where neither a sampler nor steps are "
            "asked for, else none.",
            option=Option(
                "--timesteps",
                "T,T…",
                "the timesteps at which the network is asked, falling, as 999,749,499,249 (default: the model's, or as "
                "the sampler spaces them)",
                _GROUP,
            ),
            entries=(Entry("Timesteps"),),
        ),
    ]
    sigmas: Annotated[
        Sequence[float] | None,
        Setting(
            Numbers(),
            "likewise as noise levels, in the terms of the sampler's diffusers class: of Euler's with the last, often "
            "0, where the run ends.",
            option=Option(
                "--sigmas",
                "S,S…",
                "likewise as noise levels, as the sampler's diffusers class takes them: with euler the last, often 0, "
                "is where the run ends",
                _GROUP,
            ),
            entries=(Entry("Sigmas"),),
        ),
    ]
