"""What may have disturbed a run, and energy: against files as Linux has them, and made-up clocks."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from latentrt_bench.measuring import gpu, machine, memory
from latentrt_bench.measuring.energy import EnergyMeter
from latentrt_bench.measuring.machine import Conditions, condition_warnings, describe_machine, versions

CALM = {"on_battery": None, "throttled": None, "steal": None, "others": None, "clock_jump_s": 0.0}


def zone(
    folder: Path, name: str, energy_uj: int, wraps_at: int = 1_000_000_000, called: str = "package-0"
) -> Path:
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "name").write_text(f"{called}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return path


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpu_count", lambda: 0)
    monkeypatch.setattr(machine, "gpu_count", lambda: 0)


def test_joules_of_all_packages(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", 5_000_000), zone(tmp_path, "intel-rapl:1", 0)
    meter = EnergyMeter(tmp_path)
    meter.start()
    (first / "energy_uj").write_text("7500000\n")
    (second / "energy_uj").write_text("250000\n")
    assert meter.joules() == pytest.approx(2.75)


def test_nothing_is_counted_twice(tmp_path: Path) -> None:
    """Cores are a part of their package, the platform has all in it, mmio is a second view; memory is beside."""
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "psys",
    }
    for name, called in zones.items():
        zone(tmp_path, name, 0, called=called)
    zone(tmp_path, "intel-rapl-mmio:0", 0)
    assert EnergyMeter(tmp_path).sources == ["package-0", "dram"]


def test_a_counter_that_begins_again(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", 99_000_000, wraps_at=100_000_000)
    meter = EnergyMeter(tmp_path)
    meter.start()
    (path / "energy_uj").write_text("2000000\n")
    assert meter.joules() == pytest.approx(3.0)


def test_a_machine_that_reports_no_energy(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", 0)
    (path / "energy_uj").unlink()  # as if it could not be read, which since 2020 takes root
    meter = EnergyMeter(tmp_path)
    meter.start()
    assert (meter.sources, meter.joules()) == ([], None)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """NVML's functions as its documentation states them, of two GPUs: millijoules, bytes, a process's bytes."""
    state = SimpleNamespace(millijoules={0: 5000, 1: 70}, used={0: 1000, 1: 0}, processes=[], reasons=0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "gpu_count", lambda: 2)
    for name, result in {
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByUUID": lambda uuid: {"GPU-b": 1}[uuid],
        "nvmlDeviceGetName": lambda handle: f"GPU {handle}",
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: state.millijoules[handle],
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=state.used[handle]),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: state.processes,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: state.reasons,
    }.items():
        monkeypatch.setattr(gpu.pynvml, name, result)
    return state


def test_energy_of_the_gpu_that_computes(two_gpus: SimpleNamespace, tmp_path: Path) -> None:
    meter = EnergyMeter(tmp_path)
    meter.start()
    two_gpus.millijoules = {0: 12_500, 1: 9_999_999}  # the other one is somebody else's
    assert (meter.sources, meter.joules()) == (["GPU 0"], 7.5)
    assert EnergyMeter(tmp_path, gpu=False).sources == []


@pytest.mark.parametrize(("visible", "which"), [("1", 1), ("1,0", 1), ("GPU-b", 1), ("0", 0), (None, 0)])
def test_the_gpu_that_computes(
    two_gpus: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, visible: str | None, which: int
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu.computing_gpu() == which


def test_gpu_memory_by_the_drivers_word(two_gpus: SimpleNamespace) -> None:
    two_gpus.processes = [
        SimpleNamespace(pid=7, usedGpuMemory=300),
        SimpleNamespace(pid=8, usedGpuMemory=5),
        SimpleNamespace(pid=9, usedGpuMemory=None),
    ]
    assert (gpu.process_bytes(7), gpu.process_bytes(9), gpu.process_bytes(1)) == (300, None, None)
    footprint = gpu.Footprint()
    footprint.begin()
    two_gpus.used[0] += 200_000
    assert footprint.end(7) == 300


def test_gpu_memory_in_a_container(two_gpus: SimpleNamespace) -> None:
    """The driver names processes as the host does: what each took in its turns is told."""
    first, second = gpu.Footprint(), gpu.Footprint()
    for footprint, takes in ((first, 500), (second, 70), (first, 20), (second, 0)):
        footprint.begin()
        two_gpus.used[0] += takes
        footprint.end(1)
    first.begin()
    second.begin()
    assert (first.end(1), second.end(1)) == (520, 70)


def test_a_gpu_that_is_held_back(two_gpus: SimpleNamespace) -> None:
    two_gpus.reasons = gpu.pynvml.nvmlClocksThrottleReasonGpuIdle
    assert gpu.is_throttled() is False
    two_gpus.reasons |= gpu.pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    assert gpu.is_throttled() is True


def test_without_a_gpu() -> None:
    assert (gpu.computing_gpu(), gpu.process_bytes(1), gpu.used_bytes(), gpu.is_throttled()) == (None,) * 4
    footprint = gpu.Footprint()
    footprint.begin()
    assert footprint.end(1) is None


def test_throttling_is_what_the_counters_rose_by(tmp_path: Path) -> None:
    counter = tmp_path / "cpu0" / "thermal_throttle"
    counter.mkdir(parents=True)
    (counter / "core_throttle_count").write_text("4\n")
    conditions = Conditions(tmp_path)
    assert conditions.found()["throttled"] is False
    (counter / "core_throttle_count").write_text("5\n")
    assert conditions.found()["throttled"] is True


def test_a_machine_that_does_not_tell(tmp_path: Path) -> None:
    assert Conditions(tmp_path).found()["throttled"] is None


@pytest.mark.parametrize(
    ("plugged", "answer"), [(True, False), (False, True), (None, None)], ids=["mains", "battery", "unknown"]
)
def test_battery(monkeypatch: pytest.MonkeyPatch, plugged: bool | None, answer: bool | None) -> None:
    monkeypatch.setattr(
        psutil, "sensors_battery", lambda: SimpleNamespace(power_plugged=plugged), raising=False
    )
    assert Conditions().found()["on_battery"] is answer


def test_shares_of_the_processors_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 s in all: 30 of ours, 10 of others, 5 stolen, the rest idle."""

    class Times(SimpleNamespace):
        _fields = ("user", "system", "idle", "iowait", "steal", "guest")

    times = iter([
        Times(user=0.0, system=0.0, idle=0.0, iowait=0.0, steal=0.0, guest=0.0),
        Times(user=35.0, system=5.0, idle=50.0, iowait=5.0, steal=5.0, guest=20.0),
    ])  # fmt: skip
    ours = iter([0.0, 30.0])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(times))
    monkeypatch.setattr(machine, "_our_seconds", lambda: next(ours))
    found = Conditions().found()
    assert found["steal"] == pytest.approx(0.05)
    assert found["others"] == pytest.approx(0.10)


