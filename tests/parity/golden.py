"""The runs of the golden files: of each class some options, by diffusers and by ours."""

import itertools
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from latentrt import samplers
from latentrt.models.published import SD1_SCHEDULER as SD15
from latentrt.noise import TorchGenerator
from latentrt.schedule import Schedule
from parity.toy_model import denoiser, network

diffusers.logging.set_verbosity_error()

GOLDEN = Path(__file__).parents[1] / "runtime" / "golden"
SHAPE = (2, 1, 2, 2)
COUNTS = (1, 2, 5, 10, 25, 50)
SPACINGS = ("leading", "linspace", "trailing")
_OF_PNDM = ("_class_name", "_diffusers_version", "skip_prk_steps", "trained_betas")
SD = {key: value for key, value in SD15.items() if key not in _OF_PNDM}
STOCHASTIC = ("DDIMScheduler", "EulerAncestralDiscreteScheduler")


def reference(
    class_name: str,
    config: dict[str, Any],
    count: int,
    *,
    seed: int = 0,
    shape: tuple[int, ...] = SHAPE,
    strength: float | None = None,
    eta: float = 0.0,
) -> dict[str, np.ndarray]:
    """Run diffusers' scheduler as its pipelines do: noise first, then what the steps draw, from one generator.

    With a strength, the clean latents are drawn before the noise (in a pipeline the VAE draws there).
    """
    scheduler = getattr(diffusers, class_name).from_config(config)
    scheduler.set_timesteps(count)
    timesteps = scheduler.timesteps
    generator = torch.Generator("cpu").manual_seed(seed)
    if strength is None:
        begin = 0
        x = torch.randn(shape, generator=generator) * scheduler.init_noise_sigma
    else:
        # StableDiffusionImg2ImgPipeline.get_timesteps.
        begin = max(count - min(int(count * strength), count), 0)
        timesteps = timesteps[begin * scheduler.order :]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin * scheduler.order)
    if strength is not None:
        clean = torch.randn(shape, generator=generator)
        noise = torch.randn(shape, generator=generator)
        x = scheduler.add_noise(clean, noise, timesteps[:1].repeat(shape[0]))
    extra: dict[str, Any] = {"generator": generator} if class_name in STOCHASTIC else {}
    if class_name == "DDIMScheduler":
        extra["eta"] = eta
    samples = []
    for timestep in timesteps:
        model_input = scheduler.scale_model_input(x, timestep)
        output = torch.from_numpy(network(model_input.numpy(), float(timestep)))
        x = scheduler.step(output, timestep, x, **extra).prev_sample
        samples.append(x.numpy())
    sigmas = scheduler.sigmas.numpy()[begin:] if hasattr(scheduler, "sigmas") else np.zeros(0, np.float32)
    return {"timesteps": timesteps.numpy(), "sigmas": sigmas, "samples": np.stack(samples)}


def ours(
    class_name: str,
    config: dict[str, Any],
    count: int,
    *,
    seed: int = 0,
    shape: tuple[int, ...] = SHAPE,
    strength: float | None = None,
    eta: float = 0.0,
) -> tuple[Schedule, list[np.ndarray]]:
    """The same run with latentrt's sampler; every state scaled as the diffusers class holds it."""
    sampler = samplers.resolve(class_name, config)
    schedule, rng = sampler.schedule(count), TorchGenerator(seed)
    if strength is None:
        x = schedule.initial(rng.randn(shape))
    else:
        schedule = schedule.truncated(strength)
        clean = rng.randn(shape)
        x = schedule.noised(clean, rng.randn(shape))
    states = []
    told = eta if class_name == "DDIMScheduler" else sampler.default_eta
    options = {} if told is None else {"eta": told}
    for step in sampler.run(denoiser(sampler.prediction_type), x, schedule, rng, **options):
        states.append(schedule.sample(step.x, step.index + 1))
    return schedule, states


def cases() -> list[dict[str, Any]]:
    """Every option that changes a result, spacing × prediction type in full for each class."""
    ramps: dict[str, list[dict[str, Any]]] = {
        "DDIMScheduler": [{}],
        "PNDMScheduler": [{"skip_prk_steps": True}],
        "EulerDiscreteScheduler": [{}, {"use_karras_sigmas": True}],
        "EulerAncestralDiscreteScheduler": [{}],
        "DPMSolverMultistepScheduler": [{}, {"use_karras_sigmas": True}],
    }
    lacks_sample = ("PNDMScheduler", "EulerAncestralDiscreteScheduler")
    grid: list[dict[str, Any]] = []
    for name, options in ramps.items():
        types = ("epsilon", "v_prediction") if name in lacks_sample else ("epsilon", "v_prediction", "sample")
        for option, spacing, kind in itertools.product(options, SPACINGS, types):
            config = {**SD, **option, "timestep_spacing": spacing, "prediction_type": kind}
            grid += [{"class_name": name, "config": config, "count": count} for count in COUNTS]

    def one(name: str, count: int = 10, **rest: Any) -> None:
        run = {key: rest.pop(key) for key in ("strength", "eta") if key in rest}
        grid.append({"class_name": name, "config": {**SD, **rest}, "count": count, **run})

    v = {"prediction_type": "v_prediction"}
    for name in ramps:
        pndm = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
        one(name, 30, timestep_spacing="trailing", **pndm)
        one(name, beta_schedule="linear", **pndm)
        one(name, beta_schedule="squaredcos_cap_v2", **pndm)
        one(name, trained_betas=np.linspace(1e-4, 2e-2, 1000).tolist(), **pndm)
        for strength in (0.1, 0.35, 0.75, 0.9, 1.0):
            one(name, strength=strength, **pndm)
        if not pndm:
            one(name, rescale_betas_zero_snr=True, timestep_spacing="trailing", **v)
    one("DDIMScheduler", set_alpha_to_one=True)
    one("DDIMScheduler", clip_sample=True, clip_sample_range=0.8)
    one("DDIMScheduler", thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=0.9)
    for eta, spacing in itertools.product((0.3, 1.0), SPACINGS):
        one("DDIMScheduler", eta=eta, timestep_spacing=spacing)
    for name in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler"):
        one(name, use_exponential_sigmas=True)
        one(name, use_beta_sigmas=True)
        one(name, final_sigmas_type="sigma_min")
        one(name, 25, final_sigmas_type="sigma_min", use_karras_sigmas=True)
    one("EulerDiscreteScheduler", interpolation_type="log_linear")
    one("EulerDiscreteScheduler", timestep_type="continuous", **v)
    one("EulerDiscreteScheduler", use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0)
    name = "DPMSolverMultistepScheduler"
    one(name, use_lu_lambdas=True)
    one(name, solver_order=1)
    one(name, 25, solver_type="heun")
    one(name, 25, euler_at_final=True, final_sigmas_type="sigma_min")
    one(name, 25, lower_order_final=False)
    one(name, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
    one(name, thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=0.9)
    return grid
