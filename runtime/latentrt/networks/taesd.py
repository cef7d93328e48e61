"""AutoencoderTiny's decoder (TAESD), from its config.json to an ONNX graph."""

from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Graph
from latentrt.networks.layers import conv, nearest
from latentrt.networks.options import MAX_COUNT, Options
from latentrt.networks.variant import Variant


def build_taesd_decoder(o: Options, variant: Variant) -> Graph:
    """Latents (b, c, h, w), scaled as the UNet has them → pixels (b, 3, 8h, 8w) with four levels."""
    o.only({"act_fn": ("relu",), "upsample_fn": ("nearest",), "upsampling_scaling_factor": (2,)})
    o.pass_over("block_out_channels", "encoder_block_out_channels", "in_channels", "num_encoder_blocks")
    o.pass_over(
        "latent_magnitude",
        "latent_shift",
        "scaling_factor",
        "shift_factor",
        "force_upcast",
        "gradient_checkpointing",
    )
    widths = o.numbers("decoder_block_out_channels", (64, 64, 64, 64))
    blocks = o.numbers("num_decoder_blocks", (3, 3, 3, 1), high=MAX_COUNT)
    channels, out = o.number("latent_channels", 4), o.number("out_channels", 3)
    if len(widths) != len(blocks) or len(set(widths)) != 1:
        raise o.unsupported("decoder_block_out_channels", widths, f"{len(blocks)} times the same width")
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
    return e.finish("taesd_decoder")


def _block(e: Emitter, x: str, name: str, width: int) -> str:
    """(b, width, h, w) → the same, diffusers' AutoencoderTinyBlock."""
    with e.scope(name):
        h = e.op("Relu", conv(e, x, "conv.0", width, width))
        h = e.op("Relu", conv(e, h, "conv.2", width, width))
        return e.op("Relu", e.op("Add", conv(e, h, "conv.4", width, width), x))
