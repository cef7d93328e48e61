"""The processor: its name, its maker, and the instructions that decide how fast it multiplies matrices."""

import functools
import platform
from dataclasses import dataclass
from pathlib import Path

# As Linux and py-cpuinfo name them.
FEATURES = (
    *("avx", "avx2", "f16c", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni"),
    *("amx_bf16", "amx_fp16", "amx_int8", "amx_tile", "asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve"),
)
_MAKERS = {"GenuineIntel": "intel", "AuthenticAMD": "amd", "HygonGenuine": "amd"}
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """What is known of it.

    Attributes:
        name: as its maker calls it.
        maker: "intel", "amd", or "" for others and where it is not told.
        features: of `FEATURES`, those that it has; none where that is not told, as on other systems than Linux.
    """

    name: str
    maker: str = ""
    features: tuple[str, ...] = ()

    @property
    def has_bf16(self) -> bool:
        """Whether OpenVINO multiplies in bf16 on it."""
        return bool({"avx512_bf16", "amx_bf16"} & set(self.features))

    @property
    def has_vnni(self) -> bool:
        """Whether it sums products of 8-bit integers in one instruction."""
        return bool({"avx512_vnni", "avx_vnni"} & set(self.features))


@functools.cache
def processor_here(cpuinfo: Path = _CPUINFO) -> Processor:
    """This machine's."""
    name = platform.processor() or platform.machine()
    if not cpuinfo.is_file():
        return Processor(name, next((maker for word, maker in _MAKERS.items() if word in name), ""))
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    have = set((fields.get("flags") or fields.get("Features") or "").split())
    return Processor(
        fields.get("model name", name),
        _MAKERS.get(fields.get("vendor_id", ""), ""),
        tuple(feature for feature in FEATURES if feature in have),
    )
