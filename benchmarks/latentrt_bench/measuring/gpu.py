"""The NVIDIA GPU that computes, as its driver tells of it (NVML)."""

import contextlib
import functools
import os
from typing import Any

import pynvml


@functools.cache
def gpu_count() -> int:
    """How many GPUs the driver shows; 0 without a driver."""
    try:
        pynvml.nvmlInit()
        count: int = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return 0
    return count


def computing_gpu() -> Any | None:
    """The handle of the GPU that ONNX Runtime computes on: the first that CUDA is let see. None: there is none.

    The driver counts by place in the machine, and so does CUDA where all GPUs are of one kind.
    """
    if gpu_count() == 0:
        return None
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        if first.isdecimal():
            return pynvml.nvmlDeviceGetHandleByIndex(int(first))
        return pynvml.nvmlDeviceGetHandleByUUID(first)
    except pynvml.NVMLError:
        return None


def process_bytes(pid: int) -> int | None:
    """Bytes that a process has on the GPU now; None where the driver does not tell, as in most containers."""
    handle, used = computing_gpu(), []
    with contextlib.suppress(pynvml.NVMLError):
        for process in [] if handle is None else pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == pid and process.usedGpuMemory is not None:
                used.append(int(process.usedGpuMemory))
    return sum(used) if used else None


def used_bytes() -> int | None:
    """Bytes that all processes together have on the GPU now."""
    handle = computing_gpu()
    if handle is None:
        return None
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    except pynvml.NVMLError:  # one that shares the machine's memory does not tell
        return None


class Footprint:
    """What one process has on the GPU, where several take turns: by the driver's word, else by how much more is used.

    ONNX Runtime gives nothing back while a session lives, so that what a process has is the sum of what was taken
    while it was the one that worked.
    """

    def __init__(self) -> None:
        self._taken: int | None = None
        self._before: int | None = None

    def begin(self) -> None:
        """The process is about to work, alone."""
        self._before = used_bytes()

    def end(self, pid: int) -> int | None:
        """It has worked: the bytes that it has on the GPU; None where nothing tells."""
        now = used_bytes()
        if now is not None and self._before is not None:
            self._taken = (self._taken or 0) + max(0, now - self._before)
        told = process_bytes(pid)
        return self._taken if told is None else told


def is_throttled() -> bool | None:
    """Whether the GPU is held back now, by heat or power; that it idles is no throttling. None: not known."""
    slowed = (
        pynvml.nvmlClocksThrottleReasonHwSlowdown
        | pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
        | pynvml.nvmlClocksThrottleReasonSwPowerCap
    )
    handle = computing_gpu()
    if handle is None:
        return None
    try:
        return bool(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & slowed)
    except pynvml.NVMLError:
        return None
