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

_NO_RAMP: dict[str, Any] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
}
_KARRAS: dict[str, Any] = {**_NO_RAMP, "use_karras_sigmas": True}
_2M: dict[str, Any] = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}


@dataclass(frozen=True)
class Spec:
    """A sampler as people name it.

    Attributes:
        class_name: the diffusers scheduler whose options it reads.
        overrides: options of that class that the name fixes, whatever the config says.
        k_diffusion: the name in k-diffusion and ComfyUI, sampler and schedule; None where they have none.
        label: the name in AUTOMATIC1111, without its schedule.
        solver: the generator function.
    """

    class_name: str
    overrides: Mapping[str, Any]
    k_diffusion: str | None
    label: str
    solver: Callable[..., Iterator[Step]]

    @property
    def takes(self) -> tuple[str, ...]:
        """The solver's options: its keyword-only parameters.

        Each is an option of the class, or `clip` or `prediction`, which follow from those, or else an option of the
        run (`eta`, `s_churn`), which has the default of the solver's signature.
        """
        parameters = inspect.signature(self.solver).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


REGISTRY: dict[str, Spec] = {
    "ddim": Spec("DDIMScheduler", {}, "ddim", "DDIM", ddim),
    "pndm": Spec("PNDMScheduler", {"skip_prk_steps": True}, None, "PLMS", pndm),
    "euler": Spec("EulerDiscreteScheduler", _NO_RAMP, "euler", "Euler", euler),
    "euler_karras": Spec("EulerDiscreteScheduler", _KARRAS, "euler karras", "Euler", euler),
    "euler_ancestral": Spec(
        "EulerAncestralDiscreteScheduler", {}, "euler_ancestral", "Euler a", euler_ancestral
    ),
    "heun": Spec("HeunDiscreteScheduler", _NO_RAMP, "heun", "Heun", heun),
    "dpm_2": Spec("KDPM2DiscreteScheduler", _NO_RAMP, "dpm_2", "DPM2", dpm_2),
    "dpm_2_ancestral": Spec(
        "KDPM2AncestralDiscreteScheduler", _NO_RAMP, "dpm_2_ancestral", "DPM2 a", dpm_2_ancestral
    ),
    "lms": Spec("LMSDiscreteScheduler", _NO_RAMP, "lms", "LMS", lms),
    "ddpm": Spec("DDPMScheduler", {}, "ddpm", "DDPM", ddpm),
    "edm_euler": Spec("EDMEulerScheduler", {}, None, "EDM Euler", euler),
    "flow_euler": Spec("FlowMatchEulerDiscreteScheduler", {}, None, "Flow Euler", flow_euler),
    "dpmpp_2m": Spec(
        "DPMSolverMultistepScheduler", {**_2M, **_NO_RAMP}, "dpmpp_2m", "DPM++ 2M", dpm_multistep
    ),
    "dpmpp_2m_karras": Spec(
        "DPMSolverMultistepScheduler",
        {**_2M, **_KARRAS},
        "dpmpp_2m karras",
        "DPM++ 2M",
        dpm_multistep,
    ),
    "dpmpp_2s": Spec("DPMSolverSinglestepScheduler", {**_2M, **_NO_RAMP}, None, "DPM++ 2S", dpm_singlestep),
    "dpmpp_sde": Spec("DPMSolverSDEScheduler", _NO_RAMP, "dpmpp_sde", "DPM++ SDE", dpm_sde),
    "unipc": Spec("UniPCMultistepScheduler", _NO_RAMP, "uni_pc", "UniPC", unipc),
    "deis": Spec("DEISMultistepScheduler", _NO_RAMP, "deis", "DEIS", deis),
    "ipndm": Spec("IPNDMScheduler", {}, "ipndm", "iPNDM", ipndm),
    "sa_solver": Spec("SASolverScheduler", _NO_RAMP, "sa_solver", "SA-Solver", sa_solver),
    "edm_dpmpp_2m": Spec("EDMDPMSolverMultistepScheduler", {}, None, "EDM DPM++ 2M", dpm_multistep),
    "lcm": Spec("LCMScheduler", {}, "lcm", "LCM", lcm),
    "tcd": Spec("TCDScheduler", {}, None, "TCD", tcd),
}


def key_of(name: str) -> str:
    """The name without what does not matter: case, spaces, underscores."""
    return re.sub(r"[\s_+-]+", "", name.lower().replace("++", "pp"))


def full_label(spec: Spec) -> str:
    """AUTOMATIC1111's name with its schedule."""
    return f"{spec.label} Karras" if spec.overrides.get("use_karras_sigmas") else spec.label


BY_KEY: dict[str, str] = {
    key_of(alias): name
    for name, spec in REGISTRY.items()
    for alias in (name, spec.k_diffusion, full_label(spec))
    if alias is not None
}
