"""Pictures of what is not finished: `--preview`, a file that is replaced or a folder that is filled step by step."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from latentrt.cli import arguments
from latentrt.cli.console import say
from latentrt.cli.output import check_folder
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
    group.add_argument(
        "--taesd",
        type=Path,
        metavar="FOLDER",
        help="decode previews with the TAESD there (default: the model's own folder taesd, else a linear map)",
    )


class Previews:
    """Writes a step's pictures side by side.

    Args:
        args: of the command.

    Raises:
        InputError: an unknown suffix, no such folder, or an option that does nothing without `--preview`.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._preview: Preview | None = None
        if args.preview is None:
            for name in ("preview_every", "taesd"):
                if getattr(args, name) is not None:
                    raise InputError(f"--{name.replace('_', '-')}: does nothing without --preview")
            return
        from latentrt.pictures.images import output_format

        self._path = Path(args.preview)
        self._fills_folder = args.preview.endswith("/") or self._path.is_dir()
        if not self._fills_folder:
            output_format(self._path)
        check_folder(self._path if self._fills_folder else self._path.parent, may_make=self._fills_folder)

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
        from latentrt.pictures.images import beside, save_image

        path = self._path
        if self._fills_folder:
            path.mkdir(parents=True, exist_ok=True)
            path = path / f"{seeds.batches[0].seeds[0]}-{step.index + 1:03d}.png"
        save_image(beside(self._preview(step.denoised)), path)


def say_tiles(pipeline: "Pipeline", width: int, height: int) -> None:
    """Say on stderr that a picture of this size goes through the autoencoder in tiles, if it does."""
    tiling = pipeline.autoencoder.tiling(height, width)
    if tiling is not None:
        side = tiling.size * pipeline.model.vae_scale_factor
        say(
            f"{width}x{height} goes through the autoencoder in tiles of {side} pixels; --tile off does without"
        )
