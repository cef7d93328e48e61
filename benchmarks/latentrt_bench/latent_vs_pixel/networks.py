"""Contenders: one network with random weights, ready to be called."""

from pathlib import Path

import numpy as np

from latentrt.engine.providers import choose
from latentrt.engine.runner import dimensions
from latentrt.engine.session import Session
from latentrt.errors import InputError
from latentrt.models.published import SD1_UNET
from latentrt.models.weights import Weights
from latentrt.networks import COMPUTES, Graph, Variant, build
from latentrt.networks.cost.macs import Cost, cost
from latentrt_bench.latent_vs_pixel.ldm import LDMS, Part, build_graph

Shape = tuple[int, ...]
SD1_CONTEXT = (77, 768)  # tokens and width of Stable Diffusion 1's text encoder


def ldm_network(
    f: int, part: Part, dtype: str, width: int, height: int, batch: int, fused_attention: bool = False
) -> tuple[Graph, dict[str, Shape]]:
    """A network of the paper's table 14, and the shapes of its inputs for pictures of a size."""
    latent = LDMS[f].latent_shape(width, height, batch)
    shapes: dict[Part, dict[str, Shape]] = {
        "unet": {"sample": latent, "timestep": ()},
        "decoder": {"latent_sample": latent},
        "encoder": {"sample": (batch, 3, height, width)},
    }
    return build_graph(f, part, dtype, fused_attention), shapes[part]


def sd1_unet(
    dtype: str, width: int, height: int, batch: int, fused_attention: bool = False
) -> tuple[Graph, dict[str, Shape]]:
    """Stable Diffusion 1.5's UNet, applied to `width` x `height` latents, or pixels if one takes them for latents."""
    if dtype not in COMPUTES:
        raise InputError(f"sd1-unet: dtype {dtype!r}; expected {' or '.join(COMPUTES)}")
    variant = Variant(dtype, fused_attention=fused_attention)
    return build("unet", SD1_UNET, variant, "sd1-unet"), {
        "sample": (batch, 4, height, width),
        "timestep": (),
        "encoder_hidden_states": (batch, *SD1_CONTEXT),
    }


def network(
    name: str, dtype: str, width: int, height: int, batch: int, fused_attention: bool = False
) -> tuple[Graph, dict[str, Shape]]:
    """A network by name: "ldm-4-unet", "ldm-4-decoder", "sd1-unet"; with attention as `Variant` says."""
    dtype = "fp16" if dtype == "bf16" else dtype  # see `compute_of`
    if name == "sd1-unet":
        return sd1_unet(dtype, width, height, batch, fused_attention)
    _, f, part = name.split("-")
    return ldm_network(int(f), part, dtype, width, height, batch, fused_attention)  # type: ignore[arg-type]


def network_cost(name: str, dtype: str, width: int, height: int, batch: int, provider: str) -> Cost:
    """What one call of it costs on a provider that runs here."""
    return cost(*network(name, dtype, width, height, batch, choose(provider).fused_attention))


class Network:
    """A worker's contender: one network, called with the same noise each time.

    Args:
        name, dtype, width, height, batch: see `network`.
        weights: its safetensors file.
        device: as for `latentrt.load`.
    """

    def __init__(
        self, name: str, dtype: str, width: int, height: int, batch: int, weights: str, device: str
    ) -> None:
        provider = choose(device)
        graph, shapes = network(name, dtype, width, height, batch, provider.fused_attention)
        pinned = dimensions(graph.inputs, shapes) if provider.pinned_sessions else {}
        rng = np.random.default_rng(0)
        self.feeds = {
            key: np.asarray(rng.standard_normal(shape, np.float32)) for key, shape in shapes.items()
        }
        if "timestep" in shapes:
            self.feeds["timestep"] = np.asarray(500, np.float32)
        self.session = Session(name, graph, Weights((Path(weights),)), provider, dtype, pinned)

    def run(self) -> None:
        """Compute once."""
        self.session.run(self.feeds)
