"""Sampling with a network of one's own, by nothing but a `scheduler_config.json`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from latentrt.errors import InputError
from latentrt.noise import BrownianMotion, NoiseSource, TorchGenerator
from latentrt.noise.torch_cpu import Float64Generator
from latentrt.samplers.names import resolve
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Evaluation
from latentrt.schedule.prediction import Prediction

# (input, timestep) -> raw output.
Network = Callable[[Latents, float], Latents]


def run(
    config: Mapping[str, Any],
    network: Network,
    x: Latents,
    num_inference_steps: int | None,
    *,
    seed: int | None = None,
    rng: NoiseSource | None = None,
    strength: float | None = None,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    path: BrownianMotion | None = None,
    **sampler_options: Any,
) -> Latents:
    """Sample as the diffusers scheduler of this config does, and return what its last `step` returns.

    Args:
        config: the dict of a `scheduler_config.json`, with its `_class_name`.
        network: maps the scaled input (b, c, …) and the timestep (a fraction with some configs) to the raw output, of
            the config's `prediction_type`: (b, c, …), or (b, 2c, …) with learned variances.
        x: float32 or float64 (b, c, …), which decides in what is computed. Noise of unit variance, as `torch.randn`
            draws it: it is scaled here. With `strength`, the clean sample to start from, instead: the noise for it is
            the first that is drawn from `rng`.
        num_inference_steps: 1 … num_train_timesteps; None where `timesteps` or `sigmas` say how many.
        seed: of a torch CPU generator, which then is the `rng`.
        rng: where noise is drawn, for `strength` and by stochastic samplers; a `TorchGenerator` draws in x's dtype.
        strength: more than 0, at most 1: of the steps, only the last min(⌊n·strength⌋, n) are made, from x with noise
            of the first of them, as img2img does.
        timesteps: to be visited, as `set_timesteps(timesteps=…)` takes them, where the class does.
        sigmas: as `set_timesteps(sigmas=…)` takes them, where the class does.
        path: a Brownian motion that SDE samplers follow, in place of what they would draw from `rng`.
        sampler_options: arguments of the class's `step` (`eta`, `use_clipped_model_output`, `s_churn`, `s_tmin`,
            `s_tmax`, `s_noise`, `order` of LMS), `mu` of its `set_timesteps`, and `schedule`, one of ComfyUI's.

    Raises:
        InputError: a value is out of range, or is none that this class takes.
    """
    *_, last = iterate(
        config,
        network,
        x,
        num_inference_steps,
        seed=seed,
        rng=rng,
        strength=strength,
        timesteps=timesteps,
        sigmas=sigmas,
        path=path,
        **sampler_options,
    )
    return last.x


def iterate(
    config: Mapping[str, Any],
    network: Network,
    x: Latents,
    num_inference_steps: int | None,
    *,
    seed: int | None = None,
    rng: NoiseSource | None = None,
    strength: float | None = None,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    path: BrownianMotion | None = None,
    **sampler_options: Any,
) -> Iterator[Step]:
    """`run`, step by step: one `Step` for each evaluation of the network.

    A step's `x` is what diffusers calls `prev_sample`, in the class's own scaling; its `denoised` what it calls
    `pred_original_sample`. Arguments and errors are those of `run`; errors come before the first step.
    """
    if seed is not None and rng is not None:
        raise InputError("seed, rng: expected one of them, got both")
    if not isinstance(config, Mapping):
        raise InputError(f"config: expected the dict of a scheduler_config.json, got {type(config).__name__}")
    if not isinstance(x, np.ndarray):
        raise InputError(f"x: expected a numpy array, got {type(x).__name__}")
    if x.dtype not in (np.float32, np.float64):
        raise InputError(f"x: expected float32 or float64, got {x.dtype}")
    source = TorchGenerator(seed) if seed is not None else rng
    if isinstance(source, TorchGenerator) and x.dtype == np.float64:
        source = Float64Generator(source)
    mu = sampler_options.pop("mu", None)
    sampler = resolve(None, config, sampler_options.pop("schedule", None))
    schedule = sampler.schedule(num_inference_steps, timesteps=timesteps, sigmas=sigmas, mu=mu)
    if strength is None:
        state = schedule.initial(x)
    else:
        schedule = schedule.truncated(strength)
        if source is None:
            raise InputError("strength: noise is drawn for it; expected a seed or an rng, got neither")
        state = schedule.noised(x, source.randn(x.shape).astype(x.dtype, copy=False))
    denoise = _denoiser_of(network, sampler.prediction)
    steps = sampler.run(
        denoise, state, schedule, source, path=path, **sampler_options
    )  # checks the options at once
    return (replace(step, x=schedule.sample(step.x, step.index + 1)) for step in steps)


def _denoiser_of(network: Network, prediction: Prediction) -> Denoise:
    """Make a denoiser of a bare network."""

    def denoise(x: Latents, at: Evaluation) -> Latents:
        output = np.asarray(network(prediction.input(x, at.sigma), at.timestep))
        channels = x.shape[1] if x.ndim > 1 else 0
        if output.shape != x.shape and output.shape != (*x.shape[:1], 2 * channels, *x.shape[2:]):
            raise InputError(f"network: expected an output of shape {x.shape}, got {output.shape}")
        return prediction.denoised(output, x, at.sigma).astype(x.dtype, copy=False)

    return denoise
