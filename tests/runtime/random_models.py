"""The demo's configuration, changed at will, and random weights for whatever comes of it."""

import json
import shutil
from pathlib import Path

import numpy as np
from random_weights import random_weights

from latentrt.models.bundle import open_model
from latentrt.models.safetensors import write_safetensors
from latentrt.networks import Variant


def copy_configs(root: Path) -> None:
    """The demo without its weights and its maker's advice."""
    ignore = shutil.ignore_patterns("*.safetensors", "*.md", "generation_config.json")
    shutil.copytree(open_model("demo").root, root, ignore=ignore)


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def fill(root: Path) -> None:
    """Write random weights in the shapes that the model's graphs name."""
    rng = np.random.default_rng(0)
    tensors: dict[str, dict] = {}
    for component in open_model(root).components.values():
        graph = component.graph(Variant())
        tensors.setdefault(component.folder.name, {}).update(random_weights(rng, graph.parameters))
    for folder, weights in tensors.items():
        stem = "model" if folder.startswith("text_encoder") else "diffusion_pytorch_model"
        write_safetensors(root / folder / f"{stem}.safetensors", weights)
