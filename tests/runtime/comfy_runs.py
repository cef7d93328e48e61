"""ComfyUI's workflows as runs of ours: what each node is here, and which have no word here yet."""

from pathlib import Path
from typing import Any

import numpy as np
from comfy_cases import Case, masks
from PIL import Image

from latentrt import Hires
from latentrt.pipeline import Pipeline

# Nodes that a run of ours has settings for, or that go without saying.
NODES = frozenset(
    {
        "CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "KSamplerAdvanced", "LatentUpscale",
        "LoadImage", "LoadImageMask", "ModelSamplingDiscrete", "PreviewImage", "RepeatLatentBatch", "SaveImage",
        "SetLatentNoiseMask", "VAEDecode", "VAEEncode", "VAEEncodeForInpaint",
    }
)  # fmt: skip
UPSCALERS = {
    "nearest-exact": "latent-nearest-exact",
    "bilinear": "latent",
    "bicubic": "latent-bicubic",
    "bislerp": "latent-bislerp",
}


def unsaid(case: Case) -> list[str]:
    """What of a workflow no setting here says."""
    nodes = sorted({node["class_type"] for node in case.workflow.values()} - NODES)
    texts = [str(given["text"]) for _, given in case.nodes("CLIPTextEncode")]
    grammar = any(sign in text for text in texts for sign in ("(", ")", "\\", "embedding:"))
    return [*nodes, *(["weights in prompts"] if grammar else [])]


def latents_of(pipeline: Pipeline, case: Case, folder: Path) -> dict[str, np.ndarray]:
    """The latents of a workflow, in the unit of ComfyUI's nodes, by the node that gives them: of two passes the second.

    Args:
        pipeline: of the workflow's checkpoint.
        case: the workflow.
        folder: where its pictures lie.
    """
    scale = pipeline.autoencoder.scaling_factor
    if stages := case.nodes("KSamplerAdvanced"):
        found, latents = {}, None
        for node, asked in stages:
            prompt, settings = _settings(case, asked)
            settings |= stage(asked)
            if latents is None:
                latents = pipeline.txt2img(prompt, **_size(case), **settings).latents
            else:
                latents = pipeline.img2img(prompt, latents, **settings).latents
            found[node] = latents / scale
        return found
    (first, asked), *more = case.nodes("KSampler")
    prompt, settings = _settings(case, asked)
    kinds = {one["class_type"] for one in case.workflow.values()}
    if kinds & {"SetLatentNoiseMask", "VAEEncodeForInpaint"}:
        result = pipeline.inpaint(prompt, strength=asked["denoise"], **masks(case, folder), **settings)
    elif "VAEEncode" in kinds:
        with Image.open(folder / "input" / str(case.node("LoadImage")[1]["image"])) as picture:
            repeated = [node["amount"] for _, node in case.nodes("RepeatLatentBatch")]
            settings |= {"strength": asked["denoise"], "num_images": repeated[0] if repeated else 1}
            result = pipeline.img2img(prompt, picture.convert("RGB"), **settings)
    else:
        hires = _hires(case, more[0][1]) if more else None
        result = pipeline.txt2img(prompt, **_size(case), **settings, hires=hires)
    return {(more[0][0] if more else first): result.latents / scale}


def stage(asked: dict[str, Any]) -> dict[str, Any]:
    """What an advanced sampler was given, in our words."""
    end = {} if asked["end_at_step"] >= asked["steps"] else {"end_at_step": asked["end_at_step"]}
    leftover = {"leftover_noise": True} if end and asked["return_with_leftover_noise"] == "enable" else {}
    return {
        "start_at_step": asked["start_at_step"],
        "add_noise": asked["add_noise"] == "enable",
        **end,
        **leftover,
    }


def _settings(case: Case, asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The prompt of a sampler, and its settings."""
    return case.text(asked["positive"]), {
        "negative_prompt": case.text(asked["negative"]), "seed": asked.get("seed", asked.get("noise_seed")),
        "num_inference_steps": asked["steps"], "guidance_scale": asked["cfg"], "sampler": asked["sampler_name"],
        "schedule": asked["scheduler"], "like": "comfyui",
    }  # fmt: skip


def _size(case: Case) -> dict[str, Any]:
    latent = case.node("EmptyLatentImage")[1]
    return {"width": latent["width"], "height": latent["height"], "num_images": latent["batch_size"]}


def _hires(case: Case, second: dict[str, Any]) -> Hires:
    between = case.node("LatentUpscale")[1]
    return Hires(
        size=(between["width"], between["height"]),
        crop=between["crop"] == "center",
        upscaler=UPSCALERS[between["upscale_method"]],
        steps=second["steps"],
        strength=second["denoise"],
        sampler=second["sampler_name"],
        schedule=second["scheduler"],
        guidance_scale=second["cfg"],
        seed=second["seed"],
    )
