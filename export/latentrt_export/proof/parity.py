"""Is a component that was written the same function as torch's? Both graphs, in plain ONNX Runtime on the CPU.

Whether it overflows in fp16 cannot be seen there alone: the CPU provider computes most of an fp16 graph in float32 and
drops the casts between, so that 1e6 passes from a convolution to the norm that takes it back. So torch's reference
is watched too: what exceeds float16's range there is infinite where fp16 is stored.
"""

import gc
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine.verify import INPUT_PREFIX, OUTPUT_PREFIX, plain_session, run_plain
from latentrt.models.component import Component
from latentrt.models.manifest import (
    GRAPH_FILES,
    OPTIONAL,
    REFERENCES,
    RELATIVE_BOUNDS,
    WEIGHTS_FILE,
    Parity,
    Rounding,
)
from latentrt.models.model import TEXT_ENCODERS, Model
from latentrt.models.safetensors import write_safetensors
from latentrt.networks import COMPUTES, Graph, Variant
from latentrt.painting.denoiser import embedded_guidance
from latentrt_export.bundle.source import Tensors
from latentrt_export.proof.norms import described, graph_norms
from latentrt_export.proof.rounding import ParityError, compare_weights, worst_errors

Array = npt.NDArray[Any]

VECTORS_FILE = "verify.safetensors"
BATCHES = (1, 2)
MAX_FLOAT16 = float(np.finfo(np.float16).max)
_SEED = 20221215
_MAX_TIMESTEP = 999.0
_MAX_TIME_ID = 1024  # pixels: of the sizes that SDXL was trained to be told
_MAX_GUIDANCE = 14.0  # that latent consistency models were trained to be told
_MOST_FINER = 128  # pixels of a trial's picture for each of its coarsest level, as far as more is not needed
_LEAST_SCALE = 1e-30  # latents of 10 divided by this are within float32's range


@dataclass(frozen=True)
class Proof:
    """What was measured of one component; see `latentrt.models.manifest.ComponentEntry`."""

    parity: Mapping[str, Parity]
    fp32_only: bool
    reference: str
    rounding: Rounding


