"""Gaussian noise as torch draws it, on the CPU and on CUDA, and AUTOMATIC1111's variation seeds."""

from latentrt.noise.philox import PhiloxGenerator
from latentrt.noise.source import FloatArray, NoiseSource, PerImage
from latentrt.noise.torch_cpu import TorchGenerator
from latentrt.noise.variation import Variation

__all__ = ["FloatArray", "NoiseSource", "PerImage", "PhiloxGenerator", "TorchGenerator", "Variation"]
