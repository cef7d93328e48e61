"""Euler's method on the probability flow ODE, arXiv:2206.00364."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.churn import Churn
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule
from latentrt.schedule.prediction import Prediction

_MOST_CHURN = math.sqrt(2) - 1


def euler(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    prediction: Prediction | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    churns_first: bool = False,
) -> Iterator[Step]:
    """Follow dx/dσ = (x − D(x; σ))/σ in straight steps: algorithm 1 of the paper without the second order.

    Churn is added as diffusers adds it, after the evaluation: the network's output at σ is read as that at σ̂. Or, with
    `churns_first`, as in the paper and k-diffusion.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from once a step where there is churn.
        prediction: what the network predicts, by which churn reads it again; None: noise.
        s_churn: how much noise to add, over all steps; 0 adds none. It and the rest are those of the paper.
        s_tmin: the lowest sigma at which noise is added.
        s_tmax: the highest.
        s_noise: the deviation of that noise.
        churns_first: ask the network once the noise is added, at the raised σ, whose timestep the schedule tells.
    """
    churn = Churn(s_churn if churns_first else 0.0, s_tmin, s_tmax, s_noise)
    spread = schedule.num_inference_steps if schedule.churn_steps is None else schedule.churn_steps
    most = 0.0 if churns_first else min(s_churn / spread, _MOST_CHURN)
    for at in schedule:
        x, from_sigma = churn.raised(x, at.sigma, schedule, rng)
        denoised = denoise(x, schedule.evaluation(at, from_sigma))
        if most > 0 and s_tmin <= at.sigma <= s_tmax:
            raised = at.sigma * (1 + most)
            churned = x + s_noise * math.sqrt(raised**2 - at.sigma**2) * draw(rng, x)
            denoised = _read_again(prediction or Prediction(), denoised, x, at.sigma, churned, raised)
            x, from_sigma = churned, raised
        # x + (σ' − σ)·dx/dσ (Karras et al. eq. 3, σ(t) = t), put together so that a huge σ does not cancel a huge x.
        x = denoised + (at.sigma_next / from_sigma) * (x - denoised)
        yield Step(at, x, denoised)


def _read_again(
    prediction: Prediction, denoised: Latents, x: Latents, sigma: float, churned: Latents, raised: float
) -> Latents:
    """What the output at (x, σ) says of x₀ in the churned state. diffusers reads v as that of the σ before."""
    output = prediction.output(denoised, x, sigma)
    velocity = prediction.type == "v_prediction" and prediction.sigma_data is None
    return prediction.denoised(output, churned, sigma if velocity else raised)
