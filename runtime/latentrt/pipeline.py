"""txt2img, img2img, inpaint and upscale: composition, nothing else."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import numpy as np
import numpy.typing as npt

from latentrt.engine.networks import Networks, Placement, place
from latentrt.errors import SettingError
from latentrt.models.bundle import open_model
from latentrt.models.model import Model
from latentrt.models.replacing import make_replacements
from latentrt.networks import compute_of
from latentrt.noise import TorchGenerator
from latentrt.painting.autoencoder import Autoencoder, Tile
from latentrt.painting.budget import check_coding
from latentrt.painting.following import reads_opaque
from latentrt.painting.generation import Generation, Result
from latentrt.painting.given_latents import are_latents
from latentrt.painting.hires import start_hires
from latentrt.painting.kinds import Seed, drawn
from latentrt.painting.parameters import parameters_of
from latentrt.painting.parts import Parts
from latentrt.painting.passes import Pass
from latentrt.painting.picture_settings import Img2ImgSettings, InpaintSettings, UpscaleSettings
from latentrt.painting.refining import start_refined
from latentrt.painting.request import Request
from latentrt.painting.request_maker import make_request
from latentrt.painting.second_pass import Hires
from latentrt.painting.settings import Settings
from latentrt.pictures import images
from latentrt.pictures.depth_map import load_depth
from latentrt.pictures.mask import load_mask
from latentrt.text.encoder import TextEncoder
from latentrt.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]
ImageLike: TypeAlias = "Path | str | Image | npt.NDArray[Any]"
OptionalImage: TypeAlias = "Path | str | Image | npt.NDArray[Any] | None"


def load(
    model: str | Path = "demo",
    *,
    device: str = "auto",
    dtype: str = "auto",
    low_memory: bool = False,
    tile: Tile = "auto",
    vae: Path | str | None = None,
    text_encoder: Path | str | Sequence[Path | str] = (),
    unet: Path | str | None = None,
    prediction_type: str | None = None,
    force: bool = False,
    taesd: Path | str | None = None,
    cache: bool = True,
    threads: int | None = None,
) -> "Pipeline":
    """Open a model. Its networks are loaded when they are first needed.

    Args:
        model: "demo"; a .safetensors file; the folder of a diffusers checkpoint, of a bundle, or of ONNX graphs that
            others exported; or `org/name[@revision]` of the Hugging Face hub, where there is no such folder: what is
            not in the cache is downloaded, which is told on stderr.
        device: "auto", "cpu", "cuda" or "openvino"; auto takes the first that runs here of cuda, openvino
            where it computes in bf16, cpu.
        dtype: "fp16", "fp32", or "auto" for what suits the device: fp32 on a CPU, fp16 on a GPU, of OpenVINO bf16.
            "bf16" is had of OpenVINO, on processors with AVX512-BF16 or AMX (docs/measurements.md). Given graphs
            compute in what they were exported in. "int8", on a CPU: UNet and VAE decoder in 8-bit
            integers, the rest in fp32;
            pictures are near those of fp32, not the same (docs/int8.md).
        low_memory: close each network when its stage is over, so that the next run loads it again, and hold
            weights once while loading, which makes steps on the CPU a little slower.
        tile: how large pictures go through the autoencoder: in tiles of so many pixels' side; "off", whole; or "auto",
            whole up to 1024 x 1024 pixels, and in tiles of 512 above, of the x4 upscaler half of both. Tiles take less
            memory and twice the time, and differ from the whole, by how much depends on the picture
            (docs/measurements.md).
        vae: a .safetensors file or diffusers folder of an autoencoder, in place of the model's own or where it has
            none.
        text_encoder: likewise of a text encoder; of SDXL's two, one or several.
        unet: likewise of a UNet of the model's family.
        prediction_type: "epsilon", "v_prediction" or "sample": what the UNet predicts, where the model's files say
            something else, or nothing.
        taesd: the folder of a TAESD (diffusers' AutoencoderTiny) that decodes pictures where `Fast` asks for it. None:
            the model's own folder `taesd`, where it has one.
        force: start also what is predicted to take more memory than there is, which else is a `MemoryShortageError`.
        cache: on a CPU, keep large networks prepared in the user's cache, so that from the second time on they load
            at once and take a fraction of the memory (docs/cache.md). The pictures are the same.
        threads: how many compute, from 1 to 1024; None: as LATENTRT_THREADS says, else one for each core that this
            process may use. With another number sums may run in another order (docs/cli.md).

    Raises:
        ModelError: there is no such model, it is not one, or what is given does not go with it.
        ProviderError: the device asked for cannot be had here.
    """
    given = make_replacements(vae, text_encoder, unet, prediction_type)
    opened = open_model(model, given)
    for note in opened.notes:
        warnings.warn(note, TakenForGranted, stacklevel=2)
    return Pipeline(opened, place(device, dtype, low_memory, force, cache, threads), tile, taesd)


class TakenForGranted(UserWarning):
    """No file of the model says something for sure, and it was taken from its family or name; the message says what."""


class Pipeline:
    """A model on a provider. Use as a context manager, or call `close`, to free its memory.

    Attributes:
        model: what was opened.
        provider: what it runs on.
        dtype: what it computes in.
        low_memory: whether each network is closed when its stage is over.
        networks: its networks.
        runners: the sessions of its components, by name.
        text: its tokenizer and text encoder.
        autoencoder: pixels to latents and back.
    """

    def __init__(
        self, model: Model, placement: Placement, tile: Tile = "auto", taesd: Path | str | None = None
    ) -> None:
        self.model = model
        self.provider = placement.provider
        unet = model.components["unet"]
        self.dtype = placement.dtype if unet.given is None else placement.dtype_of(unet)
        self.low_memory = placement.low_memory
        self.networks = Networks(model, placement)
        self.runners = self.networks.runners
        self.text = TextEncoder(self.networks)
        self.autoencoder = Autoencoder(self.networks, tile)
        beside = None if taesd is None else Path(taesd).expanduser()
        self._parts = Parts(self.networks, self.text, self.autoencoder, beside)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, read when it is first asked for."""
        return self.text.tokenizer

    @property
    def widened(self) -> tuple[str, ...]:
        """The networks that compute in fp32 where the rest does in fp16, since they overflow there."""
        half = compute_of(self.dtype) == "fp16"
        return tuple(name for name, runner in self.runners.items() if half and runner.dtype != self.dtype)

    def start_txt2img(
        self,
        prompt: str,
        *,
        hires: Hires | None = None,
        refiner: "Pipeline | None" = None,
        refiner_start: float = 0.8,
        **settings: Unpack[Settings],
    ) -> Generation:
        """Prepare pictures of a prompt; iterate the `Generation` for its steps, or ask it for its `result`.

        Args:
            prompt: what to paint.
            hires: a second pass, which paints over the enlarged pictures; None: there is none.
            refiner: another model, as SDXL's refiner, which paints the end of the run; None: this one paints all.
            refiner_start: the share of the run after which it does.
            **settings: see `Settings`.

        Raises:
            InputError: a value is out of range; the message names it.
        """
        if refiner is not None:
            if not isinstance(refiner, Pipeline):
                raise SettingError("refiner", expected="a Pipeline, as latentrt.load gives", got=refiner)
            if hires is not None:
                raise SettingError(
                    "refiner", "does not go with hires; expected one of both", others=("hires",)
                )
            return start_refined(self._parts, refiner._parts, prompt, refiner_start, **settings)
        if not isinstance(hires, Hires | None):
            raise SettingError("hires", expected="a latentrt.Hires, as Hires(2.0)", got=hires)
        if hires is not None:
            return start_hires(self._parts, prompt, hires, **settings)
        return self._start(make_request(self.model, "txt2img", prompt, **settings))

    def start_img2img(
        self,
        prompt: str,
        image: ImageLike,
        *,
        depth: OptionalImage = None,
        **settings: Unpack[Img2ImgSettings],
    ) -> Generation:
        """Prepare pictures that start from `image`.

        Args:
            prompt: what to paint.
            image: a path, PIL picture or array, resized to `width` x `height`; or latents, (n, c, h/8, w/8), as
                `Result.latents`, for n pictures, or one for all.
            depth: of a depth model, which wants one: how far all in the picture is, of its proportions. A grey picture,
                or an array (h, w) of whatever range: the larger, the nearer.
            **settings: see `Img2ImgSettings`.

        Raises:
            InputError: a value is out of range; the message names it.
            ImageError: the picture cannot be read.
        """
        if are_latents(image):
            return self._start(make_request(self.model, "img2img", prompt, latents=image, **settings))
        picture = images.load_image(image, reads_opaque(settings.get("like")))
        mapped = None if depth is None else load_depth(depth)
        return self._start(make_request(self.model, "img2img", prompt, picture, depth=mapped, **settings))

    def start_inpaint(
        self, prompt: str, image: ImageLike, mask: ImageLike, **settings: Unpack[InpaintSettings]
    ) -> Generation:
        """Prepare pictures in which a part of `image` is painted anew.

        A UNet made for inpainting is shown the mask and the picture without that part; with one made for text to image,
        the rest of the picture is put back in every step.

        Args:
            prompt: what to paint.
            image: a path, PIL picture or array; resized to `width` x `height`.
            mask: likewise, of the picture's proportions: white is painted; or, where it has transparency, what is
                transparent.
            **settings: see `InpaintSettings`.

        Raises:
            InputError: a value is out of range, the mask has other proportions, or there is nothing to paint.
            ImageError: a picture cannot be read.
        """
        picture, where = images.load_image(image, reads_opaque(settings.get("like"))), load_mask(mask)
        return self._start(make_request(self.model, "inpaint", prompt, picture, where, **settings))

    def start_upscale(self, prompt: str, image: ImageLike, **settings: Unpack[UpscaleSettings]) -> Generation:
        """Prepare larger pictures of `image`, with a model that was made for it: Stable Diffusion's x4 upscaler.

        Args:
            prompt: what is in the picture.
            image: a path, PIL picture or array; resized to a fourth of `width` x `height`, which by default are four
                times its own, rounded down to multiples of four.
            **settings: see `UpscaleSettings`.
        """
        picture = images.load_image(image)
        return self._start(make_request(self.model, "upscale", prompt, picture, **settings))

    def txt2img(
        self,
        prompt: str,
        *,
        hires: Hires | None = None,
        refiner: "Pipeline | None" = None,
        refiner_start: float = 0.8,
        **settings: Unpack[Settings],
    ) -> Result:
        """Paint pictures of a prompt: `start_txt2img`, run to the end."""
        return self.start_txt2img(
            prompt, hires=hires, refiner=refiner, refiner_start=refiner_start, **settings
        ).result()

    def img2img(
        self,
        prompt: str,
        image: ImageLike,
        *,
        depth: OptionalImage = None,
        **settings: Unpack[Img2ImgSettings],
    ) -> Result:
        """Paint over a picture: `start_img2img`, run to the end."""
        return self.start_img2img(prompt, image, depth=depth, **settings).result()

    def inpaint(
        self, prompt: str, image: ImageLike, mask: ImageLike, **settings: Unpack[InpaintSettings]
    ) -> Result:
        """Paint a part of a picture anew: `start_inpaint`, run to the end."""
        return self.start_inpaint(prompt, image, mask, **settings).result()

    def upscale(self, prompt: str, image: ImageLike, **settings: Unpack[UpscaleSettings]) -> Result:
        """Enlarge a picture: `start_upscale`, run to the end."""
        return self.start_upscale(prompt, image, **settings).result()

    def encode(self, image: ImageLike, *, seed: int | None = None, tile: Tile | None = None) -> Array:
        """Latents float32 (1, c, h/8, w/8) of a picture, scaled for the UNet.

        Args:
            image: its sides must be multiples of the VAE's factor.
            seed: draw from the encoder's distribution with this seed; -1: with a random one. None: its mean.
            tile: see `load`. None: as it was loaded.
        """
        pixels = images.to_array(images.load_image(image))
        factor = self.autoencoder.factor
        height, width = pixels.shape[2] // factor, pixels.shape[3] // factor
        check_coding(self._parts, "vae_encoder", (height, width), 1, tile)
        mean, std = self.autoencoder.encode(pixels, tile)
        if seed is None:
            return self.autoencoder.scaled(mean)
        return self.autoencoder.drawn(mean, std, TorchGenerator(drawn(Seed().check("seed", seed))))

    def decode(self, latents: Array, *, tile: Tile | None = None) -> list["Image"]:
        """Pictures of scaled latents (b, c, h, w); for `tile` see `load`."""
        latents = np.asarray(latents, np.float32)
        if latents.ndim == 4:
            height, width = latents.shape[2:]
            check_coding(self._parts, "vae_decoder", (height, width), len(latents), tile)
        return images.to_images(self.autoencoder.decode(latents, tile))

    def close(self) -> None:
        """Free all networks, and what is kept of prompts; the next run loads them again."""
        self.networks.close()
        self.text.forget()

    def _start(self, request: Request) -> Generation:
        return Generation(self._parts, (Pass(request),), parameters_of(request, self.model, self.dtype))

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
