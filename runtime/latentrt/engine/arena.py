"""The memory that networks compute in on the CPU: one arena for all sessions of this process.

ONNX Runtime gives each session one of its own, which takes memory in blocks that begin at 1 MiB and double. What a
network leaves free there no other uses, and what does not fit into the rest of a block begins another: decoding to 512²
pixels took 1.1 GB where 0.7 are alive. Here all share one, whose blocks are large; the system counts of them what was
touched, and a 32nd for the arena's own account.
"""

import functools
import threading

import numpy as np
import onnxruntime as ort

from latentrt.engine.providers import open_session
from latentrt.networks.graph import identity_graph

_FIRST = 1 << 20  # bytes: this block is never given back
_BLOCK = 1 << 30  # of the others, or what is asked for at once
_SHARE_KEY = "session.use_env_allocators"
_SHRINK_KEY = "memory.enable_memory_arena_shrinkage"
_POWERS_OF_TWO = 0  # how blocks grow: the one way whose size can be set

_lock = threading.Lock()


def share(options: ort.SessionOptions) -> None:
    """Let a session that is about to be loaded compute in the arena; what no run uses goes back to the system."""
    give_back()  # makes it, the first time
    options.add_session_config_entry(_SHARE_KEY, "1")


def give_back() -> None:
    """What no run uses now goes back to the system, in whole blocks."""
    with _lock:
        smallest = _smallest()
        options = ort.RunOptions()
        options.add_run_config_entry(_SHRINK_KEY, "cpu:0")
        smallest.run(None, {"x": np.zeros(1, np.float32)}, options)


@functools.cache
def _smallest() -> ort.InferenceSession:
    """A session in the arena, whose runs cost nothing: memory is given back at the end of a run."""
    kind, use = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    growth = {
        "arena_extend_strategy": _POWERS_OF_TWO,
        "initial_chunk_size_bytes": _FIRST,
        "initial_growth_chunk_size_bytes": _BLOCK,  # counts from the first time that memory was given back
        "max_power_of_two_extend_bytes": _BLOCK,
    }
    ort.create_and_register_allocator(ort.OrtMemoryInfo("Cpu", kind, 0, use), ort.OrtArenaCfg(growth))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # no threads of its own
    options.add_session_config_entry(_SHARE_KEY, "1")
    options.add_provider("CPUExecutionProvider", {})
    return open_session(identity_graph(), options)
