"""Samplers: pure solvers, one a file, and the names by which three communities call them.

>>> sampler = resolve("DPM++ 2M Karras", scheduler_config)
>>> schedule = sampler.schedule(25)
>>> for step in sampler.run(denoise, schedule.initial(noise), schedule, rng):
...     x = step.x
>>> latents = schedule.final(x)
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.samplers.clip import clip_of
from latentrt.samplers.ddim import ddim
from latentrt.samplers.dpmpp_2m import dpmpp_2m
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.pndm import pndm
from latentrt.samplers.step import Denoise, Latents, Solver, Step
from latentrt.schedule import CLASSES, Schedule, from_config, make_schedule

__all__ = ["CLASS_ENTRY", "REGISTRY", "Denoise", "Sampler", "Solver", "Spec", "Step", "names", "resolve"]

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
        takes: the options that the solver takes by keyword, out of the config's, `eta` and `clip`.
    """

    class_name: str
    overrides: Mapping[str, Any]
    k_diffusion: str | None
    label: str
    solver: Callable[..., Iterator[Step]]
    takes: tuple[str, ...] = ()


_TAKEN_BY_2M = ("solver_order", "solver_type", "lower_order_final", "euler_at_final", "clip")

REGISTRY: dict[str, Spec] = {
    "ddim": Spec("DDIMScheduler", {}, "ddim", "DDIM", ddim, ("eta", "clip")),
    "pndm": Spec("PNDMScheduler", {"skip_prk_steps": True}, None, "PLMS", pndm, ("prediction_type",)),
    "euler": Spec("EulerDiscreteScheduler", _NO_RAMP, "euler", "Euler", euler),
    "euler_karras": Spec("EulerDiscreteScheduler", _KARRAS, "euler karras", "Euler", euler),
    "euler_ancestral": Spec(
        "EulerAncestralDiscreteScheduler", {}, "euler_ancestral", "Euler a", euler_ancestral
    ),
    "dpmpp_2m": Spec(
        "DPMSolverMultistepScheduler", {**_2M, **_NO_RAMP}, "dpmpp_2m", "DPM++ 2M", dpmpp_2m, _TAKEN_BY_2M
    ),
    "dpmpp_2m_karras": Spec(
        "DPMSolverMultistepScheduler",
        {**_2M, **_KARRAS},
        "dpmpp_2m karras",
        "DPM++ 2M",
        dpmpp_2m,
        _TAKEN_BY_2M,
    ),
}

# The entry of a picture's metadata that wins over its "Sampler"; see `Sampler.metadata`.
CLASS_ENTRY = "Sampler class"

_SCHEDULE_TYPES = {
    "use_karras_sigmas": "Karras",
    "use_exponential_sigmas": "Exponential",
    "use_beta_sigmas": "Beta",
    "use_lu_lambdas": "Lu",
}


