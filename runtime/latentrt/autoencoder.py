"""Pixels to latents and back. Pixels are float32 NCHW in [-1, 1]; latents are scaled as the UNet wants them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.bundle import Model
from latentrt.errors import InputError, ModelError
from latentrt.noise import NoiseSource
from latentrt.runner import Runner

Array = npt.NDArray[Any]

_LOGVAR_RANGE = (-30.0, 20.0)  # what the autoencoder is trained with: diffusers' DiagonalGaussianDistribution


class Autoencoder:
    """Both halves of the VAE, over the runners that make their sessions.

    Args:
        model: gives `scaling_factor`, `shift_factor` and the number of latent channels.
        encoder: runs `vae_encoder`.
        decoder: runs `vae_decoder`.
    """

    def __init__(self, model: Model, encoder: Runner, decoder: Runner) -> None:
        component = model.components["vae_decoder"]
        # 0.18215 is AutoencoderKL's own default, for configs written before it was a field of theirs.
        self.scaling_factor = component.number("scaling_factor", 0.18215)
        if self.scaling_factor == 0:
            raise ModelError(f"{component.config_path}: scaling_factor: expected a number other than 0")
        self.shift_factor = component.number("shift_factor", 0.0)
        self.latent_channels = model.latent_channels
        self.scale = model.vae_scale_factor
        self._encoder = encoder
        self._decoder = decoder

    def encode(self, pixels: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the latents of pixels, each (b, c, h/8, w/8), before scaling.

        Raises:
            InputError: not (b, 3, h, w), or a size that is no multiple of the VAE's factor.
        """
        if (
            pixels.ndim != 4
            or pixels.shape[1] != 3
            or any(size % self.scale or not size for size in pixels.shape[2:])
        ):
            raise InputError(
                f"pixels: expected (b, 3, h, w) with h, w multiples of {self.scale}, got {pixels.shape}"
            )
        moments = self._encoder.session({"sample": (1, *pixels.shape[1:])})
        latent_parameters = np.concatenate(
            [moments.run({"sample": image[None]})["latent_parameters"] for image in pixels]
        )
        mean, logvar = np.split(latent_parameters, 2, axis=1)
        return mean, np.exp(0.5 * np.clip(logvar, *_LOGVAR_RANGE))

    def scaled(self, mean: Array, std: Array | None = None, rng: NoiseSource | None = None) -> Array:
        """Latents for the UNet: the mean, or with `std` and `rng` a draw, shifted and scaled."""
        latents = mean if std is None or rng is None else mean + std * rng.randn(mean.shape)
        return ((latents - self.shift_factor) * self.scaling_factor).astype(np.float32, copy=False)

    def decode(self, latents: Array) -> Array:
        """Pixels (b, 3, 8h, 8w) of latents (b, c, h, w), one picture at a time, which needs the least memory.

        Raises:
            InputError: not of that shape, or not finite.
        """
        if latents.ndim != 4 or latents.shape[1] != self.latent_channels or 0 in latents.shape:
            raise InputError(f"latents: expected (b, {self.latent_channels}, h, w), got {latents.shape}")
        if not np.isfinite(latents).all():
            raise InputError("latents: expected finite values, got NaN or infinity")
        session = self._decoder.session({"latent_sample": (1, *latents.shape[1:])})
        unscaled = latents / self.scaling_factor + self.shift_factor
        return np.concatenate([session.run({"latent_sample": latent[None]})["sample"] for latent in unscaled])
