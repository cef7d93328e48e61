"""`latentrt export`: a checkpoint becomes a standalone bundle, proven against torch."""

import contextlib
import importlib.metadata
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from latentrt.engine.interrupt import interruptible
from latentrt.errors import InputError, SettingError
from latentrt.files import CONFIG as CONFIG_KIND
from latentrt.models.component import Component
from latentrt.models.copying import copy_own
from latentrt.models.layout import ADVICE, CONFIG, INDEX, LOW_RES_CONFIG, SCHEDULER_CONFIG
from latentrt.models.manifest import (
    FORMAT_VERSION,
    INT8_WEIGHTS_FILE,
    MANIFEST_NAME,
    WEIGHTS_FILE,
    ComponentEntry,
    Manifest,
    hash_file,
    write_manifest,
)
from latentrt.models.model import Model
from latentrt.models.replacing import NOTHING_ELSE, Replacements
from latentrt.text.folder_writer import network_config, write_beside, write_json, write_tokenizer
from latentrt_export.bundle.source import open_source, tensors_of
from latentrt_export.bundle.staging import staged
from latentrt_export.bundle.writer import STORED, write_component
from latentrt_export.proof.parity import VECTORS_FILE, prove, told_sizes, trials

_VERSIONS = ("latentrt", "torch", "diffusers", "transformers", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Progress:
    """What happens now, and how much of it is done, from 0 to 1; None where that is not known."""

    message: str
    fraction: float | None = None


def export_model(
    model: str | Path,
    out: str | Path,
    overwrite: bool = False,
    dtype: str = "fp16",
    progress: Callable[[Progress], None] = lambda progress: None,
    given: Replacements = NOTHING_ELSE,
    int8: bool = False,
) -> Manifest:
    """Write the bundle of a checkpoint to the folder `out`; return its manifest.

    It is made in a folder beside `out` and renamed when it is whole and proven; when anything fails, or at Ctrl-C,
    nothing is left and `out` is as it was. What a killed export left is removed by the next one beside it.
    `overwrite` replaces the bundle that is there now, never a folder of another kind, nor what appears later.

    Args:
        model: the folder of a diffusers checkpoint, a .safetensors file, "demo", or `org/name` of the hub.
        out: the folder to write to.
        overwrite: see above.
        dtype: what weights are stored in. "fp16": rounded to float16. "fp32": float32, so that a checkpoint of fp32,
            bf16 or fp16 is kept exactly. What it cost is in the manifest (`Rounding`).
        progress: is told what is being done.
        given: networks that count in place of the model's own, or that a single file lacks.
        int8: write UNet and VAE decoder in 8-bit integers besides, for ONNX Runtime on a CPU (docs/int8.md).

    Raises:
        InputError: `out` is taken, is being written by another process, or cannot be written.
        SettingError: there is no such `dtype`.
        ModelError: the checkpoint is not of a kind that can be exported, its weights are not whole, or one exceeds the
            range of `dtype`.
        ParityError: a graph differs from torch by more than is allowed.
        LatentrtError: the disk is full; or something has appeared at `out` meanwhile: the bundle stands beside it.
    """
    if dtype not in STORED:
        raise SettingError("dtype", expected=" or ".join(STORED), got=dtype)
    target = Path(out).expanduser()
    opened = open_source(model, given)
    _check_place(target, opened.root)
    stop = threading.Event()
    with staged(target, lambda target: _check_free(target, overwrite)) as bundle:
        try:
            return interruptible(lambda: _make(bundle, opened, dtype, progress, stop, int8))
        except KeyboardInterrupt:  # torch and ONNX Runtime are not waited for
            stop.set()
            raise


def _make(
    bundle: Path,
    model: Model,
    dtype: str,
    progress: Callable[[Progress], None],
    stop: threading.Event,
    int8: bool,
) -> Manifest:
    def tell(message: str, fraction: float | None = None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        progress(Progress(message, fraction))

    sizes = told_sizes(model)
    for component in model.components.values():  # what a config says wrong is said before anything is written
        trials(component, sizes)
    _write_beside(model, bundle)
    components = {}
    for name, component in model.components.items():
        folder = bundle / name
        folder.mkdir()
        if component.held is None:
            copy_own(_root_of(model, component), component.folder / CONFIG, folder / CONFIG, CONFIG_KIND)
        else:
            write_json(folder / CONFIG, network_config(component))
        tell(f"{name}: weights", 0.0)
        graphs = write_component(
            folder,
            component,
            dtype,
            lambda done, total, name=name: tell(f"{name}: weights", done / total),  # type: ignore[misc]
            in_int8=int8 and component.has_int8,
        )
        proof = prove(folder, component, tensors_of(component), sizes, tell)
        components[name] = ComponentEntry(
            config=f"{name}/{CONFIG}",
            weights=f"{name}/{WEIGHTS_FILE}",
            vectors=f"{name}/{VECTORS_FILE}",
            graphs=graphs,
            parity=proof.parity,
            fp32_only=proof.fp32_only or component.fp32_only,
            reference=proof.reference,
            rounding=proof.rounding,
            int8_weights=f"{name}/{INT8_WEIGHTS_FILE}" if "int8" in graphs else None,
        )
    tell("hashes")
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source=model.name,
        versions=_versions(),
        components=components,
        files={path.relative_to(bundle).as_posix(): hash_file(path) for path in files},
    )
    write_manifest(bundle, manifest)
    return manifest


def _write_beside(model: Model, bundle: Path) -> None:
    """Write what is not of a network: a folder's own files where it is taken as it is, else what counts in their place.

    Of a folder only what is known by name: whatever else lies in it, or links to, is nobody's business.
    """
    if model.contents is not None or model.entries:
        write_beside(model, bundle)
        return
    low_res = (LOW_RES_CONFIG,) * bool(model.low_res_config)
    for name in (INDEX, ADVICE, SCHEDULER_CONFIG, *low_res):
        copy_own(model.root, model.root / name, bundle / name, CONFIG_KIND)
    for encoder in model.text_encoders:
        write_tokenizer(model, encoder, bundle)


def _root_of(model: Model, component: Component) -> Path:
    """The folder that a network's files are to lie in: the model's, or its own where it was given beside the model."""
    return model.root if component.folder.is_relative_to(model.root) else component.folder


def _versions() -> dict[str, str]:
    versions = {}
    for name in _VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _check_place(target: Path, root: Path) -> None:
    """Refuse what no folder can be renamed to, or should be."""
    if target.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{target}: lies in the checkpoint itself; expected a folder outside of {root}")
    if target.is_dir() and (target.is_mount() or target.samefile(Path.cwd())):
        what = "a mount point" if target.is_mount() else "the current folder"
        raise InputError(f"{target}: is {what}, which cannot be replaced; expected a folder in it")


def _check_free(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        if not any(target.iterdir()):
            return
        if not (target / MANIFEST_NAME).is_file():
            raise InputError(
                f"{target}: is a folder with other files; expected a new or empty folder, or a bundle"
            )
        if not overwrite:
            raise InputError(f"{target}: holds a bundle; give --overwrite to replace it, or another folder")
    elif target.exists() or target.is_symlink():
        raise InputError(f"{target}: is a file; expected a folder, or a name that is not taken")
