"""Make the golden files of `tests/runtime/golden` from torch and diffusers.

    python tools/make_golden.py [FOLDER]

The runtime's tests compare with them where there is no torch. `reference` is also what the live tests compare with.
"""

import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from latentrt import samplers
from latentrt.noise import TorchGenerator
from latentrt.schedule import Schedule

GOLDEN = Path(__file__).parents[1] / "tests" / "runtime" / "golden"
sys.path[:0] = [str(GOLDEN.parent), str(Path(__file__).parent)]
from parity.compare import Comparison  # noqa: E402
from parity.grid import cases as cases_of  # noqa: E402
from parity.options import SPACES  # noqa: E402
from parity.oracle import InvalidError  # noqa: E402
from parity.verdict import EQUAL, judge  # noqa: E402
from toy_model import denoiser, network  # noqa: E402

diffusers.logging.set_verbosity_error()

SHAPE = (2, 1, 2, 2)
COUNTS = (1, 2, 5, 10, 25, 50)
SPACINGS = ("leading", "linspace", "trailing")
SD = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}
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
        begin = max(
            count - min(int(count * strength), count), 0
        )  # StableDiffusionImg2ImgPipeline.get_timesteps
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
    for step in sampler.run(denoiser(sampler.prediction_type), x, schedule, rng, eta=eta):
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


def make_samplers(folder: Path) -> None:
    index, arrays, at = (
        [],
        {"timesteps": [], "sigmas": [], "samples": []},
        dict.fromkeys(("timesteps", "sigmas", "samples"), 0),
    )
    for case in cases():
        result = reference(**case)
        spans = {}
        for key, values in result.items():
            spans[key] = [at[key], at[key] + len(values)]
            at[key] += len(values)
            arrays[key].append(values.astype(np.float64) if key == "timesteps" else values)
        changed = {key: value for key, value in case["config"].items() if SD.get(key, ...) != value}
        if "trained_betas" in changed:
            changed["trained_betas"] = "numpy.linspace(1e-4, 2e-2, 1000)"
        index.append({**case, "config": changed, **spans})
    np.savez_compressed(
        folder / "samplers.npz", **{key: np.concatenate(values) for key, values in arrays.items()}
    )
    lines = ",\n".join(json.dumps(row) for row in index)
    text = f'{{"base": {json.dumps(SD)},\n"shape": {list(SHAPE)},\n"cases": [\n{lines}\n]}}\n'
    (folder / "samplers.json").write_text(text)


def make_grid(folder: Path) -> None:
    """Of each class, three combinations of the parity grid for each number of steps: of every sample four values.

    Only those that are equal: what tools/parity explains by rounding has nothing to say to another machine.
    """
    labels, timesteps, samples = [], [], []
    for class_name in SPACES:
        kept: Counter[int] = Counter()
        for case in cases_of(class_name):
            if sum(kept.values()) == 3 * len(COUNTS):
                break
            if kept[case.count] == 3:
                continue
            comparison = Comparison(case)
            try:
                result = comparison.diffusers
            except InvalidError:
                continue
            if judge(comparison, wide=False) != EQUAL or not np.abs(result.samples[-1]).max():
                continue
            kept[case.count] += 1
            labels.append(case.label())
            timesteps.append(result.timesteps)
            samples += [np.append(x[0, 0, 0], np.abs(x).max()) for x in result.samples]
    np.savez_compressed(
        folder / "grid.npz",
        labels=np.array("\n".join(labels)),
        lengths=[len(values) for values in timesteps],
        timesteps=np.concatenate(timesteps),
        samples=np.stack(samples),
    )


def make_noise(folder: Path) -> None:
    """Successive calls from one generator, over all paths and both dtypes; of large draws every 257th value."""
    seeds = (0, 1, 42, 2**31, 2**32 + 1, 2**63 + 12345, 2**64 - 1, -1, -(2**63))
    calls = [
        ("randn", (1,)),
        ("randn", (5,)),
        ("rand", (3,)),
        ("randn", (16,)),
        ("randn", (3,)),
        ("randn", (2, 3, 7)),
        ("rand", (2, 17)),
        ("randn", (15,)),
        ("randn", (17,)),
        ("randn", (0,)),
        ("randn", (4, 4, 4)),
        ("randn", (1,)),
        ("rand", ()),
        ("randn", (1, 4, 64, 64)),
        ("randn", (2, 2)),
        ("randn", (31,)),
        ("randn", ()),
    ]
    arrays = {}
    for dtype in (torch.float32, torch.float64):
        for seed in seeds:
            generator = torch.Generator("cpu").manual_seed(seed)
            drawn = [
                getattr(torch, op)(shape, generator=generator, dtype=dtype).numpy().ravel()
                for op, shape in calls
            ]
            kept = [values[::257] if len(values) > 1000 else values for values in drawn]
            arrays[f"{str(dtype).removeprefix('torch.')}:{seed}"] = np.concatenate(kept)
    np.savez_compressed(folder / "noise.npz", calls=np.array(json.dumps(calls)), **arrays)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    folder.mkdir(parents=True, exist_ok=True)
    make_noise(folder)
    make_samplers(folder)
    make_grid(folder)
    for path in sorted(folder.iterdir()):
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
