"""DPM-Solver and DPM-Solver++, singlestep: 2S, 3S and their SDE; arXiv:2206.00927, 2211.01095."""

from collections.abc import Iterator, Sequence

from latentrt.noise import NoiseSource
from latentrt.samplers.dpm_solver import Weights, advance, model_output, weights
from latentrt.samplers.exponential import log_step
from latentrt.samplers.step import Clip, Denoise, Latents, Step, draw
from latentrt.schedule import Schedule


def dpm_singlestep(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    algorithm_type: str = "dpmsolver++",
    solver_order: int = 2,
    solver_type: str = "midpoint",
    lower_order_final: bool = False,
    clip: Clip | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step in blocks of up to `solver_order` evaluations, each block from the state at its beginning.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DPMSolverSinglestepScheduler`, or any other.
        rng: drawn from once an evaluation by `sde-dpmsolver++`.
        algorithm_type: `dpmsolver++` and `sde-dpmsolver++` extrapolate x₀, `dpmsolver` ε.
        solver_order: 1 to 3, the evaluations of a block; 1 is DDIM.
        solver_type: `midpoint` or `heun`, two ways to weigh the slope.
        lower_order_final: end with smaller blocks; without it the evaluations must be a multiple of `solver_order` and
            the last sigma above 0, else it is done all the same, as in diffusers.
        clip: applied to what is denoised.
        eta: of the sde- algorithms, how much of the reverse SDE's noise there is: 0 is the algorithm without sde-.
        s_noise: the deviation of that noise.
    """
    if eta == 0:
        algorithm_type = algorithm_type.removeprefix("sde-")
    count = schedule.num_inference_steps
    orders = block_orders(count, solver_order, lower_order_final, to_zero=float(schedule.sigmas[-1]) == 0)
    orders = orders[count - len(schedule) :]
    outputs: list[Latents] = []  # newest first
    block = x
    for at in schedule:
        denoised = denoise(x, at)
        if clip is not None:
            denoised = clip(denoised)
        outputs = [model_output(algorithm_type, x, denoised, at.sigma), *outputs[: solver_order - 1]]
        order = min(orders[at.index], len(outputs))
        if order == 1:
            block = x
        # From the beginning of the block: of its evaluations this is the last.
        begin = at.index - order + 1
        sigmas = schedule.sigmas[begin : at.index + 2].tolist()
        w = weights(algorithm_type, sigmas[0], at.sigma_next, eta, s_noise)
        x = advance(w, block, outputs[order - 1], _terms(w, outputs[:order], sigmas, solver_type))
        if algorithm_type.startswith("sde-"):
            x = x + w.noise * draw(rng, x)
        yield Step(at, x, denoised)


def block_orders(count: int, solver_order: int, lower_order_final: bool, *, to_zero: bool) -> list[int]:
    """The order of each of `count` evaluations: 1, 2, 3, 1, 2, 3, …; a step to σ = 0 is of first order."""
    whole, rest = divmod(count, solver_order)
    block = list(range(1, solver_order + 1))
    if solver_order == 1 or not (lower_order_final or rest or to_zero):
        return block * whole
    # What remains makes a block; where nothing does, the last evaluation leaves its own and makes a step by itself.
    orders = block * whole + block[:rest] if rest else [*(block * whole)[:-1], 1]
    return [*orders[:-1], 1] if to_zero else orders


def _terms(
    w: Weights, outputs: Sequence[Latents], sigmas: Sequence[float], solver_type: str
) -> list[tuple[float, Latents]]:
    """Slope and curvature over a block, by differences to its first output, with the block's length as unit.

    Args:
        w: of the step over the block.
        outputs: of the block, newest first.
        sigmas: where they were evaluated, and where the step ends, descending.
        solver_type: `midpoint` or `heun`.
    """
    h = log_step(sigmas[0], sigmas[-1])
    if len(outputs) == 1 or h == 0:
        return []
    r0 = log_step(sigmas[0], sigmas[-2]) / h
    if r0 == 0:  # equal timesteps: no slope
        return []
    slope = (outputs[0] - outputs[-1]) / r0
    if len(outputs) == 2:
        return [(w.midpoint if solver_type == "midpoint" else w.slope, slope)]
    r1 = log_step(sigmas[0], sigmas[1]) / h
    if solver_type == "midpoint" or r1 in (0, r0):
        return [(w.slope, slope)]
    early = (outputs[1] - outputs[2]) / r1
    curvature = 2 * (slope - early) / (r0 - r1)
    return [(w.slope, (r0 * early - r1 * slope) / (r0 - r1)), (w.curvature, curvature)]
