"""stable-diffusion.cpp by its Python package. Runs under the Python of its own environment; see `run_diffusers`."""

import ctypes
import sys
import time
from typing import Any

from stable_diffusion_cpp import StableDiffusion, sd_set_log_callback

WARNING = 2  # of its levels: debug, info, warning, error
said: list[str] = []  # its warnings and errors
kept: list[StableDiffusion] = []


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def listen(level: int, text: bytes, data: Any) -> None:
    """Keep what its log says."""
    line = text.decode("utf-8", "replace").strip()
    if level >= WARNING:
        said.append(line)
    print(line, file=sys.stderr, flush=True)


sd_set_log_callback(listen, ctypes.c_void_p(0))


class StableDiffusionCpp:
    """`StableDiffusion` on the CPU, told to take all cores (it takes half of them by itself); else as it comes.

    It takes no latents. Its random numbers named "cpu" are torch's, so that the seed gives the same ones.

    Args:
        model: the checkpoint's folder or file.
        work: see `run_diffusers.Diffusers`; also seed, cores and prediction ("epsilon" or
            "v_prediction").
    """

    def __init__(self, model: str, work: dict[str, Any]) -> None:
        self.work = work
        self.pipeline = StableDiffusion(
            model_path=model,
            n_threads=work["cores"],
            rng_type="cpu",
            sampler_rng_type="cpu",
            prediction={"epsilon": "eps", "v_prediction": "v"}[work["prediction"]],
            verbose=False,
        )
        if not self.pipeline._model.model:  # the package does not notice, and dies of freeing it
            kept.append(self.pipeline)
            raise ValueError(f"not loaded: {said[-1] if said else 'it said nothing'}")

    def paint(self) -> list[float]:
        """One picture; when each step ended, by the process's clock."""
        ends: list[float] = []

        def tell(step: int, steps: int, seconds: float) -> None:
            if step > 0:  # it is also called before the first
                ends.append(time.perf_counter())

        work = self.work
        self.picture = self.pipeline.generate_image(
            prompt=work["prompt"],
            negative_prompt="",
            width=work["width"],
            height=work["height"],
            cfg_scale=work["guidance"],
            sample_method="euler",
            scheduler="discrete",
            sample_steps=work["steps"],
            seed=work["seed"],
            progress_callback=tell,
        )[0]
        return ends

    def save(self) -> None:
        """Write the picture."""
        self.picture.convert("RGB").save(self.work["picture"])
