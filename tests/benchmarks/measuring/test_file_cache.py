"""Files that the system's cache holds, and files that it does not: seen, not believed."""

import mmap
import os
from dataclasses import replace

import pytest

from latentrt_bench.measuring import file_cache
from latentrt_bench.measuring.file_cache import FileCacheError, Proof

SIZE = 8 * 2**20 + 5


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def emptied(file):
    """The file, not cached; skips where this system or file system does not drop pages."""
    if not hasattr(os, "posix_fadvise"):
        pytest.skip("no posix_fadvise here")
    file_cache.empty(file)
    if file_cache.cached_share(file) != 0:
        pytest.skip("the file system keeps its pages (as tmpfs does)")
    return file


def test_what_was_just_written_is_cached(file):
    assert file_cache.cached_share(file) in (None, 1.0)


def test_emptied_then_filled(emptied):
    assert file_cache.cached_share(emptied) == 0
    before = file_cache.read_from_disk()
    file_cache.fill(emptied)
    assert file_cache.cached_share(emptied) == 1
    if before is not None:
        assert file_cache.read_from_disk() - before >= SIZE


def test_a_part_is_seen_as_that(emptied):
    with emptied.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        mapped.madvise(mmap.MADV_RANDOM)
        half = SIZE // 2
        for place in range(0, half, mmap.PAGESIZE):
            mapped[place]
    # A file system may cache larger pieces than pages.
    assert file_cache.cached_share(emptied) == pytest.approx(0.5, abs=0.05)


def test_pages_that_somebody_uses_stay_and_are_seen(emptied):
    with emptied.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        sum(mapped[place] for place in range(0, SIZE, mmap.PAGESIZE))
        file_cache.empty(emptied)
        share = file_cache.cached_share(emptied)
        assert share > 0.9
        assert "was not emptied" in Proof(share, 0, SIZE).why_not_cold
    file_cache.empty(emptied)
    assert file_cache.cached_share(emptied) == 0


def test_an_empty_file(tmp_path):
    path = tmp_path / "nothing"
    path.touch()
    assert file_cache.cached_share(path) in (None, 0.0)


def test_a_system_without_the_call_is_told(file, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    with pytest.raises(FileCacheError, match="posix_fadvise"):
        file_cache.empty(file)


def test_a_system_that_counts_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(file_cache, "IO", tmp_path / "absent")
    assert file_cache.read_from_disk() is None


def test_either_sign_shows_a_cold_load_and_neither_shows_none():
    cold = Proof(cached_share=0.0, from_disk_bytes=1000, needed_bytes=1000)
    assert cold.why_not_cold is None
    assert replace(cold, from_disk_bytes=None).why_not_cold is None
    # As for files of others, of which all seems cached.
    assert replace(cold, cached_share=1.0).why_not_cold is None
    assert replace(cold, cached_share=None, from_disk_bytes=900).why_not_cold is None
    warm = Proof(cached_share=0.5, from_disk_bytes=899, needed_bytes=1000)
    assert "50%" in warm.why_not_cold
    assert "899 of 1,000 bytes" in warm.why_not_cold
    assert "does not tell" in Proof(None, None, 1000).why_not_cold


def test_a_load_is_warm_unless_the_cache_lacks_some():
    assert Proof(1.0, 0, 1000).why_not_warm is None
    assert Proof(None, None, 1000).why_not_warm is None
    assert "93%" in Proof(0.93, 0, 1000).why_not_warm
