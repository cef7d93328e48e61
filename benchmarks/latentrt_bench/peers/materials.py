"""What the peers read: the checkpoint with one scheduler for all, and the exports of it. Each whole or not at all.

A checkpoint in one file goes as it is to those who read it. Exporters want a diffusers folder, which is then written
of it; and diffusers wants configs beside it, which it has from a hub otherwise.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from latentrt.claim import Claim
from latentrt.errors import InputError
from latentrt.files import read_json
from latentrt.lock import Lock
from latentrt.models.bundle import open_model
from latentrt.models.model import Model
from latentrt.text.folder_writer import write_descriptions, write_folder
from latentrt_bench.peers import sd15
from latentrt_bench.peers.catalogue import Material
from latentrt_bench.peers.environment import Made, run_logged

SD15 = "sd15"
EXPORT_LIMIT_S = 3600.0
# Of the model's own scheduler, what its training fixes; the rest is the same for all.
TRAINED = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
# Euler over timesteps spread evenly from 999 to 0: what every peer has, stable-diffusion.cpp as its "discrete".
SCHEDULER: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.42.1",
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "linspace",
    "timestep_type": "discrete",
    "interpolation_type": "linear",
    "final_sigmas_type": "zero",
    "steps_offset": 0,
    "use_karras_sigmas": False,
}
FOLDERS = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae")


def default_folder() -> Path:
    """Where environments and materials are kept when nothing else is said: the user's cache."""
    return user_cache_path("latentrt", appauthor=False) / "peers"


def model_source(model: str, folder: Path, tell: Callable[[str], None]) -> Path:
    """The folder or file of a checkpoint: "sd15" is made below `folder`, "demo" is included, else a path.

    Raises:
        InputError: it is a bundle.
        ModelError: there is no such model.
    """
    if model == SD15:
        home = folder / f"sd15-random-{sd15.VERSION}"
        with _made_whole(home) as part:
            if part is not None:
                tell("write a checkpoint of Stable Diffusion 1.5's size, random weights, 2.1 GB")
                sd15.write_sd15(part)
        return home
    opened = open_model(model)
    if opened.manifest is not None:
        raise InputError(
            f"--model {model}: a bundle; expected the checkpoint that it was made from, which all peers can start from"
        )
    return opened.root


def make_checkpoint(source: Path, folder: Path) -> Path:
    """The diffusers folder that all read: links to the files of `source`, and the scheduler that all have.

    Of a checkpoint in one file, a folder that is written of it, as large as the file.

    Returns:
        The folder `…/checkpoint`, beside which its exports go.
    """
    if source.is_file():
        model = _rescheduled(source)
        return _written(source, folder, model, "checkpoint", lambda part: write_folder(model, part))
    files = [path for name in FOLDERS for path in sorted((source / name).rglob("*")) if path.is_file()]
    scheduler = _scheduler(read_json(source / "scheduler" / "scheduler_config.json"))
    home = _home(folder, files, scheduler) / "checkpoint"
    with _made_whole(home) as part:
        if part is not None:
            for path in files:
                _link(path, part / path.relative_to(source))
            index = read_json(source / "model_index.json")
            index["scheduler"] = ["diffusers", SCHEDULER["_class_name"]]
            index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
            (part / "model_index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
            (part / "scheduler").mkdir()
            (part / "scheduler" / "scheduler_config.json").write_text(
                json.dumps(scheduler, indent=1), encoding="utf-8"
            )
    return home


def make_descriptions(source: Path, folder: Path) -> Path:
    """A folder with all that a diffusers folder has but weights, of a checkpoint in one file."""
    model = _rescheduled(source)
    return _written(source, folder, model, "descriptions", lambda part: write_descriptions(model, part))


def _written(source: Path, folder: Path, model: Model, name: str, write: Callable[[Path], None]) -> Path:
    home = _home(folder, [source], model.scheduler_config) / name
    with _made_whole(home) as part:
        if part is not None:
            write(part)
    return home


def _rescheduled(source: Path) -> Model:
    """A checkpoint in one file, with the scheduler that all have; without advice, which is what is asked of all."""
    model = open_model(source)
    return replace(model, scheduler_config=_scheduler(model.scheduler_config), defaults={})


def _scheduler(own: Mapping[str, Any]) -> dict[str, Any]:
    return SCHEDULER | {key: value for key, value in own.items() if key in TRAINED}


def _home(folder: Path, files: list[Path], scheduler: Mapping[str, Any]) -> Path:
    """Where what is made of a checkpoint is kept: another folder where a file has changed."""
    identity = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = hashlib.sha256(repr((identity, scheduler)).encode()).hexdigest()[:12]
    return folder / f"model-{key}"


def make_material(name: str, material: Material, made: Made, checkpoint: Path) -> Path:
    """Export the checkpoint, or find the export beside it.

    Raises:
        PreparationError: the exporter failed.
    """
    words = name.replace(" ", "-")
    home = checkpoint.parent / f"{words}-{made.key}"
    with _made_whole(home) as part:
        if part is not None:
            part.rmdir()  # exporters make it
            filled = [word.format(model=checkpoint, out=part) for word in material.command]
            log = checkpoint.parent / f"{words}.log"
            log.unlink(missing_ok=True)
            run_logged([made.python, *filled], log, EXPORT_LIMIT_S, name)
    return home


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder of environments and exports, which would take what is half made for left over.

    Raises:
        InputError: another run is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = Lock(folder / ".lock")  # it goes with the process, however that ends
    except BlockingIOError:
        raise InputError(
            f"{folder}: in use by another `bench peers`; expected --envs with a folder of its own"
        ) from None
    try:
        yield
    finally:
        lock.drop()


@contextmanager
def _made_whole(home: Path) -> Iterator[Path | None]:
    """A folder to fill, which becomes `home` when the block ends; None where `home` is there already."""
    if home.is_dir():
        yield None
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    with Claim(home) as claim:
        claim.new.mkdir()
        yield claim.new
        claim.appear()


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source.resolve())
    except OSError:  # Windows without the right to make links
        shutil.copy2(source, target)
