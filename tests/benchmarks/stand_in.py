"""Contenders of known behaviour, which workers load by this file's path. Standard library only."""

import os
import sys
import time
from pathlib import Path


class Sleeper:
    """Takes the seconds of a list, one after the other, the last again and again; writes when it was called."""

    def __init__(self, seconds: list[float], journal: str = "", name: str = "") -> None:
        self.seconds = list(seconds)
        self.journal, self.name = journal, name

    def run(self) -> dict[str, float]:
        duration = self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        if self.journal:
            with Path(self.journal).open("a") as file:
                file.write(f"{self.name}\n")
        time.sleep(duration)
        return {"slept": duration}


class Hoarder:
    """Takes and gives back so many bytes at each call."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self) -> None:
        assert len(b"\1" * self.size) == self.size


class Failing:
    """Fails in one of many ways, at the n-th call; 0: while it is loaded."""

    def __init__(self, how: str, at: int = 1) -> None:
        self.how, self.left = how, at
        self.run() if at == 0 else None

    def run(self) -> None:
        self.left -= 1
        if self.left > 0:
            return
        print("last words", file=sys.stderr, flush=True)
        if self.how == "raise":
            raise ValueError("no such\nkernel")
        if self.how == "memory":
            raise MemoryError
        if self.how == "allocator":
            raise RuntimeError("Failed to allocate memory for requested buffer of size 9")
        if self.how == "kill":
            os.kill(os.getpid(), 9)
        if self.how == "segfault":
            os.kill(os.getpid(), 11)
        if self.how == "exit":
            os._exit(3)
        if self.how == "hang":
            time.sleep(60)


class WrongClock:
    """Sets this process's own clock to run at another speed while a call lasts."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.real = time.perf_counter
        self.start = self.real()
        time.perf_counter = lambda: self.start + (self.real() - self.start) * self.factor

    def run(self) -> None:
        time.sleep(0.3)


class Talker:
    """Prints to stdout, as libraries do."""

    def run(self) -> str:
        print("not an answer", flush=True)
        os.write(1, b"nor this\n")
        return "an answer"


class Surroundings:
    """Tells the variables that it was given."""

    def run(self) -> dict[str, str]:
        return dict(os.environ)


class Crowded:
    """Runs out of memory at the first call that counts, but not if it has a second chance: a file tells."""

    def __init__(self, marker: str) -> None:
        self.marker = Path(marker)
        self.is_alone = self.marker.exists()
        self.calls = 0

    def run(self) -> None:
        self.calls += 1
        if self.calls > 2 and not self.is_alone:
            self.marker.touch()
            raise MemoryError
        time.sleep(0.11)
