"""What every test stands on."""

import gzip
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A shell starts background jobs with SIGINT ignored, `nohup` with SIGHUP, and programs started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)

# No test asks a hub, but for those that bring one of their own. Read once, when huggingface_hub is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

# Nor keeps one anything in the user's cache; those that are about it name a folder of their own.
os.environ["LATENTRT_CACHE"] = "off"

# A machine may be busy with other things: no test fails of taking long. CI draws the same examples in each run, so
# that it tells of the change, not of its luck; a run by hand draws new ones.
settings.register_profile(
    "untimed", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

# Public files that are too large to keep here, in the folder that LATENTRT_TEST_DATA names.
DATA = {
    "bpe_simple_vocab_16e6.txt.gz": "github.com/openai/CLIP, clip/",
    "PartiPrompts.tsv": "github.com/google-research/parti",
    "blns.json": "github.com/minimaxir/big-list-of-naughty-strings",
    "a1111/index.json": "what AUTOMATIC1111 computed from the included model, with the texts that it wrote",
    "comfy/make_checkpoint.py": "names, shapes and seeded values of whole checkpoints",
    "comfy/index.json": "what ComfyUI computed from a checkpoint of that recipe",
    "comfyxl/index.json": "likewise, of its --family sdxl",
    "cases/README.md": "pictures, masks and texts that were once read wrong, made after public reports",
}


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """Finds a file of `DATA`; the test is skipped where no folder is named, and fails where the folder lacks it."""

    def find(name: str) -> Path:
        folder = os.environ.get("LATENTRT_TEST_DATA")
        if not folder:
            pytest.skip(f"LATENTRT_TEST_DATA is not set: expected a folder with {name} ({DATA[name]})")
        path = Path(folder) / name
        if not path.is_file():
            pytest.fail(f"LATENTRT_TEST_DATA={folder} has no {name} ({DATA[name]})", pytrace=False)
        return path

    return find


@pytest.fixture(scope="session")
def clip_merges(data_file: Callable[[str], Path]) -> list[str]:
    """The lines of CLIP's merges.txt; the file has more, which CLIP does not use."""
    text = gzip.decompress(data_file("bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode("utf-8")
    return text.split("\n")[1 : 49152 - 256 - 2 + 1]