def test_our_own_work_is_not_somebody_elses() -> None:
    before = machine._our_seconds()
    assert sum(n * n for n in range(1_000_000)) > 0
    assert machine._our_seconds() > before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"on_battery": True}, "on battery"),
        ({"throttled": True}, "throttled"),
        ({"steal": 0.25}, "25% of the processor time to other machines"),
        ({"others": 0.3}, "30% of the processor time"),
        ({"clock_jump_s": 3600.0}, "slept"),
    ],
)
def test_what_disturbs_is_warned_of(change: dict[str, object], words: str) -> None:
    (told,) = condition_warnings(CALM | change)
    assert words in told


def test_calm_is_not_warned_of() -> None:
    assert list(condition_warnings(CALM | {"on_battery": False, "steal": 0.001, "others": 0.01})) == []


def test_a_containers_limit_is_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    whole = memory.total_memory()
    assert whole == psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("1000000000\n")
    (tmp_path / "memory.current").write_text("600000000\n")
    assert memory.total_memory() == 1_000_000_000
    assert memory.free_memory() == 350_000_000  # 400 MB less the reserve of 5 %
    # Pages that are given back when wanted.
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 100000000\n")
    assert memory.free_memory() == 450_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.total_memory() == whole


def test_the_machine_is_described() -> None:
    described = describe_machine()
    assert described["logical_cores"] == psutil.cpu_count()
    assert described["memory_bytes"] == memory.total_memory()
    assert described["processor"]
    assert described["gpus"] == []
    assert {"python", "latentrt", "numpy"} <= versions().keys()
