"""The frozen data that a sampler steps along."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.prediction import FORMS

Float64 = NDArray[np.float64]
Latents = NDArray[np.floating[Any]]

# Stands for the infinite σ of a zero-terminal-SNR schedule in the classes that step by ᾱ, which is exactly 0 there
# (DDIM, DDPM, LCM, TCD), and of pure noise in flow matching and IPNDM. A power of two scales float32 without loss; this
# one leaves x₀ far below float32's last bit, and its square is still a float32: in float32 it is infinity. The classes
# that look σ up have a finite one instead, `LAST_ALPHA`.
ZERO_SNR_SIGMA = 2.0**40
# Likewise for the σ of 0 at which a network is asked where the first betas are 0: noise that float32 does not see.
NO_NOISE_SIGMA = 2.0**-40


@dataclass(frozen=True)
class Evaluation:
    """Where in a run the network is asked; iterating a `Schedule` gives each in turn.

    Attributes:
        index: counts the schedule's evaluations, from 0; `Schedule.order` of them make a step. A solver that goes back
            asks at the same index again; one that leaves the schedule's sigmas, at that of the evaluation before.
        sigma: the noise level of the state, > 0; `ZERO_SNR_SIGMA` stands for infinity.
        timestep: what the network is told, 0 … num_train_timesteps − 1; a fraction with Karras and the like.
        sigma_next: the noise level that it leads to: that of the next evaluation, or of the end of the run.
    """

    index: int
    sigma: float
    timestep: float
    sigma_next: float


@dataclass(frozen=True, eq=False)
class Schedule:
    """Noise levels and timesteps of one run, in sigma space: a state is x = x₀ + σ·ε.

    Attributes:
        sigmas: float64 (n + 1,), never rising but by the rounding of diffusers: evaluation i happens at `sigmas[i]`,
            and the last, 0 or not, is where the run ends.
        timesteps: float64 (n,): what the network is told at evaluation i; whole numbers, but for Karras and the like.
        num_inference_steps: what was asked for. n is larger where a solver evaluates more often than it steps, and
            smaller in a truncated schedule.
        stops: float64 (n,): the sigma at which step i ends. `sigmas[1:]`, but for diffusers' DDIM and PNDM, which step
            down by num_train_timesteps // num_inference_steps whatever the next timestep is (linspace, some trailing).
            The sample is then carried over unscaled: see `reinterpret`.
        starts: float64 (n,): the sigma one such stride above `timesteps[i]`, where PNDM's repeated first step begins.
        form: what the class calls a sample, a key of `FORMS`: `vp` for x / √(1 + σ²), `ve` for x itself (Euler and its
            kin, whose last sample at a nonzero sigma differs by this), `flow` for x / (1 + σ).
        initial_scale: what unit noise is multiplied with to become the state at `sigmas[0]`. None: so much that the
            sample has unit variance.
        order: evaluations to a step, by which `truncated` counts.
        timestep_of: σ -> what the network is told there, for a solver that asks at others than `sigmas`; None where
            nothing is known of them.
        train_sigmas: float64 (num_train_timesteps,), the sigma of every timestep, for a solver that goes to others than
            `timesteps` (TCD); None where none does.
        added: float64 (n,), variance-preserving sigmas that `noised` brings clean latents to instead of `sigmas`, where
            a class adds noise by other sigmas than it steps along (SA-Solver with Karras' and the like); else None.
        whole: float64, all sigmas of the schedule that this is the rest of; None where it is whole.
        churn_steps: over how many steps `s_churn` is spread; None: `num_inference_steps`.
    """

    sigmas: Float64
    timesteps: Float64
    num_inference_steps: int
    stops: Float64
    starts: Float64
    form: str = "vp"
    initial_scale: float | None = None
    order: int = 1
    timestep_of: Callable[[float], float] | None = None
    train_sigmas: Float64 | None = None
    added: Float64 | None = None
    churn_steps: int | None = None
    whole: Float64 | None = None

    def __post_init__(self) -> None:
        for array in (self.sigmas, self.timesteps, self.stops, self.starts):
            array.flags.writeable = False

    def __len__(self) -> int:
        """Count the evaluations, each of which yields a step."""
        return len(self.timesteps)

    def __iter__(self) -> Iterator[Evaluation]:
        """Go through the evaluations in order."""
        sigmas = self.sigmas.tolist()
        return map(Evaluation, range(len(self)), sigmas, self.timesteps.tolist(), sigmas[1:])

    @property
    def span(self) -> tuple[float, float]:
        """The lowest sigma above 0 and the highest, of the whole schedule: what a Brownian tree spans."""
        sigmas = self.sigmas if self.whole is None else self.whole
        return float(sigmas[sigmas > 0].min()), float(sigmas.max())

    def evaluation(self, at: Evaluation, sigma: float) -> Evaluation:
        """Another evaluation in the step that begins with `at`: at a sigma of the solver's own.

        Raises:
            InputError: it is not known what the network is told there.
        """
        if sigma == at.sigma:
            return at
        if self.timestep_of is None:
            raise InputError(
                "schedule: this sampler asks at sigmas of its own, and the schedule has no timestep_of; expected one "
                "with it"
            )
        return replace(at, sigma=sigma, timestep=self.timestep_of(sigma))

    def initial(self, noise: Latents) -> Latents:
        """Scale noise of unit variance, (b, c, h, w), to the state at `sigmas[0]` from which a whole run starts."""
        if self.initial_scale is not None:
            return noise * self.initial_scale
        return noise * FORMS[self.form](float(self.sigmas[0]))

    def noised(self, x0: Latents, noise: Latents) -> Latents:
        """Bring clean latents to `sigmas[0]`: x₀ + σ·ε. With `truncated`, the start of img2img.

        Args:
            x0: clean latents (b, c, h, w), scaled as the network expects them.
            noise: unit variance, of the same shape.
        """
        sigma = float(self.sigmas[0])
        if self.added is None:
            return x0 + sigma * noise
        added = float(self.added[0])
        taken_at_sigma = FORMS[self.form](sigma) / FORMS["vp"](added)
        return (x0 + added * noise) * taken_at_sigma

    def truncated(self, strength: float) -> "Schedule":
        """Keep the last steps, as img2img does: min(⌊n·strength⌋, n) of them (diffusers' `get_timesteps`).

        Args:
            strength: in [0, 1]; 1 keeps all.

        Raises:
            InputError: out of range, or so small that no step is left.
        """
        if not 0 <= strength <= 1:
            raise InputError(f"strength: expected a number from 0 to 1, got {strength}")
        n = self.num_inference_steps
        kept = min(int(n * strength), n)
        if kept == 0:
            raise InputError(f"strength: {strength} of {n} steps leaves none; expected at least {1 / n:.3g}")
        return self.since((n - kept) * self.order)

    def since(self, begin: int) -> "Schedule":
        """Leave out the first evaluations."""
        return replace(
            self,
            sigmas=self.sigmas[begin:],
            timesteps=self.timesteps[begin:],
            stops=self.stops[begin:],
            starts=self.starts[begin:],
            added=None if self.added is None else self.added[begin:],
            whole=self.sigmas if self.whole is None else self.whole,
        )

    @property
    def steps(self) -> int:
        """How many steps its evaluations are: `order` each, but for a last that goes to no noise, which is one."""
        return -(-len(self) // self.order)

    def until(self, step: int, end: float | None = None) -> "Schedule":
        """Leave out the steps from this on, counted from 0, 1 at least.

        Args:
            step: of those there are.
            end: the σ that the last step which is kept goes to, where it asks once; None: to where it went.
        """
        kept = step * self.order if end is None else (step - 1) * self.order + 1
        sigmas, stops = self.sigmas[: kept + 1].copy(), self.stops[:kept].copy()
        if end is not None:
            sigmas[-1] = stops[-1] = end
        return replace(
            self,
            sigmas=sigmas,
            timesteps=self.timesteps[:kept],
            stops=stops,
            starts=self.starts[:kept],
            added=None if self.added is None else self.added[:kept],
            whole=self.sigmas if self.whole is None else self.whole,
        )

    def resumed(self, sample: Latents) -> Latents:
        """The state at `sigmas[0]` that is held as this sample there: what another schedule's `sample` gave."""
        return sample * FORMS[self.form](float(self.sigmas[0]))

    def final(self, x: Latents) -> Latents:
        """Turn the last state into the sample that the diffusers class returns."""
        return self.sample(x, len(self))

    def sample(self, x: Latents, index: int) -> Latents:
        """Turn the state at `sigmas[index]`, after so many evaluations, into what the diffusers class holds there."""
        norm = FORMS[self.form](float(self.sigmas[index]))
        return x if norm == 1 else x / norm


def reinterpret(x: Latents, sigma_from: float, sigma_to: float) -> Latents:
    """Take a state at one sigma for a state at another, its variance-preserving sample x / √(1 + σ²) being the same.

    Not a step: the noise level named changes, the picture does not. diffusers does this between steps that do not meet.
    """
    if sigma_from == sigma_to:
        return x
    return x * math.sqrt((1 + sigma_to * sigma_to) / (1 + sigma_from * sigma_from))
