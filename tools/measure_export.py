"""What an export costs: `python tools/measure_export.py MODEL OUT` prints seconds and peak memory of every stage.

Memory is the resident set of the whole process, sampled every 20 ms; the last line is the kernel's own maximum.
"""

import argparse
import resource
import sys
import threading
import time
from pathlib import Path

import psutil

from latentrt_export.bundle.export import Progress, export_model
from latentrt_export.cli import table

INTERVAL = 0.02


def main() -> int:
    """Export and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    process = psutil.Process()
    stages: dict[str, list[float]] = {}  # stage: start, end, peak
    current = "start"
    done = threading.Event()

    def tell(progress: Progress) -> None:
        nonlocal current
        if progress.message != current:
            print(f"{time.strftime('%X')} {progress.message}", file=sys.stderr, flush=True)
        current = progress.message

    def sample() -> None:
        while not done.wait(INTERVAL):
            now, rss = time.perf_counter(), float(process.memory_info().rss)
            stage = stages.setdefault(current, [now, now, rss])
            stage[1:] = [now, max(stage[2], rss)]

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        manifest = export_model(args.model, args.out, overwrite=True, progress=tell)
    finally:
        done.set()
        sampler.join()
    for name, (start, end, peak) in stages.items():
        print(f"{name:<36} {end - start:>7.1f} s {peak / 1e9:>6.2f} GB")
    print(f"{'peak':<36} {'':>9} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:>6.2f} GB")
    print(table(manifest, args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
