"""Write the weight-free graphs that the package ships: `python tools/make_graphs.py`.

The runtime's are the published ones of Stable Diffusion 1.x (`sd1`), its inpainting model and TAESD, and the included
demo's own. The benchmark's are those of the paper's table 14; no checkpoint asks for them, so no index lists them.
`--check` writes nothing and fails if what is there differs.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentrt.files import atomic_write
from latentrt.fingerprint import fingerprint
from latentrt_bench.latent_vs_pixel.ldm import LDMS, graph_file
from latentrt_export.emitter import Compute
from latentrt_export.graphs import COMPUTES, build_graph, compress, serialize
from latentrt_export.published import SD1_INPAINT_UNET, SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE, TAESD

RUNTIME = Path(__file__).parents[1] / "runtime" / "latentrt"
GRAPHS = RUNTIME / "graphs"
DEMO = RUNTIME / "models" / "demo"
BENCHMARK_GRAPHS = Path(__file__).parents[1] / "benchmarks" / "latentrt_bench" / "latent_vs_pixel" / "graphs"


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


def all_graphs() -> Iterator[tuple[Path, str, dict[str, Any], Compute]]:
    """File, component, configuration and compute type of every graph."""
    for name, (component, config) in shipped().items():
        for compute in COMPUTES:
            yield GRAPHS / f"{name}.{compute}.onnx.gz", component, config, compute
    for f, ldm in LDMS.items():
        for part in ldm.parts:
            config = ldm.unet_config if part == "unet" else ldm.first_stage_config
            for compute in COMPUTES:
                component = "unconditional_unet" if part == "unet" else f"vae_{part}"
                yield BENCHMARK_GRAPHS / graph_file(f, part, compute), component, config, compute


def index() -> dict[str, dict[str, str]]:
    """What the runtime finds its graphs by."""
    entries: dict[str, dict[str, str]] = {}
    for name, (component, config) in shipped().items():
        key = fingerprint(component, config)
        if key in entries:
            raise SystemExit(f"{name}: has the fingerprint of {entries[key]['name']}")
        entries[key] = {"name": name, "component": component}
    return entries


def main() -> int:
    """Write or check everything; say what each graph weighs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    check = parser.parse_args().check
    text = json.dumps(dict(sorted(index().items())), indent=1) + "\n"
    differing = []
    for path, component, config, compute in all_graphs():
        data = serialize(build_graph(component, config, compute))
        if check:
            # What is compared is the graph: another zlib may pack the same one differently.
            if not path.is_file() or gzip.decompress(path.read_bytes()) != data:
                differing.append(path.name)
            continue
        packed = compress(data)
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write(packed)
        print(f"{path.name:<36} {len(data):>8} bytes, {len(packed):>6} packed")
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
