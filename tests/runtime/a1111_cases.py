"""What AUTOMATIC1111 computed with the included model: its cases, and their UNet asked again with what was recorded."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from latentrt import Hires
from latentrt.noise import NoiseSource, PerImage, PhiloxGenerator, TorchGenerator
from latentrt.schedule import Evaluation, Schedule
from latentrt.schedule.classes.common import chained
from latentrt.schedule.comfy import evaluated
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.ramps import sigma_to_timestep

# Of the included model: Stable Diffusion's betas, multiplied up in float64, rounded to float32 at the end, as there.
ALPHAS = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).astype(np.float32)
TABLE = np.sqrt((1 - ALPHAS) / ALPHAS)
VELOCITY = Prediction("v_prediction")

Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Case:
    """One picture, or a batch: what was asked for in the program's own words, and what came of it.

    Attributes:
        name: of the case.
        settings: the fields of the program's API.
        infotexts: what it wrote into each picture.
        seeds: of each picture.
        arrays: see the data's README.
        tolerance: how far the final latents may be off.
    """

    name: str
    settings: dict[str, Any]
    infotexts: list[str]
    seeds: list[int]
    arrays: dict[str, np.ndarray] = field(repr=False)
    tolerance: float

    def fresh(self, delta: int = 0) -> NoiseSource:
        """Where noise comes from after the first: a generator for each picture, which has drawn that.

        Args:
            delta: "eta noise seed delta": with one, the later noise is that of another seed from its beginning.
        """
        source = (
            PhiloxGenerator if self.settings["override_settings"]["randn_source"] == "NV" else TorchGenerator
        )
        rng = PerImage([source(seed + delta) for seed in self.seeds])
        if delta:
            return rng
        rng.randn(self.arrays["noise"].shape)
        return rng

    def conditionings(self, kind: str, evaluation: int) -> list[tuple[np.ndarray, float]]:
        """What holds in that evaluation, with its weight: of each part of AND, of `uncond` alone.

        Args:
            kind: `cond` or `uncond`; of a second pass `hires_cond`, `hires_uncond`.
            evaluation: counted from 0. The program switches after the evaluation of that number: one late.
        """
        parts: dict[str, list[tuple[int, float, np.ndarray]]] = {}
        for name, array in self.arrays.items():
            found = re.fullmatch(rf"{kind}(?:_(\d+))?_until_(\d+)(?:_weight_(.+))?", name)
            if found:
                part, until, weight = found.groups()
                parts.setdefault(part or "0", []).append((int(until), float(weight or 1), array))
        holding = []
        for _, choices in sorted(parts.items()):
            choices.sort(key=lambda choice: choice[0])
            held = next((choice for choice in choices if choice[0] >= evaluation), choices[-1])
            holding.append((held[2], held[1]))
        return holding


@cache
def _index(path: Path) -> dict[str, Any]:
    return {case["name"]: case for case in json.loads(path.read_text())["cases"]}


def names(index: Path) -> list[str]:
    return list(_index(index))


def read_case(index: Path, name: str) -> Case:
    entry = _index(index)[name]
    with np.load(index.parent / entry["arrays"]) as arrays:
        return Case(
            name,
            entry["settings"],
            entry["infotexts"],
            entry["seeds"],
            dict(arrays),
            entry["tolerance"]["latent_abs"],
        )


class Replay:
    """A denoiser of the recorded conditionings: velocity, guided as the program guides.

    Args:
        run: the UNet's `Runner.run`.
        case: whose conditionings are used.
        pass_of: `hires_` for those of a second pass.
        scale: of guidance; None: the case's.
        whole: ᾱ by which what the network says is read at the whole timestep below, as DDIM, PLMS and UniPC do there;
            None: it is read at σ.
        prediction: what the network is taken to predict.

    Attributes:
        timesteps: what the network was told, evaluation by evaluation.
    """

    def __init__(
        self,
        run: Run,
        case: Case,
        *,
        pass_of: str = "",
        scale: float | None = None,
        whole: np.ndarray | None = None,
        prediction: Prediction = VELOCITY,
    ) -> None:
        self._run, self._case, self._pass, self._whole = run, case, pass_of, whole
        self._prediction = prediction
        self._scale = case.settings["cfg_scale"] if scale is None else scale
        self.timesteps: list[float] = []

    def __call__(self, x: np.ndarray, at: Evaluation) -> np.ndarray:
        return self.apart(x, at)[0]

    def apart(self, x: np.ndarray, at: Evaluation) -> tuple[np.ndarray, np.ndarray]:
        """What is denoised with guidance, and by the negative prompt alone."""
        evaluation = len(self.timesteps)
        self.timesteps.append(at.timestep)
        ((negative, _),) = self._case.conditionings(f"{self._pass}uncond", evaluation)
        without = self._denoised(x, at, negative)
        guided = without
        for prompt, weight in self._case.conditionings(f"{self._pass}cond", evaluation):
            guided = guided + weight * self._scale * (self._denoised(x, at, prompt) - without)
        return guided, without

    def _denoised(self, x: np.ndarray, at: Evaluation, conditioning: np.ndarray) -> np.ndarray:
        states = np.repeat(conditioning[None], len(x), axis=0)
        sample = VELOCITY.input(x, at.sigma).astype(np.float32)
        feeds = {"sample": sample, "timestep": np.float32(at.timestep), "encoder_hidden_states": states}
        output = self._run(feeds)["out_sample"]
        if self._whole is not None:
            # ε by the ᾱ of the whole timestep, x₀ by that of the fraction.
            alpha = float(self._whole[int(at.timestep)])
            noise = np.sqrt(alpha) * output + np.sqrt(1 - alpha) * sample
            return (x - at.sigma * noise).astype(np.float32)
        return self._prediction.denoised(output, x, at.sigma).astype(np.float32)


def timestep_of(sigma: float) -> float:
    """What the network is told of any sigma: linear in log σ, not rounded."""
    table = np.log(TABLE.astype(np.float64))
    return float(sigma_to_timestep(np.array([sigma]), table)[0])


def recorded_schedule(sigmas: np.ndarray, class_name: str = "EulerDiscreteScheduler") -> Schedule:
    """Sigmas of a run and where it ends, laid out for a class's solver; begun with noise times the first."""
    asked_at = evaluated(sigmas.astype(np.float64), class_name)
    told = np.array([timestep_of(sigma) for sigma in asked_at[:-1].tolist()])
    order = 1 if len(asked_at) == len(sigmas) else 2
    made = chained(
        asked_at, told, count=len(sigmas) - 1, form="ve", initial_scale=float(sigmas[0]), order=order
    )
    return replace(made, timestep_of=timestep_of)


