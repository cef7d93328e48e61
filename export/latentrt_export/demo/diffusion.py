"""Training of the demo's denoiser on cached latents and frozen text states."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from latentrt.models.demo.drawing import render
from latentrt.models.demo.scenes import caption, sample

from . import stage
from .autoencoder import to_tensor
from .denoiser import alphas_cumprod, make_denoiser
from .optim import Average, check_gradients, make_optimisers, rate_at, set_rate, take_step
from .text import last_states

CHUNK = 256  # pictures that a process draws at a time
EMPTY_SHARE = 0.1  # of the samples are trained without their caption, for guidance


@dataclass(frozen=True)
class Cache:
    """Pictures as latents, with the states of their captions."""

    latents: Tensor  # float16 (n, 4, 16, 16), unscaled
    states: Tensor  # float16 (n, 32, 128)
    empty: Tensor  # float16 (32, 128): the states of the empty caption

    @property
    def scaling_factor(self) -> float:
        """What makes the latents' standard deviation 1."""
        return float(1 / self.latents.float().std())


def draw_chunk(seed: int, chunk: int, count: int) -> tuple[np.ndarray, list[str]]:
    """`count` training pictures, uint8 (count, 128, 128, 3), each with one caption."""
    rng = np.random.default_rng([seed, chunk])
    scenes = [sample(rng) for _ in range(count)]
    return np.stack([render(scene, rng) for scene in scenes]), [caption(scene, rng) for scene in scenes]


@torch.no_grad()
def make_cache(
    count: int,
    autoencoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    seed: int = 0,
    workers: int = 2,
) -> Cache:
    """Draw `count` training scenes in `workers` processes, each once with one caption, and encode both."""
    device = next(autoencoder.parameters()).device
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    latents, states = [], []
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        drawn = pool.map(draw_chunk, [seed] * len(sizes), range(len(sizes)), sizes)
        for n, (pictures, captions) in enumerate(drawn, start=1):
            for x in to_tensor(pictures).split(64):
                latents.append(autoencoder.encode(x.to(device)).latent_dist.mode().cpu().half())
            states.append(last_states(text_encoder, tokenizer, captions).half())
            if n % 10 == 0:
                print(f"cache  {n * CHUNK} of {count} pictures", file=sys.stderr, flush=True)
    empty = last_states(text_encoder, tokenizer, [""])[0].half()
    return Cache(torch.cat(latents), torch.cat(states), empty)


def save_cache(path: Path, cache: Cache) -> None:
    """Keep a cache beside the checkpoints."""
    stage.save(path, {"latents": cache.latents, "states": cache.states, "empty": cache.empty})


def load_cache(path: Path) -> Cache | None:
    """The cache, or None where there is none yet."""
    state = stage.load(path)
    return Cache(**state) if state else None


def training_timesteps(rng: np.random.Generator, batch: int) -> np.ndarray:
    """int64 (batch,): one from each of `batch` equal parts of 0…999, in random order."""
    return rng.permutation(((np.arange(batch) + rng.random(batch)) / batch * 1000).astype(np.int64))


def train(
    folder: Path, cache: Cache, budget: stage.Budget, *, batch: int = 32, seed: int = 0, dtype: str = "auto",
    compiled: bool = False, muon_lr: float = 0.01, every: int = 50,
) -> UNet2DConditionModel:  # fmt: skip
    """Train until the budget is spent, resuming from `folder`; returns the averaged model."""
    device = stage.pick_device()
    model = make_denoiser(seed).to(device, memory_format=torch.channels_last)
    # Plain matrix products: torch's fused attention is slow on a CPU for so few positions.
    model.set_attn_processor(AttnProcessor())
    optimisers = make_optimisers(model, muon_lr=muon_lr, adam_lr=2e-3, adam_names=("conv_in", "conv_out"))
    average = Average(model, 0.995)
    rng = np.random.default_rng(seed + 1)
    noise_rng = torch.Generator().manual_seed(seed + 2)
    checkpoint = stage.Checkpoint(folder / "denoiser.pt", model, optimisers, budget, rng, average)
    if state := checkpoint.resume():
        noise_rng.set_state(state["noise_rng"])

    if compiled:
        stage.compile_blocks(model)
    signal = torch.from_numpy(alphas_cumprod()).float()
    scale = cache.scaling_factor
    running = 0.0
    budget.start()
    while budget.fraction() < 1:
        set_rate(optimisers, rate_at(budget.fraction(), budget.done, hold=0.3))
        chosen = rng.integers(len(cache.latents), size=batch)
        x0 = cache.latents[chosen].float() * scale
        states = cache.states[chosen].float()
        states[torch.from_numpy(rng.random(batch) < EMPTY_SHARE)] = cache.empty.float()
        t = torch.from_numpy(training_timesteps(rng, batch))
        noise = torch.randn(x0.shape, generator=noise_rng)
        a, s = signal[t].sqrt().view(-1, 1, 1, 1), (1 - signal[t]).sqrt().view(-1, 1, 1, 1)
        velocity = a * noise - s * x0  # arXiv:2202.00512, appendix D
        x = (a * x0 + s * noise).to(device, memory_format=torch.channels_last)
        with stage.autocast(device, dtype):
            out = model(x, t.to(device), states.to(device)).sample
        loss = ((out.float() - velocity.to(device)) ** 2).mean()
        loss.backward()
        if budget.done < 2:
            check_gradients(model)
        take_step(optimisers)
        average.update(model)
        budget.tick(count_time=budget.done > 1 or not compiled)
        running += loss.item() / every
        if budget.done % every == 0:
            stage.progress("denoiser", budget, budget.done * batch, loss=running)
            running = 0.0
        if budget.done % (4 * every) == 0:
            checkpoint.save(noise_rng=noise_rng.get_state())
    checkpoint.save(noise_rng=noise_rng.get_state())
    model.load_state_dict(average.weights)
    return model
