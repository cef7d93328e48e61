"""The settings of a run that is a part of another, as ComfyUI's advanced sampler paints it; `stages` uses them."""

from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from latentrt.checks import whole
from latentrt.errors import SettingError
from latentrt.painting.kinds import Flag, Whole, several
from latentrt.painting.setting import Entry, Option, Setting

_GROUP = "a part of a run, as ComfyUI's nodes paint it"
_MOST = 4096  # of a batch, as ComfyUI has it


class Places:
    """Places in a batch, counted from 0."""

    def check(self, name: str, value: Any) -> tuple[int, ...]:
        """A tuple of whole numbers."""
        places = several(value)
        if not places:
            raise SettingError(name, expected="a list of whole numbers, one at least", got=value)
        return tuple(whole(name, one, 0, _MOST - 1) for one in places)

    def read(self, name: str, text: str) -> tuple[int, ...]:
        """With commas or spaces between them."""
        return tuple(Whole(0, _MOST - 1).read(name, part) for part in text.replace(",", " ").split())

    def write(self, value: Sequence[int]) -> str:
        """With spaces between them."""
        return " ".join(map(str, value))


class StageSettings(TypedDict, total=False):
    """What ComfyUI says in nodes of their own."""

    start_at_step: Annotated[
        int | None,
        Setting(
            Whole(0),
            "leave out so many of the first steps; in place of `strength`.",
            default=0,
            option=Option("--start-at-step", "N", "leave out the first N steps (default: 0)", _GROUP),
            entries=(Entry("Start at step"),),
        ),
    ]
    end_at_step: Annotated[
        int | None,
        Setting(
            Whole(1),
            "run no step from this on, counted from 0. Default: to the end.",
            option=Option(
                "--end-at-step", "N", "stop before step N, counted from 0 (default: the end)", _GROUP
            ),
            entries=(Entry("End at step"),),
        ),
    ]
    leftover_noise: Annotated[
        bool | None,
        Setting(
            Flag(),
            "leave the noise in that is there at `end_at_step`, for another run to go on with; else the last step "
            "goes to none.",
            default=False,
            option=Option("--leftover-noise", None, "leave the noise in that is there at the end", _GROUP),
            entries=(Entry("Leftover noise"),),
        ),
    ]
    add_noise: Annotated[
        bool | None,
        Setting(
            Flag(),
            "put noise over what the run begins with; not over latents that have it.",
            default=True,
            option=Option("--no-added-noise", None, "put no noise over what the run begins with", _GROUP),
            entries=(Entry("Add noise"),),
        ),
    ]
    batch_index: Annotated[
        Sequence[int] | None,
        Setting(
            Places(),
            "which pictures of a batch these are, counted from 0: their noise is that which a batch draws at these "
            "places, one after the other. Default: a whole batch, which is drawn at once.",
            option=Option(
                "--batch-index",
                "I[,I…]",
                "paint those pictures of a larger batch alone, from the one seed S, counted from 0",
                _GROUP,
            ),
            entries=(Entry("Batch index"),),
        ),
    ]
