"""`latentrt export`: a diffusers checkpoint becomes a standalone bundle, proven against torch."""

import contextlib
import importlib.metadata
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from latentrt.engine.interrupt import interruptible
from latentrt.errors import InputError, SettingError
from latentrt.files import TOKENIZER
from latentrt.models import layout
from latentrt.models.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    WEIGHTS_FILE,
    ComponentEntry,
    Manifest,
    hash_file,
    write_manifest,
)
from latentrt_export.bundle.source import FOLDERS, Source, open_source
from latentrt_export.bundle.staging import staged
from latentrt_export.bundle.writer import STORED, write_component
from latentrt_export.proof.parity import VECTORS_FILE, prove, trials

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
) -> Manifest:
    """Write the bundle of a checkpoint to the folder `out`; return its manifest.

    It is made in a folder beside `out` and renamed when it is whole and proven; when anything fails, or at Ctrl-C,
    nothing is left and `out` is as it was. What a killed export left is removed by the next one beside it.
    `overwrite` replaces the bundle that is there now, never a folder of another kind, nor what appears later.

    Args:
        model: the folder of a diffusers checkpoint, "demo", or `org/name` of the hub.
        out: the folder to write to.
        overwrite: see above.
        dtype: what weights are stored in. "fp16": rounded to float16. "fp32": float32, so that a checkpoint of fp32,
            bf16 or fp16 is kept exactly. What it cost is in the manifest (`Rounding`).
        progress: is told what is being done.

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
    source = open_source(model)
    _check_place(target, source)
    stop = threading.Event()
    with staged(target, lambda target: _check_free(target, overwrite)) as bundle:
        try:
            return interruptible(lambda: _make(bundle, source, dtype, progress, stop))
        except KeyboardInterrupt:  # torch and ONNX Runtime are not waited for
            stop.set()
            raise


def _make(
    bundle: Path, source: Source, dtype: str, progress: Callable[[Progress], None], stop: threading.Event
) -> Manifest:
    def tell(message: str, fraction: float | None = None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        progress(Progress(message, fraction))

    for name, config in source.configs.items():  # what a config says wrong is said before anything is written
        trials(name, config, str(source.config_path(name)))
    _copy_rest(source, bundle)
    components = {}
    for name in FOLDERS:
        folder = bundle / name
        folder.mkdir()
        source.copy(source.config_path(name), folder / "config.json")
        tell(f"{name}: weights", 0.0)
        graphs = write_component(
            folder,
            name,
            source,
            dtype,
            lambda done, total, name=name: tell(f"{name}: weights", done / total),  # type: ignore[misc]
        )
        proof = prove(folder, name, source.configs[name], source.tensors(name), tell)
        components[name] = ComponentEntry(
            config=f"{name}/config.json",
            weights=f"{name}/{WEIGHTS_FILE}",
            vectors=f"{name}/{VECTORS_FILE}",
            graphs=graphs,
            parity=proof.parity,
            fp32_only=proof.fp32_only,
            reference=proof.reference,
            rounding=proof.rounding,
        )
    tell("hashes")
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source=source.name,
        versions=_versions(),
        components=components,
        files={path.relative_to(bundle).as_posix(): hash_file(path) for path in files},
    )
    write_manifest(bundle, manifest)
    return manifest


def _copy_rest(source: Source, bundle: Path) -> None:
    """Copy what is not weights, by its names: index, generation settings, scheduler, tokenizer."""
    for name in (layout.INDEX, layout.ADVICE, layout.SCHEDULER_CONFIG):
        (bundle / name).parent.mkdir(exist_ok=True)
        source.copy(source.root / name, bundle / name)
    folder = layout.TOKENIZER_FOLDERS[0]
    (bundle / folder).mkdir()
    for name in layout.TOKENIZER_FILES:
        source.copy(source.root / folder / name, bundle / folder / name, TOKENIZER)


def _versions() -> dict[str, str]:
    versions = {}
    for name in _VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _check_place(target: Path, source: Source) -> None:
    """Refuse what no folder can be renamed to, or should be."""
    if target.resolve().is_relative_to(source.root.resolve()):
        raise InputError(
            f"{target}: lies in the checkpoint itself; expected a folder outside of {source.root}"
        )
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
