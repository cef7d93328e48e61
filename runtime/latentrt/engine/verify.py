"""Is a bundle whole, and does it compute what it computed when it was made? Without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from latentrt.engine.interrupt import interruptible
from latentrt.engine.providers import open_session
from latentrt.engine.threads import threads_here
from latentrt.errors import ModelError
from latentrt.files import contained
from latentrt.models.manifest import MANIFEST_NAME, RELATIVE_BOUNDS, ComponentEntry, hash_file, read_manifest
from latentrt.models.weights import read_safetensors

Array = npt.NDArray[Any]

INPUT_PREFIX, OUTPUT_PREFIX = "input.", "output."  # of the names in verify.safetensors
_NUMPY_TYPES = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(int64)": np.int64}


@dataclass(frozen=True)
class Replay:
    """One graph run on its stored inputs. `relative` is the worst of its outputs'; infinite where it cannot be run."""

    component: str
    compute: str
    max_abs: float
    relative: float
    bound: float
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the graph ran and kept its bound."""
        return self.problem is None and self.relative <= self.bound


@dataclass(frozen=True)
class Report:
    """What was found. File names are relative to the bundle."""

    files: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[str, ...]
    replays: tuple[Replay, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.extra or self.changed) and all(replay.ok for replay in self.replays)


def verify_bundle(path: str | Path, progress: Callable[[str], None] = lambda message: None) -> Report:
    """Check the size and hash of every file, then replay the stored vectors of every component in both graphs.

    A component with a missing or changed file is not replayed. Hidden files are not looked at. `progress` is told what
    is being done.

    Raises:
        ModelError: there is no bundle, or its manifest is not valid.
    """
    bundle = Path(path)
    if not (bundle / MANIFEST_NAME).is_file():
        raise ModelError(
            f"{bundle}: is no bundle: it has no {MANIFEST_NAME}. Expected a folder that `latentrt export` made; "
            "what others exported to ONNX holds nothing to compare with."
        )
    manifest = read_manifest(bundle)
    missing, changed = [], []
    for name, entry in manifest.files.items():
        file = contained(bundle, name)
        progress(name)
        if not file.is_file():
            missing.append(name)
        elif file.stat().st_size != entry.size or hash_file(file) != entry:
            changed.append(name)
    known = {*manifest.files, MANIFEST_NAME}
    extra = sorted(name for name in _files(bundle) if name not in known)
    bad = {*missing, *changed}
    replays: list[Replay] = []
    for name, component in manifest.components.items():
        if bad.isdisjoint(_files_of(component)):
            replays += _replay(bundle, name, component, progress)
    return Report(len(manifest.files), tuple(missing), tuple(extra), tuple(changed), tuple(replays))


def plain_session(path: Path) -> ort.InferenceSession:
    """A session on the CPU provider that holds no more of the weights than the node that runs needs.

    Weights stay the mapped file's. Nothing is folded or fused, so that each is cast when its turn comes, and nodes run
    in the graph's order: ONNX Runtime's own would cast all weights first and hold them. So the graph is run as it
    stands, and the fp16 one rounds after every node. Slower than the runtime's session, and several times smaller.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.intra_op_num_threads = threads_here().number or 0
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_provider("CPUExecutionProvider", {})
    return open_session(str(path), options)


def run_plain(
    session: ort.InferenceSession, inputs: Mapping[str, Array], options: ort.RunOptions | None = None
) -> dict[str, Array]:
    """All outputs by name; the inputs are cast to what the graph takes. `options` can stop the run."""
    feeds = {}
    for value in session.get_inputs():
        feeds[value.name] = inputs[value.name].astype(_NUMPY_TYPES[value.type])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds, options), strict=True))


def errors(got: Array, expected: Array) -> tuple[float, float]:
    """(largest absolute, relative: ‖got − expected‖ / ‖expected‖) error in float64; infinite if not comparable."""
    if got.shape != expected.shape or not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return float("inf"), float("inf")
    wanted = expected.astype(np.float64)
    difference = got.astype(np.float64) - wanted
    norm = float(np.linalg.norm(wanted))
    error = float(np.linalg.norm(difference))
    return float(np.abs(difference).max(initial=0.0)), error / norm if norm > 0 else error


def _replay(
    bundle: Path, name: str, component: ComponentEntry, progress: Callable[[str], None]
) -> list[Replay]:
    vectors = read_safetensors(contained(bundle, component.vectors))
    inputs = {k.removeprefix(INPUT_PREFIX): v for k, v in vectors.items() if k.startswith(INPUT_PREFIX)}
    expected = {k.removeprefix(OUTPUT_PREFIX): v for k, v in vectors.items() if k.startswith(OUTPUT_PREFIX)}
    replays = []
    for compute, graph in component.graphs.items():
        if compute == "fp16" and component.overflows:
            continue
        progress(f"{name} {compute}")
        bound = RELATIVE_BOUNDS[compute]
        try:
            if not expected:
                raise ModelError(
                    f"{component.vectors}: holds no outputs (`{OUTPUT_PREFIX}…`) to compare with"
                )
            outputs = _run(contained(bundle, graph.file), inputs)
            worst = [errors(outputs[key], value) for key, value in expected.items()]
        # Whatever onnxruntime raises, by its message; a KeyError by what is not there.
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            replays.append(Replay(name, compute, float("inf"), float("inf"), bound, problem))
            continue
        max_abs, relative = max(e[0] for e in worst), max(e[1] for e in worst)
        replays.append(Replay(name, compute, max_abs, relative, bound))
    return replays


def _run(graph: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    options = ort.RunOptions()

    def cancel() -> None:
        options.terminate = True

    return interruptible(lambda: run_plain(plain_session(graph), inputs, options), cancel)


def _files_of(component: ComponentEntry) -> set[str]:
    return {
        component.config,
        component.weights,
        component.vectors,
        *([] if component.int8_weights is None else [component.int8_weights]),
        *(g.file for g in component.graphs.values()),
    }


def _files(bundle: Path) -> list[str]:
    """Every file below the bundle that is not hidden."""
    found = []
    for path in bundle.rglob("*"):
        relative = path.relative_to(bundle)
        if not path.is_dir() and not any(part.startswith(".") for part in relative.parts):
            found.append(relative.as_posix())
    return found