def prove(
    folder: Path,
    component: Component,
    tensors: Tensors,
    sizes: Mapping[str, int] | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Proof:
    """Hold what was written in `folder` to the checkpoint, and keep the first trial as vectors.

    The weights are compared with the checkpoint's number by number, the norms of both graphs with those of torch's
    class, and what both compute with what torch computes, at two sizes and batch 1 and 2. torch computes in float32;
    where a graph differs from that by more than its bound, in float64 as well, and then that is what both graphs are
    held to: of two that disagree in float32, either may be the one that errs.
    Never do torch and ONNX Runtime hold weights at the same time.

    Args:
        folder: what was written.
        component: the checkpoint's.
        tensors: its weights.
        sizes: see `trials`.
        progress: is told what is being done.

    Raises:
        ParityError: the weights or the norms are not the checkpoint's, an error exceeds `RELATIVE_BOUNDS` of the
            manifest, or the fp32 graph gives NaN or infinity.
        ModelError: config.json holds something that no trial can be made from.
    """
    # Seconds to import, and nothing else here needs torch.
    from latentrt_export.proof.reference import reference_outputs

    weights, name = folder / WEIGHTS_FILE, component.name
    progress(f"{name}: compare weights")
    stored = compare_weights(name, weights, tensors)
    cases = trials(component, sizes)
    progress(f"{name}: torch")
    reference = reference_outputs(component, weights, cases)
    expected = reference.outputs
    _check_finite(name, cases, expected)
    for compute in COMPUTES:
        norms = graph_norms(folder / GRAPH_FILES[compute])
        if norms != reference.norms:
            raise ParityError(
                f"{name}: the {compute} graph has {described(norms - reference.norms)} where torch has "
                f"{described(reference.norms - norms)}"
            )
    cost = Parity(0.0, 0.0)
    if stored.weights.max_abs:
        progress(f"{name}: torch, with the weights before they were rounded")
        unrounded = reference_outputs(component, weights, cases, read=tensors.read).outputs
        cost = worst_errors(expected, unrounded)
    gc.collect()
    got = {}
    for compute in (*COMPUTES, *(one for one in OPTIONAL if (folder / GRAPH_FILES[one]).is_file())):
        progress(f"{name}: onnxruntime {compute}")
        session = plain_session(folder / GRAPH_FILES[compute])
        got[compute] = [run_plain(session, case) for case in cases]
        del session
    decides = REFERENCES[0]
    parity = {compute: worst_errors(outputs, expected) for compute, outputs in got.items()}
    if any(_exceeds(compute, measured) for compute, measured in parity.items()):
        progress(f"{name}: torch in float64")
        decides = REFERENCES[1]
        expected = reference_outputs(component, weights, cases, decides).outputs
        parity = {compute: worst_errors(outputs, expected) for compute, outputs in got.items()}
    if max(reference.largest, stored.largest) > MAX_FLOAT16:
        parity["fp16"] = Parity(None, None)
    rounding = Rounding(stored.read, stored.stored, stored.weights, cost)
    proof = Proof(parity, parity["fp16"].relative is None, decides, rounding)
    _check(name, proof)
    vectors = {f"{INPUT_PREFIX}{name}": np.asarray(value) for name, value in cases[0].items()}
    vectors |= {f"{OUTPUT_PREFIX}{name}": value.astype(np.float32) for name, value in expected[0].items()}
    write_safetensors(folder / VECTORS_FILE, vectors)
    return proof


def _check_finite(component: str, cases: list[dict[str, Array]], expected: list[dict[str, Array]]) -> None:
    for case, outputs in zip(cases, expected, strict=True):
        bad = [name for name, value in outputs.items() if not np.isfinite(value).all()]
        if bad:
            raise ParityError(
                f"{component}: torch itself gives NaN or infinity in {', '.join(bad)} for random inputs of shapes "
                f"{[value.shape for value in case.values()]}; the weights are not those of a working model"
            )


def told_sizes(model: Model) -> dict[str, int]:
    """Sizes that a UNet's graph leaves free and its model fixes: of the text in one row, and how many numbers."""
    return {"text_width": model.pooled_width, "time_ids": model.num_time_ids} if model.is_xl else {}


def trials(component: Component, sizes: Mapping[str, int] | None = None) -> list[dict[str, Array]]:
    """Random inputs: two sizes, each with batch 1 and 2, of the spread that the pipeline gives. The same at every call.

    Floats are float32 that float16 holds exactly, so that all computations start from the same numbers; where they
    exceed its range, float32.

    Args:
        component: the network.
        sizes: of free dimensions that its model fixes, see `told_sizes`.

    Raises:
        ModelError: a setting has no graph, or is one that latents cannot be divided by.
    """
    rng = np.random.default_rng(_SEED)
    graph = component.graph(Variant())
    # What the pipeline divides latents by.
    options = component.options
    scale = options.real("scaling_factor", 0.18215)
    if abs(scale) < _LEAST_SCALE:
        said = options.get("scaling_factor")
        raise options.unsupported("scaling_factor", said, "a number that latents can be divided by")
    cases = []
    for size in (0, 1):
        for batch in BATCHES:
            cases.append(_trial(rng, component.name, graph, scale, size, {"batch": batch, **(sizes or {})}))
    return cases


def _trial(
    rng: np.random.Generator, component: str, graph: Graph, scale: float, size: int, known: Mapping[str, int]
) -> dict[str, Array]:
    def normal(*shape: int, std: float = 1.0) -> Array:
        wide = (rng.standard_normal(shape) * std).astype(np.float32)
        with np.errstate(over="ignore"):
            half = wide.astype(np.float16)
        return half.astype(np.float32) if np.isfinite(half).all() else wide

    parameters = {parameter.name: parameter.shape for parameter in graph.parameters}
    if component in TEXT_ENCODERS:
        positions, _ = parameters["text_model.embeddings.position_embedding.weight"]
        vocabulary, _ = parameters["text_model.embeddings.token_embedding.weight"]
        ids = rng.integers(0, vocabulary, (known["batch"], (min(16, positions), positions)[size]))
        ids[:, -1] = vocabulary - 1  # the end of text, as every prompt has it
        return {"input_ids": ids}
    levels = 1 + max(
        int(level) for name in parameters for level in re.findall(r"(?:down|up)_blocks\.(\d+)", name)
    )
    # So many pixels at the coarsest level: oblong, then square. Small, since a check waits for it; and since ONNX
    # Runtime's norms sum in float32, which over a million pixels errs by 1e-4 (docs/export.md).
    rows, columns = ((1, 2), (2, 2))[size]
    finer = 2 ** (levels - 1)
    if component == "vae_encoder":
        finer *= max(1, min(4, _MOST_FINER // finer))
    if component == "vae_decoder":  # whose input is its coarsest level
        finer = min(finer, _MOST_FINER // finer or 1)
    sizes = {
        **known,
        "sequence": (77, 154)[size],
        "height": finer * rows,
        "width": finer * columns,
    }
    shapes = {key: [int(sizes.get(str(d), d)) for d in value.shape] for key, value in graph.inputs.items()}
    if component == "unet":
        # In this order, so that a seed's trials of a UNet without more ports stay what they were.
        made = {
            "sample": normal(*shapes["sample"]),
            "timestep": np.asarray(rng.uniform(0, _MAX_TIMESTEP), np.float32),
            "encoder_hidden_states": normal(*shapes["encoder_hidden_states"]),
        }
        if "text_embeds" in shapes:
            made["text_embeds"] = normal(*shapes["text_embeds"])
            made["time_ids"] = rng.integers(0, _MAX_TIME_ID, shapes["time_ids"]).astype(np.float32)
        if "timestep_cond" in shapes:
            rows, width = shapes["timestep_cond"]
            told = [embedded_guidance(rng.uniform(1, _MAX_GUIDANCE), width) for _ in range(rows)]
            made["timestep_cond"] = np.stack(told).astype(np.float16).astype(np.float32)
        if "class_labels" in shapes:
            rows, _ = parameters["class_embedding.weight"]
            made["class_labels"] = rng.integers(0, rows, shapes["class_labels"])
        return made
    if component == "vae_encoder":
        return {"sample": rng.uniform(-1, 1, shapes["sample"]).astype(np.float16).astype(np.float32)}
    return {"latent_sample": normal(*shapes["latent_sample"], std=1.0 / scale)}


def _exceeds(compute: str, measured: Parity) -> bool:
    return measured.relative is not None and measured.relative > RELATIVE_BOUNDS[compute]


def _check(component: str, proof: Proof) -> None:
    for compute, measured in proof.parity.items():
        if measured.relative is None and compute != "fp16":
            raise ParityError(f"{component}: the {compute} graph gives NaN or infinity where torch does not")
        if _exceeds(compute, measured):
            raise ParityError(
                f"{component}: the {compute} graph differs from torch in {proof.reference} by "
                f"{measured.relative:.1e} (relative), more than the {RELATIVE_BOUNDS[compute]:.0e} allowed; largest "
                f"absolute error {measured.max_abs:.1e}"
            )
