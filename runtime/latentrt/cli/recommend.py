"""What makes this machine faster: by its processor and GPU, what to install or to set, and why.

The rule is `RULES`, as docs/cli.md states it. Figures are of docs/measurements.md, "Providers of a processor".
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentrt.engine.processor import Processor

_NVIDIA = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Machine:
    """What recommendations go by.

    Attributes:
        processor: its own.
        nvidia: whether there is an NVIDIA GPU, by its driver.
        runs: names of the providers that run here.
    """

    processor: Processor
    nvidia: bool
    runs: frozenset[str]


@dataclass(frozen=True)
class Rule:
    """One recommendation.

    Attributes:
        applies: to which machines.
        provider: what it is about: where that runs, nothing is to be installed.
        install: what to install, and how.
        use: the options that take it.
        reason: what is gained, where that was measured, and what it costs.
    """

    applies: Callable[[Machine], bool]
    provider: str
    install: str
    use: str
    reason: str


RULES = (
    Rule(
        lambda machine: machine.nvidia,
        "cuda",
        "pip install 'latentrt[cuda]' in an environment of its own",
        "--device cuda",
        "an NVIDIA GPU is here, which nothing else uses; no time on one stands in the docs",
    ),
    Rule(
        lambda machine: machine.processor.maker == "intel" and "amx_bf16" in machine.processor.features,
        "openvino",
        "pip install 'latentrt[openvino]'",
        "--device openvino --dtype bf16",
        "AMX: a step took 1/4.5 of fp32's processor time on an Intel Xeon with it; pictures are near the exact ones, "
        "55 dB on the included model",
    ),
    Rule(
        lambda machine: machine.processor.maker == "amd" and machine.processor.has_bf16,
        "openvino",
        "pip install 'latentrt[openvino-amd]' in an environment of its own",
        "--device openvino --dtype bf16",
        "AVX512-BF16: a step took 0.51 s in bf16 and 0.96 s in fp32 on an AMD EPYC of family 26; the plugin of "
        "latentrt[openvino] offers no device on AMD; pictures are near the exact ones, 55 dB on the included model",
    ),
    Rule(
        lambda machine: machine.processor.has_vnni,
        "cpu",
        "pip install 'latentrt[cpu]'",
        "--device cpu --dtype int8",
        "VNNI: a step took 1/3.2 of fp32's processor time on an Intel Xeon with it, in a quarter of the memory; "
        "pictures are near the exact ones, 51 dB on the included model",
    ),
)
NOTHING = {
    "plain": "nothing faster is known for this processor: without units for bf16 and 8-bit integers (AVX512-BF16, "
    "AMX, VNNI) OpenVINO and int8 took as long as fp32 on an AMD EPYC; int8 takes a quarter of the memory",
    "unknown": "none: what this processor has is not told here, or nothing was measured on its kind",
}


def recommendations(machine: Machine) -> list[dict[str, Any]]:
    """What to do, in the order of the rules: `install` (None: it is here), `use` and `reason`.

    One without `use` says why there is nothing.
    """
    found = [
        {
            "install": None if rule.provider in machine.runs else rule.install,
            "use": rule.use,
            "reason": rule.reason,
        }
        for rule in RULES
        if rule.applies(machine)
    ]
    if found:
        return found
    why = "plain" if "avx2" in machine.processor.features else "unknown"
    return [{"install": None, "use": None, "reason": NOTHING[why]}]


def has_nvidia(driver: Path = _NVIDIA) -> bool:
    """Whether there is an NVIDIA GPU, as far as its driver tells."""
    return driver.is_file() or shutil.which("nvidia-smi") is not None


def lines(found: Iterable[dict[str, Any]]) -> list[str]:
    """The same, for people."""
    said = []
    for one in found:
        steps = [step for step in (one["install"], one["use"]) if step is not None]
        said += [f"  {', then '.join(steps)}", f"      {one['reason']}"] if steps else [f"  {one['reason']}"]
    return said
