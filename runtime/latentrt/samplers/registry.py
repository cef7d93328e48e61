"""Every sampler by its canonical name: the table that a new one adds a row to."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latentrt.samplers.ddim import ddim
from latentrt.samplers.dpmpp_2m import dpmpp_2m
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.pndm import pndm
from latentrt.samplers.step import Step

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
    "dpmpp_2m": Spec("DPMSolverMultistepScheduler", {**_2M, **_NO_RAMP}, "dpmpp_2m", "DPM++ 2M", dpmpp_2m),
    "dpmpp_2m_karras": Spec(
        "DPMSolverMultistepScheduler",
        {**_2M, **_KARRAS},
        "dpmpp_2m karras",
        "DPM++ 2M",
        dpmpp_2m,
    ),
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
