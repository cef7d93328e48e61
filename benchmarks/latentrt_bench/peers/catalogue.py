"""Who is measured: the peers, what each needs installed, and what it reads. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        requirements: as pip takes them, with exact versions. "latentrt[…]" stands for the latentrt that runs this.
        removed: distributions to take out again: dependencies that are declared, not needed, and harmful.
    """

    requirements: tuple[str, ...]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """What a peer reads in place of the checkpoint: an export of it.

    Attributes:
        environment: where the exporter is installed.
        command: its arguments behind `python`; {model} and {out} are filled in.
    """

    environment: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    """A contender.

    Attributes:
        environment: where it is installed.
        runner: "file.py:Class" in the folder `runners`.
        precision: what it computes in.
        material: what it reads, of `MATERIALS`; None: the checkpoint.
        options: of the runner.
        facts: what a reader has to know of it, for the report.
        least_steps: of a picture; with fewer it does not run.
    """

    environment: str
    runner: str
    precision: str
    material: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    least_steps: int = 1


TORCH = "torch==2.13.0"
# One ONNX Runtime for all who use it, so that what differs is not that.
ONNXRUNTIME = "onnxruntime==1.32.0"

ENVIRONMENTS: dict[str, Environment] = {
    "diffusers": Environment((TORCH, "diffusers==0.42.1", "transformers==5.23.0", "accelerate==1.15.0")),
    "latentrt": Environment(("latentrt[cpu]", ONNXRUNTIME)),
    "latentrt-export": Environment(
        (
            "latentrt[cpu,export]",
            ONNXRUNTIME,
            TORCH,
            "diffusers==0.42.1",
            "transformers==5.23.0",
            "onnx==1.23.2",
        )
    ),
    "optimum-onnx": Environment(
        (
            "optimum-onnx==0.1.0",
            ONNXRUNTIME,
            TORCH,
            "diffusers==0.39.0",
            "transformers==4.57.6",
            "onnx==1.23.2",
        )
    ),
    "openvino-genai": Environment(("openvino-genai==2026.4.1.0",)),
    # torchvision's own torch is another build than the CPU's, beside which importing transformers fails.
    "optimum-intel": Environment(
        ("optimum-intel==2.2.0", "openvino==2026.4.1", TORCH, "diffusers==0.39.0", "transformers==5.5.4"),
        removed=("torchvision",),
    ),
    "stable-diffusion.cpp": Environment(("stable-diffusion-cpp-python==0.4.7",)),
}

_EXPORT = ("--model", "{model}", "--task", "text-to-image")
MATERIALS: dict[str, Material] = {
    "latentrt bundle": Material("latentrt-export", ("-m", "latentrt", "export", "{model}", "{out}")),
    "optimum-onnx export": Material(
        "optimum-onnx", ("-m", "optimum.commands.optimum_cli", "export", "onnx", *_EXPORT, "{out}")
    ),
    "optimum-intel export": Material(
        "optimum-intel",
        (
            "-m",
            "optimum.commands.optimum_cli",
            "export",
            "openvino",
            *_EXPORT,
            "--weight-format",
            "fp16",
            "{out}",
        ),
    ),
}

HANDED_OVER = "handed over"
GIVEN = {"latents": HANDED_OVER, "step": "between the callbacks at the ends of steps"}
FP32 = {"dtype": "float32", "channels_last": False, "compiled": False}
# The first is what the others' pictures are held against.
PEERS: dict[str, Peer] = {
    "diffusers-fp32": Peer("diffusers", "run_diffusers.py:Diffusers", "fp32", options=FP32, facts=GIVEN),
    "diffusers-bf16": Peer(
        "diffusers",
        "run_diffusers.py:Diffusers",
        "bf16",
        options={"dtype": "bfloat16", "channels_last": True, "compiled": False},
        facts={**GIVEN, "layout": "channels last"},
    ),
    "diffusers-compiled": Peer(
        "diffusers",
        "run_diffusers.py:Diffusers",
        "fp32",
        options={**FP32, "compiled": True},
        facts={
            **GIVEN,
            "compiled": "UNet and decoder; from the second process on out of its cache on disk",
        },
    ),
    "latentrt": Peer(
        "latentrt",
        "run_latentrt.py:Latentrt",
        "fp32",
        options={"fast": "off", "dtype": "fp32"},
        facts={**GIVEN, "latents": "by seed, from which it draws what torch draws", "step": "between steps"},
    ),
    "latentrt-int8": Peer(
        "latentrt",
        "run_latentrt.py:Latentrt",
        "int8",
        options={"fast": "off", "dtype": "int8"},
        facts={
            **GIVEN,
            "latents": "by seed, from which it draws what torch draws",
            "step": "between steps",
            "integers": "UNet and VAE decoder, which paint another picture",
        },
    ),
    "latentrt-balanced": Peer(
        "latentrt",
        "run_latentrt.py:Latentrt",
        "fp32",
        options={"fast": "balanced", "dtype": "fp32"},
        facts={
            **GIVEN,
            "latents": "by seed, from which it draws what torch draws",
            "step": "between steps, most of which are extrapolated",
            "recipe": "--fast balanced, which paints another picture",
        },
        least_steps=9,
    ),
    "optimum-onnx": Peer(
        "optimum-onnx",
        "run_optimum.py:Optimum",
        "fp32",
        "optimum-onnx export",
        {"graph": "model.onnx"},
        GIVEN,
    ),
    "optimum-bundle-fp16": Peer(
        "optimum-onnx",
        "run_optimum.py:Optimum",
        "fp16, where there are kernels",
        "latentrt bundle",
        {"graph": "model.onnx"},
        {
            **GIVEN,
            "loaded": "from_pretrained on our bundle, which takes its fp16 graphs; of SDXL handed the autoencoder's "
            "fp32 ones",
        },
    ),
    "optimum-bundle-fp32": Peer(
        "optimum-onnx",
        "run_optimum.py:Optimum",
        "fp32",
        "latentrt bundle",
        {"graph": "model.fp32.onnx"},
        {**GIVEN, "loaded": "from_pretrained on our bundle, handed sessions of its fp32 graphs"},
    ),
    "openvino-genai": Peer(
        "openvino-genai",
        "run_openvino.py:OpenVINO",
        "its choice",
        "optimum-intel export",
        facts={**GIVEN, "latents": "handed over by a generator"},
    ),
    "stable-diffusion.cpp": Peer(
        "stable-diffusion.cpp",
        "run_sdcpp.py:StableDiffusionCpp",
        "its choice",
        facts={
            **GIVEN,
            "latents": "not taken; by seed, of its generator that imitates torch's",
            "guidance": "two evaluations of one, where the others do one of two",
        },
    ),
}
