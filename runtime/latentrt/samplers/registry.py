"""Every sampler by its canonical name: the table that a new one adds a row to."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latentrt.samplers.ddim import ddim
from latentrt.samplers.ddim_cfg_pp import ddim_cfg_pp
from latentrt.samplers.ddpm import ddpm
from latentrt.samplers.deis import deis
from latentrt.samplers.deis_tab import deis_tab
from latentrt.samplers.dpm_2 import dpm_2, dpm_2_ancestral
from latentrt.samplers.dpm_adaptive import dpm_adaptive
from latentrt.samplers.dpm_fast import dpm_fast
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.dpm_sde import dpm_sde
from latentrt.samplers.dpm_singlestep import dpm_singlestep
from latentrt.samplers.dpmpp_2m_cfg_pp import dpmpp_2m_cfg_pp
from latentrt.samplers.dpmpp_2s_ancestral import dpmpp_2s_ancestral
from latentrt.samplers.dpmpp_2s_ancestral_cfg_pp import dpmpp_2s_ancestral_cfg_pp
from latentrt.samplers.dpmpp_3m_sde import dpmpp_3m_sde
from latentrt.samplers.er_sde import er_sde
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.euler_ancestral_cfg_pp import euler_ancestral_cfg_pp
from latentrt.samplers.euler_cfg_pp import euler_cfg_pp
from latentrt.samplers.flow_euler import flow_euler
from latentrt.samplers.gradient_estimation import gradient_estimation, gradient_estimation_cfg_pp
from latentrt.samplers.heun import heun
from latentrt.samplers.heunpp2 import heunpp2
from latentrt.samplers.ipndm import ipndm
from latentrt.samplers.ipndm_v import ipndm_v
from latentrt.samplers.lcm import lcm
from latentrt.samplers.lcm_unscaled import lcm_unscaled
from latentrt.samplers.lms import lms
from latentrt.samplers.pndm import pndm
from latentrt.samplers.res_multistep import (
    res_multistep,
    res_multistep_ancestral,
    res_multistep_ancestral_cfg_pp,
    res_multistep_cfg_pp,
)
from latentrt.samplers.restart import restart
from latentrt.samplers.sa_solver import sa_solver
from latentrt.samplers.sa_solver_pece import sa_solver_pec, sa_solver_pece
from latentrt.samplers.seeds import seeds_2, seeds_3
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
        apart: whether it asks for what is predicted without guidance, too (CFG++), and so for the negative prompt
            whatever the scale.
    """

    class_name: str
    overrides: Mapping[str, Any]
    k_diffusion: str | None
    label: str
    solver: Callable[..., Iterator[Step]]
    webui: bool = True
    apart: bool = False

    @property
    def takes(self) -> tuple[str, ...]:
        """The solver's options: its keyword-only parameters.

        Each is an option of the class, or `clip` or `prediction`, which follow from those, or else an option of the
        run (`eta`, `s_churn`), which has the default of the solver's signature.
        """
        parameters = inspect.signature(self.solver).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


