"""The least time that a machine's limits allow for a call.

The roofline model (Williams, Waterman, Patterson, 2009, doi:10.1145/1498765.1498785): no more than the machine's rate
of multiplications, and no more than its memory's rate times the multiplications to a byte. Bytes are those that must
move whatever the kernels do (`Cost.least_bytes`: weights, inputs and outputs once), less what caches may have kept, so
that the limit is one that no kernel can beat. What a graph moves node by node can be saved by fusing nodes, and bounds
nothing.
"""

from collections.abc import Mapping
from typing import Any


def least_seconds(macs: int, least_bytes: int, ceiling: Mapping[str, Any], runs: int = 1) -> float:
    """Seconds that a call takes at the least.

    Args:
        macs: of the call.
        least_bytes: likewise.
        ceiling: a report's: `macs_per_s`, `bytes_per_s` and `cache_bytes`.
        runs: of the network in the call; caches may keep something between each two.
    """
    from_memory = max(0, least_bytes - runs * ceiling["cache_bytes"])
    least: float = max(macs / ceiling["macs_per_s"], from_memory / ceiling["bytes_per_s"])
    return least
