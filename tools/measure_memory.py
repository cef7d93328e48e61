"""What painting with a model takes: seconds to load, step and decode, and the peak of memory in each.

    python tools/measure_memory.py MODEL [--size 512x512] [--steps 2] [--low-memory] [--guidance 7.5] [--tile auto]
        [--no-cache]

Anonymous memory is what the process took for itself; mapped memory are pages of files, of the weights above all, which
the system takes back when others want them. Both are sampled from /proc/self/status, so on Linux only.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import latentrt
from latentrt.pipeline import Pipeline

PERIOD = 0.01  # seconds between samples


def resident() -> tuple[int, int]:
    """Bytes of anonymous memory, and of files, that are in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {key: rest for key, _, rest in (line.partition(":") for line in lines)}
    anonymous, files = (int(values[key].split()[0]) * 1024 for key in ("RssAnon", "RssFile"))
    return anonymous, files


class Meter:
    """Samples memory in a thread, and keeps the peaks since it was last asked."""

    def __init__(self) -> None:
        self._peaks = resident()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._peaks = tuple(map(max, self._peaks, resident()))  # type: ignore[assignment]
            time.sleep(PERIOD)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Print what the block took."""
        self._peaks = resident()
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        figures = (value / 1e9 for value in (*self._peaks, *resident()))
        print("{:24} {:8.2f} s   peak {:6.2f} GB anonymous {:6.2f} GB mapped   then {:6.2f} {:6.2f}".format(
            name, seconds, *figures
        ), flush=True)  # fmt: skip


def loading(pipeline: Pipeline, meter: Meter) -> Callable[[], None]:
    """Make every network's loading a stage of its own; gives what ends that."""
    from latentrt.engine.runner import Runner

    make = Runner._make

    def measured(runner: Runner, *args: object) -> object:
        with meter.stage(f"load {runner.component.name}"):
            return make(runner, *args)  # type: ignore[arg-type]

    Runner._make = measured  # type: ignore[method-assign, assignment]

    def end() -> None:
        Runner._make = make  # type: ignore[method-assign]

    return end


def main() -> int:
    """Paint, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--low-memory", action="store_true")
    parser.add_argument("--no-cache", dest="cache", action="store_false")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    tile = int(args.tile) if args.tile.isdigit() else args.tile
    meter = Meter()
    options = {"low_memory": args.low_memory, "tile": tile, "cache": args.cache}
    with latentrt.load(args.model, device="cpu", **options) as pipeline:
        loading(pipeline, meter)
        generation = pipeline.start_txt2img(
            "a fox", width=width, height=height, num_inference_steps=args.steps,
            guidance_scale=args.guidance, seed=[1] * args.batch, batch_size=args.batch,
        )  # fmt: skip
        for index in range(generation.total):
            with meter.stage(f"step {index + 1}"):
                next(generation)
        with meter.stage("decode"):
            generation.result()
    return 0


if __name__ == "__main__":
    sys.exit(main())
