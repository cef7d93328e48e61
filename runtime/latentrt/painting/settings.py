"""The settings of a run, each stated once.

To add one, declare it in `Settings` (or in `picture_settings`, where it is of img2img or inpaint alone), and use it
where the run needs it: `request.settings["name"]`. `latentrt.painting.setting` says what else comes of it.
"""

from collections.abc import Sequence
from typing import Annotated

from latentrt.painting.fast import Fast, FastKind, levels
from latentrt.painting.kinds import (
    Choice,
    GuidanceScale,
    Interval,
    Number,
    Scale,
    Seeds,
    Size,
    Text,
    Whole,
)
from latentrt.painting.program_settings import ProgramSettings
from latentrt.painting.schedule_settings import ScheduleSettings
from latentrt.painting.setting import Entry, Option, Setting, documented
from latentrt.painting.stage_settings import StageSettings
from latentrt.painting.told_settings import ToldSettings

WHOLE_RUN = (0.0, 1.0)

SIZE = Setting(
    Size(),
    "width and height in pixels",
    option=Option(
        "--size",
        "WxH",
        "in pixels, multiples of the model's factor, 8 for Stable Diffusion (default: the model's or --image's)",
    ),
    axis="Size",
)


class Settings(ToldSettings, ScheduleSettings, ProgramSettings, StageSettings, total=False):  # noqa: D101 - made of the declarations, below
    negative_prompt: Annotated[
        str | None,
        Setting(
            Text(),
            "what to stay away from; used where `guidance_scale` is above 1.",
            default="",
            option=Option("--negative", "TEXT", "what to stay away from"),
            axis="Negative prompt",
        ),
    ]
    width: Annotated[
        int | None,
        Setting(
            Whole(1),
            "in pixels, a multiple of the VAE's factor (8). Default: what the model was made for, or in img2img "
            "the picture's own, rounded down.",
            joined=("size", SIZE),
        ),
    ]
    height: Annotated[int | None, Setting(Whole(1), "likewise.", joined=("size", SIZE))]
    num_inference_steps: Annotated[
        int | None,
        Setting(
            Whole(1),
            "1 or more; img2img computes about `strength` times as many. Default: what the model's files advise, "
            "else 25.",
            option=Option("--steps", "N", "more is slower and finer (default: the model's)"),
            entries=(Entry("Steps", "steps", ours=False),),
            axis="Steps",
        ),
    ]
    sampler: Annotated[
        str | None,
        Setting(
            Text(),
            "a name of `latentrt.samplers`, as diffusers, ComfyUI or AUTOMATIC1111 call it. Default: what the "
            "model's files say.",
            option=Option(
                "--sampler",
                "NAME",
                "as ddim, euler_ancestral, 'DPM++ 2M Karras' (default: the model's; `latentrt samplers` lists all)",
            ),
            # How a sampler tells of itself: `latentrt.samplers.Sampler.metadata`.
            entries=(Entry("Sampler", ours=False), Entry("Sampler class", "sampler_class")),
            axis="Sampler",
        ),
    ]
    schedule: Annotated[
        str | None,
        Setting(
            Text(),
            "one of ComfyUI's sigma schedules (\"sgm_uniform\"), or AUTOMATIC1111's schedule type, in place of "
            "the sampler's own spacing. Default: the sampler's own.",
            option=Option(
                "--schedule",
                "NAME",
                "ComfyUI's or AUTOMATIC1111's sigma schedule, as karras, sgm_uniform, beta (default: the sampler's "
                "own)",
            ),
            entries=(
                Entry("Schedule type", "schedule_type", ours=False),
                Entry("Sigma schedule", "sigma_schedule"),
            ),
            axis="Schedule type",
        ),
    ]
    guidance_scale: Annotated[
        GuidanceScale | None,
        Setting(
            Scale(),
            "how far to go from the negative prompt to the prompt; 1 or less turns guidance off, and halves the "
            "work (with `like` a1111, forge or comfyui, 1 alone). One number; several, which are spread evenly over "
            "the run with straight lines between them (as many as steps: one for each); or a function of the step, "
            "counted from 0. Default: what the model's files advise, else 7.5.",
            option=Option(
                "--guidance-scale",
                "G[,G…]",
                "how closely to follow the prompt; 1 turns guidance off and halves the time; several are spread over "
                "the steps, so that 9,3 falls from 9 to 3 (default: the model's)",
            ),
            entries=(
                Entry("CFG scale", kind=Number(), part=lambda points: points[0], ours=False),
                Entry(
                    "CFG schedule",
                    "guidance_schedule",
                    part=lambda points: points if len(points) > 1 else None,
                ),
            ),
            axis="CFG Scale",
        ),
    ]
    guidance_interval: Annotated[
        tuple[float, float] | None,
        Setting(
            Interval(),
            "(start, end), shares of the steps that are run: guidance in the steps between them alone, which "
            "costs half in the others (arXiv:2404.07724).",
            default=WHOLE_RUN,
            option=Option(
                "--guidance-interval",
                "START,END",
                "guide in that share of the steps alone, as 0.1,0.8; the others take half the time (default: 0,1)",
            ),
            entries=(Entry("CFG interval"),),
        ),
    ]
    guidance_rescale: Annotated[
        float | None,
        Setting(
            Number(0, 1),
            "how far to bring the guided output's deviation back to that of the prompt's, 0 to 1 "
            "(arXiv:2305.08891 §3.4). Default: what the model's files advise, else 0.",
            option=Option(
                "--guidance-rescale",
                "F",
                "bring the contrast of the guided prediction back to the prompt's, 0 to 1 (default: the model's, or 0)",
            ),
            entries=(Entry("CFG rescale"),),
        ),
    ]
    fast: Annotated[
        Fast | str | None,
        Setting(
            FastKind(),
            "what the run saves, and with that changes: a `latentrt.Fast`, the name of a level, or a recipe as text.",
            default=Fast(),
            option=Option(
                "--fast",
                "LEVEL|RECIPE",
                f"paint faster, and another picture, by how much docs/speed.md tells: {levels()}; or a recipe of these "
                "parts",
            ),
            entries=(Entry("Fast", part=str),),
            axis="Fast",
        ),
    ]
    seed: Annotated[
        int | Sequence[int] | None,
        Setting(
            Seeds(),
            "one seed for one stream of noise over all pictures (as diffusers does with one generator), or a seed "
            "for each picture, which then comes out the same alone. Default, and for -1: drawn at random; "
            "`Result.seeds` tells.",
            option=Option(
                "--seed",
                "S[,S…]",
                "the same seed paints the same picture; several paint one each (default: random, and told)",
            ),
            entries=(Entry("Seed", ours=False),),
            axis="Seed",
        ),
    ]
    num_images: Annotated[
        int | None,
        Setting(
            Whole(1, 10_000),
            "how many pictures. Default: as many as seeds.",
            option=Option(
                "--count", "N", "how many pictures, of seeds S, S+1, … (default: 1, or as many as seeds)"
            ),
        ),
    ]
    batch_size: Annotated[
        int | None,
        Setting(
            Whole(1),
            "how many at a time, where each has its seed. Default: all at once.",
            option=Option(
                "--batch-size",
                "B",
                "how many at a time, written when they are done; more is worth while on a GPU (default: 1)",
            ),
        ),
    ]
    rng: Annotated[
        str | None,
        Setting(
            Choice(("cpu", "nv")),
            '"cpu" draws noise as torch does on the CPU, "nv" as on CUDA, which AUTOMATIC1111 does. Default: as the '
            "program of `like` draws it.",
            default="cpu",
            option=Option(
                "--rng",
                None,
                "draw noise as torch does on the CPU (ComfyUI) or on CUDA (AUTOMATIC1111)",
                group="noise",
            ),
            entries=(Entry("RNG", ours=False),),
        ),
    ]
    variation_strength: Annotated[
        float | None,
        Setting(
            Number(0, 1),
            "how far the noise is turned from that of the seed to that of the variation seed, 0 to 1, as in "
            "AUTOMATIC1111.",
            default=0.0,
            option=Option(
                "--variation-strength",
                "F",
                "turn the noise of the seed so far towards that of the variation seed: 0 to 1",
                "noise",
            ),
            entries=(Entry("Variation seed strength", ours=False),),
        ),
    ]
    variation_seed: Annotated[
        int | Sequence[int] | None,
        Setting(
            Seeds(),
            "one for all pictures, or one for each: where the noise is turned to. Default, and for -1: drawn "
            "at random.",
            option=Option(
                "--variation-seed",
                "V",
                "of the first picture; the others have V+1, V+2, … and all have the seed S (default: random, and told)",
                "noise",
            ),
            entries=(Entry("Variation seed", ours=False),),
        ),
    ]
    eta: Annotated[
        float | None,
        Setting(
            Number(0, 1),
            "share of fresh noise in each step of DDIM, TCD and the ancestral and SDE samplers, 0 to 1. Default: what "
            "the model's files advise, where no sampler is asked for, else 0 of DDIM, TCD, DPM fast and adaptive, as "
            "in diffusers' pipelines and k-diffusion, and 1 of the others; TCD's makers advise 0.3.",
            option=Option(
                "--eta",
                "E",
                "share of fresh noise in each step of ancestral and SDE samplers, ddim and tcd, for which 0.3 is "
                "advised (default: the model's, or the sampler's own)",
            ),
            entries=(Entry("Eta", ours=False),),
            axis="Eta",
        ),
    ]
    clip_skip: Annotated[
        int | None,
        Setting(
            Whole(0),
            "how many of the text encoder's last layers to leave out, as diffusers counts; with `like` as that program "
            "does, less 1: to ComfyUI and Forge 1 is SDXL's last but one, which is taken anyway, and AUTOMATIC1111 "
            "heeds none of such a model.",
            default=0,
            option=Option(
                "--clip-skip",
                "N",
                "leave out the text encoder's last N layers; AUTOMATIC1111's Clip skip less 1",
            ),
            entries=(Entry("Clip skip", first=1, ours=False),),
            axis="Clip skip",
        ),
    ]


Settings.__doc__ = documented(Settings, "The settings of any run. None is as if it were not given.")
