"""The settings of runs that begin with a picture; and which run has which."""

from collections.abc import Iterable
from typing import Annotated

from latentrt.errors import SettingError
from latentrt.painting.kinds import Choice, Flag, Number, Whole
from latentrt.painting.masking import CONTENTS
from latentrt.painting.programs import PROGRAMS
from latentrt.painting.setting import Entry, Option, Setting, declared, documented
from latentrt.painting.settings import Settings

# What a picture that an upscaler enlarged has, and no other.
NOISE_LEVEL_ENTRY = "Low-res noise level"
# AUTOMATIC1111's; only what edits a picture has it.
IMAGE_SCALE_ENTRY = "Image CFG scale"
_STRENGTH = Number(0, 1)  # the lowest that leaves a step is each program's matter
_STRENGTH_ENTRIES = (Entry("Denoising strength", always=True, ours=False),)
_NOISE_MULTIPLIER = Setting(
    Number(0),
    "the noise that the picture is put under is multiplied by this.",
    default=1.0,
    option=Option("--noise-multiplier", "X", "multiply the noise that the picture is put under"),
    entries=(Entry("Noise multiplier", ours=False),),
)
_EXACT_STEPS = Setting(
    Flag(),
    "run all steps, of as many more as `strength` is less than 1, as AUTOMATIC1111 can.",
    default=False,
    option=Option("--exact-steps", None, "run all of --steps, whatever the strength"),
    entries=(Entry("Exact steps"),),
)


class Img2ImgSettings(Settings, total=False):  # noqa: D101
    strength: Annotated[
        float | None,
        Setting(
            _STRENGTH,
            "from 0 to 1: the share of the steps that are run, and so how far from the picture to go; not of a model "
            "that edits pictures. Of diffusers' way it leaves a step or more; at 0 AUTOMATIC1111 runs one, and ComfyUI "
            "none, which gives the picture's own latents back.",
            default=0.8,
            option=Option("--strength", "F", "how far to go from it: from 0 to 1, which forgets it"),
            entries=_STRENGTH_ENTRIES,
            axis="Denoising",
        ),
    ]
    noise_multiplier: Annotated[float | None, _NOISE_MULTIPLIER]
    exact_steps: Annotated[bool | None, _EXACT_STEPS]
    image_guidance_scale: Annotated[
        float | None,
        Setting(
            Number(1),
            "of a model that edits pictures, how far to go from no picture to this one, 1 or more, in place of "
            "`strength`; 1 costs two evaluations a step, more costs three. Default: what the model's files advise, "
            "else 1.5.",
            option=Option(
                "--image-guidance-scale",
                "G",
                "of a model that edits pictures, how closely to follow this one, 1 or more, in place of --strength "
                "(default: the model's, or 1.5)",
            ),
            entries=(Entry(IMAGE_SCALE_ENTRY),),
            axis="Image CFG Scale",
        ),
    ]


