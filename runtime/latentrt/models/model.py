"""A model on disk: its networks, and what their configs say of the whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ModelError
from latentrt.models.component import Component
from latentrt.models.contents import Contents
from latentrt.models.layout import ADVICE, SCHEDULER_CONFIG
from latentrt.models.layout import TEXT_ENCODERS as TEXT_ENCODERS
from latentrt.models.manifest import Manifest
from latentrt.models.repairs import Repair
from latentrt.networks import TINY, Options, class_of

# By the channels that a UNet takes: its latents alone; with a mask and the masked picture behind them; with the picture
# that it edits; with a map of depths; with a small picture to enlarge; or something else.
Purpose: TypeAlias = Literal["paint", "inpaint", "edit", "depth", "upscale", "other"]
_RGB = 3
_LEAST_FACTOR = 1e-6  # of a VAE's scaling factor, whose published ones are 0.08 to 1.5
# Latents of a side, where the UNet's config names none: what Stable Diffusion and SDXL were made for.
_SAMPLE_SIZES = {False: 64, True: 128}


@dataclass(frozen=True)
class Model:
    """A model on disk.

    Attributes:
        name: of its folder or file, or by which the hub has it.
        root: its folder or file.
        index: what `model_index.json` says.
        components: its networks.
        scheduler_config: what its `scheduler_config.json` says, and what diffusers makes of it.
        manifest: of a bundle.
        defaults: the generation settings that its maker advises, if it says any.
        repairs: what counts for something else than its files say.
        pad_tokens: by text encoder, what fills up a row where no file of a tokenizer says.
        family: what people call its kind; None where nobody asked.
        prediction_why: what said how it predicts, where no scheduler config does.
        contents: what lies in the file, of a single one.
        notes: what was taken for granted, to be told to whoever paints.
        entries: of a picture's text: what was given in place of the model's own.
        layout: what the arrangement of given graphs is called; None of others.
        low_res_config: of an upscaler, the scheduler config by which the picture that it enlarges is put under noise.
    """

    name: str
    root: Path
    index: Mapping[str, Any]
    components: Mapping[str, Component]
    scheduler_config: Mapping[str, Any]
    manifest: Manifest | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    repairs: tuple[Repair, ...] = ()
    pad_tokens: Mapping[str, str] = field(default_factory=dict)
    family: str | None = None
    prediction_why: str | None = None
    contents: Contents | None = None
    notes: tuple[str, ...] = ()
    entries: tuple[tuple[str, str], ...] = ()
    layout: str | None = None
    low_res_config: Mapping[str, Any] = field(default_factory=dict)

    # Each of these raises a ModelError where config.json says something that cannot be; where it says nothing, the
    # default of the component's class holds.

    @property
    def scheduler_where(self) -> str:
        """Where `scheduler_config` comes from, for messages."""
        return str(self.root / SCHEDULER_CONFIG) if self.contents is None else f"{self.root}: its scheduler"

    @property
    def advice_where(self) -> str:
        """Where `defaults` come from, for messages."""
        return str(self.root / ADVICE) if self.contents is None else f"{self.root}: its defaults"

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent, along each axis: one halving between each two blocks of the autoencoder."""
        decoder = self.components["vae_decoder"]
        if decoder.given is not None and "block_out_channels" not in decoder.config:
            return 1 << decoder.given.graph.enlargements
        if self.has_tiny_vae:
            levels = decoder.options.numbers("decoder_block_out_channels", (64, 64, 64, 64))
        else:
            levels = decoder.options.numbers("block_out_channels", (64,))
        return 1 << (len(levels) - 1)

    def fixed_side(self, name: str) -> int | None:
        """`width` or `height` in pixels, where given graphs take no other.

        Raises:
            ModelError: the UNet's and the autoencoder's are not the same.
        """
        axis, factor = (3, 2)[name == "height"], self.vae_scale_factor
        ports = {"unet": "sample", "vae_decoder": "latent_sample", "vae_encoder": "sample"}
        found = {}
        for component, port in ports.items():
            given = self.components[component].given if component in self.components else None
            shape = () if given is None else given.ports.inputs[port].shape
            if shape and isinstance(side := shape[axis], int):
                found[component] = side if component == "vae_encoder" else side * factor
        if len({*found.values()}) > 1:
            said = ", ".join(f"{component}'s at {side}" for component, side in found.items())
            raise ModelError(f"{self.name}: its graphs are fixed at different sizes of {name}: {said}")
        return next(iter(found.values()), None)

    @property
    def fixed_tokens(self) -> int | None:
        """How many tokens its UNet is told of, where a given graph takes no other number."""
        given = self.components["unet"].given
        tokens = None if given is None else given.ports.inputs["encoder_hidden_states"].shape[1]
        return tokens if isinstance(tokens, int) else None

    @property
    def has_tiny_vae(self) -> bool:
        """Whether its autoencoder is an AutoencoderTiny (TAESD), which has no distribution of latents, and no norms."""
        vae = self.components["vae_decoder"]
        return class_of("vae_decoder", vae.options, vae.class_name) == TINY

    @property
    def default_size(self) -> tuple[int, int]:
        """Width and height, in pixels, that the UNet was made for; Stable Diffusion's where its config names none.

        Of given graphs, what they were fixed at.

        Raises:
            ModelError: also where there would be more pixels than are painted.
        """
        options = self.components["unet"].options
        height, width = options.per_level("sample_size", 2, _SAMPLE_SIZES[self.is_xl], high=MAX_PIXELS)
        factor = self.vae_scale_factor
        width = self.fixed_side("width") or width * factor
        height = self.fixed_side("height") or height * factor
        if width * height > MAX_PIXELS:
            said = f"{width}x{height} pixels, and at most {MAX_PIXELS:,} are painted"
            raise ModelError(
                f"{options.where}: sample_size is {options.get('sample_size')!r}: {said}; give width and height"
            )
        return width, height

    def default_side(self, name: str) -> int:
        """`width` or `height` in pixels: what the maker advises, else what the UNet was made for.

        Raises:
            ModelError: the advice is no multiple of the autoencoder's factor; or as `default_size`.
        """
        if (fixed := self.fixed_side(name)) is not None:
            return fixed
        if name in self.defaults:
            side = int(self.defaults[name])
            if side % self.vae_scale_factor:
                advice = Options(self.advice_where, self.defaults)
                raise advice.unsupported(name, side, f"a multiple of {self.vae_scale_factor}")
            return side
        return self.default_size[("width", "height").index(name)]

    @property
    def latent_channels(self) -> int:
        """Channels of the autoencoder's latents."""
        return self.components["vae_decoder"].options.number("latent_channels", 4)

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by for the UNet; the class's own default where the config is older than it.

        Raises:
            ModelError: it is no number, or one that latents are not divided by: 0, or beyond what float32 takes.
        """
        options = self.components["vae_decoder"].options
        factor = options.real("scaling_factor", 1.0 if self.has_tiny_vae else 0.18215)
        if not _LEAST_FACTOR <= abs(factor) <= 1 / _LEAST_FACTOR:
            said = options.get("scaling_factor")
            raise options.unsupported(
                "scaling_factor", said, f"a number of {_LEAST_FACTOR:g} to {1 / _LEAST_FACTOR:g}"
            )
        return factor

    @property
    def unet_channels(self) -> int:
        """Channels that the UNet takes."""
        return self.components["unet"].options.number("in_channels", 4)

    @property
    def purpose(self) -> Purpose:
        """What the UNet was made for, as its channels say: latents alone, or what stands behind them."""
        return purpose_of(self.components["unet"].config, self.unet_channels, self.latent_channels)

    @property
    def edited_scale(self) -> float | None:
        """What the latents of a picture are multiplied by that the UNet is shown to edit; None where it edits none.

        1 for InstructPix2Pix; `scaling_factor` for CosXL's editing model, as `model_index.json` says (`is_cosxl_edit`).
        diffusers does not write that there: where nothing is said, it is the only one of EDM's kind.
        """
        if self.purpose != "edit":
            return None
        edm = str(self.scheduler_config.get("_class_name")).startswith("EDM")
        scaled = self.index.get("is_cosxl_edit", edm)
        if not isinstance(scaled, bool):
            index = Options(str(self.root / "model_index.json"), self.index)
            raise index.unsupported("is_cosxl_edit", scaled, "true or false")
        return self.scaling_factor if scaled else 1.0

    @property
    def is_xl(self) -> bool:
        """Whether it is of SDXL's kind, whose UNet is told the text in one row and the picture's sizes besides."""
        return is_xl(self.components["unet"].config)

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """The components that read the prompt, in the order in which what they say is joined."""
        return tuple(name for name in TEXT_ENCODERS if name in self.components)

    @property
    def text_layers(self) -> int:
        """Layers of the text encoder, the fewest where there are two, of which clip skip leaves some out."""
        layers = [self.components[name].options.count("num_hidden_layers", 12) for name in self.text_encoders]
        return min(layers)

    @property
    def skips_layers(self) -> bool:
        """Whether layers of the text encoder can be left out; most given graphs have the last one's result alone."""
        given = [self.components[name].given for name in self.text_encoders]
        return all(part is None or part.gives_states for part in given)

    @property
    def pooled_width(self) -> int:
        """Of the text in one row, which an XL model's UNet is told: what its last text encoder projects to."""
        return self.components[self.text_encoders[-1]].options.number("projection_dim", 512)

    @property
    def num_time_ids(self) -> int:
        """How many numbers an XL model's UNet is told of the picture's sizes: 6, or 5 of a refiner; 0 of others.

        Raises:
            ModelError: another count, as of a UNet that does not go with its text encoder.
        """
        if not self.is_xl:
            return 0
        options = self.components["unet"].options
        pooled = self.pooled_width
        added = options.number("projection_class_embeddings_input_dim", 2816)
        count, rest = divmod(added - pooled, options.number("addition_time_embed_dim", 256, low=2))
        if rest or count not in (5, 6):
            expected = (
                f"{self.text_encoders[-1]}'s projection_dim {pooled} and 5 or 6 times addition_time_embed_dim"
            )
            raise options.unsupported("projection_class_embeddings_input_dim", added, expected)
        return count

    @property
    def guidance_width(self) -> int:
        """Of the embedded guidance scale that a latent consistency model's UNet takes; 0 of others."""
        options = self.components["unet"].options
        return 0 if options.get("time_cond_proj_dim") is None else options.number("time_cond_proj_dim", 256)

    @property
    def zeroes_empty_negative(self) -> bool:
        """Whether zeros stand for a negative prompt that is not given, as XL models are trained, not the empty text."""
        return self.is_xl and self.index.get("force_zeros_for_empty_prompt", True) is not False


def purpose_of(unet: Mapping[str, Any], takes: int, channels: int) -> Purpose:
    """What a UNet was made for.

    Args:
        unet: its config.
        takes: channels that it takes.
        channels: of the latents.
    """
    if is_upscaler(unet):
        return "upscale" if takes == channels + _RGB else "other"
    shown: dict[int, Purpose] = {
        channels + 1: "depth",
        2 * channels: "edit",
        2 * channels + 1: "inpaint",
        channels: "paint",
    }
    return shown.get(takes, "other")


def is_upscaler(unet: Mapping[str, Any]) -> bool:
    """Whether a UNet's config is of the x4 upscaler's kind, which is told how much noise is in the picture shown."""
    return unet.get("num_class_embeds") is not None


def overflows_vae(unet: Mapping[str, Any]) -> bool:
    """Whether the autoencoder beside a UNet is of a kind that overflows in fp16 where its config says nothing of it."""
    return is_xl(unet) or is_upscaler(unet)


def is_xl(unet: Mapping[str, Any]) -> bool:
    """Whether a UNet's config is of SDXL's kind."""
    return unet.get("addition_embed_type") == "text_time"
