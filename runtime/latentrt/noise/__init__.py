"""Gaussian noise as torch and torchsde draw it, and what ComfyUI and AUTOMATIC1111 make of seeds."""

from latentrt.noise.brownian import BrownianPath
from latentrt.noise.brownian_tree import BrownianTree
from latentrt.noise.from_batch import FromBatch
from latentrt.noise.motion import BrownianMotion
from latentrt.noise.philox import PhiloxGenerator
from latentrt.noise.reseeded import Reseeded
from latentrt.noise.seed_resize import SeedResize
from latentrt.noise.source import FloatArray, NoiseSource, PerImage
from latentrt.noise.torch_cpu import TorchGenerator
from latentrt.noise.variation import Variation

__all__ = [
    "BrownianMotion",
    "BrownianPath",
    "BrownianTree",
    "FloatArray",
    "FromBatch",
    "NoiseSource",
    "PerImage",
    "PhiloxGenerator",
    "Reseeded",
    "SeedResize",
    "TorchGenerator",
    "Variation",
]