# What both have by other names.
SAME = {
    "s_churn": "s_churn",
    "s_noise": "s_noise",
    "rho": "rho",
    "always_discard_next_to_last_sigma": "discard_penultimate",
    "eta_noise_seed_delta": "eta_seed_delta",
    "s_min_uncond": "negative_until_sigma",
    "skip_early_cond": "skip_early_guidance",
    "img2img_fix_steps": "exact_steps",
    "initial_noise_multiplier": "noise_multiplier",
    "pad_cond_uncond": "pad_prompts",
}

# What `inpainting_fill` counts.
CONTENTS = ("fill", "original", "latent_noise", "latent_nothing")


def hires_asked(s: Mapping[str, Any]) -> Hires:
    """The second pass of a case's settings."""
    return Hires(
        s["hr_scale"],
        strength=s["denoising_strength"],
        upscaler=s["hr_upscaler"],
        sampler=s.get("hr_sampler_name"),
        schedule=s.get("hr_scheduler"),
        prompt=s.get("hr_prompt"),
        negative_prompt=s.get("hr_negative_prompt"),
    )


def asked(case: Case) -> dict[str, Any]:
    """The case's settings in our words; what we have none for is left out."""
    s = case.settings
    schedule = s.get("scheduler", "Automatic")
    own = {
        "negative_prompt": s["negative_prompt"],
        "width": s["width"],
        "height": s["height"],
        "num_inference_steps": s["steps"],
        "guidance_scale": s["cfg_scale"],
        "sampler": s["sampler_name"],
        "schedule": None if schedule == "Automatic" else schedule,
        "eta": s.get("eta"),
        "rng": s["override_settings"].get("randn_source", "NV").lower(),
        "seed": case.seeds,
    }
    if s.get("enable_hr"):
        own["hires"] = hires_asked(s)
    told = {**s, **s["override_settings"]}
    own |= {ours: told[theirs] for theirs, ours in SAME.items() if theirs in told}
    own["zero_snr"] = told.get("sd_noise_schedule") == "Zero Terminal SNR"
    if told.get("uni_pc_variant") == "bh2":
        own["sampler"] = "unipc_bh2"
    if "CLIP_stop_at_last_layers" in told:
        own["clip_skip"] = told["CLIP_stop_at_last_layers"] - 1
    if "seed_resize_from_w" in s:
        own["seed_resize"] = (s["seed_resize_from_w"], s["seed_resize_from_h"])
    own["like"] = "forge" if told.get("enable_quantization") else "a1111"
    if "mask" in s:
        own |= {
            "mask_blur": s["mask_blur"],
            "masked_content": CONTENTS[s["inpainting_fill"]],
            "padding_mask_crop": s["inpaint_full_res_padding"] if s["inpaint_full_res"] else None,
            "strength": s["denoising_strength"],
        }
    if s.get("subseed_strength"):
        varied = [s["subseed"] + index for index in range(len(case.seeds))]
        own |= {
            "seed": [s["seed"]] * len(case.seeds),
            "variation_seed": varied,
            "variation_strength": s["subseed_strength"],
        }
    return own
