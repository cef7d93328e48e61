"""A whole model without torch: the demo's configuration with random weights in the shapes that its graphs name."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from latentrt.bundle import open_model
from latentrt.fingerprint import load_graph
from latentrt.graph import Graph
from latentrt.weights import write_safetensors

# Lets the tests here import the modules beside them: pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))


def random_weights(rng, parameters):
    """Norms at one, biases at zero, all else scaled by its fan-in, so that activations neither die nor explode."""
    tensors = {}
    for parameter in parameters:
        shape = parameter.shape
        if len(shape) > 1:
            values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        else:
            values = np.ones(shape) if parameter.name.endswith("weight") else np.zeros(shape)
        tensors[parameter.name] = values.astype(np.float32)
    return tensors


@pytest.fixture(scope="session")
def random_model(tmp_path_factory) -> Path:
    demo = open_model("demo")
    root = tmp_path_factory.mktemp("random") / "random-model"
    ignore = shutil.ignore_patterns("*.safetensors", "*.md", "generation_config.json")
    shutil.copytree(demo.root, root, ignore=ignore)
    rng = np.random.default_rng(0)
    tensors: dict[str, dict] = {}
    for name, component in demo.components.items():
        graph = Graph(load_graph(component.graph_name, "fp32"), name)
        tensors.setdefault(component.folder.name, {}).update(random_weights(rng, graph.parameters))
    for folder, weights in tensors.items():
        stem = "model" if folder == "text_encoder" else "diffusion_pytorch_model"
        write_safetensors(root / folder / f"{stem}.safetensors", weights)
    return root
