"""Models of the Hugging Face hub, by huggingface_hub: from its cache, and what is not there from the hub.

What is in the cache whole is taken as it is, and nobody is asked whether there is something newer. Only what is read of
a model is downloaded, and never pickles. HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and HF_ENDPOINT are heeded.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from latentrt._version import __version__
from latentrt.errors import ModelError
from latentrt.files import read_json
from latentrt.models import layout
from latentrt.models.hub_errors import explained
from latentrt.models.hub_names import SINGLE_FILE, HubName, snapshot_in
from latentrt.models.needed import Needed
from latentrt.models.voice import say, shows_bars

_SHOWN = 12  # names in a message
_ASKING_SECONDS = 20.0
_LARGE = 10_000_000  # bytes; the rest is there before a bar could tell


def fetch(named: HubName) -> Path:
    """The folder or file of a model of the hub, downloaded as far as it is not in the cache.

    Raises:
        ModelError: it is not in the cache, and cannot be had: what is wrong, and what to set.
    """
    cached = _cached(named)
    if cached is not None:
        return cached
    return _Download(named).run()


def _cached(named: HubName) -> Path | None:
    """What the cache has of a model, if that is all that is needed."""
    from huggingface_hub import constants

    repo = Path(constants.HF_HUB_CACHE) / f"models--{named.repo.replace('/', '--')}"
    root = snapshot_in(repo, named.revision or "main")
    if root is None:
        return None
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    if named.file is not None:
        return root / named.file if named.file in names else None
    if layout.INDEX in names:
        needed = Needed(named.repo, names, read_json(root / layout.INDEX))
        shards = () if needed.lacking else needed.weights(root)
        return root if shards and all(name in names for name in shards) else None
    files = _candidates(names)
    if constants.HF_HUB_OFFLINE and len(files) == 1:  # else the hub is asked whether there are others
        say(f"{named.repo}: {files[0]} is taken, the one checkpoint of it in the cache")
        return root / files[0]
    return None


class _Download:
    """One model on its way into the cache."""

    def __init__(self, named: HubName) -> None:
        from huggingface_hub import HfApi, constants

        self._named, self._constants = named, constants
        api = HfApi(library_name="latentrt", library_version=__version__)
        with explained(named):
            info = api.model_info(
                named.repo, revision=named.revision or "main", files_metadata=True, timeout=_ASKING_SECONDS
            )
        self._commit = info.sha
        self._sizes: dict[str, int] = {one.rfilename: one.size or 0 for one in info.siblings or ()}

    def run(self) -> Path:
        """Have it in the cache; gives its folder or file there."""
        if self._named.file is not None:
            return self._file(self._named.file)
        if layout.INDEX in self._sizes:
            return self._folder()
        return self._file(self._only())

    def _folder(self) -> Path:
        root = self._get(layout.INDEX).parent
        needed = Needed(self._named.repo, self._sizes, read_json(root / layout.INDEX))
        if needed.lacking:
            raise ModelError(
                f"{self._named.repo}: not all that is needed is there: it lacks {_few(needed.lacking)}. Pickled "
                "weights are never downloaded; take another revision, org/name@revision, or a copy with safetensors"
            )
        for name in needed.indexes:
            self._get(name)
        weights = needed.weights(root)
        if absent := [name for name in weights if name not in self._sizes]:
            raise ModelError(f"{self._named.repo}: its weights are not whole: it lacks {_few(absent)}")
        self._get_all([*needed.small, *weights])  # weights last: what has them has the rest
        return root

    def _file(self, name: str) -> Path:
        if name not in self._sizes:
            there = [other for other in self._sizes if other.endswith(SINGLE_FILE)]
            raise ModelError(f"{self._named.repo}: has no {name}; it has {_few(there) or 'no safetensors'}")
        yaml = str(PurePosixPath(name).with_suffix(".yaml"))  # may say how the model predicts
        return self._get_all([*([yaml] if yaml in self._sizes else []), name])[-1]

    def _only(self) -> str:
        """The one file that can be the model."""
        repo = self._named.repo
        files = _candidates(self._sizes)
        if not files:
            raise ModelError(
                f"{repo}: holds neither a {layout.INDEX} nor safetensors; it has {_few(self._sizes)}. Pickled "
                "weights are never downloaded"
            )
        if len(files) > 1:
            listed = (f"{repo}/{name} ({_size(self._sizes[name])})" for name in files)
            raise ModelError(
                f"{repo}: holds several files that may each be a model; give one of {_few(listed)}"
            )
        say(f"{repo}: its one checkpoint, {files[0]}, is taken")
        return files[0]

    def _get_all(self, names: list[str]) -> list[Path]:
        """Download what is not in the cache yet, having said how much that is."""
        missing = [name for name in names if not self._is_cached(name)]
        if missing:
            needed = sum(self._sizes[name] for name in missing)
            cache = Path(self._constants.HF_HUB_CACHE)
            say(
                f"{self._named.repo}: downloading {len(missing)} files, {_size(needed)}, from "
                f"{self._constants.ENDPOINT} into {cache}"
            )
            cache.mkdir(parents=True, exist_ok=True)
            if (free := shutil.disk_usage(cache).free) < needed:
                raise ModelError(
                    f"{self._named.repo}: needs {_size(needed)} in {cache}, where {_size(free)} are free; make room, "
                    "or set HF_HOME to another disk"
                )
        paths = [self._get(name) for name in names]
        if self._named.revision != self._commit:  # the cache notes what the name of the revision stands for
            self._get(names[0], self._named.revision or "main")
        return paths

    def _get(self, name: str, revision: str | None = None) -> Path:
        from huggingface_hub import hf_hub_download

        with explained(self._named), _bars(shows_bars() and self._sizes[name] >= _LARGE):
            path = hf_hub_download(
                self._named.repo,
                name,
                revision=revision or self._commit,
                library_name="latentrt",
                library_version=__version__,
            )
        return Path(path)

    def _is_cached(self, name: str) -> bool:
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(self._named.repo, name, revision=self._commit), str)


@contextmanager
def _bars(shown: bool) -> Iterator[None]:
    """huggingface_hub's bars, or none; where its own variable says something, that holds."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    switch = {True: enable_progress_bars, False: disable_progress_bars}
    before = not are_progress_bars_disabled()
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or before == shown:
        yield
        return
    switch[shown]()
    try:
        yield
    finally:
        switch[before]()


def _candidates(names: Iterable[str]) -> list[str]:
    """Files of a repository without a folder's index that may each be a model."""
    files = sorted(name for name in names if name.endswith(SINGLE_FILE))
    return [name for name in files if "/" not in name] or files


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    more = f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _size(count: int) -> str:
    """Bytes as people read them, in powers of ten."""
    if count < 1_000_000:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.0f} MB" if count < 1_000_000_000 else f"{count / 1e9:.2f} GB"
