"""The way back: from the text that a picture carries to the settings that make it again."""

import warnings
from collections.abc import Collection, Sequence
from typing import Unpack

from latentrt.errors import InputError
from latentrt.painting.following import PADS, pads
from latentrt.painting.kinds import Text, several
from latentrt.painting.picture_settings import NOISE_LEVEL_ENTRY, RUNS, AnySettings, refuse_others
from latentrt.painting.programs import PROGRAMS
from latentrt.painting.second_pass import Hires
from latentrt.painting.text_hires import has_two_passes
from latentrt.painting.text_meaning import STRENGTH, Meaning, meaning, over_picture
from latentrt.painting.text_sampler import same_sampler
from latentrt.pictures.writers import PictureText, understood

# With another of these, a picture's timesteps or sigmas do not come back.
_SPACING = ("sampler", "schedule", "num_inference_steps", "timesteps", "sigmas")


class Recalled(AnySettings, total=False):
    """The arguments of `Pipeline.txt2img`, or of another run."""

    prompt: str
    hires: Hires | None


class NotHeeded(UserWarning):
    """A picture's text asks for something that nothing here heeds, and the picture will look different.

    Attributes:
        names: of the entries.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the picture will look different: not heeded here: {', '.join(names)}")
        self.names = tuple(names)


class NotTold(UserWarning):
    """A picture's text leaves out what makes a picture, and the model's defaults stand in, or a random seed.

    Attributes:
        names: of the entries.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"the picture will look different: its text does not say: {', '.join(names)}; taken are a random seed, and "
            "else what the model's files advise"
        )
        self.names = tuple(names)


def recall(
    text: str | PictureText, *, plain: bool = False, run: str = "txt2img", **given: Unpack[Recalled]
) -> Recalled:
    """What makes a picture again, as the arguments of its run: `pipeline.txt2img(**recall(text))`.

    A picture that was one of several out of one stream of noise comes again with them all, in its place.

    Args:
        text: what a picture carries, of latentrt or one of the programs of `latentrt.pictures.writers`:
            `latentrt.read_text`, or `latentrt.read_parameters`. The model is not looked for.
        plain: take prompts for plain text that were none to the program that painted them.
        run: the kind of run: "txt2img", "img2img", "inpaint" or "upscale". The picture that the others begin with is in
            no text.
        **given: these win. With another seed the picture is another, and no part of its noise comes back; with another
            sampler neither do the schedule and eta, and with another number of steps no timesteps. `hires=None` leaves
            out the second pass.

    Raises:
        TextError: the text is not understood, or is a workflow of ComfyUI.
        InputError: the text tells of a picture over another picture, and the run is txt2img, or the other way round; or
            of a grid of pictures; or a prompt has what is no plain text, without `plain`.
        SettingError: an entry of it makes no sense or tells of what is not here, or what is given is no argument of
            the run.

    Warns:
        NotHeeded: it asks for something else than latentrt does.
        NotTold: it does not say steps, seed, guidance scale or size.
    """
    recalled, meant = recollect(text, given, plain=plain, run=run)
    if meant.unheeded:
        warnings.warn(NotHeeded(meant.unheeded), stacklevel=2)
    if meant.untold:
        warnings.warn(NotTold(meant.untold), stacklevel=2)
    return recalled


def recollect(
    text: str | PictureText,
    given: Recalled,
    *,
    plain: bool = False,
    second: Collection[str] = (),
    run: str = "txt2img",
) -> tuple[Recalled, Meaning]:
    """What `recall` gives, and what it warns of.

    Args:
        text: of the picture.
        given: arguments that win.
        plain: see `recall`.
        second: fields of the second pass that win, which are put in later.
        run: see `recall`.

    Raises:
        see `recall`.
    """
    own = ("prompt", "hires") if run == "txt2img" else ("prompt",)
    refuse_others(run, [name for name in given if name not in own])
    if not isinstance(text, PictureText):
        text = understood(Text().check("text", text))
    _refuse_grid(text)
    _refuse_other_run(text, run)
    asked = {name for name, value in given.items() if value is not None}
    meant = meaning(
        text,
        RUNS[run],
        given=asked | ({"hires"} & given.keys()),
        plain=plain,
        second=second,
        sampler=given.get("sampler"),
    )
    known = dict(meant.settings)
    if not same_sampler(given.get("sampler", known.get("sampler")), known.get("sampler")):
        known["schedule"] = known["eta"] = None
    if any(name in asked and given.get(name) != known.get(name) for name in _SPACING):
        known["timesteps"] = known["sigmas"] = None
    if {"timesteps", "sigmas"} & asked:
        known["num_inference_steps"] = known["schedule"] = None
    if given.get("like", known.get("like")) != known.get("like"):
        known["like_parts"] = None
    if given.get("variation_strength") == 0:
        known["variation_seed"] = None
    if (seed := given.get("seed")) is not None:
        known["num_images"] = None
        if set(several(seed) or [seed]) != {known.get("seed")}:
            known["variation_seed"] = known["variation_strength"] = None
    known |= {name: value for name, value in given.items() if value is not None}
    if not pads(PROGRAMS[known.get("like") or "diffusers"]):  # Forge writes it, and repeats them
        known |= dict.fromkeys([name for name in PADS if name not in asked])
    recalled: Recalled = {name: value for name, value in known.items() if value is not None}  # type: ignore[assignment]
    return recalled, meant


def _refuse_other_run(text: PictureText, run: str) -> None:
    enlarged = NOISE_LEVEL_ENTRY in text.entries
    if enlarged and run != "upscale":
        raise InputError(
            "this was enlarged from a smaller picture, which it does not hold; have that enlarged again, by upscale"
        )
    if not enlarged and run == "upscale" and not text.unreadable:
        raise InputError("this was not enlarged by an upscaler, and upscale does nothing else")
    if run == "txt2img" and over_picture(text):
        raise InputError(
            "this was painted over another picture, which it does not hold; paint over that, by img2img or inpaint"
        )
    # What may be of either kind is of that which is asked for.
    alone = has_two_passes(text) or not (over_picture(text) or STRENGTH in text.entries)
    if run != "txt2img" and not text.unreadable and alone:
        raise InputError(
            "this was painted from noise alone, over no other picture; paint it again by txt2img (generate)"
        )


def _refuse_grid(text: PictureText) -> None:
    entries = text.entries
    if entries.get("Script", "").startswith("X/Y"):
        axes = ", ".join(entries[f"{name} Type"] for name in "XYZ" if f"{name} Type" in entries)
        raise InputError(
            f"this is a grid of pictures over {axes or 'several settings'}, and says how the first alone was made; "
            "take one of its pictures, which `latentrt sweep --keep FOLDER/` writes"
        )
