"""A whole model without torch: the demo's configuration with random weights in the shapes that its graphs name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from random_weights import random_weights

from latentrt.models.bundle import open_model
from latentrt.models.weights import write_safetensors
from latentrt.networks import Variant


@pytest.fixture(scope="session")
def random_model(tmp_path_factory) -> Path:
    demo = open_model("demo")
    root = tmp_path_factory.mktemp("random") / "random-model"
    ignore = shutil.ignore_patterns("*.safetensors", "*.md", "generation_config.json")
    shutil.copytree(demo.root, root, ignore=ignore)
    rng = np.random.default_rng(0)
    tensors: dict[str, dict] = {}
    for component in demo.components.values():
        graph = component.graph(Variant())
        tensors.setdefault(component.folder.name, {}).update(random_weights(rng, graph.parameters))
    for folder, weights in tensors.items():
        stem = "model" if folder == "text_encoder" else "diffusion_pytorch_model"
        write_safetensors(root / folder / f"{stem}.safetensors", weights)
    return root