class InpaintSettings(Settings, total=False):  # noqa: D101
    strength: Annotated[
        float | None,
        Setting(
            _STRENGTH,
            "from 0 to 1: how far to go from what the picture shows under the mask; 1 forgets it.",
            default=1.0,
            option=Option(
                "--strength",
                "F",
                "how far to go from what is there: from 0 to 1, which forgets it",
            ),
            entries=_STRENGTH_ENTRIES,
        ),
    ]
    noise_multiplier: Annotated[float | None, _NOISE_MULTIPLIER]
    exact_steps: Annotated[bool | None, _EXACT_STEPS]
    mask_blur: Annotated[
        float | None,
        Setting(
            Number(0, 10_000),  # more than any picture needs, and less than Pillow fails at
            "radius in pixels of the Gaussian that softens the mask's edge; ComfyUI has none.",
            default=4.0,
            option=Option("--mask-blur", "R", "soften the mask's edge by a Gaussian of so many pixels"),
            entries=(Entry("Mask blur", always=True, ours=False),),
        ),
    ]
    invert_mask: Annotated[
        bool | None,
        Setting(
            Flag("Inpaint not masked", "Inpaint masked"),
            "paint what the mask keeps.",
            default=False,
            option=Option("--invert-mask", help="paint what is black, or not transparent"),
            entries=(Entry("Mask mode", ours=False),),
        ),
    ]
    padding_mask_crop: Annotated[
        int | None,
        Setting(
            Whole(0),
            "paint the masked region alone, with so many pixels around it, at `width` x `height` (default: what "
            "the model was made for), and put it into the picture, which keeps its size. Default: paint the whole "
            "picture.",
            option=Option(
                "--padding",
                "N",
                "pixels of the picture around that region that are shown to the model (default: 32)",
            ),
            entries=(
                Entry(
                    "Inpaint area",
                    "only_masked",
                    Flag("Only masked", "Whole picture"),
                    lambda padding: True,
                    ours=False,
                ),
                Entry("Masked area padding", "padding", ours=False),
            ),
        ),
    ]
    differential: Annotated[
        bool | None,
        Setting(
            Flag(),
            "grey is painted too, the darker the less: a latent is painted in that share of the steps, the last, "
            "that the mask says (arXiv:2306.00950).",
            default=False,
            option=Option(
                "--differential",
                help="paint grey too, the darker the fewer of the last steps (differential diffusion)",
            ),
            entries=(Entry("Differential diffusion"),),
        ),
    ]
    mask_like: Annotated[
        str | None,
        Setting(
            Choice(tuple(PROGRAMS)),
            "whose way of making a mask, and of keeping what is outside of it. Default: that of `like`.",
            option=Option(
                "--mask-like",
                None,
                "make masks, and keep what is outside of them, as this program does (default: as --like says)",
            ),
            entries=(Entry("Mask like"),),
        ),
    ]
    masked_content: Annotated[
        str | None,
        Setting(
            Choice(CONTENTS, spaced=True),
            "what lies under the mask at first: the picture (original); with `like`, AUTOMATIC1111's fill (the colours "
            "around), latent_noise (the noise that the run begins with) and latent_nothing (zeros), or the grey of "
            "ComfyUI's VAEEncodeForInpaint.",
            default="original",
            option=Option(
                "--masked-content",
                help="what lies under the mask at first: the picture (original); with --like what AUTOMATIC1111 or "
                "Forge puts there (fill, latent_noise, latent_nothing), or ComfyUI (grey)",
            ),
            entries=(Entry("Masked content", ours=False),),
        ),
    ]
    grow_mask: Annotated[
        int | None,
        Setting(
            Whole(0, 64),
            "of `masked_content` grey: pixels by which more is painted than is made grey, ComfyUI's `grow_mask_by`.",
            default=6,
            option=Option(
                "--grow-mask",
                "N",
                "with --masked-content grey: pixels by which more is painted than is made grey",
            ),
            entries=(Entry("Grow mask"),),
        ),
    ]
    mask_weight: Annotated[
        float | None,
        Setting(
            Number(0, 1),
            "of an inpainting UNet: how far what is under the mask is hidden from it, AUTOMATIC1111's conditioning "
            "mask strength.",
            default=1.0,
            option=Option(
                "--mask-weight",
                "W",
                "of an inpainting model: how far what is under the mask is hidden from it, 0 to 1",
            ),
            entries=(Entry("Conditional mask weight", ours=False),),
        ),
    ]
    overlay: Annotated[
        bool | None,
        Setting(
            Flag(),
            "leave what is outside of the (blurred) mask as it was, to the pixel; else it has gone through the "
            "autoencoder, as diffusers gives it, and ComfyUI (there by default).",
            default=True,
            option=Option(
                "--no-overlay",
                help="leave the picture outside of the mask as the autoencoder gives it back, as diffusers does",
            ),
        ),
    ]


class UpscaleSettings(Settings, total=False):  # noqa: D101
    noise_level: Annotated[
        int | None,
        Setting(
            Whole(0),
            "how much noise the picture is put under, a timestep: more leaves more to the prompt. As far as the model "
            "knows, 350 of Stable Diffusion's.",
            default=20,
            option=Option(
                "--noise-level",
                "N",
                "how much noise to put the picture under, 0 to the model's most, 350: more leaves more to the prompt",
            ),
            entries=(Entry(NOISE_LEVEL_ENTRY, always=True),),
        ),
    ]


class AnySettings(InpaintSettings, total=False):
    """What some kind of run has."""

    image_guidance_scale: float | None
    noise_level: int | None


RUNS: dict[str, type] = {
    "txt2img": Settings,
    "img2img": Img2ImgSettings,
    "inpaint": InpaintSettings,
    "upscale": UpscaleSettings,
}

Img2ImgSettings.__doc__ = documented(
    Img2ImgSettings, "The settings of img2img: `Settings`, and how far to go, or how close to stay."
)
InpaintSettings.__doc__ = documented(
    InpaintSettings, "The settings of inpaint: `Settings`, and those of a mask."
)
UpscaleSettings.__doc__ = documented(
    UpscaleSettings, "The settings of upscale: `Settings`, and how much noise the picture is put under."
)


def refuse_others(run: str, given: Iterable[str]) -> None:
    """Refuse what is no setting of a run, a key of `RUNS`.

    Raises:
        SettingError: there is one; says which runs have it, if any.
    """
    known = declared(RUNS[run])
    for name in given:
        if name not in known:
            runs = [other for other, of in RUNS.items() if name in declared(of)]
            what = f"it is of {' and '.join(runs)} alone" if runs else f"expected one of {', '.join(known)}"
            raise SettingError(name, f"{run} has no such setting; {what}")
