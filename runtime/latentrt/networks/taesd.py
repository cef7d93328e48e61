"""AutoencoderTiny's two halves (TAESD), from its config.json to ONNX graphs.

It has no norms, so that every variant of them is the same graph; and no distribution: its encoder gives latents.
"""

from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Graph
from latentrt.networks.layers import conv, nearest
from latentrt.networks.options import MAX_COUNT, Options
from latentrt.networks.variant import Variant

# Of each half: the settings that only the other reads.
_ENCODER = ("encoder_block_out_channels", "num_encoder_blocks", "in_channels")
_DECODER = ("decoder_block_out_channels", "num_decoder_blocks", "out_channels")


def build_taesd_decoder(o: Options, variant: Variant) -> Graph:
    """Latents (b, c, h, w), scaled as the UNet has them → pixels (b, 3, 8h, 8w) with four levels; for previews."""
    return _decoder(o, variant, "taesd_decoder")


def build_tiny_vae_decoder(o: Options, variant: Variant) -> Graph:
    """The same as a model's own decoder: latents are already divided by the scaling factor, which is 1."""
    return _decoder(o, variant, "vae_decoder")


def build_tiny_vae_encoder(o: Options, variant: Variant) -> Graph:
    """Pixels (b, 3, h, w) in [-1, 1] → latents (b, c, h/8, w/8) with four levels; no variance behind them."""
    widths, blocks = _levels(o, "encoder", (1, 3, 3, 3), _DECODER)
    channels, latents = o.number("in_channels", 3), o.number("latent_channels", 4)
    e = Emitter(variant)
    width = widths[0]
    x = e.input("sample", ("batch", channels, "height", "width"))
    x = e.op("Div", e.op("Add", x, e.scalar(1.0)), e.scalar(2.0))  # from [-1, 1] to [0, 1]
    with e.scope("encoder.layers"):
        layer = 0  # of the Sequential
        for level, count in enumerate(blocks):
            if level:
                x = conv(e, x, str(layer), width, width, stride=2, bias=False)
            else:
                x = conv(e, x, str(layer), channels, width)
            for index in range(layer + 1, layer + 1 + count):
                x = _block(e, x, str(index), width)
            layer += 1 + count
        x = conv(e, x, str(layer), width, latents)
    e.output("latent_parameters", x, ("batch", latents, "latent_height", "latent_width"))
    return e.finish("vae_encoder")


def _decoder(o: Options, variant: Variant, name: str) -> Graph:
    o.only({"upsample_fn": ("nearest",), "upsampling_scaling_factor": (2,)})
    widths, blocks = _levels(o, "decoder", (3, 3, 3, 1), _ENCODER)
    channels, out = o.number("latent_channels", 4), o.number("out_channels", 3)
    e = Emitter(variant)
    width = widths[0]
    x = e.input("latent_sample", ("batch", channels, "height", "width"))
    # Latents beyond ±3 are bent in, as the decoder was trained: 3·tanh(x / 3).
    x = e.op("Mul", e.op("Tanh", e.op("Div", x, e.scalar(3.0))), e.scalar(3.0))
    with e.scope("decoder.layers"):
        x = e.op("Relu", conv(e, x, "0", channels, width))
        layer = 2  # of the Sequential, in which activations and upsamplers count too
        for level, count in enumerate(blocks):
            for _ in range(count):
                x = _block(e, x, str(layer), width)
                layer += 1
            last = level == len(blocks) - 1
            if not last:
                x = nearest(e, x)
                layer += 1
            x = conv(e, x, str(layer), width, out if last else width, bias=last)
            layer += 1
    x = e.op("Sub", e.op("Mul", x, e.scalar(2.0)), e.scalar(1.0))  # from [0, 1] to [-1, 1]
    e.output("sample", x, ("batch", out, "sample_height", "sample_width"))
    return e.finish(name)


def _levels(
    o: Options, half: str, blocks: tuple[int, ...], others: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Width and number of blocks of each level, as one half's settings say; the other's are passed over."""
    o.choice("act_fn", "relu")
    o.pass_over("block_out_channels", "upsample_fn", "upsampling_scaling_factor", *others)
    # Of storing latents as bytes, and of who calls.
    o.pass_over("latent_magnitude", "latent_shift", "scaling_factor", "shift_factor")
    o.pass_over("force_upcast", "gradient_checkpointing")
    key = f"{half}_block_out_channels"
    widths = o.numbers(key, (64, 64, 64, 64))
    counts = o.numbers(f"num_{half}_blocks", blocks, high=MAX_COUNT)
    if len(widths) != len(counts) or len(set(widths)) != 1:
        raise o.unsupported(key, widths, f"{len(counts)} times the same width")
    return widths, counts


def _block(e: Emitter, x: str, name: str, width: int) -> str:
    """(b, width, h, w) → the same, diffusers' AutoencoderTinyBlock."""
    with e.scope(name):
        h = e.op("Relu", conv(e, x, "conv.0", width, width))
        h = e.op("Relu", conv(e, h, "conv.2", width, width))
        return e.op("Relu", e.op("Add", conv(e, h, "conv.4", width, width), x))
