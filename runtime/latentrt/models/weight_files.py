"""Which files of a component's folder hold its weights: one, a variant, or shards with an index."""

from pathlib import Path

from latentrt.errors import WeightsError
from latentrt.files import contained, read_json

_PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})


def find_weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a component's folder.

    Full precision is taken before the `.fp16.` variant, one file before shards.

    Raises:
        WeightsError: there is none; a shard is missing or outside of the folder; or there are only pickle files.
    """
    for variant in ("", ".fp16"):
        for stem in ("diffusion_pytorch_model", "model"):
            single = folder / f"{stem}{variant}.safetensors"
            if single.is_file():
                return (single,)
            for index in (
                f"{stem}.safetensors.index{variant}.json",
                f"{stem}{variant}.safetensors.index.json",
            ):
                if (folder / index).is_file():
                    return _shards(folder, folder / index)
    found = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if pickles := [name for name in found if Path(name).suffix in _PICKLE_SUFFIXES]:
        raise WeightsError(
            f"{folder}: {pickles[0]} holds pickled weights, which can run code when read; refused. Expected "
            "safetensors: take the model's .safetensors files, or convert with `latentrt export`, which reads "
            "pickle with torch's weights_only."
        )
    raise WeightsError(
        f"{folder}: no weights. Expected diffusion_pytorch_model.safetensors or model.safetensors (or .fp16. "
        f"variants, or shards with an index); found {', '.join(found) if found else 'nothing'}."
    )


def _shards(folder: Path, index: Path) -> tuple[Path, ...]:
    weight_map = read_json(index, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: expected a `weight_map` of tensor names to files")
    files = []
    for name in sorted({str(value) for value in weight_map.values()}):
        file = contained(folder, name)
        if not file.is_file():
            raise WeightsError(
                f"{index}: names the shard {name}, which is not there; download the missing file"
            )
        files.append(file)
    return tuple(files)
