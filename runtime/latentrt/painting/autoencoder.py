"""Pixels to latents and back. Pixels are float32 NCHW in [-1, 1]; latents are scaled as the UNet wants them.

Large pictures go through in tiles: a first pass measures what the network's norms see of the whole, a second one
computes with that (`moments.py`), so that tiles agree in colour; their overlaps are blended (`tiling.py`).
"""

import math
import warnings
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt import checks
from latentrt.engine.networks import Networks
from latentrt.engine.runner import Runner
from latentrt.errors import InputError, SettingError
from latentrt.networks import Options
from latentrt.networks.options import is_finite
from latentrt.networks.variant import Norms
from latentrt.noise import NoiseSource
from latentrt.painting.moments import combine
from latentrt.painting.tiling import MIN_TILE, Grid, Tiling

Array = npt.NDArray[Any]
Tile: TypeAlias = int | Literal["auto", "off"]

# In latents, among which attention is, whatever the pixels of each: 512 and 1024 x 1024 pixels of Stable Diffusion.
AUTO_TILE = 64  # the side of the tiles that "auto" takes,
AUTO_ABOVE = 128 * 128  # and the largest picture that it leaves whole

_LOGVAR_RANGE = (-30.0, 20.0)  # what the autoencoder is trained with: diffusers' DiagonalGaussianDistribution


class AlreadySampled(UserWarning):
    """A given encoder draws latents itself, so that no seed gives the same again; the message says which."""


