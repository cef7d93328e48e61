"""Every sampler by its canonical name: the table that a new one adds a row to."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latentrt.samplers.ddim import ddim
from latentrt.samplers.ddpm import ddpm
from latentrt.samplers.deis import deis
from latentrt.samplers.dpm_2 import dpm_2, dpm_2_ancestral
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.dpm_sde import dpm_sde
from latentrt.samplers.dpm_singlestep import dpm_singlestep
from latentrt.samplers.dpmpp_2s_ancestral import dpmpp_2s_ancestral
from latentrt.samplers.dpmpp_3m_sde import dpmpp_3m_sde
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.flow_euler import flow_euler
from latentrt.samplers.heun import heun
from latentrt.samplers.ipndm import ipndm
from latentrt.samplers.lcm import lcm
from latentrt.samplers.lms import lms
from latentrt.samplers.pndm import pndm
from latentrt.samplers.sa_solver import sa_solver
from latentrt.samplers.step import Step
from latentrt.samplers.tcd import tcd
from latentrt.samplers.unipc import unipc
from latentrt.schedule import CLASSES
from latentrt.schedule.comfy import EVALUATES

# A name without a schedule means the class's own spacing, whatever the config says.
_PLAIN: dict[str, Any] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
}
_2M: dict[str, Any] = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}
_2M_SDE: dict[str, Any] = {**_2M, "algorithm_type": "sde-dpmsolver++"}
_UNIPC: dict[str, Any] = {"solver_order": 3, "predict_x0": True, "lower_order_final": True}
_DDPM: dict[str, Any] = {"variance_type": "fixed_small", "clip_sample": False, "thresholding": False}


@dataclass(frozen=True)
class Spec:
    """A sampler as people name it.

    Attributes:
        class_name: the diffusers scheduler whose options and schedule it has.
        overrides: options of that class that the name fixes, whatever the config says.
        k_diffusion: the name in k-diffusion and ComfyUI; None where they have none that computes the same.
        label: the name in AUTOMATIC1111, or one like it.
        solver: the generator function.
        webui: whether AUTOMATIC1111 has it.
    """

    class_name: str
    overrides: Mapping[str, Any]
    k_diffusion: str | None
    label: str
    solver: Callable[..., Iterator[Step]]
    webui: bool = True

    @property
    def takes(self) -> tuple[str, ...]:
        """The solver's options: its keyword-only parameters.

        Each is an option of the class, or `clip` or `prediction`, which follow from those, or else an option of the
        run (`eta`, `s_churn`), which has the default of the solver's signature.
        """
        parameters = inspect.signature(self.solver).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


_SINGLESTEP, _MULTISTEP = "DPMSolverSinglestepScheduler", "DPMSolverMultistepScheduler"

REGISTRY: dict[str, Spec] = {
    "ddim": Spec("DDIMScheduler", {}, "ddim", "DDIM", ddim),
    "ddpm": Spec("DDPMScheduler", _DDPM, "ddpm", "DDPM", ddpm, False),
    "pndm": Spec("PNDMScheduler", {"skip_prk_steps": True}, None, "PLMS", pndm),
    "euler": Spec("EulerDiscreteScheduler", {}, "euler", "Euler", euler),
    "euler_ancestral": Spec(
        "EulerAncestralDiscreteScheduler", {}, "euler_ancestral", "Euler a", euler_ancestral
    ),
    "heun": Spec("HeunDiscreteScheduler", {}, "heun", "Heun", heun),
    "dpm_2": Spec("KDPM2DiscreteScheduler", {}, "dpm_2", "DPM2", dpm_2),
    "dpm_2_ancestral": Spec(
        "KDPM2AncestralDiscreteScheduler", {}, "dpm_2_ancestral", "DPM2 a", dpm_2_ancestral
    ),
    "lms": Spec("LMSDiscreteScheduler", {}, "lms", "LMS", lms),
    "dpmpp_2m": Spec(_MULTISTEP, _2M, "dpmpp_2m", "DPM++ 2M", dpm_multistep),
    "dpmpp_2m_sde": Spec(_MULTISTEP, _2M_SDE, "dpmpp_2m_sde", "DPM++ 2M SDE", dpm_multistep),
    "dpmpp_2m_sde_heun": Spec(
        _MULTISTEP,
        {**_2M_SDE, "solver_type": "heun"},
        "dpmpp_2m_sde_heun",
        "DPM++ 2M SDE Heun",
        dpm_multistep,
    ),
    "dpmpp_3m_sde": Spec("EulerDiscreteScheduler", {}, "dpmpp_3m_sde", "DPM++ 3M SDE", dpmpp_3m_sde),
    "dpmpp_2s": Spec(_SINGLESTEP, _2M, None, "DPM++ 2S", dpm_singlestep, False),
    "dpmpp_2s_ancestral": Spec(
        "KDPM2AncestralDiscreteScheduler", {}, "dpmpp_2s_ancestral", "DPM++ 2S a", dpmpp_2s_ancestral
    ),
    "dpmpp_sde": Spec("DPMSolverSDEScheduler", {}, "dpmpp_sde", "DPM++ SDE", dpm_sde),
    "unipc": Spec("UniPCMultistepScheduler", {**_UNIPC, "solver_type": "bh1"}, "uni_pc", "UniPC", unipc),
    "unipc_bh2": Spec(
        "UniPCMultistepScheduler", {**_UNIPC, "solver_type": "bh2"}, "uni_pc_bh2", "UniPC bh2", unipc, False
    ),
    "deis": Spec("DEISMultistepScheduler", {}, None, "DEIS", deis, False),
    "ipndm": Spec("EulerDiscreteScheduler", {}, "ipndm", "iPNDM", ipndm, False),
    "ipndm_sine": Spec("IPNDMScheduler", {}, None, "iPNDM sine", ipndm, False),
    "sa_solver": Spec("SASolverScheduler", {}, None, "SA-Solver", sa_solver, False),
    "lcm": Spec("LCMScheduler", {}, None, "LCM", lcm, False),
    "tcd": Spec("TCDScheduler", {}, None, "TCD", tcd, False),
    "edm_euler": Spec("EDMEulerScheduler", {}, None, "EDM Euler", euler, False),
    "edm_dpmpp_2m": Spec("EDMDPMSolverMultistepScheduler", {}, None, "EDM DPM++ 2M", dpm_multistep, False),
    "flow_euler": Spec("FlowMatchEulerDiscreteScheduler", {}, None, "Flow Euler", flow_euler, False),
}

# AUTOMATIC1111's "Schedule type" of ComfyUI's schedules, or a name like it.
SCHEDULE_LABELS = {
    "simple": "Simple",
    "sgm_uniform": "SGM Uniform",
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
    "linear_quadratic": "Linear Quadratic",
    "kl_optimal": "KL Optimal",
}
# Those that a diffusers class may have itself, by a flag; these and Lu's lambdas.
FLAG_LABELS = {
    "use_karras_sigmas": "Karras",
    "use_exponential_sigmas": "Exponential",
    "use_beta_sigmas": "Beta",
    "use_lu_lambdas": "Lu",
}


@dataclass(frozen=True)
class Named:
    """What a name says.

    Attributes:
        key: of `REGISTRY`.
        overrides: options of its class that the name fixes, the flag of a schedule among them.
        sigma_schedule: one of ComfyUI's, where the class has no flag for it.
    """

    key: str
    overrides: Mapping[str, Any]
    sigma_schedule: str | None = None


def normalized(name: str) -> str:
    """The name without what does not matter: case, spaces, underscores."""
    return re.sub(r"[\s_+-]+", "", name.lower().replace("++", "pp"))


def find(name: str) -> Named | None:
    """Read a name, with or without a schedule behind it ("dpmpp_2m karras"); None where there is no such sampler."""
    plain = normalized(name)
    key = _KEYS.get(plain)
    if key is not None:
        return Named(key, {**_PLAIN, **REGISTRY[key].overrides})
    for end, (flag, schedule) in _ENDS.items():
        key = _KEYS.get(plain.removesuffix(end))
        if key is not None:
            spec = REGISTRY[key]
            if flag in CLASSES[spec.class_name].defaults:
                return Named(key, {**_PLAIN, **spec.overrides, str(flag): True})
            if schedule is not None and spec.class_name in EVALUATES:
                return Named(key, {**_PLAIN, **spec.overrides}, schedule)
    return None


def schedule_of(name: str) -> str | None:
    """Find one of ComfyUI's schedules by its own name or AUTOMATIC1111's."""
    return _SCHEDULES.get(normalized(name))


_KEYS = {
    normalized(alias): name
    for name, spec in REGISTRY.items()
    for alias in (name, spec.k_diffusion, spec.label)
    if alias is not None
}
_SCHEDULES = {
    **{normalized(name): name for name in SCHEDULE_LABELS},
    **{normalized(label): name for name, label in SCHEDULE_LABELS.items()},
}
_FLAGS = {normalized(label): flag for flag, label in FLAG_LABELS.items()}
# What may stand behind a sampler's name: the flag of a class, and one of ComfyUI's schedules.
_ENDS = {end: (_FLAGS.get(end), _SCHEDULES.get(end)) for end in {**_SCHEDULES, **_FLAGS}}
