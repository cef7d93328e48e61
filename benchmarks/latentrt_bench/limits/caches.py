"""How much the caches of a processor hold."""

import ctypes
from pathlib import Path

SYSFS = Path("/sys/devices/system/cpu")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_L2_CACHE_SIZE = 38  # CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE


def cache_bytes(provider: str) -> int | None:
    """Bytes that the caches hold, of the first GPU for "cuda", else of the processors; None where that is not told."""
    return _gpu() if provider == "cuda" else processor_caches(SYSFS)


def processor_caches(sysfs: Path) -> int | None:
    """All data caches of all processors, each counted once: a level may hold what another does not."""
    caches: dict[tuple[str, str, str], int] = {}
    for index in sysfs.glob("cpu[0-9]*/cache/index[0-9]*"):
        try:
            level, kind, shared, size = (
                (index / name).read_text().strip() for name in ("level", "type", "shared_cpu_list", "size")
            )
            if kind != "Instruction":
                caches[level, kind, shared] = int(size[:-1]) * _UNITS[size[-1]]
        except (OSError, ValueError, KeyError, IndexError):
            continue  # virtual machines and containers may hide some
    return sum(caches.values()) or None


def _gpu() -> int | None:
    """By CUDA's driver, which is there where ONNX Runtime computes with CUDA."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        size, device = ctypes.c_int(), ctypes.c_int()
        if driver.cuInit(0) == 0 and driver.cuDeviceGet(ctypes.byref(device), 0) == 0:
            done = driver.cuDeviceGetAttribute(ctypes.byref(size), _L2_CACHE_SIZE, device)
            return size.value if done == 0 and size.value > 0 else None
    return None
