"""A stand-in for the UNet, whose outputs tools/make_golden.py gives to diffusers and the tests to our samplers."""

import math

import numpy as np

from latentrt import samplers
from latentrt.schedule import Evaluation


def network(x: np.ndarray, timestep: float) -> np.ndarray:
    """Sums, products and quotients alone: the same bits on every machine."""
    return np.float32(0.4) * x + np.float32(0.5) * x / (1 + x * x) + np.float32(0.2 * (timestep / 1000 - 0.5))


def denoiser(prediction_type: str) -> samplers.Denoise:
    """The network's output turned into x₀, in sigma space."""

    def denoise(x: np.ndarray, at: Evaluation) -> np.ndarray:
        assert x.dtype == np.float32
        sigma, root = at.sigma, math.sqrt(1 + at.sigma * at.sigma)
        output = network(x / root, at.timestep)
        if prediction_type == "epsilon":
            return x - sigma * output
        if prediction_type == "v_prediction":
            return x / root**2 - (sigma / root) * output
        return output

    return denoise