@dataclass(frozen=True)
class Sampler:
    """A solver with all its options settled; made by `resolve`.

    Attributes:
        name: canonical, a key of `REGISTRY`.
        spec: its row there.
        options: every option of the diffusers class.
    """

    name: str
    spec: Spec = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)

    @property
    def prediction_type(self) -> str:
        """What the network predicts: `epsilon`, `v_prediction` or `sample`. The denoiser's business."""
        return str(self.options["prediction_type"])

    @property
    def schedule_type(self) -> str:
        """AUTOMATIC1111's "Schedule type": Karras, Exponential, Beta, Lu, or Automatic."""
        return next((t for key, t in _SCHEDULE_TYPES.items() if self.options.get(key)), "Automatic")

    @property
    def label(self) -> str:
        """AUTOMATIC1111's name with its schedule: "DPM++ 2M Karras"."""
        kind = self.schedule_type
        return self.spec.label if kind == "Automatic" else f"{self.spec.label} {kind}"

    @property
    def metadata(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """What a picture says of its sampler: AUTOMATIC1111's name, its "Schedule type", and entries of our own.

        Options that the model's config sets and no name fixes (exponential sigmas, `solver_type: heun`) would be lost
        with the name alone; `Sampler class` then names the class that, asked for as a sampler, reads them again.
        """
        named = REGISTRY.get(_BY_KEY.get(_key(self.label), ""))
        fixed = (
            named is not None
            and named.class_name == self.spec.class_name
            and all(self.options.get(key, value) == value for key, value in named.overrides.items())
        )
        extra = () if fixed else ((CLASS_ENTRY, self.spec.class_name),)
        return self.spec.label, self.schedule_type, extra

    def schedule(self, num_inference_steps: int) -> Schedule:
        """Make the schedule of a run.

        Raises:
            InputError: not an integer from 1 to the number of training timesteps.
        """
        return make_schedule(self.spec.class_name, self.options, num_inference_steps)

    def check_eta(self, eta: float) -> None:
        """Refuse an eta that is out of range, or one for a sampler that has none.

        Raises:
            InputError: it is.
        """
        if not 0 <= eta <= 1:
            raise InputError(f"eta: expected a number from 0 to 1, got {eta}")
        if eta != 0 and "eta" not in self.spec.takes:
            raise InputError(f"eta: {self.name} has none, only ddim has; expected 0, got {eta}")

    def run(
        self,
        denoise: Denoise,
        x: Latents,
        schedule: Schedule,
        rng: NoiseSource | None = None,
        *,
        eta: float = 0.0,
    ) -> Iterator[Step]:
        """Start a run; iterate to make it go on, stop iterating to cancel it.

        Args:
            denoise: the network.
            x: float32 (b, c, h, w), from `schedule.initial` or `schedule.noised`.
            schedule: of this sampler, whole or truncated.
            rng: where a stochastic sampler draws; the others leave it alone.
            eta: in [0, 1]; of DDIM alone.

        Raises:
            InputError: eta is out of range, or this sampler has none.
        """
        self.check_eta(eta)
        known = {**self.options, "eta": eta, "clip": clip_of(self.options)}
        options = {key: known[key] for key in self.spec.takes}
        return partial(self.spec.solver, **options)(denoise, x, schedule, rng)


def names() -> list[str]:
    """List the canonical names."""
    return list(REGISTRY)


def resolve(name: str | None, scheduler_config: Mapping[str, Any]) -> Sampler:
    """Find a sampler by any of its names, and settle its options by the model's scheduler config.

    Args:
        name: canonical ("dpmpp_2m_karras"), of ComfyUI ("dpmpp_2m karras"), of AUTOMATIC1111 ("DPM++ 2M Karras"): these
            fix the kind of sigmas; or a diffusers class, which takes the config as it is. Case, spaces and underscores
            do not matter. None: the class that the config names.
        scheduler_config: a parsed `scheduler_config.json`, of any class.

    Raises:
        InputError: an unknown name, a class that is not built, or an option that is not supported.
    """
    if name is None:
        asked = scheduler_config.get("_class_name")
        if not isinstance(asked, str):
            raise InputError(
                f"scheduler config: expected a _class_name, got {asked!r}; or name a sampler: {_listed()}"
            )
    else:
        asked = name
    class_name = next((known for known in CLASSES if _key(known) == _key(asked)), None)
    if class_name is not None:
        return _of_class(class_name, scheduler_config)
    if name is None:
        raise InputError(f"sampler: the model's scheduler, {asked}, is not built; name another: {_listed()}")
    found = _BY_KEY.get(_key(name))
    if found is None:
        raise InputError(f"sampler: no such sampler, {name!r}; expected one of: {_listed()}")
    spec = REGISTRY[found]
    return Sampler(found, spec, from_config(spec.class_name, scheduler_config, **spec.overrides))


def _of_class(class_name: str, config: Mapping[str, Any]) -> Sampler:
    """Take the config as it is; of the class's rows, the name is that whose overrides agree with it best."""
    options = from_config(class_name, config)

    def disagreements(spec: Spec) -> int:
        return sum(options.get(key, value) != value for key, value in spec.overrides.items())

    rows = [(name, spec) for name, spec in REGISTRY.items() if spec.class_name == class_name]
    name, spec = min(rows, key=lambda row: disagreements(row[1]))
    return Sampler(name, spec, options)


def _key(name: str) -> str:
    return re.sub(r"[\s_+-]+", "", name.lower().replace("++", "pp"))


def _listed() -> str:
    labels = (f"{name} ({_full_label(spec)})" for name, spec in REGISTRY.items())
    return ", ".join(labels)


def _full_label(spec: Spec) -> str:
    return f"{spec.label} Karras" if spec.overrides.get("use_karras_sigmas") else spec.label


_BY_KEY: dict[str, str] = {
    _key(alias): name
    for name, spec in REGISTRY.items()
    for alias in (name, spec.k_diffusion, _full_label(spec))
    if alias is not None
}
