"""Fit the linear preview of the demo's latents, and write it into `runtime/latentrt/previews.json`.

    python tools/fit_preview.py

Least squares over the training data's pictures: each latent of a picture's encoding against the mean colour of the
8 × 8 pixels that it stands for. Stable Diffusion 1's factors are left as they are.
"""

import json
import sys
from pathlib import Path

import numpy as np

import latentrt
from latentrt.models.demo.drawing import render
from latentrt.models.demo.scenes import sample

PREVIEWS = Path(latentrt.__file__).parent / "painting" / "previews.json"
PICTURES, SEED = 128, 0


def main() -> int:
    """Fit, write, and say how well it fits."""
    with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
        component = pipeline.model.components["vae_decoder"]
        scale = pipeline.model.vae_scale_factor
        rng = np.random.default_rng(SEED)
        drawn = np.stack([render(sample(rng), rng) for _ in range(PICTURES)])
        pixels = (drawn.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)
        autoencoder = pipeline.autoencoder
        latents = autoencoder.scaled(autoencoder.encode(pixels)[0])
    b, c, h, w = latents.shape
    inputs = latents.transpose(0, 2, 3, 1).reshape(-1, c)
    colours = pixels.reshape(b, 3, h, scale, w, scale).mean((3, 5)).transpose(0, 2, 3, 1).reshape(-1, 3)
    design = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    solution = np.linalg.lstsq(design, colours, rcond=None)[0]
    residual = np.sqrt(np.mean((design @ solution - colours) ** 2))
    families = json.loads(PREVIEWS.read_text(encoding="utf-8"))
    families["demo"] = {
        "vae": {key: component.config[key] for key in ("block_out_channels", "latent_channels")},
        "scaling_factor": component.number("scaling_factor", 1.0),
        "factors": np.round(solution[:c], 4).tolist(),
        "bias": np.round(solution[c], 4).tolist(),
    }
    entries = (f" {json.dumps(name)}: {json.dumps(family)}" for name, family in families.items())
    PREVIEWS.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")
    print(f"residual {residual * 127.5:.1f} grey levels, of a deviation of {colours.std() * 127.5:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
