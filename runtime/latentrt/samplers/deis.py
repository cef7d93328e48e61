"""DEIS, log-ρ multistep; arXiv:2204.13902."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.dpm_multistep import FEW_STEPS
from latentrt.samplers.exponential import lagrange_weights, log_step, moments
from latentrt.samplers.step import Clip, Denoise, Latents, Step
from latentrt.schedule import Schedule


def deis(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    solver_order: int = 2,
    lower_order_final: bool = True,
    clip: Clip | None = None,
) -> Iterator[Step]:
    """Extrapolate ε by a polynomial in log σ through this evaluation and those before, and integrate that exactly.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DEISMultistepScheduler`, or any other.
        rng: not drawn from.
        solver_order: 1 to 3; 1 is DDIM.
        lower_order_final: end with a second- and a first-order step where there are fewer than 15.
        clip: applied to what is denoised.
    """
    outputs: list[Latents] = []  # newest first
    few = lower_order_final and schedule.num_inference_steps < FEW_STEPS
    for at in schedule:
        denoised = denoise(x, at)
        if clip is not None:
            denoised = clip(denoised)
        outputs = [(x - denoised) / at.sigma, *outputs[: solver_order - 1]]
        order = min(len(outputs), len(schedule) - at.index) if few else len(outputs)
        sigmas = schedule.sigmas[at.index :: -1][:order].tolist()
        nodes = _distinct([log_step(at.sigma, other) for other in sigmas])
        order = len(nodes)
        if order == 1 or at.sigma_next == 0:
            x = x + (at.sigma_next - at.sigma) * outputs[0]  # eq. 14, which is DDIM
        else:
            # ∫ from σ to σ' of the polynomial in v = λ(ρ) − λ, dρ = −σ'·e^{h − v} dv: eq. 15
            h = log_step(at.sigma, at.sigma_next)
            for weight, output in zip(
                lagrange_weights(nodes, moments(order, h, 1.0)).tolist(), outputs[:order], strict=True
            ):
                x = x - (at.sigma_next * weight) * output
        yield Step(at, x, denoised)


def _distinct(nodes: list[float]) -> list[float]:
    """The nodes up to the first that repeats its neighbour, as two equal timesteps do."""
    for n in range(1, len(nodes)):
        if nodes[n] == nodes[n - 1]:
            return nodes[:n]
    return nodes
