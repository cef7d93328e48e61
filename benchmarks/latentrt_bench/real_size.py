"""Measure an SD 1.5-sized checkpoint: load, UNet step, VAE decode and peak memory, against diffusers in torch.

    python tools/make_sd15.py /tmp/sd15
    python -m latentrt_bench.real_size /tmp/sd15 --rounds 3 --json real-size.json

Each contender lives in a process of its own, all loaded at once; one computes at a time, in turns, so that a machine
that gets slower or faster meets all of them alike. Times are medians over the rounds after one that does not count.
"""

import argparse
import contextlib
import json
import platform
import resource
import select
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SEQUENCE, CONTEXT = 77, 768


class Latentrt:
    """Our own runtime, on one device: "cpu", "openvino", or with a word behind it, in low memory."""

    def __init__(self, model: Path, size: int, device: str) -> None:
        import numpy as np

        import latentrt

        device, _, memory = device.partition(" ")
        self.pipeline = latentrt.load(model, device=device, low_memory=bool(memory))
        latent = size // 8
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((1, 4, latent, latent)).astype(np.float32)
        self.context = rng.standard_normal((1, SEQUENCE, CONTEXT)).astype(np.float32)
        self.unet = self.pipeline.unet_session(1, (latent, latent), self.context.shape[1:])
        self.feeds = {"sample": self.x, "timestep": np.float32(500), "encoder_hidden_states": self.context}

    def step(self) -> None:
        """Call the UNet once, batch 1."""
        self.unet.run(self.feeds)

    def forget(self) -> None:
        """Free the UNet, so that all contenders' decoders fit beside each other."""
        self.pipeline.close()

    def decode(self) -> None:
        """Decode one picture."""
        self.pipeline.autoencoder.decode(self.x)


class Diffusers:
    """diffusers in torch: fp32, or bf16 with channels-last weights."""

    def __init__(self, model: Path, size: int, dtype: str) -> None:
        import torch
        from diffusers import AutoencoderKL, UNet2DConditionModel

        self.torch = torch
        kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
        layout = torch.channels_last if dtype == "bf16" else torch.contiguous_format
        options = {"torch_dtype": kind, "local_files_only": True}
        self.unet = UNet2DConditionModel.from_pretrained(model / "unet", **options).eval()
        self.vae = AutoencoderKL.from_pretrained(model / "vae", **options).eval()
        for module in (self.unet, self.vae):
            module.to(memory_format=layout)
        torch.manual_seed(0)
        self.x = torch.randn(1, 4, size // 8, size // 8).to(kind, memory_format=layout)
        self.context = torch.randn(1, SEQUENCE, CONTEXT).to(kind)

    def step(self) -> None:
        """Call the UNet once, batch 1."""
        with self.torch.inference_mode():
            self.unet(self.x, 500, self.context)

    def forget(self) -> None:
        """Free the UNet, so that all contenders' decoders fit beside each other."""
        del self.unet

    def decode(self) -> None:
        """Decode one picture."""
        with self.torch.inference_mode():
            self.vae.decode(self.x)


CONTENDERS: dict[str, tuple[type, str]] = {
    "latentrt cpu": (Latentrt, "cpu"),
    "latentrt cpu low": (Latentrt, "cpu low-memory"),
    "latentrt openvino": (Latentrt, "openvino"),
    "diffusers fp32": (Diffusers, "fp32"),
    "diffusers bf16": (Diffusers, "bf16"),
}


def worker(name: str, model: Path, size: int) -> int:
    """Load, say how long that took, then do what each line of standard input names."""

    def say(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    answers, sys.stdout = sys.stdout, sys.stderr
    kind, argument = CONTENDERS[name]
    started = time.perf_counter()
    try:
        contender = kind(model, size, argument)
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}".splitlines()[0])
        return 1
    say(seconds=time.perf_counter() - started)
    for line in sys.stdin:
        started = time.perf_counter()
        getattr(contender, line.strip())()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        say(seconds=time.perf_counter() - started, peak_rss=peak)
    return 0


class Process:
    """A contender's process, spoken to by lines of JSON."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        python = sys.executable
        if name == "latentrt openvino" and arguments.openvino_python is not None:
            python = arguments.openvino_python
        command = [python, __file__, str(arguments.model), "--size", str(arguments.size), "--worker", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.limit = arguments.limit
        self.row: dict[str, Any] = {"contender": name, "step": [], "decode": []}
        answer = self.read()
        if "error" not in answer:
            self.row["load"] = answer["seconds"]

    def read(self) -> dict[str, Any]:
        """The next answer; a process that does not answer in time is ended, and its row says so."""
        ready, _, _ = select.select([self.process.stdout], [], [], self.limit)
        line = self.process.stdout.readline() if ready else None  # type: ignore[union-attr]
        if line is None:
            self.process.kill()
            answer = {"error": f"given up after {self.limit:.0f} s"}
        else:
            answer = json.loads(line) if line else {"error": f"died with exit code {self.process.wait()}"}
        if "error" in answer:
            self.row["error"] = answer["error"]
        return answer

    def measure(self, what: str, counts: bool) -> None:
        """Have one sample made, and keep it if it counts."""
        if "error" in self.row:
            return
        with contextlib.suppress(BrokenPipeError):  # it has died, as when memory ran out; `read` says so
            self.process.stdin.write(what + "\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        answer = self.read()
        if "error" not in answer:
            self.row["peak_rss"] = answer["peak_rss"]
            print(f"  {self.row['contender']}: {what} {answer['seconds']:.2f} s", file=sys.stderr)
            if counts:
                self.row[what].append(answer["seconds"])


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each contender: medians, and the ratio of the steps to the first's."""
    lines = [f"{'contender':<20}{'load s':>9}{'step s':>9}{'ratio':>8}{'decode s':>10}{'peak GB':>9}"]
    base = next(
        (statistics.median(r["step"]) for r in rows if r["step"]), None
    )  # ratios are to the first row
    for row in rows:
        if "load" not in row:
            lines.append(f"{row['contender']:<20}  {row['error']}")
            continue
        step, decode = (statistics.median(row[k]) if row[k] else float("nan") for k in ("step", "decode"))
        ratio = step / base if base else float("nan")
        peak = row.get("peak_rss", float("nan")) / 1e9
        note = f"  ({row['error']})" if "error" in row else ""
        lines.append(
            f"{row['contender']:<20}{row['load']:>9.1f}{step:>9.2f}{ratio:>8.2f}{decode:>10.2f}{peak:>9.2f}{note}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table, write every sample."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder that tools/make_sd15.py made")
    parser.add_argument("--size", type=int, default=512, help="side of the picture in pixels (512)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=300, help="seconds after which one is given up (300)")
    parser.add_argument(
        "--openvino-python",
        metavar="PYTHON",
        help="of an environment with onnxruntime-openvino, where the plugin does not take the processor",
    )
    parser.add_argument(
        "--contender", action="append", choices=CONTENDERS, help="only these; may be repeated"
    )
    parser.add_argument("--json", type=Path, help="where to write every sample")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments.worker, arguments.model, arguments.size)
    processes = [Process(name, arguments) for name in arguments.contender or CONTENDERS]
    for what, turns in (("step", arguments.rounds + 1), ("forget", 1), ("decode", arguments.rounds + 1)):
        for turn in range(turns):
            for process in processes:
                process.measure(what, turn > 0)
    rows = [process.row for process in processes]
    print(table(rows))
    if arguments.json:
        report = {"size": arguments.size, "processor": platform.processor(), "rows": rows}
        arguments.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
