"""The demo's autoencoder: 128x128x3 pixels to 16x16x4 latents, trained on aligned 64x64 crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from latentrt.models.demo.drawing import render
from latentrt.models.demo.scenes import sample

from . import stage
from .optim import Average, check_gradients, make_optimisers, rate_at, set_rate, take_step

CROP = 64
KL_WEIGHT = 1e-4  # small: it only keeps the latents' scale in hand
CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (16, 32, 64, 64),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 8,
    "sample_size": 128,
    # Attention would meet four times as many positions in a whole picture as in the crops it is trained on.
    "mid_block_add_attention": False,
}


def make_autoencoder(seed: int = 0) -> AutoencoderKL:
    """An untrained autoencoder of the demo's architecture."""
    torch.manual_seed(seed)
    return AutoencoderKL(**CONFIG)


def picture_pool(count: int, seed: int) -> np.ndarray:
    """uint8 (count, 128, 128, 3) of training scenes."""
    rng = np.random.default_rng(seed)
    return np.stack([render(sample(rng), rng) for _ in range(count)])


def to_tensor(pictures: np.ndarray) -> Tensor:
    """uint8 (b, h, w, 3) to float32 (b, 3, h, w) in [-1, 1], channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(pictures: np.ndarray, decoded: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over all pictures together, after rounding to 8 bits."""
    levels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).cpu().numpy()
    return float(10 * np.log10(255**2 / np.mean((levels - pictures.astype(np.float32)) ** 2)))


@torch.no_grad()
def measure(model: AutoencoderKL, pictures: np.ndarray, batch: int = 16) -> float:
    """PSNR in dB of encode (the mode) and decode."""
    parts = torch.tensor_split(to_tensor(pictures), max(1, len(pictures) // batch))
    device = next(model.parameters()).device
    decoded = [model.decode(model.encode(x.to(device)).latent_dist.mode()).sample.cpu() for x in parts]
    return psnr(pictures, torch.cat(decoded))


def _crops(pool: np.ndarray, rng: np.random.Generator, batch: int) -> np.ndarray:
    # Corners at multiples of 8, so that a crop's latents lie where they lie in the whole picture.
    n = rng.integers(len(pool), size=batch)
    x, y = 8 * rng.integers((pool.shape[1] - CROP) // 8 + 1, size=(2, batch))
    return np.stack([pool[i, b : b + CROP, a : a + CROP] for i, a, b in zip(n, x, y, strict=True)])


def train(
    folder: Path, budget: stage.Budget, *, batch: int = 16, pool: int = 3000, seed: int = 0,
    dtype: str = "auto", compiled: bool = False, every: int = 100,
    polish: AutoencoderKL | None = None,
) -> AutoencoderKL:  # fmt: skip
    """Train until the budget is spent, resuming from `folder`; returns the averaged model.

    With `polish`, a trained autoencoder, only the decoder is trained further, on the squared error alone: the
    latents stay what they are, and so does a denoiser that was trained on them.
    """
    device = stage.pick_device()
    model = make_autoencoder(seed).to(device, memory_format=torch.channels_last)
    rate = 0.01
    if polish is not None:
        rate = 0.004
        model.load_state_dict(polish.state_dict())
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    optimisers = make_optimisers(
        model, muon_lr=rate, adam_lr=0.2 * rate, adam_names=("encoder.conv_in", "decoder.conv_out")
    )
    average = Average(model, 0.998)
    rng = np.random.default_rng(seed + 1)
    torch.manual_seed(seed + 2)
    path = folder / ("autoencoder.pt" if polish is None else "decoder.pt")
    checkpoint = stage.Checkpoint(path, model, optimisers, budget, rng, average)
    if state := checkpoint.resume():
        torch.set_rng_state(state["torch_rng"])

    def loss_of(x: Tensor) -> tuple[Tensor, Tensor]:
        posterior = model.encode(x).latent_dist
        error = model.decode(posterior.mean + posterior.std * torch.randn_like(posterior.mean)).sample - x
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        square = (error**2).mean()
        if polish is not None:
            return 4 * square, square
        return error.abs().mean() + 4 * square + KL_WEIGHT * kl, square

    if compiled:
        stage.compile_blocks(model)
    pictures = picture_pool(pool if budget.fraction() < 1 else 1, seed + (3 if polish is None else 4))
    budget.start()
    while budget.fraction() < 1:
        set_rate(optimisers, rate_at(budget.fraction(), budget.done))
        x = to_tensor(_crops(pictures, rng, batch)).to(device)
        with stage.autocast(device, dtype):
            loss, square = loss_of(x)
        loss.backward()
        if budget.done < 2:
            check_gradients(model)
        take_step(optimisers)
        average.update(model)
        budget.tick(count_time=budget.done > 1 or not compiled)  # compilation is no training time
        if budget.done % every == 0:
            figures = {"loss": loss.item(), "psnr": -10 * np.log10(square.item() / 4)}
            stage.progress("autoencoder", budget, budget.done * batch, **figures)
        if budget.done % (5 * every) == 0:
            checkpoint.save(torch_rng=torch.get_rng_state())
    checkpoint.save(torch_rng=torch.get_rng_state())
    model.load_state_dict(average.weights)
    return model
