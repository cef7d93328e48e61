"""`latentrt.json`, the table of contents of a bundle: what it was made from, its files, and how exact it is.

It is written last, so that a folder that holds one is a whole bundle. All paths in it are relative to the bundle,
with forward slashes, and may not lead out of it.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latentrt.errors import ModelError
from latentrt.files import atomic_write, contained, open_regular, read_json
from latentrt.models.layout import TEXT_ENCODERS
from latentrt.networks import COMPUTES

MANIFEST_NAME = "latentrt.json"
WEIGHTS_FILE = "model.safetensors"  # of a component
FORMAT_VERSION = 1
COMPONENTS = ("unet", "vae_encoder", "vae_decoder")  # that every bundle has, beside its text encoders
INT8_WEIGHTS_FILE = "model.int8.safetensors"  # of a component that has a graph in 8-bit integers
# Of a component, by compute.
GRAPH_FILES = {"fp16": "model.onnx", "fp32": "model.fp32.onnx", "int8": "model.int8.onnx"}
# ‖ours − torch's‖ / ‖torch's‖ that a graph may have; docs/export.md has what is measured.
# In int8 it is no bound of rounding but of sense: what a graph that is right has with random inputs lies far below.
RELATIVE_BOUNDS: Mapping[str, float] = {"fp32": 3e-5, "fp16": 2e-2, "int8": 0.2}
# What a component may have besides the graphs that every one has.
OPTIONAL = ("int8",)
REFERENCES = (
    "float32",
    "float64",
)  # what torch computes in: the second decides where a graph and the first disagree
_CHUNK = 1 << 22


@dataclass(frozen=True)
class ValueInfo:
    """An input or output of a graph. A dimension is a number or the name of a free one."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphEntry:
    """One graph of a component: its file and its interface."""

    file: str
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]


@dataclass(frozen=True)
class Parity:
    """The largest errors against torch over all trials and outputs; None where the graph gave NaN or infinity."""

    max_abs: float | None
    relative: float | None


@dataclass(frozen=True)
class Rounding:
    """What it cost that a component's weights are stored in another type than the checkpoint's; zeros where nothing.

    Attributes:
        read: the checkpoint's types, and `stored` the bundle's, as safetensors names them: ("BF16",) and "F16".
        weights: how far the stored weights are from the checkpoint's, all of them together.
        outputs: how far torch's float32 outputs from the one are from those from the other, the worst of all trials.
    """

    read: tuple[str, ...]
    stored: str
    weights: Parity
    outputs: Parity


@dataclass(frozen=True)
class ComponentEntry:
    """One network.

    Attributes:
        graphs, parity: by "fp16" and "fp32"; by "int8" where that was asked for.
        fp32_only: it overflows in fp16, as measured or as its config says.
        reference: what torch computed in where `parity` was measured: "float32", or "float64" where a graph and float32
            torch disagreed. Bundles of versions that did not say so have "float32".
        rounding: None in bundles of versions that did not measure it.
        int8_weights: the weights of the graph in 8-bit integers, where there is one.
    """

    config: str
    weights: str
    vectors: str
    graphs: Mapping[str, GraphEntry]
    parity: Mapping[str, Parity]
    fp32_only: bool
    reference: str = "float32"
    rounding: Rounding | None = None
    int8_weights: str | None = None

    @property
    def overflows(self) -> bool:
        """Whether it was seen to overflow in fp16, so that there is nothing to compare the fp16 graph with."""
        return self.fp32_only and ("fp16" not in self.parity or self.parity["fp16"].relative is None)


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256, in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """All of `latentrt.json`. `versions`: of the packages that made the bundle."""

    format_version: int
    source: str
    versions: Mapping[str, str]
    components: Mapping[str, ComponentEntry]
    files: Mapping[str, FileEntry]


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """Write `latentrt.json` into the bundle, whole or not at all."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_write(bundle / MANIFEST_NAME) as file:
        file.write(text.encode())


def read_manifest(bundle: Path) -> Manifest:
    """Read and validate `latentrt.json`.

    Raises:
        ModelError: absent, no JSON, of another format version, or an entry that does not hold what it should.
    """
    path = bundle / MANIFEST_NAME
    data = read_json(path)
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {version!r}; this latentrt reads {FORMAT_VERSION}. Make the bundle again with "
            "`latentrt export`, or install the latentrt that made it."
        )
    try:
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            source=_text(data["source"]),
            versions={_text(k): _text(v) for k, v in data["versions"].items()},
            components={_text(k): _component(v) for k, v in data["components"].items()},
            files={_text(k): _file(v) for k, v in data["files"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not a valid manifest: {type(error).__name__}: {error}") from error
    encoders = set(manifest.components) - set(COMPONENTS)
    if (
        not encoders
        or not encoders <= set(TEXT_ENCODERS)
        or len(manifest.components) != len(COMPONENTS) + len(encoders)
    ):
        raise ModelError(
            f"{path}: has the components {', '.join(manifest.components) or 'none'}; expected {', '.join(COMPONENTS)} "
            f"and one or both of {', '.join(TEXT_ENCODERS)}"
        )
    named = [*manifest.files]
    for component in manifest.components.values():
        named += [component.config, component.weights, component.vectors]
        named += [graph.file for graph in component.graphs.values()]
        named += [] if component.int8_weights is None else [component.int8_weights]
    for name in named:
        contained(bundle, name, "bundle")
        if name not in manifest.files:
            raise ModelError(f"{path}: names {name!r}, but lists no size and hash of it")
    return manifest


def hash_file(path: Path) -> FileEntry:
    """Size and SHA-256 of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(size, digest.hexdigest())


