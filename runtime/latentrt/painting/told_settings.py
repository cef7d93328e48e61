"""The settings of what a model of SDXL's kind is told beside the prompt; `latentrt.painting.told` uses them."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from latentrt.checks import whole
from latentrt.errors import SettingError
from latentrt.painting.kinds import Number, Text, read_sides, several
from latentrt.painting.setting import Entry, Option, Setting

MAX_SIDE = 100_000  # pixels that such a model may be told of; nothing is made of that size


@dataclass(frozen=True)
class HeightWidth:
    """Height and width in pixels, or from the top and the left, as diffusers has them; a text has the width first."""

    low: int = 1

    def check(self, name: str, value: Any) -> tuple[int, int]:
        """Two whole numbers of `low` or more, the height before the width."""
        sides = several(value)
        if sides is None or len(sides) != 2:
            raise SettingError(name, expected="(height, width)", got=value)
        height, width = (whole(name, side, self.low, MAX_SIDE) for side in sides)
        return height, width

    def read(self, name: str, text: str) -> tuple[int, int]:
        """WIDTHxHEIGHT."""
        width, height = read_sides(name, text, "1024x1024")
        return self.check(name, (height, width))

    def write(self, value: tuple[int, int]) -> str:
        """WIDTHxHEIGHT."""
        return f"{value[1]}x{value[0]}"


_SIZES = "sizes that an XL model is told"


def _told_size(help: str, name: str, default: str, low: int = 1, key: str = "") -> Setting:
    """A size that a model of SDXL's kind is told of beside the text; one for the negative prompt shows `key` too."""
    option = Option(f"--{name}", "WxH", f"{help} (default: {default})", _SIZES)
    return Setting(
        HeightWidth(low),
        f"{help}, as (height, width). Default: {default}.",
        option=option,
        entries=(Entry(key),),
    )


class ToldSettings(TypedDict, total=False):
    """What models of other kinds have no use for."""

    prompt_2: Annotated[
        str | None,
        Setting(
            Text(),
            "what the second text encoder of an XL model reads in place of the prompt.",
            option=Option(
                "--prompt-2", "TEXT", "for an XL model's second text encoder (default: the prompt)", _SIZES
            ),
            entries=(Entry("Prompt 2"),),
        ),
    ]
    negative_prompt_2: Annotated[
        str | None,
        Setting(
            Text(),
            "likewise of the negative prompt.",
            option=Option("--negative-2", "TEXT", "likewise (default: the negative prompt)", _SIZES),
            entries=(Entry("Negative prompt 2"),),
        ),
    ]
    original_size: Annotated[
        tuple[int, int] | None,
        _told_size(
            "size of the picture that it is to look as if made of",
            "original-size",
            "that of the picture",
            key="Original size",
        ),
    ]
    crops_coords_top_left: Annotated[
        tuple[int, int] | None,
        _told_size(
            "where the picture is cut out of that, from the left and the top", "crop", "0x0", 0, "Crop"
        ),
    ]
    target_size: Annotated[
        tuple[int, int] | None,
        _told_size("size that it is cut to", "target-size", "that of the picture", key="Target size"),
    ]
    negative_original_size: Annotated[
        tuple[int, int] | None,
        _told_size(
            "likewise, of the negative prompt",
            "negative-original-size",
            "--original-size",
            key="Negative original size",
        ),
    ]
    negative_crops_coords_top_left: Annotated[
        tuple[int, int] | None,
        _told_size("likewise", "negative-crop", "--crop", 0, "Negative crop"),
    ]
    negative_target_size: Annotated[
        tuple[int, int] | None,
        _told_size("likewise", "negative-target-size", "--target-size", key="Negative target size"),
    ]
    aesthetic_score: Annotated[
        float | None,
        Setting(
            Number(0, 10),
            "how beautiful, 0 to 10, as a refiner is told. Default: 6.",
            option=Option(
                "--aesthetic-score", "A", "how beautiful, as a refiner is told: 0 to 10 (default: 6)", _SIZES
            ),
            entries=(Entry("Aesthetic score"),),
        ),
    ]
    negative_aesthetic_score: Annotated[
        float | None,
        Setting(
            Number(0, 10),
            "likewise of the negative prompt. Default: 2.5.",
            option=Option(
                "--negative-aesthetic-score", "A", "likewise of the negative prompt (default: 2.5)", _SIZES
            ),
            entries=(Entry("Negative aesthetic score"),),
        ),
    ]