_SINGLESTEP, _MULTISTEP = "DPMSolverSinglestepScheduler", "DPMSolverMultistepScheduler"
_EULER = "EulerDiscreteScheduler"  # whose schedule those have that diffusers lacks

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
    "euler_cfg_pp": Spec(_EULER, {}, "euler_cfg_pp", "Euler CFG++", euler_cfg_pp, False, True),
    "euler_ancestral_cfg_pp": Spec(
        _EULER, {}, "euler_ancestral_cfg_pp", "Euler a CFG++", euler_ancestral_cfg_pp, False, True
    ),
    "dpmpp_2m_cfg_pp": Spec(_EULER, {}, "dpmpp_2m_cfg_pp", "DPM++ 2M CFG++", dpmpp_2m_cfg_pp, False, True),
    "dpmpp_2s_ancestral_cfg_pp": Spec(
        _EULER, {}, "dpmpp_2s_ancestral_cfg_pp", "DPM++ 2S a CFG++", dpmpp_2s_ancestral_cfg_pp, False, True
    ),
    "ddim_cfg_pp": Spec("DDIMScheduler", {}, None, "DDIM CFG++", ddim_cfg_pp, True, True),
    "res_multistep": Spec(_EULER, {}, "res_multistep", "RES multistep", res_multistep, False),
    "res_multistep_ancestral": Spec(
        _EULER, {}, "res_multistep_ancestral", "RES multistep a", res_multistep_ancestral, False
    ),
    "res_multistep_cfg_pp": Spec(
        _EULER, {}, "res_multistep_cfg_pp", "RES multistep CFG++", res_multistep_cfg_pp, False, True
    ),
    "res_multistep_ancestral_cfg_pp": Spec(
        _EULER,
        {},
        "res_multistep_ancestral_cfg_pp",
        "RES multistep a CFG++",
        res_multistep_ancestral_cfg_pp,
        False,
        True,
    ),
    "gradient_estimation": Spec(
        _EULER, {}, "gradient_estimation", "Gradient estimation", gradient_estimation, False
    ),
    "gradient_estimation_cfg_pp": Spec(
        _EULER,
        {},
        "gradient_estimation_cfg_pp",
        "Gradient estimation CFG++",
        gradient_estimation_cfg_pp,
        False,
        True,
    ),
    "er_sde": Spec(_EULER, {}, "er_sde", "ER SDE", er_sde, False),
    "heunpp2": Spec(_EULER, {}, "heunpp2", "Heun++ 2", heunpp2, False),
    "ipndm_v": Spec(_EULER, {}, "ipndm_v", "iPNDM v", ipndm_v, False),
    "deis_tab": Spec(_EULER, {}, "deis", "DEIS tAB", deis_tab, False),
    "seeds_2": Spec(_EULER, {}, "seeds_2", "SEEDS 2", seeds_2, False),
    "seeds_3": Spec(_EULER, {}, "seeds_3", "SEEDS 3", seeds_3, False),
    "sa_solver_pec": Spec(_EULER, {}, "sa_solver", "SA-Solver PEC", sa_solver_pec, False),
    "sa_solver_pece": Spec(_EULER, {}, "sa_solver_pece", "SA-Solver PECE", sa_solver_pece, False),
    "dpm_fast": Spec(_EULER, {}, "dpm_fast", "DPM fast", dpm_fast),
    "dpm_adaptive": Spec(_EULER, {}, "dpm_adaptive", "DPM adaptive", dpm_adaptive),
    "restart": Spec(_EULER, {}, None, "Restart", restart),
    "lcm_unscaled": Spec(_EULER, {}, "lcm", "LCM unscaled", lcm_unscaled, False),
    "edm_euler": Spec("EDMEulerScheduler", {}, None, "EDM Euler", euler, False),
    "edm_dpmpp_2m": Spec("EDMDPMSolverMultistepScheduler", {}, None, "EDM DPM++ 2M", dpm_multistep, False),
    "flow_euler": Spec("FlowMatchEulerDiscreteScheduler", {}, None, "Flow Euler", flow_euler, False),
}

# AUTOMATIC1111's "Schedule type" of each schedule in sigma, or a name like it.
SCHEDULE_LABELS = {
    "simple": "Simple",
    "sgm_uniform": "SGM Uniform",
    "normal": "Normal",
    "uniform": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "polyexponential": "Polyexponential",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
    "beta57": "Beta57",
    "linear_quadratic": "Linear Quadratic",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "align_your_steps_sdxl": "Align Your Steps SDXL",
    "align_your_steps_32": "Align Your Steps 32",
    "align_your_steps_32_sdxl": "Align Your Steps 32 SDXL",
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
    """Read a name, with or without a schedule behind it ("dpmpp_2m karras"); None where there is no such sampler.

    CompVis, InvokeAI and AI Horde have k_ before those of k-diffusion.
    """
    plain = normalized(name.lower().removeprefix("k_"))
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


def label_of(name: str) -> str:
    """AUTOMATIC1111's name of a sampler where it says the same, else the name as it is."""
    found = find(name)
    label = name if found is None else REGISTRY[found.key].label
    return label if find(label) == found else name


def schedule_of(name: str) -> str | None:
    """Find one of ComfyUI's schedules by its own name or AUTOMATIC1111's."""
    return _SCHEDULES.get(normalized(name))


# A canonical name is its own, whatever a program calls by it: `deis`, `lcm` and `sa_solver` are diffusers'.
_KEYS = {
    **{
        normalized(alias): name
        for name, spec in REGISTRY.items()
        for alias in (spec.k_diffusion, spec.label)
        if alias is not None
    },
    **{normalized(name): name for name in REGISTRY},
}
_SCHEDULES = {
    **{normalized(name): name for name in SCHEDULE_LABELS},
    **{normalized(label): name for name, label in SCHEDULE_LABELS.items()},
}
_FLAGS = {normalized(label): flag for flag, label in FLAG_LABELS.items()}
# What may stand behind a sampler's name: the flag of a class, and one of ComfyUI's schedules.
_ENDS = {end: (_FLAGS.get(end), _SCHEDULES.get(end)) for end in {**_SCHEDULES, **_FLAGS}}
