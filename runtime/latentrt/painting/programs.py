"""Whose way of computing a run follows: one record for each program, all that differs between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from latentrt.errors import InputError
from latentrt.painting.masking import A1111_MASKS, COMFYUI_MASKS, FORGE_MASKS, Masking
from latentrt.painting.upscale import UPSCALERS, Fit
from latentrt.samplers.automatic import AUTOMATIC
from latentrt.samplers.names import key_of
from latentrt.schedule.comfy import Convention
from latentrt.schedule.counted import Counted

Follows: TypeAlias = Literal["tree", "trees"]
Unequal: TypeAlias = Literal["apart", "repeated"]


@dataclass(frozen=True)
class Program:
    """What a program does otherwise than diffusers. Read where a run is checked and begun; solvers know nothing of it.

    Attributes:
        name: as people call it.
        sampler: where none is asked for.
        automatic: sampler -> its schedule where none is asked for.
        convention: how it runs along sigmas.
        samplers: those that are computed as there.
        options: sampler -> options of its class that it has by itself.
        rng: a key of `seeds.GENERATORS`, where none is asked for.
        counts_seeds: several pictures of one seed have it and those that follow it, or with a variation seed that and
            those that follow; else they are a batch that draws from one stream.
        restarts: a sampler that draws in each step begins again with its seeds' noise, the first included.
        follows: what SDE samplers follow: one of torchsde's trees over the whole batch, or a tree for each picture.
        log_ends: see `BrownianTree`.
        ignores: sampler -> options of its run that it does not heed.
        runs_with: sampler -> options of its run that it has by itself.
        img2img: steps and strength -> steps of the whole schedule, and how many of its last are run.
        second_pass: likewise of a second pass, whose steps are all run.
        fits: what is done where that has other proportions.
        upscalers: what it has to enlarge with: keys of `UPSCALERS`.
        encoder: what a picture's latents are: the mean of the encoder's distribution, or a draw, before the noise.
        truncates: levels of pictures are cut to whole ones, not rounded.
        predicts: sampler -> what it takes the network to predict, whatever that is.
        extrapolates: what PLMS does, whatever the network predicts; None: that.
        rows: how a prompt is laid out in rows of the text encoder: a key of `latentrt.text.rows.ROWS`.
        unequal: what is done where prompt and negative prompt differ in rows: they are evaluated apart, or both are
            repeated up to the least common multiple, if that is no more than four times the shorter.
        lowest_guidance: the lowest scale that it takes; None: any. At 1 it asks for the prompt alone, at all others for
            both.
        most_clip_skip: so many layers may be left out, whether a text encoder has as many or not: where none is left it
            gives the last; None: of those that it has.
        xl_skip: of an XL model's text encoders so many layers fewer are left out than are asked for, as the last but
            one is what it has of them anyway; None: none are, whatever is asked for.
        zeroes_empty: an empty negative prompt is zeros to an XL model.
        stages: it has what `StageSettings` says.
        masking: how it makes masks, and keeps what is outside of them.
        opaque: it heeds no transparency of a picture.
        crops: a picture that is less than a latent too large is cropped, not resized.
        calls: names by which it calls other samplers than are called so here.
        counted: sampler -> how it counts timesteps, in place of running along sigmas. It reads what the network says as
            if it had been told the whole timestep below.
    """

    name: str
    sampler: str
    automatic: Callable[[str], str]
    convention: Convention
    samplers: frozenset[str]
    options: Mapping[str, Mapping[str, Any]]
    rng: str
    counts_seeds: bool
    restarts: bool
    follows: Follows
    log_ends: bool
    img2img: Callable[[int, float], tuple[int, int]] = field(repr=False)
    rows: str
    unequal: Unequal
    lowest_guidance: float | None
    most_clip_skip: int | None
    xl_skip: int | None
    zeroes_empty: bool
    stages: bool
    second_pass: Callable[[int, float], tuple[int, int]] = field(repr=False)
    fits: Fit
    upscalers: frozenset[str]
    masking: Masking
    encoder: Literal["mean", "drawn"] = "mean"
    truncates: bool = True
    ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    runs_with: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, Counted] = field(default_factory=dict)
    predicts: Mapping[str, str] = field(default_factory=dict)
    extrapolates: str | None = None
    opaque: bool = False
    crops: bool = False


# Of each, what is computed here as there; k-diffusion's solvers, which both programs have.
_COMMON = frozenset(
    {
        "euler", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "dpmpp_2m", "dpmpp_2m_sde",
        "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "dpmpp_2s_ancestral", "dpmpp_sde",
    }
)  # fmt: skip
# Those of which the solvers are held to ComfyUI's own.
_COMFYUIS = frozenset(
    {
        "ddpm", "deis_tab", "dpm_adaptive", "dpm_fast", "dpmpp_2m_cfg_pp", "dpmpp_2s_ancestral_cfg_pp",
        "er_sde", "euler_ancestral_cfg_pp", "euler_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp",
        "heunpp2", "ipndm", "ipndm_v", "lcm_unscaled", "lms", "res_multistep", "res_multistep_ancestral",
        "res_multistep_ancestral_cfg_pp", "res_multistep_cfg_pp", "sa_solver_pec", "sa_solver_pece", "seeds_2",
        "seeds_3",
    }
)  # fmt: skip
_COMFYUIS_UPSCALERS = frozenset({"latent-area", "latent-bislerp"})  # which no other has
_UNIPCS = ("unipc", "unipc_bh2")
# k-diffusion's DPM++ 2M keeps its order to the end.
_OPTIONS = {
    key: {"lower_order_final": False, "euler_at_final": False}
    for key in ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2m_sde_heun")
}


def _a1111_img2img(steps: int, strength: float) -> tuple[int, int]:
    """One step more than the share that is asked for."""
    return steps, int(min(strength, 0.999) * steps) + 1


def exact(steps: int, strength: float) -> tuple[int, int]:
    """The last `steps` of as many more as the strength is less than 1.

    Raises:
        InputError: the strength is 0.
    """
    if strength == 0:
        raise InputError("strength: 0 would leave all steps out, of no end of them; expected more")
    return int(steps / min(strength, 0.999)), steps


def diffusers_img2img(steps: int, strength: float) -> tuple[int, int]:
    """The share of the steps that is asked for, rounded down.

    Raises:
        InputError: that is none.
    """
    kept = min(int(steps * strength), steps)
    if kept == 0:
        raise InputError(
            f"strength: {strength} of {steps} steps leaves none; expected at least {1 / steps:.3g}"
        )
    return steps, kept


def _comfyui_img2img(steps: int, strength: float) -> tuple[int, int]:
    """The last `steps` of as many more, all where the strength is 1, and none where it is 0."""
    if strength == 0:
        return steps, 0
    return (steps if strength > 0.9999 else int(steps / strength)), steps


_COUNTED: Mapping[str, Counted] = {
    "ddim": "ddim", "ddim_cfg_pp": "ddim", "pndm": "plms", "unipc": "unipc", "unipc_bh2": "unipc",
}  # fmt: skip
A1111 = Program(
    name="a1111",
    sampler="dpmpp_2m",
    automatic=lambda key: AUTOMATIC.get(key, "uniform"),
    convention=Convention(
        meant_by="a1111",
        rounded="alphas",
        timesteps="fractional",
        scaled="sigma",
        without_penultimate=frozenset({"dpm_2", "dpm_2_ancestral", "dpmpp_3m_sde"}),
        strides={"lcm_unscaled": 20},
    ),
    samplers=_COMMON | {"lms", "dpm_fast", "dpm_adaptive", "restart", "lcm_unscaled"} | _COUNTED.keys(),
    options=_OPTIONS,
    rng="nv",
    counts_seeds=True,
    restarts=False,
    follows="trees",
    log_ends=True,
    img2img=_a1111_img2img,
    rows="a1111",
    unequal="apart",
    lowest_guidance=None,
    most_clip_skip=None,
    xl_skip=None,
    zeroes_empty=True,
    stages=False,
    second_pass=exact,
    fits="behind",
    upscalers=frozenset(UPSCALERS) - _COMFYUIS_UPSCALERS,
    # Samplers that count timesteps put the picture in before the network, the others into what it gives.
    masking=replace(A1111_MASKS, otherwise=dict.fromkeys(_COUNTED, "clean")),
    ignores={"euler_ancestral": ("s_noise",)},
    # A latent consistency model is noise's, and was distilled to every 20th timestep.
    predicts={"lcm_unscaled": "epsilon"},
    runs_with={
        "dpm_fast": {"eta": 1.0},
        "dpm_adaptive": {"eta": 1.0},
        "lcm_unscaled": {"boundary_scaling": 10.0},
    },
    counted=_COUNTED,
    extrapolates="epsilon",
)
COMFYUI = Program(
    name="comfyui",
    sampler="euler",
    automatic=lambda key: "normal",
    convention=Convention(
        meant_by="comfyui",
        rounded="sigmas",
        timesteps="nearest_float32",
        scaled="whole",
        without_penultimate=frozenset({"dpm_2", "dpm_2_ancestral", *_UNIPCS}),
        ends=dict.fromkeys(_UNIPCS, 0.001),
    ),
    samplers=_COMMON | _COMFYUIS | {*_UNIPCS},
    options=_OPTIONS,
    rng="cpu",
    counts_seeds=False,
    restarts=True,
    follows="tree",
    log_ends=False,
    img2img=_comfyui_img2img,
    masking=COMFYUI_MASKS,
    rows="comfyui",
    unequal="repeated",
    lowest_guidance=0.0,
    most_clip_skip=22,
    xl_skip=1,
    zeroes_empty=False,
    stages=True,
    second_pass=_comfyui_img2img,
    fits="stretched",
    upscalers=_COMFYUIS_UPSCALERS | {"latent", "latent-bicubic", "latent-nearest-exact", "lanczos"},
    calls={"ddim": "euler"},
    opaque=True,
    crops=True,
    runs_with={"lms": {"denoises_last": True}, "ipndm": {"denoises_last": True}},
)
PROGRAMS: Mapping[str, Program | None] = {
    "diffusers": None,
    "comfyui": COMFYUI,
    "a1111": A1111,
    # The same code in this, but for what it has of ComfyUI's, and for what the network sees of what a mask keeps.
    "forge": replace(
        A1111,
        name="forge",
        convention=replace(A1111.convention, timesteps="nearest_float32"),
        unequal="repeated",
        xl_skip=1,
        masking=FORGE_MASKS,
    ),
}


def own_name(program: Program, name: str) -> str:
    """The name here of what the program calls so: ComfyUI's `deis` is another than diffusers', its `ddim` Euler's."""
    own = called(program, name)
    return program.calls.get(own, own)


def called(program: Program, name: str) -> str:
    """What the program means by a sampler's name, as one of our names, though it may compute another by it."""
    return key_of(name, program.convention.meant_by) or name
