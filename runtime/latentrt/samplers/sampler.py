"""A solver with its options settled."""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from latentrt.errors import InputError
from latentrt.noise import BrownianMotion, NoiseSource
from latentrt.samplers.automatic import plain_type
from latentrt.samplers.clip import clip_of
from latentrt.samplers.registry import FLAG_LABELS, REGISTRY, SCHEDULE_LABELS, Spec, find
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import CLASSES, Schedule, make_schedule
from latentrt.schedule.comfy import EVALUATES, NO_PROGRAM, Convention
from latentrt.schedule.prediction import Prediction

# The entry of a picture's metadata that wins over its "Sampler"; see `Sampler.metadata`.
CLASS_ENTRY = "Sampler class"
# And that which wins over its "Schedule type".
SCHEDULE_ENTRY = "Sigma schedule"

# What follows from the config's options, or comes with the run's noise.
_SETTLED = ("clip", "prediction", "path")
# Options of a run, and between what they lie.
_RANGES: dict[str, tuple[float, float]] = {
    "eta": (0, 1),
    "use_clipped_model_output": (0, 1),
    "s_churn": (0, math.inf),
    "s_tmin": (0, math.inf),
    "s_tmax": (0, math.inf),
    "s_noise": (0, math.inf),
    "churns_first": (0, 1),
    "denoises_last": (0, 1),
    "steps_unguided": (0, 1),
    "ge_gamma": (0, math.inf),
    "max_stage": (1, 3),
    "boundary_scaling": (0, math.inf),
    "order": (1, 4),
}


