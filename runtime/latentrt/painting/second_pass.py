"""What is asked of a second pass; `latentrt.painting.hires` paints it."""

from dataclasses import dataclass, field
from typing import Any

from latentrt.checks import MAX_PIXELS
from latentrt.errors import SettingError
from latentrt.painting.kinds import Flag, Number, Seed, Size, Text, Whole
from latentrt.painting.setting import Entry, Option, Setting, declared, documented, entries, record
from latentrt.painting.upscale import Fit, find_upscaler
from latentrt.pictures.metadata import FIELDS
from latentrt.samplers.registry import SCHEDULE_LABELS, label_of, schedule_of


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
            "width and height in place of `scale`; of the first pass's proportions, but see `crop`.",
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
                "latent-nearest-exact, latent-area, latent-bislerp; or of the decoded picture, lanczos or nearest",
            ),
            entries=(Entry("Hires upscaler", "hires_upscaler", always=True, ours=False),),
        ),
    )
    crop: bool | None = _declared(
        None,
        Setting(
            Flag("crop", "stretch"),
            "what to do with a `size` of other proportions: True cuts out the middle, False stretches. None: as the "
            "program of `like` does, where AUTOMATIC1111 cuts and ComfyUI stretches; else it is refused.",
            option=Option("--hires-crop", None, "of another size's proportions, cut out the middle"),
            entries=(Entry("Hires fit", "hires_crop"),),
        ),
    )
    sampler: str | None = _declared(
        None,
        Setting(
            Text(),
            "of the second pass. None: that of the first.",
            option=Option("--hires-sampler", "NAME", "of that second pass (default: --sampler)"),
            entries=(Entry("Hires sampler", "hires_sampler", ours=False),),
        ),
    )
    schedule: str | None = _declared(
        None,
        Setting(
            Text(),
            'likewise; "automatic" is the sampler\'s own. None: what was asked for of the first.',
            option=Option("--hires-schedule", "NAME", "of that second pass (default: --schedule)"),
            entries=(Entry("Hires schedule type", "hires_schedule", ours=False),),
        ),
    )
    guidance_scale: float | None = _declared(
        None,
        Setting(
            Number(),
            "likewise. None: that of the first.",
            option=Option("--hires-guidance-scale", "G", "of that second pass (default: --guidance-scale)"),
            entries=(Entry("Hires CFG Scale", "hires_guidance_scale", ours=False),),
        ),
    )
    prompt: str | None = _declared(
        None,
        Setting(
            Text(),
            "likewise. None: that of the first.",
            option=Option("--hires-prompt", "TEXT", "of that second pass (default: the prompt)"),
            entries=(Entry("Hires prompt", "hires_prompt", ours=False),),
        ),
    )
    negative_prompt: str | None = _declared(
        None,
        Setting(
            Text(),
            "likewise. None: that of the first.",
            option=Option("--hires-negative", "TEXT", "of that second pass (default: --negative)"),
            entries=(Entry("Hires negative prompt", "hires_negative_prompt", ours=False),),
        ),
    )
    seed: int | None = _declared(
        None,
        Setting(
            Seed(),
            "of the second pass's noise, where the first has seeds for several pictures the first of as many. None: "
            "the first's.",
            option=Option("--hires-seed", "S", "of that second pass's noise (default: --seed)"),
            entries=(Entry("Hires seed", "hires_seed"),),
        ),
    )

    def __post_init__(self) -> None:
        for name, setting in declared(Hires).items():
            value = getattr(self, name)
            if value is not None or setting.default is not None:
                object.__setattr__(self, name, setting.kind.check(f"hires {name}", value))

    def fit(self, program: Fit) -> Fit:
        """What is done with other proportions.

        Args:
            program: what the program does by itself; without one they are refused.

        Raises:
            SettingError: the program does not do what is asked for.
        """
        if self.crop is None:
            return program
        if program == "behind":
            if not self.crop:
                raise SettingError("hires crop", "False: stretching is not done there; expected True or None")
            return program
        return "before" if self.crop else "stretched"

    def target(
        self, width: int, height: int, factor: int, fit: Fit = "refused"
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Width and height of the second pass, in multiples of `factor`; and those that all is enlarged to.

        Raises:
            SettingError: it is smaller than the first pass's, of other proportions, or more than `MAX_PIXELS`.
        """
        if self.size is None:
            wide, high = int(width * self.scale), int(height * self.scale)
        else:
            wide, high = self.size
            alike = abs(wide * height - high * width) <= factor * max(width, height)
            if fit == "refused" and not alike:
                raise SettingError(
                    "hires size",
                    f"expected the proportions of {width}x{height}, or crop, got {wide}x{high}",
                    others=("hires crop",),
                )
        over_wide, over_high = wide, high
        if fit == "behind" and self.size is not None:
            if width / height < wide / high:
                over_high = wide * height // width
            else:
                over_wide = high * width // height
        columns, rows = (over_wide - wide) // factor, (over_high - high) // factor
        wide, high = (over_wide // factor - columns) * factor, (over_high // factor - rows) * factor
        if wide < width or high < height or (wide, high) == (width, height):
            raise SettingError("hires", f"expected a size above {width}x{height}, got {wide}x{high}")
        if wide * high > MAX_PIXELS:
            raise SettingError("hires", f"expected at most {MAX_PIXELS:,} pixels, got {wide}x{high}")
        return (wide, high), (over_wide, over_high) if fit == "behind" else (wide, high)

    def record(self, steps: int) -> dict[str, Any]:
        """What `--json` and a picture's text tell of a second pass that had so many steps."""
        label = find_upscaler(self.upscaler).label
        scale = self.scale if self.size is None else None
        own = {"scale": scale, "steps": steps, "upscaler": label}
        if self.sampler is not None:
            own["sampler"] = label_of(self.sampler)
        if self.schedule is not None:
            own["schedule"] = SCHEDULE_LABELS.get(schedule_of(self.schedule) or "", "Automatic")
        return record(Hires, {**vars(self), **own})

    def metadata(self, steps: int) -> tuple[tuple[str, str], ...]:
        """Entries of a picture's text, as AUTOMATIC1111 names them, beside those that every picture may have."""
        told = entries(Hires, self.record(steps))
        return tuple((key, text) for key, (_, text) in told.items() if key not in FIELDS)


Hires.__doc__ = documented(Hires, "A second pass.")
