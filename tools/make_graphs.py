"""Write the weight-free graphs that the package ships: `python tools/make_graphs.py`.

The configurations are the published ones of Stable Diffusion 1.x (`sd1`) and its inpainting model, and the included
demo's own. `--check` writes nothing and fails if what is there differs.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from latentrt.files import atomic_write
from latentrt.fingerprint import fingerprint
from latentrt_export.graphs import COMPUTES, build_graph, compress, serialize

RUNTIME = Path(__file__).parents[1] / "runtime" / "latentrt"
GRAPHS = RUNTIME / "graphs"
DEMO = RUNTIME / "models" / "demo"

SD1_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}  # fmt: skip
SD1_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 512,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SD1_TEXT: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "projection_dim": 768,
    "vocab_size": 49408,
}


def shipped() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name of a shipped graph → its component and configuration."""
    graphs = {
        "sd1-text_encoder": ("text_encoder", SD1_TEXT),
        "sd1-unet": ("unet", SD1_UNET),
        "sd1-inpaint-unet": ("unet", {**SD1_UNET, "in_channels": 9}),
        "sd1-vae_encoder": ("vae_encoder", SD1_VAE),
        "sd1-vae_decoder": ("vae_decoder", SD1_VAE),
    }
    for component in ("text_encoder", "unet", "vae_encoder", "vae_decoder"):
        folder = "vae" if component.startswith("vae") else component
        path = DEMO / folder / "config.json"
        if path.is_file():
            graphs[f"demo-{component}"] = (component, json.loads(path.read_text(encoding="utf-8")))
    return graphs


def main() -> int:
    """Write or check everything; say what each graph weighs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    check = parser.parse_args().check
    index: dict[str, dict[str, str]] = {}
    differing = []
    for name, (component, config) in shipped().items():
        key = fingerprint(component, config)
        if key in index:
            raise SystemExit(f"{name}: has the fingerprint of {index[key]['name']}")
        index[key] = {"name": name, "component": component}
        for compute in COMPUTES:
            path = GRAPHS / f"{name}.{compute}.onnx.gz"
            data = serialize(build_graph(component, config, compute))
            packed = compress(data)
            if check:
                # What is compared is the graph: another zlib may pack the same one differently.
                if not path.is_file() or gzip.decompress(path.read_bytes()) != data:
                    differing.append(path.name)
                continue
            with atomic_write(path) as file:
                file.write(packed)
            print(f"{path.name:<36} {len(data):>8} bytes, {len(packed):>6} packed")
    text = json.dumps(dict(sorted(index.items())), indent=1) + "\n"
    path = GRAPHS / "index.json"
    if check:
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            differing.append(path.name)
        print(f"differing: {', '.join(differing)}" if differing else "all graphs are as they would be made")
        return 1 if differing else 0
    with atomic_write(path) as file:
        file.write(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
