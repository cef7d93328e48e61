"""Which files of a diffusers folder, or a bundle, are needed: what is read, and one set of each network's weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from latentrt.models import layout
from latentrt.models.kind import check_kind
from latentrt.models.manifest import MANIFEST_NAME
from latentrt.models.weight_files import WeightSet, shard_names, weight_sets

# What a pipeline is not run without, where its model_index.json names it.
_REQUIRED = (
    *layout.TEXT_ENCODERS,
    "unet",
    "vae",
    "scheduler",
    "low_res_scheduler",
    *layout.TOKENIZER_FOLDERS,
)
_SCHEDULERS = {"scheduler": layout.SCHEDULER_CONFIG, "low_res_scheduler": layout.LOW_RES_CONFIG}


class Needed:
    """Of all the files that there are, those that are needed.

    Args:
        where: for messages.
        names: of all files that there are.
        index: what its model_index.json says.

    Raises:
        ModelError: it is a model of another kind.
    """

    def __init__(self, where: str, names: Iterable[str], index: Mapping[str, Any]) -> None:
        self._names = set(names)
        folders = {PurePosixPath(name).parts[0] for name in self._names if "/" in name}
        check_kind(where, index, folders)
        networks = [name for name in layout.NETWORK_FOLDERS if name in folders]
        self._sets: dict[str, WeightSet] = {}
        for folder in networks:
            prefix = f"{folder}/"
            found = weight_sets(name.removeprefix(prefix) for name in self._names if name.startswith(prefix))
            if found:
                self._sets[folder] = found[0]
        self._required = [
            name
            for name in _REQUIRED
            if isinstance(entry := index.get(name), list) and any(p is not None for p in entry)
        ]
        if MANIFEST_NAME in self._names:
            self._required = [name for name in self._required if name != "vae"] + [
                "vae_encoder",
                "vae_decoder",
            ]

    @property
    def small(self) -> list[str]:
        """All but the weights, the indexes of shards among it."""
        known = {name for name in self._names if layout.is_known(name) or name == MANIFEST_NAME}
        for folder in layout.TOKENIZER_FOLDERS:
            if f"{folder}/tokenizer.json" in known:  # is read in place of these
                known -= {f"{folder}/vocab.json", f"{folder}/merges.txt"}
        return sorted(known | set(self.indexes))

    @property
    def indexes(self) -> list[str]:
        """The indexes of shards."""
        return [f"{folder}/{one.index}" for folder, one in self._sets.items() if one.index is not None]

    def weights(self, root: Path) -> list[str]:
        """All files of weights; where there are indexes, as these name them, which lie below `root` by now."""
        files = [f"{folder}/{name}" for folder, one in self._sets.items() for name in one.files]
        for index in self.indexes:
            files += [f"{PurePosixPath(index).parent}/{name}" for name in shard_names(root / index)]
        return files

    @property
    def lacking(self) -> list[str]:
        """What is needed and not there."""
        lacking = []
        for name in self._required:
            if name in _SCHEDULERS:
                needed = [_SCHEDULERS[name].as_posix()]
            elif name in layout.TOKENIZER_FOLDERS:
                whole = {f"{name}/vocab.json", f"{name}/merges.txt"} <= self._names
                needed = [] if whole else [f"{name}/tokenizer.json"]
            else:
                needed = [f"{name}/{layout.CONFIG}"]
                if name not in self._sets or self._sets[name].missing:
                    lacking.append(f"safetensors in {name}")
            lacking += [file for file in needed if file not in self._names]
        return lacking
