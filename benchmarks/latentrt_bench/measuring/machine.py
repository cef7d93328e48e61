"""What a benchmark ran on, and what may have disturbed it."""

import contextlib
import importlib.metadata
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cpuinfo
import psutil
import pynvml

from latentrt.engine.processor import FEATURES
from latentrt.engine.threads import threads_here
from latentrt_bench.measuring.energy import EnergyMeter
from latentrt_bench.measuring.gpu import gpu_count, is_throttled
from latentrt_bench.measuring.memory import total_memory

PACKAGES = (
    "latentrt", "numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-ep-openvino",
)  # fmt: skip
CPUS = Path("/sys/devices/system/cpu")
STEAL, OTHERS = 0.02, 0.05  # shares of the processor time from which they are warned of
CLOCK_JUMP_S = 1.0


def describe_machine() -> dict[str, Any]:
    """Processor, memory, GPUs, system; `threads` that networks are told to compute in, None: as the provider does."""
    processor = cpuinfo.get_cpu_info()
    flags = set(processor.get("flags", ()))
    return {
        "processor": processor.get("brand_raw", platform.processor()),
        "architecture": platform.machine(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "threads": threads_here().number,
        "features": [name for name in FEATURES if name in flags],
        "virtual": "hypervisor" in flags,
        "memory_bytes": total_memory(),
        "gpus": [_describe_gpu(index) for index in range(gpu_count())],
        "system": platform.platform(),
        "energy_sources": EnergyMeter().sources,
    }


def versions() -> dict[str, str]:
    """Of Python and of the installed packages that compute."""
    found = {"python": platform.python_version()}
    for name in [*PACKAGES, *_cuda_packages()]:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _cuda_packages() -> list[str]:
    """NVIDIA's libraries, where they were installed as packages."""
    names = {str(one.metadata["Name"]).lower() for one in importlib.metadata.distributions()}
    return sorted(name for name in names if name.startswith("nvidia-") and name != "nvidia-ml-py")


def _describe_gpu(index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    described = {"name": pynvml.nvmlDeviceGetName(handle), "driver": pynvml.nvmlSystemGetDriverVersion()}
    with contextlib.suppress(pynvml.NVMLError):  # one that shares the machine's memory does not tell
        described["memory_bytes"] = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    return described


class Conditions:
    """Watches from its making on; `found` tells what happened since.

    Args:
        cpus: where Linux keeps a folder for each processor.
    """

    def __init__(self, cpus: Path = CPUS) -> None:
        self._cpus = cpus
        self._before = psutil.cpu_times()
        self._ours = _our_seconds()
        self._throttled = self._throttle_count()
        self._clock, self._wall = time.perf_counter(), time.time()
        self._battery = _on_battery()

    def found(self) -> dict[str, Any]:
        """What disturbed the run; None for what this system does not tell.

        `on_battery`: whether at its beginning or end; `throttled`: for Linux's x86 processors in between, for a GPU at
        its end (its rounds are looked at one by one: `rounds.Outcome`); `steal`: the share of the processor time that a
        hypervisor gave to others; `others`: the share that other processes here had (Linux); `clock_jump_s`: how far
        the wall clock went beyond the monotonic one, which stands still while the machine sleeps.
        """
        now = psutil.cpu_times()
        spent = {name: getattr(now, name) - getattr(self._before, name) for name in now._fields}
        # Linux counts a guest's time in that of the user as well.
        total = sum(value for name, value in spent.items() if not name.startswith("guest"))
        busy = total - spent.get("idle", 0.0) - spent.get("iowait", 0.0) - spent.get("steal", 0.0)
        throttled = self._throttle_count()
        return {
            "on_battery": _either(self._battery, _on_battery()),
            "throttled": _either(
                None if throttled is None or self._throttled is None else throttled > self._throttled,
                is_throttled(),
            ),
            "steal": spent["steal"] / total if "steal" in spent and total > 0 else None,
            # Elsewhere a process does not tell what its ended children took, which is nearly all of ours.
            "others": max(0.0, busy - (_our_seconds() - self._ours)) / total
            if psutil.LINUX and total > 0
            else None,
            "clock_jump_s": (time.time() - self._wall) - (time.perf_counter() - self._clock),
        }

    def _throttle_count(self) -> int | None:
        counts = []
        for file in self._cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"):
            with contextlib.suppress(OSError, ValueError):
                counts.append(int(file.read_text()))
        return sum(counts) if counts else None


def condition_warnings(found: dict[str, Any]) -> Iterator[str]:
    """What of it a reader has to know, one sentence each."""
    if found["on_battery"]:
        yield "the machine ran on battery, which most machines save by computing slower"
    if found["throttled"]:
        yield "the processor was throttled: it got too hot or took too much power"
    if found["steal"] is not None and found["steal"] > STEAL:
        yield f"the hypervisor gave {found['steal']:.0%} of the processor time to other machines"
    if found["others"] is not None and found["others"] > OTHERS:
        yield f"other programs had {found['others']:.0%} of the processor time"
    if abs(found["clock_jump_s"]) > CLOCK_JUMP_S:
        yield f"the machine slept, or its clock was set by {found['clock_jump_s']:.0f} s; no figure rests on that clock"


def _our_seconds() -> float:
    """Processor time of this process and of all that it started, alive or ended; known on Linux only."""
    total = 0.0
    if not psutil.LINUX:
        return total
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += times.children_user + times.children_system  # of those that it has waited for
    return total


def _on_battery() -> bool | None:
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def _either(*answers: bool | None) -> bool | None:
    known = [answer for answer in answers if answer is not None]
    return any(known) if known else None
