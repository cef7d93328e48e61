"""The other end of `worker.py`: starts it, asks for calls, and knows what to say when it dies."""

import contextlib
import errno
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
TAIL = 400  # characters of what a dead worker printed last that go into the reason


@dataclass(frozen=True)
class Job:
    """What a worker loads.

    Attributes:
        target: "package.module:Class" or "path/to/file.py:Class".
        arguments: of the class, as JSON.
        python: the interpreter that runs it.
        environment: variables in addition to ours.
        limit_s: seconds after which loading, or a call, is given up.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    limit_s: float = 3600.0


@dataclass(frozen=True)
class Answer:
    """What a call took by the worker's own clock, and by ours around it; its result; the worker's peak so far."""

    seconds: float
    elapsed: float
    result: Any
    peak_rss_bytes: int | None


class WorkerError(Exception):
    """A worker could not do what it was asked for, and is gone. The message says why, on one line."""

    def __init__(self, reason: str, out_of_memory: bool = False) -> None:
        super().__init__(reason)
        self.out_of_memory = out_of_memory


class Process:
    """One worker. It is loaded when the constructor returns; `close` ends it.

    Attributes:
        pid: its process.
        loaded: the answer to loading.

    Raises:
        WorkerError: it could not be started or loaded, here or in `call`.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._closed = False
        try:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            self._process = self._start()
        except OSError as error:  # no such interpreter, a full disk, no memory for another process
            raise WorkerError(str(error), error.errno == errno.ENOMEM) from error
        self.pid = self._process.pid
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.loaded = self._ask({"target": job.target, "arguments": dict(job.arguments)})
        except BaseException:
            self.close()
            raise

    def _start(self) -> "subprocess.Popen[str]":
        # A session of its own: Ctrl-C at the terminal reaches us alone, and its children end with it.
        try:
            return subprocess.Popen(
                [self.job.python, "-P", str(WORKER)],  # -P: our modules are not on the path of a peer's
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                env={**os.environ, **self.job.environment},
                start_new_session=True,
            )
        except OSError:
            self._log.close()
            raise

    def call(self, method: str) -> Answer:
        """Have a method of the contender called."""
        return self._ask({"method": method})

    def close(self) -> None:
        """End the process and all that it started, at once."""
        if self._closed:  # its number may be another's by now
            return
        self._closed = True
        with contextlib.suppress(OSError):  # gone already
            os.killpg(self.pid, signal.SIGKILL) if hasattr(os, "killpg") else self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _ask(self, message: Mapping[str, Any]) -> Answer:
        started = time.perf_counter()
        with contextlib.suppress(OSError):  # it has died; the empty answer says how
            self._process.stdin.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        try:
            line = self._lines.get(timeout=self.job.limit_s)
        except queue.Empty:
            self.close()
            raise WorkerError(f"given up after {self.job.limit_s:.0f} s") from None
        elapsed = time.perf_counter() - started
        if line is None:
            raise self._death()
        answer = json.loads(line)
        if "error" in answer:
            self.close()
            raise WorkerError(" ".join(answer["error"].split()), answer["out_of_memory"])
        return Answer(answer["seconds"], elapsed, answer["result"], answer["peak_rss_bytes"])

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed meanwhile
            for line in self._process.stdout:  # type: ignore[union-attr]
                self._lines.put(line)
        self._lines.put(None)

    def _death(self) -> WorkerError:
        code = self._process.wait()
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - TAIL))
        said = " ".join(self._log.read().decode("utf-8", "replace").split())
        self.close()
        if code == -9:  # SIGKILL, which Windows has no name for
            return WorkerError("killed by the system, as it does when memory runs out", out_of_memory=True)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return WorkerError(f"{how}{': ' if said else ''}{said}")
