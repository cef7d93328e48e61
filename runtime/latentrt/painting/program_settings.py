"""The settings in which programs part: whose way a run follows, and what AUTOMATIC1111 lets one turn of it."""

from collections.abc import Mapping
from typing import Annotated, TypedDict

from latentrt.painting.kinds import Choice, Flag, Number, Size, Whole
from latentrt.painting.program_parts import PartsKind, listed
from latentrt.painting.programs import PROGRAMS, Program
from latentrt.painting.setting import Entry, Option, Setting

_GROUP = "as other programs do"


def _number(name: str, words: str, key: str, low: float = 0.0, above: bool = False) -> Setting:
    """A number that AUTOMATIC1111 knows too, by the entry's key."""
    option = Option(f"--{name.replace('_', '-')}", "X", words, _GROUP)
    return Setting(Number(low, above=above), f"{words}.", option=option, entries=(Entry(key, ours=False),))


class ProgramSettings(TypedDict, total=False):
    """What a run does otherwise than diffusers."""

    like: Annotated[
        str | Program | None,
        Setting(
            Choice(tuple(PROGRAMS), (Program,)),
            "whose way of computing the run follows: the same settings then paint that program's picture. What is not "
            "computed as there is refused. A name, or a record made of one of `latentrt.painting.programs.PROGRAMS`.",
            default="diffusers",
            option=Option(
                "--like",
                None,
                "paint the picture that this program paints from the same settings (default: diffusers)",
                _GROUP,
            ),
            entries=(Entry("Like"),),
        ),
    ]
    like_parts: Annotated[
        Mapping[str, str] | None,
        Setting(
            PartsKind(),
            "parts of that program's way that are to be others, as {'timestep': 'fractional'}: "
            "`latentrt.painting.program_parts.PARTS`.",
            option=Option(
                "--like-part",
                "PART=VALUE",
                f"a part of that program's way that is to be another; may be repeated. Parts: {listed()}",
                _GROUP,
                repeats=True,
            ),
            entries=(Entry("Like parts"),),
        ),
    ]
    s_noise: Annotated[
        float | None, _number("s_noise", "deviation of the fresh noise (default: 1)", "Sigma noise")
    ]
    s_churn: Annotated[
        float | None,
        _number("s_churn", "noise that is added before steps, over the run (default: 0)", "Sigma churn"),
    ]
    s_tmin: Annotated[float | None, _number("s_tmin", "lowest sigma at which it is added", "Sigma tmin")]
    s_tmax: Annotated[float | None, _number("s_tmax", "highest sigma at which it is added", "Sigma tmax")]
    sigma_min: Annotated[
        float | None,
        _number(
            "sigma_min",
            "lowest sigma of the schedule (default: the model's)",
            "Schedule min sigma",
            above=True,
        ),
    ]
    sigma_max: Annotated[
        float | None,
        _number(
            "sigma_max",
            "highest sigma of the schedule (default: the model's)",
            "Schedule max sigma",
            above=True,
        ),
    ]
    rho: Annotated[
        float | None,
        _number(
            "rho",
            "bend of a Karras or polyexponential schedule (default: 7, or 1)",
            "Schedule rho",
            above=True,
        ),
    ]
    negative_until_sigma: Annotated[
        float | None,
        _number(
            "negative_until_sigma",
            "leave the negative prompt out of every other step below this sigma: NGMS (default: 0)",
            "NGMS",
        ),
    ]
    skip_early_guidance: Annotated[
        float | None,
        _number(
            "skip_early_guidance",
            "leave the negative prompt out of this share of the steps, at the beginning (default: 0)",
            "Skip Early CFG",
        ),
    ]
    pad_prompts: Annotated[
        bool | None,
        Setting(
            Flag(),
            "where prompt and negative prompt differ in length, fill up the shorter with empty prompts, and not "
            "evaluate them apart: AUTOMATIC1111's pad_cond_uncond.",
            default=False,
            option=Option(
                "--pad-prompts",
                None,
                "fill up the shorter of prompt and negative prompt, if one takes more than a row",
                _GROUP,
            ),
            entries=(Entry("Pad conds", ours=False),),
        ),
    ]
    pad_prompts_v0: Annotated[
        bool | None,
        Setting(
            Flag(),
            "likewise, as AUTOMATIC1111 did before 1.6 with DDIM: the negative prompt alone is brought to the prompt's "
            "length, and its last vector repeated, or what is too much cut off. Wins over `pad_prompts`.",
            default=False,
            option=Option(
                "--pad-prompts-v0",
                None,
                "bring the negative prompt to the prompt's length by its last vector, or by cutting it",
                _GROUP,
            ),
            entries=(Entry("Pad conds v0", ours=False),),
        ),
    ]
    discard_penultimate: Annotated[
        bool | None,
        Setting(
            Flag(),
            "leave the last sigma but one out of the schedule, with every sampler.",
            default=False,
            option=Option(
                "--discard-penultimate", None, "leave out the schedule's last sigma but one", _GROUP
            ),
            entries=(Entry("Discard penultimate sigma", ours=False),),
        ),
    ]
    zero_snr: Annotated[
        bool | None,
        Setting(
            Flag("Zero Terminal SNR", "Default"),
            "rescale the noise levels so that the last has no signal, as AUTOMATIC1111's noise schedule does; with "
            "`like` alone. Default: as the model's scheduler config says.",
            default=False,
            option=Option(
                "--zero-snr", None, "rescale the noise levels so that the last has no signal", _GROUP
            ),
            entries=(Entry("Noise Schedule", ours=False),),
        ),
    ]
    sgm_noise_multiplier: Annotated[
        bool | None,
        Setting(
            Flag(),
            "multiply the first noise by √(1 + σ₀²) in place of σ₀, as AUTOMATIC1111's setting of this name does; with "
            "`like` alone.",
            default=False,
            option=Option("--sgm-noise-multiplier", None, "multiply the first noise by √(1 + σ₀²)", _GROUP),
            entries=(Entry("SGM noise multiplier", ours=False),),
        ),
    ]
    downcast_alphas: Annotated[
        bool | None,
        Setting(
            Flag(),
            "round the noise levels to float16, as AUTOMATIC1111 before 1.8 and its setting for old pictures do; with "
            "`like` alone.",
            default=False,
            option=Option("--downcast-alphas", None, "round the noise levels to float16", _GROUP),
            entries=(Entry("Downcast alphas_cumprod", ours=False),),
        ),
    ]
    eta_seed_delta: Annotated[
        int | None,
        Setting(
            Whole(0),
            "AUTOMATIC1111's eta noise seed delta (ENSD): what the samplers draw is that of the seed and this.",
            default=0,
            option=Option("--eta-seed-delta", "N", "samplers draw from seed + N: ENSD (default: 0)", _GROUP),
            entries=(Entry("ENSD", ours=False),),
        ),
    ]
    seed_resize: Annotated[
        tuple[int, int] | None,
        Setting(
            Size(),
            "(width, height) in pixels: AUTOMATIC1111's seed resize, noise in whose middle lies that of a picture of "
            "this size.",
            option=Option(
                "--seed-resize", "WxH", "about the picture that the seed paints at this size", _GROUP
            ),
            entries=(Entry("Seed resize from", ours=False),),
        ),
    ]
