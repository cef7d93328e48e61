"""Which networks are loaded, run and freed."""

import gc
import weakref
from pathlib import Path

import onnxruntime as ort
import pytest

from latentrt.engine import arena
from latentrt.engine.session import Session


class Watch:
    """Sees every session from now on.

    Attributes:
        made: the component of each session that was made, in order.
        ran: the component of each run, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        arena.give_back()  # makes a session of its own, once in a process
        self.made: list[str] = []
        self.ran: list[str] = []
        self._alive: list[tuple[str, weakref.ref]] = []
        native, make, run = ort.InferenceSession, Session.__init__, Session.run
        opened: list[weakref.ref] = []

        def open_native(*args, **options):
            session = native(*args, **options)
            opened.append(weakref.ref(session))
            return session

        def watched_make(session, *args, **options):
            opened.clear()
            make(session, *args, **options)
            self.made.append(session.component)
            self._alive += [(session.component, one) for one in opened]

        def watched_run(session, *args, **options):
            self.ran.append(session.component)
            return run(session, *args, **options)

        monkeypatch.setattr(ort, "InferenceSession", open_native)
        monkeypatch.setattr(Session, "__init__", watched_make)
        monkeypatch.setattr(Session, "run", watched_run)

    @property
    def alive(self) -> list[str]:
        """The component of each of ONNX Runtime's sessions that is still in memory."""
        gc.collect()
        return sorted(name for name, session in self._alive if session() is not None)


def resident_bytes(file: Path) -> int:
    """How much of a file this process has mapped and in memory; Linux only."""
    if not Path("/proc/self/smaps").exists():
        pytest.skip("the system does not tell what is in memory")
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:  # the head of a mapping
            ours = line.endswith(str(file.resolve()))
        elif ours and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total