def _component(data: Any) -> ComponentEntry:
    known = (*COMPUTES, *OPTIONAL)
    graphs = {_one_of(known, k): _graph(v) for k, v in data["graphs"].items()}
    if not set(graphs) >= set(COMPUTES):
        raise ValueError(f"graphs are {sorted(graphs)}, expected {COMPUTES}")
    integers = data.get("int8_weights")
    if ("int8" in graphs) != (integers is not None):
        raise ValueError("int8_weights go with a graph in int8, and it with them")
    if not isinstance(data["fp32_only"], bool):
        raise ValueError("fp32_only is not true or false")
    return ComponentEntry(
        config=_text(data["config"]),
        weights=_text(data["weights"]),
        vectors=_text(data["vectors"]),
        graphs=graphs,
        parity={_one_of(known, k): _parity(v) for k, v in data["parity"].items()},
        fp32_only=data["fp32_only"],
        reference=_one_of(REFERENCES, data.get("reference", REFERENCES[0])),
        rounding=None if data.get("rounding") is None else _rounding(data["rounding"]),
        int8_weights=None if integers is None else _text(integers),
    )


def _parity(data: Any) -> Parity:
    return Parity(_error(data["max_abs"]), _error(data["relative"]))


def _rounding(data: Any) -> Rounding:
    return Rounding(
        read=tuple(_text(dtype) for dtype in data["read"]),
        stored=_text(data["stored"]),
        weights=_parity(data["weights"]),
        outputs=_parity(data["outputs"]),
    )


def _graph(data: Any) -> GraphEntry:
    return GraphEntry(
        _text(data["file"]),
        tuple(_value_info(value) for value in data["inputs"]),
        tuple(_value_info(value) for value in data["outputs"]),
    )


def _value_info(data: Any) -> ValueInfo:
    shape = tuple(data["shape"])
    if any(isinstance(dim, bool) or not isinstance(dim, int | str) for dim in shape):
        raise ValueError(f"shape {shape} of {data['name']}")
    return ValueInfo(_text(data["name"]), _text(data["dtype"]), shape)


def _file(data: Any) -> FileEntry:
    size, digest = data["size"], _text(data["sha256"])
    if isinstance(size, bool) or not isinstance(size, int) or size < 0 or len(digest) != 64:
        raise ValueError(f"size {size!r} with sha256 {digest!r}")
    return FileEntry(size, digest)


def _one_of(known: tuple[str, ...], value: Any) -> str:
    if value not in known:
        raise ValueError(f"{value!r} is none of {known}")
    return str(value)


def _error(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no error")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value
