"""Which kinds of models run here, by what `model_index.json` says."""

from collections.abc import Collection, Mapping
from typing import Any

from latentrt.errors import ModelError

# Pipelines whose networks are others, by how their class begins; and a folder that such a model has.
_UNSUPPORTED_PIPELINES = ("StableDiffusion3", "Flux")
_UNSUPPORTED_FOLDERS = ("transformer",)


def check_kind(where: str, index: Mapping[str, Any], folders: Collection[str]) -> None:
    """Refuse a model of another kind.

    Args:
        where: for messages.
        index: what its `model_index.json` says.
        folders: that it has.

    Raises:
        ModelError: it is one.
    """
    pipeline = str(index.get("_class_name"))
    other = [name for name in _UNSUPPORTED_FOLDERS if name in folders]
    if other or pipeline.startswith(_UNSUPPORTED_PIPELINES):
        described = f"{pipeline}, with a {other[0]}" if other else pipeline
        raise ModelError(
            f"{where}: is a model of another kind ({described}). Stable Diffusion 3 and Flux are not supported yet; "
            "expected a model of Stable Diffusion 1.x's, 2.x's or XL's kind (StableDiffusionPipeline, "
            "StableDiffusionXLPipeline)."
        )
