"""Find, read and check models on disk: a diffusers folder, a bundle of ours, or the included demo."""

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from latentrt.errors import GraphError, ModelError
from latentrt.files import read_json
from latentrt.fingerprint import find_graph, load_graph
from latentrt.graph import Graph
from latentrt.manifest import MANIFEST_NAME, Manifest, read_manifest
from latentrt.weights import Weights, find_weight_files

COMPONENTS = ("text_encoder", "unet", "vae_encoder", "vae_decoder")
_GRAPH_FILES = {"fp16": "model.onnx", "fp32": "model.fp32.onnx"}
# A diffusers folder holds both halves of the autoencoder in one.
_DIFFUSERS_FOLDERS = {"vae_encoder": "vae", "vae_decoder": "vae"}


@dataclass(frozen=True)
class Component:
    """One network of a model: where its config, weights and graphs are."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    in_bundle: bool
    fp32_only: bool = False

    @cached_property
    def weights(self) -> Weights:
        """The tensors of this component; headers are read once."""
        return Weights(find_weight_files(self.folder))

    @property
    def graph_name(self) -> str | None:
        """The graph that computes it: a file of the bundle, or a shipped one; None if its architecture is unknown."""
        if self.in_bundle:
            return _GRAPH_FILES["fp16"]
        return find_graph(self.name, self.config)

    def graph(self, dtype: str) -> Graph:
        """The graph for "fp16" or "fp32" compute.

        Raises:
            GraphError: the bundle lacks it, or no graph of this architecture is shipped.
        """
        if self.in_bundle:
            return Graph.open(self.folder / _GRAPH_FILES[dtype])
        name = self.graph_name
        if name is None:
            raise GraphError(
                f"{self.folder / 'config.json'}: no graph of this {self.name} architecture is included. "
                f"Make a bundle of the model with `latentrt export {self.folder.parent} BUNDLE` and run that."
            )
        return Graph(load_graph(name, dtype), f"{name}.{dtype}")


@dataclass(frozen=True)
class Model:
    """A model on disk. `defaults` are the generation settings that its maker advises, if it says any."""

    name: str
    root: Path
    index: Mapping[str, Any]
    components: Mapping[str, Component]
    scheduler_config: Mapping[str, Any]
    manifest: Manifest | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent, along each axis: one halving between each two blocks of the autoencoder."""
        return int(2 ** (len(self.components["vae_decoder"].config["block_out_channels"]) - 1))

    @property
    def default_size(self) -> int:
        """Width and height, in pixels, that the UNet was made for."""
        return int(self.components["unet"].config["sample_size"]) * self.vae_scale_factor


def open_model(model: str | Path) -> Model:
    """Open a model by its folder, or the included one by the name "demo".

    Raises:
        ModelError: there is no such folder, it is no model, or of a kind that is not supported.
    """
    root = _find(model)
    index_path = root / "model_index.json"
    manifest = read_manifest(root) if (root / MANIFEST_NAME).is_file() else None
    index = read_json(index_path)
    if manifest is None and (root / "unet" / "model.onnx").is_file():
        raise ModelError(
            f"{root}: an ONNX export without {MANIFEST_NAME}, so not a (whole) latentrt bundle. Run the diffusers "
            "folder that it was made from, or make a bundle with `latentrt export`."
        )
    components = {}
    for name in COMPONENTS:
        folder = root / (name if manifest is not None else _DIFFUSERS_FOLDERS.get(name, name))
        if not (folder / "config.json").is_file():
            pipeline = index.get("_class_name")
            raise ModelError(
                f"{root}: has no {folder.name}/config.json; expected the folders of Stable Diffusion 1.x"
                f" (text_encoder, unet, vae, tokenizer, scheduler); its pipeline is {pipeline}"
            )
        fp32_only = manifest is not None and manifest.components[name].fp32_only
        config = read_json(folder / "config.json")
        components[name] = Component(name, folder, config, manifest is not None, fp32_only)
    defaults_path = root / "generation_config.json"
    return Model(
        name="demo" if model == "demo" else root.resolve().name,
        root=root,
        index=index,
        components=components,
        scheduler_config=read_json(root / "scheduler" / "scheduler_config.json"),
        manifest=manifest,
        defaults=read_json(defaults_path) if defaults_path.is_file() else {},
    )


def _find(model: str | Path) -> Path:
    if model == "demo":
        return Path(str(importlib.resources.files("latentrt"))) / "models" / "demo"
    root = Path(model).expanduser()
    if root.is_file():
        raise ModelError(
            f"{root}: is a file. Expected the folder of a diffusers checkpoint (with model_index.json) or a bundle; "
            "a single-file checkpoint is converted by diffusers' `from_single_file(...).save_pretrained(folder)`."
        )
    if not root.is_dir():
        raise ModelError(
            f"{model}: no such model. Expected `demo`, or the folder of a diffusers checkpoint or of a bundle. "
            "A model of a hub is downloaded first (`hf download NAME --local-dir FOLDER`)."
        )
    if not (root / "model_index.json").is_file():
        raise ModelError(
            f"{root}: is no model: it has no model_index.json. Expected a diffusers folder or a bundle."
        )
    return root
