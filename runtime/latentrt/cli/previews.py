"""Pictures of what is not finished: `--preview`, a file that is replaced or a folder that is filled step by step."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from latentrt.claim import Claim, claim_file
from latentrt.cli import arguments
from latentrt.cli.console import say
from latentrt.cli.output import Output, check_folder
from latentrt.errors import InputError

if TYPE_CHECKING:
    from latentrt.painting.generation import GenerationStep
    from latentrt.painting.preview import Preview
    from latentrt.painting.seeds import Seeds
    from latentrt.pipeline import Pipeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--preview, --preview-every, --taesd."""
    group = parser.add_argument_group("preview")
    group.add_argument(
        "--preview",
        metavar="PATH",
        help="show each step: a .png, .jpg or .webp file, replaced each time, or a folder/, where they stay",
    )
    group.add_argument(
        "--preview-every", type=arguments.natural, metavar="N", help="every N steps alone (default: 1)"
    )
    arguments.add_taesd(group)


class Previews:
    """Writes a step's pictures side by side, until it is closed.

    The one file that `--preview` names is replaced by each step; in a folder no file is.

    Args:
        args: of the command.
        decodes: the TAESD of `--taesd` decodes the pictures, too.

    Raises:
        InputError: an unknown suffix, no such folder, a file that somebody else is writing, or an option that does
            nothing without `--preview`.
    """

    def __init__(self, args: argparse.Namespace, decodes: bool = False) -> None:
        self._args = args
        self._preview: Preview | None = None
        self._claim: Claim | None = None
        if args.preview is None:
            for name in ("preview_every", "taesd"):
                if getattr(args, name) is not None and not (name == "taesd" and decodes):
                    or_decoder = ", or --fast decoder=taesd" if name == "taesd" else ""
                    raise InputError(
                        f"--{name.replace('_', '-')}: does nothing without --preview{or_decoder}"
                    )
            return
        from latentrt.pictures.images import output_format

        self._path = Path(args.preview)
        self._fills_folder = args.preview.endswith("/") or self._path.is_dir()
        if not self._fills_folder:
            output_format(self._path)
        check_folder(self._path if self._fills_folder else self._path.parent, may_make=self._fills_folder)
        if not self._fills_folder:
            self._claim = claim_file(self._path)

    def __enter__(self) -> "Previews":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._claim is not None:
            self._claim.release()

    def open(self, pipeline: "Pipeline") -> None:
        """Find what makes the pictures, and say which it is."""
        if self._args.preview is None:
            return
        from latentrt.painting.preview import make_preview

        self._preview = make_preview(pipeline.networks, self._args.taesd)
        if not self._args.quiet:
            say(f"previews by {self._preview.name} in {self._path}")

    def show(self, step: "GenerationStep", seeds: "Seeds") -> None:
        """Write this step's picture, if it is one of those asked for; the last step always is."""
        every = 1 if self._args.preview_every is None else self._args.preview_every
        if self._preview is None or ((step.index + 1) % every and step.index + 1 < step.total):
            return
        from latentrt.pictures.images import beside, picture_file

        picture = beside(self._preview(step.denoised))
        if self._claim is None:
            first = seeds.batches[0].seeds[0]
            Output(self._path, f"{{seed}}-{step.index + 1:03d}.png", make_folder=True).save(picture, first)
            return
        data = picture_file(picture, self._path)
        written = self._claim.write(lambda file: file.write(data))
        if (
            written != self._claim.target
        ):  # something has appeared there: the next steps go where this one went
            self._claim.release()
            self._claim = claim_file(written)


def say_tiles(pipeline: "Pipeline", width: int, height: int) -> None:
    """Say on stderr that a picture of this size goes through the autoencoder in tiles, if it does."""
    tiling = pipeline.autoencoder.tiling(height, width)
    if tiling is not None:
        side = tiling.size * pipeline.model.vae_scale_factor
        say(
            f"{width}x{height} goes through the autoencoder in tiles of {side} pixels; --tile off does without"
        )
