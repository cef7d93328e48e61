"""How many threads a network computes in: as many as are asked for, else as many cores as this process may use.

ONNX Runtime's own number is the machine's cores. It sees neither affinity (taskset) nor a control group's quota, as a
container has it, and ties its threads to cores outside of the mask as well (microsoft/onnxruntime#29510). So where a
process is held to fewer cores it is told how many; elsewhere the number and the ties are ONNX Runtime's own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from latentrt.checks import MAX_THREADS, whole
from latentrt.engine.machine import Cores, cores
from latentrt.errors import InputError

THREADS = "LATENTRT_THREADS"


@dataclass(frozen=True)
class Threads:
    """How many, and why.

    Attributes:
        number: None: as many as the provider takes by itself.
        reason: in words, for `latentrt doctor`.
    """

    number: int | None
    reason: str


def threads_here(
    asked: int | None = None, environ: Mapping[str, str] = os.environ, here: Cores | None = None
) -> Threads:
    """How many threads a network computes in.

    Args:
        asked: from 1 to 1024; None: not asked for.
        environ: where `LATENTRT_THREADS` asks for a number, which counts where `asked` is None.
        here: the cores that there are; None: this machine's.

    Raises:
        SettingError: it is no such number.
        InputError: what the environment asks for is none.
    """
    if asked is not None:
        return Threads(whole("threads", asked, 1, MAX_THREADS), "as asked for")
    if text := environ.get(THREADS, ""):
        if not (text.isdecimal() and 1 <= int(text) <= MAX_THREADS):
            raise InputError(f"{THREADS}: expected a whole number from 1 to {MAX_THREADS}, got {text!r}")
        return Threads(int(text), f"as {THREADS} asks for")
    here = cores() if here is None else here
    if here is None:
        return Threads(None, "the provider's own number")
    if here.quota is not None and here.quota < here.usable:
        return Threads(here.quota, f"a control group allows no more, of {here.usable} cores")
    if here.held:
        return Threads(here.usable, f"the cores that this process may use, of {here.installed}")
    return Threads(None, "one for each core, as the provider takes them")