@dataclass(frozen=True)
class Sampler:
    """A solver with all its options settled; made by `resolve`.

    Attributes:
        key: of `REGISTRY`.
        spec: what stands there.
        options: every option of the diffusers class.
        sigma_schedule: one of ComfyUI's schedules, in place of the class's own.
        where: the file of the scheduler config, which errors name.
    """

    key: str
    spec: Spec = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    sigma_schedule: str | None = None
    where: str | Path | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Canonical, with its schedule: "dpmpp_2m_karras"."""
        kind = self.schedule_type
        return self.key if kind == "Automatic" else f"{self.key}_{self.sigma_schedule or kind.lower()}"

    @property
    def takes_schedules(self) -> bool:
        """Whether ComfyUI's schedules can be had with it."""
        return self.spec.class_name in EVALUATES

    def with_schedule(self, sigma_schedule: str) -> "Sampler":
        """The same with one of ComfyUI's schedules.

        Raises:
            InputError: its class has sigmas of its own.
        """
        if not self.takes_schedules:
            takers = ", ".join(key for key, spec in REGISTRY.items() if spec.class_name in EVALUATES)
            raise InputError(
                f"schedule: {self.key} has sigmas of its own; expected None, or one of: {takers}"
            )
        plain = {flag: False for flag in FLAG_LABELS if flag in self.options}
        return replace(self, options={**self.options, **plain}, sigma_schedule=sigma_schedule)

    def with_options(self, options: Mapping[str, Any]) -> "Sampler":
        """The same with other options, as far as its class has them."""
        kept = {key: value for key, value in options.items() if key in self.options}
        return replace(self, options={**self.options, **kept})

    @property
    def prediction(self) -> Prediction:
        """What the network is fed, and how its output is read. The denoiser's business."""
        return CLASSES[self.spec.class_name].predicts(self.options)

    @property
    def prediction_type(self) -> str:
        """What the network predicts: `epsilon`, `v_prediction`, `sample` or `flow_prediction`."""
        return self.prediction.type

    @property
    def schedule_type(self) -> str:
        """AUTOMATIC1111's "Schedule type": Karras, SGM Uniform and so on, or Automatic."""
        if self.sigma_schedule is not None:
            return SCHEDULE_LABELS[self.sigma_schedule]
        return next((t for flag, t in FLAG_LABELS.items() if self.options.get(flag)), "Automatic")

    @property
    def label(self) -> str:
        """AUTOMATIC1111's name with its schedule: "DPM++ 2M Karras"."""
        kind = self.schedule_type
        return self.spec.label if kind == "Automatic" else f"{self.spec.label} {kind}"

    @property
    def metadata(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """What a picture says of its sampler: AUTOMATIC1111's name, its "Schedule type", and entries of our own.

        Options that the model's config sets and no name fixes (`solver_type: heun`) would be lost with the name alone;
        `Sampler class` then names the class that, asked for as a sampler, reads them again. `Sigma schedule` says that
        the schedule is ComfyUI's where the same words would be taken for a flag of the class. The class's own spacing
        is "Automatic", or "Uniform" where AUTOMATIC1111 means another schedule by that.
        """
        said = find(self.label if self.sigma_schedule is None else self.spec.label)
        fixed = (
            said is not None
            and said.key == self.key
            and all(self.options.get(key, value) == value for key, value in said.overrides.items())
        )
        extra: tuple[tuple[str, str], ...] = () if fixed else ((CLASS_ENTRY, self.spec.class_name),)
        if self.sigma_schedule is not None:
            whole = find(self.label)
            if not fixed or whole is None or whole.sigma_schedule is None:
                extra += ((SCHEDULE_ENTRY, self.sigma_schedule),)
        kind = self.schedule_type
        return self.spec.label, plain_type(self.key) if kind == "Automatic" else kind, extra

    def schedule(
        self,
        num_inference_steps: int | None,
        *,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        shape: Mapping[str, Any] | None = None,
        convention: Convention = NO_PROGRAM,
    ) -> Schedule:
        """Make the schedule of a run.

        Args:
            num_inference_steps: 1 to the number of training timesteps; None where `timesteps` or `sigmas` say how many.
            timesteps: to be visited, descending, where the diffusers class takes them.
            sigmas: in the diffusers class's own terms, where it takes them.
            mu: the shift of flow matching with `use_dynamic_shifting`.
            shape: of one of ComfyUI's schedules; see `make_schedule`.
            convention: of a program, where one of ComfyUI's schedules is asked for.

        Raises:
            InputError: a number out of range, or something that the class does not take.
            ModelError: of the options of a model no schedule can be made.
        """
        return make_schedule(
            self.spec.class_name,
            self.options,
            num_inference_steps,
            timesteps=timesteps,
            sigmas=sigmas,
            mu=mu,
            sigma_schedule=self.sigma_schedule,
            shape=shape,
            convention=convention,
            key=self.key,
            where=self.where,
        )

    @property
    def run_options(self) -> tuple[str, ...]:
        """Options that belong to a run, not to the config: `eta`, `s_churn` and the like."""
        return tuple(key for key in self.spec.takes if key not in self.options and key not in _SETTLED)

    @property
    def follows(self) -> bool:
        """Whether it may follow a Brownian path: the solver of an SDE, with its noise."""
        return "path" in self.spec.takes and self.options.get("algorithm_type", "sde-").startswith("sde-")

    @property
    def default_eta(self) -> float | None:
        """What a picture is painted with where no eta is asked for; None: the sampler has none.

        diffusers' pipelines hand 0 to each scheduler that takes one, also to TCD, whose own default is another.
        """
        if "eta" not in self.run_options:
            return None
        own: float = inspect.signature(self.spec.solver).parameters["eta"].default
        return 0.0 if self.key == "tcd" else own

    def check_options(self, **options: float | bool) -> None:
        """Refuse an option of a run that this sampler lacks (unless it is 0), or that is out of range.

        Raises:
            InputError: there is one.
        """
        for key, value in options.items():
            if key not in _RANGES:
                raise InputError(f"{key}: no such option of a run; expected one of {', '.join(_RANGES)}")
            low, high = _RANGES[key]
            if not low <= value <= high:
                raise InputError(f"{key}: expected a number from {low:g} to {high:g}, got {value}")
            if value != 0 and key not in self.run_options:
                takers = ", ".join(name for name, spec in REGISTRY.items() if key in spec.takes)
                raise InputError(f"{key}: {self.name} has none, only {takers} has; expected 0, got {value}")

    def run(
        self,
        denoise: Denoise,
        x: Latents,
        schedule: Schedule,
        rng: NoiseSource | None = None,
        path: BrownianMotion | None = None,
        extrapolates: str | None = None,
        **options: float | bool,
    ) -> Iterator[Step]:
        """Start a run; iterate to make it go on, stop iterating to cancel it.

        Args:
            denoise: the network.
            x: float32 or float64 (b, c, h, w), from `schedule.initial` or `schedule.noised`.
            schedule: of this sampler, whole or truncated.
            rng: where a stochastic sampler draws; the others leave it alone.
            path: what an SDE sampler (DPM++ SDE, 2M SDE, 3M SDE) follows, in place of what it would draw; the others
                leave it alone. Of the shape of x.
            extrapolates: a prediction type: what a solver extrapolates that goes by what the network predicts (PLMS);
                None: that.
            options: of this run, see `run_options`; those left out have the default of the solver's signature.

        Raises:
            InputError: this sampler lacks an option, or a value is out of range.
        """
        self.check_options(**options)
        known = {**self.options, **options, "clip": clip_of(self.options), "prediction": self.prediction}
        known["path"] = path
        if extrapolates is not None:
            known["prediction_type"] = extrapolates
        chosen = {key: known[key] for key in self.spec.takes if key in known}
        return partial(self.spec.solver, **chosen)(denoise, x, schedule, rng)
