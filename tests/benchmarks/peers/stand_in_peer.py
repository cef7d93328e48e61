"""A peer of known behaviour, which workers load by this file's path. Standard library only."""

import time
from pathlib import Path


class Painter:
    """Paints all of one grey, in so many seconds a step; can fail while loading, or at the n-th picture of a process.

    The journal has a line for each picture. `import tinypeer` shows that this is the environment that was made.
    """

    def __init__(self, model, work, grey, journal, name="", step_s=0.05, fails="", at=0):
        import tinypeer

        assert tinypeer.VALUE == 42
        assert Path(model, "unet", "config.json").is_file()
        if fails == "load":
            raise ValueError("no such\nmodel here")
        self.work, self.grey, self.step_s = work, grey, step_s
        self.journal, self.name, self.left = journal, name, at

    def paint(self):
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("kernel broke")
        with Path(self.journal).open("a") as file:
            file.write(f"{self.name}\n")
        ends = []
        for _ in range(self.work["steps"]):
            time.sleep(self.step_s)
            ends.append(time.perf_counter())
        return ends

    def save(self):
        width, height = self.work["width"], self.work["height"]
        pixels = bytes([self.grey]) * (3 * width * height)
        Path(self.work["picture"]).write_bytes(b"P6 %d %d 255\n" % (width, height) + pixels)
