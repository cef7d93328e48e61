"""What memory is left, and which cores may be used: of the system, and of the control groups of both versions."""

import sys

import pytest

from latentrt.engine.machine import Cores, available, cores

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's files")
GB = 10**9


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def proc(tmp_path):
    write(tmp_path / "proc/meminfo", f"MemTotal: {24 * 10**6} kB\nMemAvailable:   {16 * 10**6} kB\n")
    return tmp_path / "proc"


def v2(tmp_path, group, limit, used, idle=0):
    folder = tmp_path / "cgroup" / group
    write(folder / "memory.max", f"{limit}\n")
    write(folder / "memory.current", f"{used}\n")
    write(folder / "memory.stat", f"anon 5\ninactive_file {idle}\n")


def test_without_control_groups(tmp_path, proc):
    assert available(proc, tmp_path / "cgroup") == 16 * 1024 * 10**6


def test_the_least_of_all_groups_above_counts(tmp_path, proc):
    write(proc / "self/cgroup", "0::/a/b\n")
    v2(tmp_path, "a", 9 * GB, 5 * GB, 1 * GB)
    v2(tmp_path, "a/b", "max", 1 * GB)
    assert available(proc, tmp_path / "cgroup") == 5 * GB
    v2(tmp_path, "a/b", 3 * GB, 1 * GB)
    assert available(proc, tmp_path / "cgroup") == 2 * GB
    v2(tmp_path, "a/b", 3 * GB, 4 * GB)
    assert available(proc, tmp_path / "cgroup") == 0


def test_a_container_whose_group_is_what_is_mounted(tmp_path, proc):
    write(proc / "self/cgroup", "0::/of/the/host\n")
    v2(tmp_path, "", 4 * GB, 1 * GB)
    assert available(proc, tmp_path / "cgroup") == 3 * GB


def test_version_1(tmp_path, proc):
    write(proc / "self/cgroup", "5:cpu:/x\n4:memory:/a\n0::/\n")
    folder = tmp_path / "cgroup/memory/a"
    write(folder / "memory.limit_in_bytes", f"{8 * GB}")
    write(folder / "memory.usage_in_bytes", f"{3 * GB}")
    write(folder / "memory.stat", f"inactive_file 7\ntotal_inactive_file {GB}\n")
    assert available(proc, tmp_path / "cgroup") == 6 * GB


def test_this_machine_has_some():
    free = available()
    assert free is not None and free > 10_000_000


@pytest.fixture
def cpus(tmp_path, monkeypatch):
    """Two cores, each of which runs two threads at once: 0 and 2, 1 and 3."""
    for cpu in range(4):
        write(tmp_path / f"cpus/cpu{cpu}/topology/thread_siblings_list", f"{cpu % 2},{cpu % 2 + 2}\n")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    return tmp_path / "cpus"


def test_two_threads_of_a_core_count_once(tmp_path, proc, cpus, monkeypatch):
    assert cores(proc, tmp_path / "cgroup", cpus) == Cores(installed=2, usable=2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 3})
    assert cores(proc, tmp_path / "cgroup", cpus) == Cores(installed=2, usable=1, held=True)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {2, 3})
    assert cores(proc, tmp_path / "cgroup", cpus) == Cores(installed=2, usable=2, held=True)
    assert cores(proc, tmp_path / "cgroup", tmp_path / "nowhere") == Cores(installed=4, usable=2, held=True)


@pytest.mark.parametrize(
    ("group", "parent", "quota"),
    [
        ("max 100000", "max 100000", None),
        ("150000 100000", "max 100000", 2),
        ("400000 100000", "50000 100000", 1),
        ("nonsense", "300000 100000", 3),
    ],
)
def test_the_least_quota_counts_rounded_up(tmp_path, proc, cpus, group, parent, quota):
    write(proc / "self/cgroup", "0::/a/b\n")
    write(tmp_path / "cgroup/a/cpu.max", parent)
    write(tmp_path / "cgroup/a/b/cpu.max", group)
    assert cores(proc, tmp_path / "cgroup", cpus).quota == quota


@pytest.mark.parametrize(("taken", "quota"), [("-1", None), ("250000", 3)])
def test_quotas_of_version_1(tmp_path, proc, cpus, taken, quota):
    write(proc / "self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/a\n")
    write(tmp_path / "cgroup/cpu/a/cpu.cfs_quota_us", taken)
    write(tmp_path / "cgroup/cpu/a/cpu.cfs_period_us", "100000")
    assert cores(proc, tmp_path / "cgroup", cpus).quota == quota
