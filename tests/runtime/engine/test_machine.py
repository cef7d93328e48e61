"""What memory is left: of the system, and of the control groups of both versions."""

import sys

import pytest

from latentrt.engine.machine import available

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
