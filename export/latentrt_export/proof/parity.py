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

from latentrt.engine.verify import INPUT_PREFIX, OUTPUT_PREFIX, errors, plain_session, run_plain
from latentrt.errors import LatentrtError
from latentrt.models.manifest import GRAPH_FILES, RELATIVE_BOUNDS, WEIGHTS_FILE, Parity
from latentrt.models.weights import write_safetensors
from latentrt.networks import COMPUTES, Graph, build
from latentrt.networks.options import Options

Array = npt.NDArray[Any]

VECTORS_FILE = "verify.safetensors"
BATCHES = (1, 2)
MAX_FLOAT16 = float(np.finfo(np.float16).max)
_SEED = 20221215
_MAX_TIMESTEP = 999.0


class ParityError(LatentrtError):
    """A graph does not compute what torch computes."""


@dataclass(frozen=True)
class Proof:
    """What was measured of one component. `parity` is by "fp16" and "fp32"; `fp32_only`: it overflows in fp16."""

    parity: Mapping[str, Parity]
    fp32_only: bool


def prove(
    folder: Path,
    component: str,
    config: Mapping[str, Any],
    progress: Callable[[str], None] = lambda message: None,
) -> Proof:
    """Compare both graphs in `folder` with torch at two sizes and batch 1 and 2, and keep the first trial as vectors.

    torch runs first and is gone before ONNX Runtime begins, so that never both hold the weights.

    Raises:
        ParityError: an error exceeds `RELATIVE_BOUNDS` of the manifest, or the fp32 graph gives NaN or infinity.
    """
    # Seconds to import, and nothing else here needs torch.
    from latentrt_export.proof.reference import reference_outputs

    cases = trials(component, config)
    progress(f"{component}: torch")
    reference = reference_outputs(component, config, folder / WEIGHTS_FILE, cases)
    expected = reference.outputs
    gc.collect()
    for case, outputs in zip(cases, expected, strict=True):
        bad = [name for name, value in outputs.items() if not np.isfinite(value).all()]
        if bad:
            raise ParityError(
                f"{component}: torch itself gives NaN or infinity in {', '.join(bad)} for random inputs of shapes "
                f"{[value.shape for value in case.values()]}; the weights are not those of a working model"
            )
    parity = {}
    for compute in COMPUTES:
        progress(f"{component}: onnxruntime {compute}")
        parity[compute] = _measure(folder / GRAPH_FILES[compute], cases, expected)
    if reference.largest > MAX_FLOAT16:
        parity["fp16"] = Parity(None, None)
    proof = Proof(parity, fp32_only=parity["fp16"].relative is None)
    _check(component, proof)
    vectors = {f"{INPUT_PREFIX}{name}": np.asarray(value) for name, value in cases[0].items()}
    vectors |= {f"{OUTPUT_PREFIX}{name}": value for name, value in expected[0].items()}
    write_safetensors(folder / VECTORS_FILE, vectors)
    return proof


def trials(component: str, config: Mapping[str, Any]) -> list[dict[str, Array]]:
    """Random inputs: two sizes, each with batch 1 and 2, of the spread that the pipeline gives. The same at every call.

    Floats are float32 that float16 holds exactly, so that all computations start from the same numbers.
    """
    rng = np.random.default_rng(_SEED)
    graph = build(component, config)
    # What the pipeline divides latents by.
    scale = Options(f"{component}: config.json", config).real("scaling_factor", 0.18215)
    cases = []
    for size in (0, 1):
        for batch in BATCHES:
            cases.append(_trial(rng, component, graph, scale, size, batch))
    return cases


def _trial(
    rng: np.random.Generator, component: str, graph: Graph, scale: float, size: int, batch: int
) -> dict[str, Array]:
    def normal(*shape: int, std: float = 1.0) -> Array:
        return (rng.standard_normal(shape) * std).astype(np.float16).astype(np.float32)

    parameters = {parameter.name: parameter.shape for parameter in graph.parameters}
    if component == "text_encoder":
        positions, _ = parameters["text_model.embeddings.position_embedding.weight"]
        vocabulary, _ = parameters["text_model.embeddings.token_embedding.weight"]
        ids = rng.integers(0, vocabulary, (batch, (min(16, positions), positions)[size]))
        ids[:, -1] = vocabulary - 1  # the end of text, as every prompt has it
        return {"input_ids": ids}
    levels = 1 + max(
        int(level) for name in parameters for level in re.findall(r"(?:down|up)_blocks\.(\d+)", name)
    )
    # So many pixels at the coarsest level: oblong, then square. Small, since a check waits for it.
    rows, columns = ((1, 2), (2, 2))[size]
    h, w = rows * 2 ** (levels - 1), columns * 2 ** (levels - 1)
    finer = 4 if component == "vae_encoder" else 1
    sizes = {"batch": batch, "sequence": (77, 154)[size], "height": finer * h, "width": finer * w}
    shapes = {key: [int(sizes.get(str(d), d)) for d in value.shape] for key, value in graph.inputs.items()}
    if component == "unet":
        return {
            "sample": normal(*shapes["sample"]),
            "timestep": np.asarray(rng.uniform(0, _MAX_TIMESTEP), np.float32),
            "encoder_hidden_states": normal(*shapes["encoder_hidden_states"]),
        }
    if component == "vae_encoder":
        return {"sample": rng.uniform(-1, 1, shapes["sample"]).astype(np.float16).astype(np.float32)}
    return {"latent_sample": normal(*shapes["latent_sample"], std=1.0 / scale)}


def _measure(graph: Path, cases: list[dict[str, Array]], expected: list[dict[str, Array]]) -> Parity:
    session = plain_session(graph)
    max_abs = relative = 0.0
    for case, wanted in zip(cases, expected, strict=True):
        got = run_plain(session, case)
        for name, value in wanted.items():
            error = errors(got[name], value)
            max_abs, relative = max(max_abs, error[0]), max(relative, error[1])
    finite = np.isfinite(relative)
    return Parity(max_abs if finite else None, relative if finite else None)


def _check(component: str, proof: Proof) -> None:
    for compute, measured in proof.parity.items():
        bound = RELATIVE_BOUNDS[compute]
        if measured.relative is None and compute == "fp32":
            raise ParityError(f"{component}: the fp32 graph gives NaN or infinity where torch does not")
        if measured.relative is not None and measured.relative > bound:
            raise ParityError(
                f"{component}: the {compute} graph differs from torch by {measured.relative:.1e} (relative), more "
                f"than the {bound:.0e} allowed; largest absolute error {measured.max_abs:.1e}"
            )
