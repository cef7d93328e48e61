"""Latent diffusion models on ONNX Runtime, without torch.

>>> import latentrt
>>> with latentrt.load("demo") as pipeline:
...     result = pipeline.txt2img("a large red heart on a blue background", seed=7)
>>> result.images[0].save("heart.png")
"""

import importlib
from typing import TYPE_CHECKING, Any

from latentrt._version import __version__
from latentrt.errors import (
    GraphError,
    ImageError,
    InputError,
    LatentrtError,
    ModelError,
    NumericsError,
    ProviderError,
    SettingError,
    WeightsError,
)

if TYPE_CHECKING:
    from latentrt.painting.generation import Generation, GenerationStep, Result
    from latentrt.painting.picture_settings import Img2ImgSettings, InpaintSettings
    from latentrt.painting.recall import recall
    from latentrt.painting.settings import Settings
    from latentrt.pictures.metadata import GenerationParameters
    from latentrt.pipeline import Pipeline, load
    from latentrt.text.conditioning import PromptTruncated

# What costs the import of numpy or ONNX Runtime is imported when it is first asked for.
_LAZY = {
    "Generation": "latentrt.painting.generation",
    "GenerationParameters": "latentrt.pictures.metadata",
    "GenerationStep": "latentrt.painting.generation",
    "Img2ImgSettings": "latentrt.painting.picture_settings",
    "InpaintSettings": "latentrt.painting.picture_settings",
    "Pipeline": "latentrt.pipeline",
    "PromptTruncated": "latentrt.text.conditioning",
    "Result": "latentrt.painting.generation",
    "Settings": "latentrt.painting.settings",
    "load": "latentrt.pipeline",
    "recall": "latentrt.painting.recall",
}

__all__ = [
    "Generation",
    "GenerationParameters",
    "GenerationStep",
    "GraphError",
    "ImageError",
    "Img2ImgSettings",
    "InpaintSettings",
    "InputError",
    "LatentrtError",
    "ModelError",
    "NumericsError",
    "Pipeline",
    "PromptTruncated",
    "ProviderError",
    "Result",
    "SettingError",
    "Settings",
    "WeightsError",
    "__version__",
    "load",
    "recall",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'latentrt' has no attribute {name!r}")
