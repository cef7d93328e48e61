"""DPM-Solver and DPM-Solver++, multistep: 2M, 3M and their SDE; arXiv:2206.00927, 2211.01095."""

from collections.abc import Iterator, Sequence

from latentrt.noise import BrownianMotion, NoiseSource
from latentrt.samplers.dpm_solver import Weights, advance, model_output, weights
from latentrt.samplers.exponential import log_step
from latentrt.samplers.step import Clip, Denoise, Latents, Step, increment
from latentrt.schedule import Schedule

FEW_STEPS = 15  # below which `lower_order_final` acts


def dpm_multistep(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    algorithm_type: str = "dpmsolver++",
    solver_order: int = 2,
    solver_type: str = "midpoint",
    lower_order_final: bool = True,
    euler_at_final: bool = False,
    clip: Clip | None = None,
    path: BrownianMotion | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Integrate exactly in λ = −log σ, with the output extrapolated from this evaluation and those before.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DPMSolverMultistepScheduler`, `EDMDPMSolverMultistepScheduler`, or any other.
        rng: drawn from once a step by the two sde- algorithms.
        algorithm_type: `dpmsolver++` and `sde-dpmsolver++` extrapolate x₀, `dpmsolver` and `sde-dpmsolver` ε.
        solver_order: 1 to 3; 1 is DDIM. 3 converges with order 2: its curvature is half of what it should be (in the
            authors' code as in diffusers).
        solver_type: `midpoint` or `heun`, two ways to weigh the slope at second order.
        lower_order_final: end with a second- and a first-order step where there are fewer than 15.
        euler_at_final: end with a first-order step however many there are; a step to σ = 0 always is one.
        clip: applied to what is denoised.
        path: what the two sde- algorithms follow, in place of drawing from `rng`.
        eta: of the sde- algorithms, how much of the reverse SDE's noise there is: 0 is the algorithm without sde-.
        s_noise: the deviation of that noise.
    """
    if eta == 0:
        algorithm_type = algorithm_type.removeprefix("sde-")
    outputs: list[Latents] = []  # newest first
    steps: list[float] = []  # h of the steps made, newest first
    few = lower_order_final and schedule.num_inference_steps < FEW_STEPS
    for at in schedule:
        denoised = denoise(x, at)
        if clip is not None:
            denoised = clip(denoised)
        outputs = [model_output(algorithm_type, x, denoised, at.sigma), *outputs[: solver_order - 1]]
        h, left = log_step(at.sigma, at.sigma_next), len(schedule) - at.index
        order = _order(len(outputs), h, steps)
        if left == 1 and (euler_at_final or few or at.sigma_next == 0):
            order = 1
        elif left == 2 and few:
            order = min(order, 2)
        w = weights(algorithm_type, at.sigma, at.sigma_next, eta, s_noise)
        x = advance(w, x, outputs[0], _terms(w, outputs, [h, *steps], order, solver_type))
        if algorithm_type.startswith("sde-"):
            x = x + w.noise * increment(path, rng, x, at)
        steps = [h, *steps[:1]]
        yield Step(at, x, denoised)


def _order(known: int, h: float, steps: Sequence[float]) -> int:
    """What order the outputs known allow. Equal timesteps make a step of length 0, across which there is no slope."""
    order = 1
    while order < known and h != 0 and steps[order - 1] != 0:
        order += 1
    return order


def _terms(
    w: Weights, outputs: Sequence[Latents], steps: Sequence[float], order: int, solver_type: str
) -> list[tuple[float, Latents]]:
    """Slope and curvature of the outputs, by differences with the step as unit."""
    if order == 1:
        return []
    r0 = steps[1] / steps[0]
    slope = (outputs[0] - outputs[1]) / r0
    if order == 2:
        return [(w.midpoint if solver_type == "midpoint" else w.slope, slope)]
    r1 = steps[2] / steps[0]
    difference = slope - (outputs[1] - outputs[2]) / r1
    # As in the authors' code; the second derivative is twice this.
    curvature = difference / (r0 + r1)
    return [(w.slope, slope + r0 * curvature), (w.curvature, curvature)]
