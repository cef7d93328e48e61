"""Latent diffusion models on ONNX Runtime, without torch.

>>> import latentrt
>>> with latentrt.load("demo") as pipeline:
...     result = pipeline.txt2img("a large red heart on a blue background", seed=7)
>>> result.images[0].save("heart.png")
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from latentrt import errors
from latentrt._version import __version__
from latentrt.errors import (
    GraphError,
    ImageError,
    InputError,
    LatentrtError,
    MemoryShortageError,
    ModelError,
    NumericsError,
    ProviderError,
    SettingError,
    TextError,
    WeightsError,
)

# ONNX Runtime writes a device's id and a queue of events into the user's cache, and sends them, unless it finds this
# when it is imported. Processes that are started from here inherit it. Whoever has set it, to whatever, is heeded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# huggingface_hub tells servers what else is installed, unless it finds this.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from latentrt import noise, preview, samplers, schedule
    from latentrt.engine.interrupt import Cancellation, Cancelled
    from latentrt.engine.prepared.folder import NotPrepared
    from latentrt.engine.runner import Overflowed
    from latentrt.painting.fast import Fast
    from latentrt.painting.generation import Generation, GenerationStep, Result
    from latentrt.painting.picture_settings import Img2ImgSettings, InpaintSettings, UpscaleSettings
    from latentrt.painting.preview import Preview
    from latentrt.painting.recall import NotHeeded, NotTold, recall
    from latentrt.painting.second_pass import Hires
    from latentrt.painting.settings import Settings
    from latentrt.pictures.images import read_parameters
    from latentrt.pictures.metadata import GenerationParameters
    from latentrt.pictures.writers import PictureText, read_text
    from latentrt.pipeline import Pipeline, load
    from latentrt.preview import make_preview
    from latentrt.text.encoder import PromptTruncated

# What costs the import of numpy or ONNX Runtime is imported when it is first asked for.
_LAZY = {
    "Cancellation": "latentrt.engine.interrupt",
    "Cancelled": "latentrt.engine.interrupt",
    "Fast": "latentrt.painting.fast",
    "Generation": "latentrt.painting.generation",
    "GenerationParameters": "latentrt.pictures.metadata",
    "GenerationStep": "latentrt.painting.generation",
    "Hires": "latentrt.painting.second_pass",
    "Img2ImgSettings": "latentrt.painting.picture_settings",
    "InpaintSettings": "latentrt.painting.picture_settings",
    "UpscaleSettings": "latentrt.painting.picture_settings",
    "NotHeeded": "latentrt.painting.recall",
    "NotPrepared": "latentrt.engine.prepared.folder",
    "NotTold": "latentrt.painting.recall",
    "Overflowed": "latentrt.engine.runner",
    "PictureText": "latentrt.pictures.writers",
    "Pipeline": "latentrt.pipeline",
    "Preview": "latentrt.painting.preview",
    "PromptTruncated": "latentrt.text.encoder",
    "Result": "latentrt.painting.generation",
    "Settings": "latentrt.painting.settings",
    "load": "latentrt.pipeline",
    "make_preview": "latentrt.preview",
    "read_parameters": "latentrt.pictures.images",
    "read_text": "latentrt.pictures.writers",
    "recall": "latentrt.painting.recall",
}
_LAZY_MODULES = {
    "noise": "latentrt.noise",
    "preview": "latentrt.preview",
    "samplers": "latentrt.samplers",
    "schedule": "latentrt.schedule",
}

# In the order in which the reference shows them.
__all__ = [  # noqa: RUF022
    "load",
    "Pipeline",
    "Settings",
    "Img2ImgSettings",
    "InpaintSettings",
    "UpscaleSettings",
    "Hires",
    "Fast",
    "read_parameters",
    "read_text",
    "recall",
    "Generation",
    "GenerationStep",
    "Result",
    "GenerationParameters",
    "PictureText",
    "Preview",
    "make_preview",
    "PromptTruncated",
    "NotHeeded",
    "NotTold",
    "Overflowed",
    "NotPrepared",
    "Cancellation",
    "Cancelled",
    "LatentrtError",
    "GraphError",
    "ImageError",
    "InputError",
    "ModelError",
    "NumericsError",
    "MemoryShortageError",
    "ProviderError",
    "SettingError",
    "TextError",
    "WeightsError",
    "errors",
    "noise",
    "preview",
    "samplers",
    "schedule",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        value = importlib.import_module(_LAZY_MODULES[name])
    elif name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"module 'latentrt' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
