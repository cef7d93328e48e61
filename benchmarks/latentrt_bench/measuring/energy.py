"""Joules that the machine reports of itself: processor packages by RAPL, the GPU that computes by NVML."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml

from latentrt_bench.measuring.gpu import computing_gpu

POWERCAP = Path("/sys/class/powercap")  # https://docs.kernel.org/power/powercap/powercap.html


class EnergyMeter:
    """Sums what every source of this machine has used since `start`. Without any source, `joules` gives None.

    Args:
        powercap: where Linux keeps RAPL's counters.
        gpu: whether the GPU counts: where it has no part in the work, what it idles away would be added to it.

    Attributes:
        sources: their names: "package-0", "NVIDIA …".
    """

    def __init__(self, powercap: Path = POWERCAP, gpu: bool = True) -> None:
        self._counters = [*_rapl(powercap), *(_nvml() if gpu else ())]
        self.sources = [counter.name for counter in self._counters]
        self._before: list[float] = []

    def start(self) -> None:
        """Begin anew."""
        self._before = [counter.read() for counter in self._counters]

    def joules(self) -> float | None:
        """Joules since `start`. A counter that began again at zero in between is allowed for, once."""
        if not self._counters:
            return None
        used = 0.0
        for counter, before in zip(self._counters, self._before, strict=True):
            now = counter.read()
            used += now - before if now >= before else now - before + counter.wraps_at
        return used


class _Counter:
    """Joules since some moment in the past, from 0 up to `wraps_at`, then from 0 again."""

    def __init__(self, name: str, read: Callable[[], float], wraps_at: float = 0.0) -> None:
        self.name, self.read, self.wraps_at = name, read, wraps_at


def _rapl(powercap: Path) -> Iterator[_Counter]:
    """Processor packages, and their memory, which is beside them; cores are in them, and all is in a "psys" zone."""
    for zone in sorted(powercap.glob("intel-rapl:*")):  # AMD's bear the name as well
        with contextlib.suppress(OSError, ValueError):  # since 2020 only root may read energy_uj
            name = (zone / "name").read_text().strip()
            if not name.startswith(("package", "dram")):
                continue
            int((zone / "energy_uj").read_text())
            wraps_at = int((zone / "max_energy_range_uj").read_text()) / 1e6
            yield _Counter(name, functools.partial(_read_microjoules, zone / "energy_uj"), wraps_at)


def _nvml() -> Iterator[_Counter]:
    handle = computing_gpu()
    if handle is not None:
        with contextlib.suppress(pynvml.NVMLError):  # older than Volta
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            yield _Counter(pynvml.nvmlDeviceGetName(handle), functools.partial(_read_gpu, handle))


def _read_microjoules(file: Path) -> float:
    return int(file.read_text()) / 1e6


def _read_gpu(handle: Any) -> float:
    millijoules: int = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    return millijoules / 1e3
