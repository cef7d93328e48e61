"""Bounds on what is denoised: `clip_sample` and dynamic thresholding, for models of pixels."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from latentrt.samplers.step import Clip, Latents

_MOST = float(np.finfo(np.float32).max)  # a wider bound bounds nothing, and latents hold no such number


def clip_of(options: Mapping[str, Any]) -> Clip | None:
    """Choose what a scheduler config asks for; thresholding wins where both are set, as in diffusers."""
    if options.get("thresholding"):
        ratio, ceiling = options["dynamic_thresholding_ratio"], min(options["sample_max_value"], _MOST)
        return partial(threshold, ratio=ratio, ceiling=ceiling)
    if options.get("clip_sample"):
        bound = min(options["clip_sample_range"], _MOST)
        return partial(np.clip, a_min=-bound, a_max=bound)
    return None


def threshold(denoised: Latents, *, ratio: float, ceiling: float) -> Latents:
    """Dynamic thresholding, arXiv:2205.11487 §2.3: clip each picture to its own quantile s, then divide by s.

    Args:
        denoised: (b, …).
        ratio: which quantile of the absolute values, in [0, 1].
        ceiling: s lies between 1 and this.
    """
    magnitudes = np.abs(denoised).reshape(len(denoised), -1)
    s = np.clip(np.quantile(magnitudes, ratio, axis=1), 1, ceiling).astype(denoised.dtype)
    s = s.reshape(-1, *[1] * (denoised.ndim - 1))
    return np.asarray(np.clip(denoised, -s, s) / s)
