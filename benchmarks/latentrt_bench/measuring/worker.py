"""A process that loads one contender and calls it when asked. Spoken to in lines of JSON; see `process.py`.

Standard library only, and no import of this package: it runs under the Python of any peer's environment, by its path.

The first line of standard input is `{"target": "package.module:Class", "arguments": {…}}`, where a target may also be
`path/to/file.py:Class`. It is answered when the contender is made, then each line `{"method": "run"}` when the method
has returned. An answer is `{"seconds": …, "result": …, "peak_rss_bytes": …}` or `{"error": …, "out_of_memory": …}`.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

# What libraries say when an allocation fails, beside Python's own MemoryError.
OUT_OF_MEMORY = (
    "bad_alloc",
    "failed to allocate",
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED and its likes
)


def main() -> int:
    """Serve standard input to its end."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    with contextlib.suppress(OSError):  # where memory runs out, this process is the one to go (Linux)
        Path("/proc/self/oom_score_adj").write_text("1000")
    job = json.loads(sys.stdin.readline())
    made: list[Any] = []
    if not _answer(answers, lambda: made.append(_find(job["target"])(**job["arguments"]))):
        return 1
    for line in sys.stdin:
        if not _answer(answers, getattr(made[0], json.loads(line)["method"])):
            return 1
    return 0


def peak_rss_bytes() -> int | None:
    """The most memory that this process has had resident; None where the system does not tell.

    Linux: VmHWM. `getrusage` would do wrong there: a process that was forked from a larger one begins with its peak.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    if sys.platform == "darwin":
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # in bytes there
    return None


def _find(target: str) -> Callable[..., Any]:
    where, _, name = target.rpartition(":")
    module = _load_file(where) if where.endswith(".py") else importlib.import_module(where)
    found: Callable[..., Any] = getattr(module, name)
    return found


def _load_file(where: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(where).stem, where)
    if spec is None or spec.loader is None:
        raise ImportError(f"{where}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _answer(answers: TextIO, call: Callable[[], Any]) -> bool:
    started = time.perf_counter()
    try:
        result = call()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        memory = isinstance(error, MemoryError) or any(words in text.lower() for words in OUT_OF_MEMORY)
        fields: dict[str, Any] = {"error": text, "out_of_memory": memory}
    else:
        seconds = time.perf_counter() - started
        fields = {"seconds": seconds, "result": result, "peak_rss_bytes": peak_rss_bytes()}
    print(json.dumps(fields), file=answers, flush=True)
    return "error" not in fields


if __name__ == "__main__":
    sys.exit(main())
