"""The settings of runs that begin with a picture; and which run has which."""

from collections.abc import Iterable
from typing import Annotated

from latentrt.errors import SettingError
from latentrt.painting.kinds import Flag, Number, Whole
from latentrt.painting.setting import Entry, Option, Setting, declared, documented
from latentrt.painting.settings import Settings

# AUTOMATIC1111's; only what edits a picture has it.
IMAGE_SCALE_ENTRY = "Image CFG scale"
_STRENGTH = Number(0, 1, above=True, why="0 would give the picture back as it is")
_STRENGTH_ENTRIES = (Entry("Denoising strength", always=True, ours=False),)


class Img2ImgSettings(Settings, total=False):  # noqa: D101
    strength: Annotated[
        float | None,
        Setting(
            _STRENGTH,
            "more than 0, at most 1: the share of the steps that are run, and so how far from the picture to go; not "
            "of a model that edits pictures.",
            default=0.8,
            option=Option(
                "--strength", "F", "how far to go from it: more than 0, at most 1, which forgets it"
            ),
            entries=_STRENGTH_ENTRIES,
            axis="Denoising",
        ),
    ]
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
            "more than 0, at most 1: how far to go from what the picture shows under the mask; 1 forgets it.",
            default=1.0,
            option=Option(
                "--strength",
                "F",
                "how far to go from what is there: more than 0, at most 1, which forgets it",
            ),
            entries=_STRENGTH_ENTRIES,
        ),
    ]
    mask_blur: Annotated[
        float | None,
        Setting(
            Number(0, 10_000),  # more than any picture needs, and less than Pillow fails at
            "radius in pixels of the Gaussian that softens the mask's edge.",
            default=4.0,
            option=Option("--mask-blur", "R", "soften the mask's edge by a Gaussian of so many pixels"),
            entries=(Entry("Mask blur", always=True),),
        ),
    ]
    invert_mask: Annotated[
        bool | None,
        Setting(
            Flag("Inpaint not masked", "Inpaint masked"),
            "paint what the mask keeps.",
            default=False,
            option=Option("--invert-mask", help="paint what is black, or not transparent"),
            entries=(Entry("Mask mode"),),
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
                    "Inpaint area", "only_masked", Flag("Only masked", "Whole picture"), lambda padding: True
                ),
                Entry("Masked area padding", "padding"),
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
    overlay: Annotated[
        bool | None,
        Setting(
            Flag(),
            "leave what is outside of the (blurred) mask as it was, to the pixel; else it has gone through the "
            "autoencoder, as diffusers gives it.",
            default=True,
            option=Option(
                "--no-overlay",
                help="leave the picture outside of the mask as the autoencoder gives it back, as diffusers does",
            ),
        ),
    ]


class AnySettings(InpaintSettings, total=False):
    """What some kind of run has."""

    image_guidance_scale: float | None


RUNS: dict[str, type] = {"txt2img": Settings, "img2img": Img2ImgSettings, "inpaint": InpaintSettings}

Img2ImgSettings.__doc__ = documented(
    Img2ImgSettings, "The settings of img2img: `Settings`, and how far to go, or how close to stay."
)
InpaintSettings.__doc__ = documented(
    InpaintSettings, "The settings of inpaint: `Settings`, and those of a mask."
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
