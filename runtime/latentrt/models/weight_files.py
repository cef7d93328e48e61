"""Which files of a component's folder hold its weights: one, a variant, or shards."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from latentrt.errors import ModelError, WeightsError
from latentrt.files import contained, open_regular, read_json
from latentrt.signatures import HEAD_BYTES, describe, is_pickle

# Full precision before what was rounded, the average of the training before its last step. Others come in between.
_FIRST, _LAST = ("", "fp16", "bf16"), ("non_ema",)
_STEM = r"(?P<stem>diffusion_pytorch_model|model)"
# diffusers and transformers write the variant here or there, by version.
_FILE = re.compile(rf"{_STEM}(?:\.(?P<variant>[\w-]+?))?\.safetensors")
_INDEX = re.compile(
    rf"{_STEM}(?:\.(?P<variant>[\w-]+?))?\.safetensors\.index(?:\.(?P<variant2>[\w-]+))?\.json"
)
_SHARD = re.compile(
    rf"{_STEM}(?:\.(?P<variant>[\w-]+?))?-(?P<number>\d{{5}})-of-(?P<count>\d{{5}})(?:\.(?P<variant2>[\w-]+))?\.safetensors"
)
_NOT_SAFETENSORS = (
    ".bin",
    ".ckpt",
    ".pt",
    ".pth",
    ".pkl",
    ".msgpack",
    ".h5",
    ".gguf",
    ".incomplete",
    ".part",
    ".aria2",
)


@dataclass(frozen=True)
class WeightSet:
    """All weights of a component, as one of the ways in which a folder may have them.

    Attributes:
        variant: "" of full precision, else what stands in the names: "fp16", "bf16", "non_ema", …
        stem: how the names begin.
        files: by name, those that are there; of an index none, as it names them.
        index: the file that names the shards; None where there is none.
        missing: shards that the names of others tell of.
    """

    variant: str
    stem: str
    files: tuple[str, ...]
    index: str | None = None
    missing: tuple[str, ...] = ()


def weight_sets(names: Iterable[str]) -> list[WeightSet]:
    """The sets of weights among the names of a folder's files; the first is the one to take."""
    found: list[WeightSet] = []
    shards: dict[tuple[str, str, str], list[str]] = {}
    for name in sorted(names):
        if match := _SHARD.fullmatch(name):
            variant = match["variant"] or match["variant2"] or ""
            shards.setdefault((variant, match["stem"], match["count"]), []).append(name)
        elif match := _FILE.fullmatch(name):
            found.append(WeightSet(match["variant"] or "", match["stem"], (name,)))
        elif match := _INDEX.fullmatch(name):
            variant = match["variant"] or match["variant2"] or ""
            found.append(WeightSet(variant, match["stem"], (), name))
    indexed = {(one.variant, one.stem) for one in found}
    for (variant, stem, count), files in shards.items():
        if (variant, stem) not in indexed:
            missing = (_numbered(files[0], number, count) for number in range(1, min(int(count), 9999) + 1))
            absent = tuple(name for name in missing if name not in files)
            found.append(WeightSet(variant, stem, tuple(files), missing=absent))
    return sorted(found, key=_rank)


def find_weights(folder: Path) -> tuple[tuple[Path, ...], str | None]:
    """The safetensors files of a component's folder, and what there is to tell of the choice.

    Full precision is taken before a variant, one file before shards.

    Raises:
        WeightsError: there is none; shards are missing or outside of the folder; or there is something else instead.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    sets = weight_sets(names)
    if not sets:
        raise _nothing(folder, names)
    chosen = sets[0]
    if chosen.missing:
        raise _missing(folder / chosen.files[0], "is one of several shards", chosen.missing)
    files = tuple(folder / name for name in chosen.files)
    return (files if chosen.index is None else shards_of(folder / chosen.index)), _told(sets)


def find_weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that `find_weights` takes."""
    return find_weights(folder)[0]


def shard_names(index: Path) -> list[str]:
    """The files that an index of shards names.

    Raises:
        WeightsError: it names none.
    """
    weight_map = read_json(index, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: expected a `weight_map` of tensor names to files")
    return sorted({str(value) for value in weight_map.values()})


def shards_of(index: Path) -> tuple[Path, ...]:
    """The files that an index of shards names, beside it.

    Raises:
        WeightsError: it names none, some are missing, or one lies outside of the folder.
    """
    files = [contained(index.parent, name) for name in shard_names(index)]
    missing = [file.name for file in files if not (file.exists() or file.is_symlink())]
    if missing:
        raise _missing(index, f"names {len(files)} shards", missing)
    return tuple(files)


def _rank(one: WeightSet) -> tuple[int, str, str, bool]:
    """Where a set stands among those of a folder."""
    later = len(_FIRST) + (one.variant in _LAST)
    place = _FIRST.index(one.variant) if one.variant in _FIRST else later
    return place, one.variant, one.stem, not one.files


def _numbered(name: str, number: int, count: str) -> str:
    """The name of another shard of the same set."""
    return re.sub(rf"-\d{{5}}-of-{count}", f"-{number:05}-of-{count}", name)


def _told(sets: list[WeightSet]) -> str | None:
    """What a reader of `info` would not expect of the choice."""
    taken = f"the .{sets[0].variant}. variant" if sets[0].variant else "full precision"
    others = sorted({f".{one.variant}." for one in sets if one.variant != sets[0].variant})
    if others:
        return f"{taken} is taken, not {', '.join(others)}, which is there too"
    return f"{taken}, there is no other" if sets[0].variant else None


def _missing(file: Path, what: str, missing: Iterable[str]) -> WeightsError:
    return WeightsError(
        f"{file}: {what}, of which some are missing: {', '.join(missing)}; download them into that folder"
    )


def _nothing(folder: Path, names: list[str]) -> WeightsError:
    """Why a folder has no weights."""
    for name in names:
        path = folder / name
        try:
            with open_regular(path) as file:
                head = file.read(HEAD_BYTES)
        except (ModelError, OSError):
            continue
        if is_pickle(head) or name.endswith(_NOT_SAFETENSORS):
            said = describe(path, head) or "is no safetensors file; take the model's .safetensors"
            return WeightsError(f"{path}: {said}")
    return WeightsError(
        f"{folder}: no weights. Expected diffusion_pytorch_model.safetensors or model.safetensors (or a variant, as "
        f".fp16., or shards); found {', '.join(names) if names else 'nothing'}."
    )
