"""A .yaml beside a single file, as the original code's configs are: what no tensor tells of its UNet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentrt.errors import ModelError
from latentrt.files import read_text
from latentrt.networks import Options

_MAX_BYTES = 1 << 16  # published ones have 2,000 to 4,000; reading takes a second for each 50,000


def read_architecture(path: Path) -> dict[str, Any]:
    """What counts of the file: `parameterization`, and settings of the UNet as diffusers calls them, `unet`.

    Args:
        path: of the .yaml; where there is none, nothing is said.

    Raises:
        ModelError: it is no YAML, or says what cannot be.
    """
    if not path.is_file():
        return {}
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise ModelError(
            f"{path}: {size} bytes; expected the config of the model beside it, of at most {_MAX_BYTES}"
        )
    import yaml

    try:
        read = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise ModelError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
    params = _at(read, "model", "params")
    found: dict[str, Any] = {}
    if "parameterization" in params:
        found["parameterization"] = params["parameterization"]
    network = _at(params, "unet_config", "params") or _at(params, "network_config", "params")
    asked = Options(f"{path}: unet_config", network)
    if asked.get("num_heads", -1) != -1:
        found["unet"] = {"attention_head_dim": asked.count("num_heads", 8)}
    elif asked.get("num_head_channels", -1) != -1:
        width, base = asked.number("num_head_channels", 64), asked.number("model_channels", 320)
        levels = asked.numbers("channel_mult", (1, 2, 4, 4))
        found["unet"] = {"attention_head_dim": [max(base * level // width, 1) for level in levels]}
    return found


def _at(value: Any, *keys: str) -> Mapping[str, Any]:
    """What lies below some keys; nothing where the way there is another."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
