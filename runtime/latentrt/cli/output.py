"""Where results go: names for one picture or many, checked before the minutes of computing."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from latentrt.claim import claim_file, draft, naming, put_new, sweep
from latentrt.errors import InputError
from latentrt.pictures.names import PLACEHOLDER, filled

if TYPE_CHECKING:
    from PIL.Image import Image

# Of 255 on most file systems: the file is written under a longer name first (`claim.py`), and may get a number.
_MAX_NAME_BYTES = 220


class Save(Protocol):
    """Writes the next picture and tells where.

    Raises:
        ImageError: the picture cannot be encoded.
        OSError: it cannot be written; names the path.
    """

    def __call__(self, image: "Image", seed: int, parameters: str | None = None) -> Path:  # noqa: D102
        ...


@dataclass(frozen=True)
class Output:
    """Names of picture files.

    Attributes:
        folder: where they go.
        pattern: a file name with `{seed}` and `{index}`, which may say their width: `{index:05d}`.
        make_folder: make the folder, and those above it, when the first picture is there.
        exact: the user named this very file; it is replaced. Other names never replace a file: the numbers go on, and a
            name without a number gets one.
    """

    folder: Path
    pattern: str
    make_folder: bool = False
    exact: bool = False

    def check(self, size: tuple[int, int] | None = None, prompts: str = "") -> None:
        """Look whether pictures of this size, with these prompts, can be written under these names.

        Raises:
            InputError: an unknown suffix, a name that is too long, a picture that its format cannot hold, no such
                folder, or a folder in the file's place.
            OSError: the folder cannot be written.
        """
        from latentrt.pictures.images import check_writable, output_format

        file_format = output_format(Path(self.pattern))
        check_writable(file_format, size, prompts)
        if (length := len(os.fsencode(filled(self.pattern, 1, 2**64 - 1)))) > _MAX_NAME_BYTES:
            raise InputError(f"--out: expected a file name of at most {_MAX_NAME_BYTES} bytes, got {length}")
        check_folder(self.folder, self.make_folder)

    @contextlib.contextmanager
    def claimed(self) -> Iterator["Save"]:
        """Take the one file that the user named, so that nobody else writes it meanwhile; gives what writes pictures.

        What a killed process left in the folder goes.

        Raises:
            InputError: somebody is writing that file, or no file may take that name.
        """
        if not self.exact:
            sweep(self.folder)
            yield self._save_new
            return
        with claim_file(self.folder / self.pattern) as claim:

            def save(image: "Image", seed: int, parameters: str | None = None) -> Path:
                from latentrt.pictures.images import picture_file

                data = picture_file(image, claim.target, parameters)
                return claim.write(lambda file: file.write(data))

            yield save

    def save(self, image: "Image", seed: int, parameters: str | None = None) -> Path:
        """Write the next picture and tell where, as what `claimed` gives does.

        Raises:
            ImageError: the picture cannot be encoded.
            OSError: it cannot be written; names the path.
        """
        with self.claimed() as save:
            return save(image, seed, parameters)

    def _save_new(self, image: "Image", seed: int, parameters: str | None = None) -> Path:
        """Write under a name that nothing has, not even by then."""
        from latentrt.pictures.images import picture_file

        path = self.next_path(seed)
        data = picture_file(image, path, parameters)
        with naming(path), draft(path) as claim:
            with claim.open() as file:
                file.write(data)
            return put_new(claim, lambda: self.next_path(seed))

    def next_path(self, seed: int) -> Path:
        """A path for the next picture; makes the folder if need be."""
        if self.make_folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        if self.exact:
            return self.folder / self.pattern
        path = self.folder / filled(self.pattern, self._next_index(), seed)
        first, number = path, 2
        while os.path.lexists(path):  # a link to nowhere takes the name as well
            path = first.with_stem(f"{first.stem}-{number}")
            number += 1
        return path

    def _next_index(self) -> int:
        if "index" not in (match[1] for match in PLACEHOLDER.finditer(self.pattern)):
            return 1
        parts = PLACEHOLDER.split(self.pattern)  # text, name, width, text, …
        kinds = {"index": r"(?P<index>[0-9]{1,18})", "seed": "[0-9]+"}
        regex = re.escape(parts[0])
        for name, text in zip(parts[1::3], parts[3::3], strict=True):
            regex += kinds[name].replace(
                "?P<index>", "?:" if "<index>" in regex else "?P<index>"
            ) + re.escape(text)
        found = (re.fullmatch(regex, path.name) for path in self.folder.iterdir())
        return 1 + max((int(match["index"]) for match in found if match is not None), default=0)


def plan(out: str | None, count: int, default: str = "latentrt-{seed}.png") -> Output:
    """Understand `--out`: a file, a name with placeholders, a folder (there, or ending in `/`), or nothing.

    One file name for several pictures means `name-1.png`, `name-2.png`, ….
    """
    if out is None:
        return Output(Path(), default)
    path = Path(out)
    if out.endswith(("/", os.sep)) or path.is_dir():
        return Output(path, "{index:05d}-{seed}.png", make_folder=True)
    if PLACEHOLDER.search(path.name):
        return Output(path.parent, path.name)
    if count > 1:
        return Output(path.parent, f"{path.stem}-{{index}}{path.suffix}")
    return Output(path.parent, path.name, exact=True)


def check_folder(folder: Path, may_make: bool = False) -> None:
    """Look whether files can be made in a folder, or with `may_make` in the nearest one above it that exists.

    Raises:
        InputError: there is no such folder.
        OSError: it cannot be written.
    """
    while may_make and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder to write into")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write into this folder: {error.strerror}", str(folder)) from None
