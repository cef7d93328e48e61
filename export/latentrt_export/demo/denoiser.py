"""The demo's denoiser: a small UNet2DConditionModel, and the noise schedule of Stable Diffusion."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from .text import WIDTH

CONFIG = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (64, 128, 160),
    "layers_per_block": 1,
    # Attention at 8x8 and 4x4 only: at 16x16 it would double the cost of a training step.
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 4,  # heads, as in Stable Diffusion 1's configuration
    "norm_num_groups": 16,
}
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.42.1",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "timestep_spacing": "leading",
    "trained_betas": None,
}


def make_denoiser(seed: int = 0) -> UNet2DConditionModel:
    """An untrained denoiser of the demo's architecture."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(**CONFIG)


def alphas_cumprod() -> np.ndarray:
    """float64 (1000,): the share of signal power at every training timestep."""
    first, last, count = (SCHEDULER[key] for key in ("beta_start", "beta_end", "num_train_timesteps"))
    betas = np.linspace(first**0.5, last**0.5, count) ** 2  # scaled_linear
    return np.cumprod(1 - betas)
