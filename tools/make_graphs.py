"""Write the weight-free graphs that the package ships: `python tools/make_graphs.py`.

The configurations are the published ones of Stable Diffusion 1.x (`sd1`), its inpainting model and TAESD, and the
included demo's own. `--check` writes nothing and fails if what is there differs.
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
from latentrt_export.published import SD1_INPAINT_UNET, SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE, TAESD

RUNTIME = Path(__file__).parents[1] / "runtime" / "latentrt"
GRAPHS = RUNTIME / "graphs"
DEMO = RUNTIME / "models" / "demo"


def shipped() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name of a shipped graph → its component and configuration."""
    graphs = {
        "sd1-text_encoder": ("text_encoder", SD1_TEXT_ENCODER),
        "sd1-unet": ("unet", SD1_UNET),
        "sd1-inpaint-unet": ("unet", SD1_INPAINT_UNET),
        "sd1-vae_encoder": ("vae_encoder", SD1_VAE),
        "sd1-vae_decoder": ("vae_decoder", SD1_VAE),
        "taesd-decoder": ("taesd_decoder", TAESD),
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
