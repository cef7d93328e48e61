"""DPM-Solver-fast: steps of third order as far as the evaluations go; arXiv:2206.00927 §3.4, k-diffusion's."""

from collections.abc import Iterator

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.samplers.dpm_solver_rk import between, first_order, second_order, third_order, two_thirds
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, draw
from latentrt.schedule import Evaluation, Schedule


def dpm_fast(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Go from the schedule's first sigma to its last above 0 in even steps of log σ; the sigmas between do not count.

    As many evaluations are made as the schedule has, by threes; what is left over makes steps of lower order.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other that tells the timestep of any sigma.
        rng: drawn from once a step of up to three evaluations, where eta > 0.
        eta: how much of the noise is fresh: 0 none; 1 as in DDPM.
        s_noise: the deviation of that noise.

    Raises:
        InputError: the schedule has but one sigma above 0.
    """
    lowest = last_above_zero(schedule)
    count, begin = len(schedule), float(schedule.sigmas[0])
    orders = [3] * (count // 3 - 1) + [2, 1] if count % 3 == 0 else [3] * (count // 3) + [count % 3]
    index = 0

    def ask(x: Latents, sigma: float, reached: float) -> tuple[Evaluation, Latents, Latents]:
        """The evaluation, x₀ and ε."""
        at = evaluation_at(schedule, index, sigma, reached)
        denoised = denoise(x, at)
        return at, denoised, (x - denoised) / sigma

    for number, order in enumerate(orders):
        sigma = between(begin, lowest, number / len(orders))
        sigma_next = (
            lowest if number + 1 == len(orders) else between(begin, lowest, (number + 1) / len(orders))
        )
        down = max(ancestral_step(sigma, sigma_next, eta)[0], lowest)
        up = s_noise * max(sigma_next**2 - down**2, 0.0) ** 0.5
        start, middle = x, between(sigma, down, 1 / 2 if order == 2 else 1 / 3)
        at, denoised, first = ask(x, sigma, down if order == 1 else middle)
        if order == 1:
            x = first_order(start, first, sigma, down)
        else:
            x = first_order(start, first, sigma, middle)
            yield Step(at, x, denoised)
            index += 1
            late = between(sigma, down, 2 / 3)
            at, denoised, epsilon = ask(x, middle, down if order == 2 else late)
            if order == 2:
                x = second_order(start, first, epsilon, 1 / 2, sigma, down)
            else:
                x = two_thirds(start, first, epsilon, sigma, down)
                yield Step(at, x, denoised)
                index += 1
                at, denoised, epsilon = ask(x, late, down)
                x = third_order(start, first, epsilon, sigma, down)
        if eta > 0:
            x = x + up * draw(rng, x)
        yield Step(at, x, denoised)
        index += 1


def last_above_zero(schedule: Schedule) -> float:
    """Where solvers end that cannot go to 0.

    Raises:
        InputError: it is where they begin.
    """
    lowest = float(schedule.sigmas[-1] if schedule.sigmas[-1] > 0 else schedule.sigmas[-2])
    if lowest >= schedule.sigmas[0]:
        raise InputError(
            "num_inference_steps: this sampler ends at the last sigma above 0; expected 2 or more steps"
        )
    return lowest


def evaluation_at(schedule: Schedule, index: int, sigma: float, sigma_next: float) -> Evaluation:
    """An evaluation at a sigma of the solver's own.

    Args:
        schedule: of the run.
        index: which evaluation of the run it is.
        sigma: where the network is asked.
        sigma_next: where that leads.
    """
    begin = float(schedule.sigmas[0])
    first = Evaluation(index, begin, float(schedule.timesteps[0]), sigma_next)
    return schedule.evaluation(first, sigma)