class Autoencoder:
    """Both halves of the VAE; each call is a stage of its own.

    Args:
        networks: run them; their model gives `scaling_factor`, `shift_factor` and the number of latent channels.
        tile: how large pictures are cut where nothing else is said; see `tiling`.

    Raises:
        InputError: there is no such `tile`.
    """

    def __init__(self, networks: Networks, tile: Tile = "auto") -> None:
        model = networks.model
        component = model.components["vae_decoder"]
        self.scaling_factor = model.scaling_factor
        self.latent_channels = model.latent_channels
        self.shift_factor = component.options.real("shift_factor", 0.0)
        self._mean, self._std = _statistics(component.options, self.latent_channels)
        self.factor = model.vae_scale_factor
        self._networks = networks
        self._given = None if component.given is None else component.given.graph.file
        self.tile: Tile = tile
        self.tiling(self.factor, self.factor)  # refuses what is none

    def tiling(self, height: int, width: int, tile: Tile | None = None) -> Tiling | None:
        """How a picture of this size, in pixels, is cut; None where it goes through whole.

        Args:
            height: of the picture.
            width: likewise.
            tile: side of a tile in pixels, a multiple of the VAE's factor; "off"; or "auto", which cuts pictures of
                more than `AUTO_ABOVE` latents into tiles of `AUTO_TILE`, but none that a given graph decodes. None: as
                it was made.

        Raises:
            InputError: it is none of these.
        """
        tile = self.tile if tile is None else tile
        whole = height * width <= AUTO_ABOVE * self.factor**2
        if tile == "off" or (tile == "auto" and (whole or self._given is not None)):
            return None
        if self._given is not None:
            raise SettingError(
                "tile",
                f"expected auto or off, got {tile!r}: tiles take the whole picture's norms, which {self._given} has no "
                "inputs for; such a graph decodes pictures whole",
            )
        least = MIN_TILE * self.factor
        expected = f"auto, off or a multiple of {self.factor} from {least} pixels"
        try:
            size = checks.whole("tile", AUTO_TILE * self.factor if tile == "auto" else tile, least)
        except SettingError:
            raise SettingError("tile", expected=expected, got=tile) from None
        if size % self.factor:
            raise SettingError("tile", expected=expected, got=tile)
        return None if max(height, width) <= size else Tiling.of(size // self.factor)

    def encode(self, pixels: Array, tile: Tile | None = None) -> tuple[Array, Array | None]:
        """Mean and standard deviation of the latents of pixels, each (b, c, h/8, w/8), before scaling.

        An AutoencoderTiny gives latents, not a distribution: there is no deviation then.

        Args:
            pixels: (b, 3, h, w).
            tile: see `tiling`.

        Raises:
            InputError: not (b, 3, h, w), or a size that is no multiple of the VAE's factor.
        """
        if (
            pixels.ndim != 4
            or pixels.shape[1] != 3
            or any(size % self.factor or not size for size in pixels.shape[2:])
        ):
            raise InputError(
                f"pixels: expected (b, 3, h, w) with h, w multiples of {self.factor}, got {pixels.shape}"
            )
        tiling = self.tiling(pixels.shape[2], pixels.shape[3], tile)
        with self._networks.stage("vae_encoder") as runner:
            latent_parameters = self._run(
                runner, pixels, tiling, "sample", "latent_parameters", self.factor, 1
            )
        if latent_parameters.shape[1] == self.latent_channels and self._given is None:
            return latent_parameters, None
        if latent_parameters.shape[1] == self.latent_channels:
            warnings.warn(
                f"the encoder beside {self._given} draws its latents itself: what starts from a picture is another one "
                "with each run, whatever the seed",
                AlreadySampled,
                stacklevel=2,
            )
            return latent_parameters, np.zeros_like(latent_parameters)
        mean, logvar = np.split(latent_parameters, 2, axis=1)
        return mean, np.exp(0.5 * np.clip(logvar, *_LOGVAR_RANGE))

    def drawn(self, mean: Array, std: Array | None, rng: NoiseSource) -> Array:
        """Latents for the UNet, drawn from what `encode` gave; where there is no deviation, nothing is drawn."""
        return self.scaled(mean if std is None else mean + std * rng.randn(mean.shape))

    def scaled(self, latents: Array) -> Array:
        """Latents for the UNet: those of the encoder, such as its mean, shifted and scaled."""
        centred = latents - self.shift_factor - self._mean
        return (centred * self.scaling_factor / self._std).astype(np.float32, copy=False)

    def decode(self, latents: Array, tile: Tile | None = None) -> Array:
        """Pixels (b, 3, 8h, 8w) of latents (b, c, h, w), one picture at a time, which needs the least memory.

        Args:
            latents: (b, c, h, w).
            tile: see `tiling`.

        Raises:
            InputError: not of that shape, or not finite.
        """
        if latents.ndim != 4 or latents.shape[1] != self.latent_channels or 0 in latents.shape:
            raise InputError(f"latents: expected (b, {self.latent_channels}, h, w), got {latents.shape}")
        if not np.isfinite(latents).all():
            raise InputError("latents: expected finite values, got NaN or infinity")
        height, width = (size * self.factor for size in latents.shape[2:])
        tiling = self.tiling(height, width, tile)
        unscaled = latents * self._std / self.scaling_factor + self._mean + self.shift_factor
        with self._networks.stage("vae_decoder") as runner:
            return self._run(runner, unscaled, tiling, "latent_sample", "sample", 1, self.factor)

    def _run(
        self,
        runner: Runner,
        x: Array,
        tiling: Tiling | None,
        input_name: str,
        output_name: str,
        unit: int,
        out_unit: int,
    ) -> Array:
        """One half of the VAE on each picture of x; `unit` and `out_unit`: samples per latent, before and after."""
        if tiling is None:
            return np.concatenate([runner.run({input_name: one[None]})[output_name] for one in x])
        grid = Grid(x.shape[2] // unit, x.shape[3] // unit, tiling)
        told = [name for name in runner.outputs("told") if name != output_name]
        norms: Norms = (
            "given" if told else "own"
        )  # a network without norms computes tiles as it does the whole
        moments: list[dict[str, Array]] = [{} for _ in x]
        if told:
            for index, one in enumerate(x):
                parts = (runner.run({input_name: piece}, told, "told") for piece in grid.cut(one[None], unit))
                moments[index] = combine(parts, grid.shares)

        def pieces(one: Array, given: dict[str, Array]) -> Iterator[Array]:
            for piece in grid.cut(one[None], unit):
                yield runner.run({input_name: piece, **given}, None, norms)[output_name]

        return np.concatenate(
            [grid.join(pieces(one, given), out_unit) for one, given in zip(x, moments, strict=True)]
        )


def _statistics(options: Options, channels: int) -> tuple[Array, Array]:
    """Mean and standard deviation of latents, float32 (1, c, 1, 1), where the config names both; else 0 and 1."""
    found = []
    for key, low in (("latents_mean", -math.inf), ("latents_std", 0.0)):
        value = options.get(key)
        listed = isinstance(value, list) and len(value) == channels
        if value is not None and not (listed and all(is_finite(one) and one > low for one in value)):
            above = "" if low else " above 0"
            raise options.unsupported(key, value, f"{channels} finite numbers{above}")
        found.append(value)
    mean, std = found if None not in found else ([0.0] * channels, [1.0] * channels)
    return tuple(np.array(value, np.float32).reshape(1, -1, 1, 1) for value in (mean, std))  # type: ignore[return-value]
