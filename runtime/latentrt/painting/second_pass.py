"""What is asked of a second pass; `latentrt.painting.hires` paints it."""

from dataclasses import dataclass, field
from typing import Any

from latentrt.checks import MAX_PIXELS
from latentrt.errors import SettingError
from latentrt.painting.kinds import Number, Size, Text, Whole
from latentrt.painting.setting import Entry, Option, Setting, declared, documented, entries, record
from latentrt.pictures.metadata import FIELDS


def _declared(default: Any, setting: Setting) -> Any:
    return field(default=default, metadata={"setting": setting})


@dataclass(frozen=True)
class Hires:
    """A second pass."""

    scale: float = _declared(
        2.0,
        Setting(
            Number(1, above=True),
            "how many times larger, more than 1.",
            entries=(Entry("Hires upscale", "hires_scale", always=True, ours=False),),
        ),
    )
    size: tuple[int, int] | None = _declared(
        None,
        Setting(
            Size(),
            "width and height in place of `scale`; of the first pass's proportions.",
            entries=(Entry("Hires resize", "hires_size", ours=False),),
        ),
    )
    steps: int | None = _declared(
        None,
        Setting(
            Whole(1),
            "steps of the second pass, all of which are run. None: as many as in the first.",
            option=Option("--hires-steps", "N", "steps of that second pass (default: --steps)"),
            entries=(Entry("Hires steps", "hires_steps", ours=False),),
        ),
    )
    strength: float = _declared(
        0.7,
        Setting(
            Number(0, 1, above=True),
            "more than 0, at most 1: how far to go from the enlarged picture.",
            option=Option(
                "--hires-strength", "F", "how far it goes from the enlarged picture: more than 0, at most 1"
            ),
            entries=(Entry("Denoising strength", "strength", always=True, ours=False),),
        ),
    )
    upscaler: str = _declared(
        "latent",
        Setting(
            Text(),
            "a name of `latentrt.painting.upscale.UPSCALERS`, or AUTOMATIC1111's.",
            option=Option(
                "--hires-upscaler",
                "NAME",
                "latent (default), latent-antialiased, latent-bicubic, latent-bicubic-antialiased, latent-nearest, "
                "latent-nearest-exact; or of the decoded picture, lanczos or nearest",
            ),
            entries=(Entry("Hires upscaler", "hires_upscaler", always=True, ours=False),),
        ),
    )

    def __post_init__(self) -> None:
        for name, setting in declared(Hires).items():
            value = getattr(self, name)
            if value is not None or setting.default is not None:
                object.__setattr__(self, name, setting.kind.check(f"hires {name}", value))

    def target(self, width: int, height: int, factor: int) -> tuple[int, int]:
        """Width and height of the second pass, rounded down to multiples of `factor`.

        Raises:
            SettingError: it is smaller than the first pass's, of other proportions, or more than `MAX_PIXELS`.
        """
        if self.size is None:
            wide, high = int(width * self.scale), int(height * self.scale)
        else:
            wide, high = self.size
            if abs(wide * height - high * width) > factor * max(width, height):
                raise SettingError(
                    "hires size", f"expected the proportions of {width}x{height}, got {wide}x{high}"
                )
        wide, high = wide // factor * factor, high // factor * factor
        if wide < width or high < height or (wide, high) == (width, height):
            raise SettingError("hires", f"expected a size above {width}x{height}, got {wide}x{high}")
        if wide * high > MAX_PIXELS:
            raise SettingError("hires", f"expected at most {MAX_PIXELS:,} pixels, got {wide}x{high}")
        return wide, high

    def record(self, steps: int) -> dict[str, Any]:
        """What `--json` and a picture's text tell of a second pass that had so many steps."""
        from latentrt.painting.upscale import find_upscaler

        label = find_upscaler(self.upscaler).label
        scale = self.scale if self.size is None else None
        return record(Hires, {**vars(self), "scale": scale, "steps": steps, "upscaler": label})

    def metadata(self, steps: int) -> tuple[tuple[str, str], ...]:
        """Entries of a picture's text, as AUTOMATIC1111 names them, beside those that every picture may have."""
        told = entries(Hires, self.record(steps))
        return tuple((key, text) for key, (_, text) in told.items() if key not in FIELDS)


Hires.__doc__ = documented(Hires, "A second pass.")
