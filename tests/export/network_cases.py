"""Runs a network's graph with the weights of a torch module, and compares."""

import numpy as np
import onnxruntime as ort
import torch

from latentrt.networks import Variant, build

# ‖Δ‖ / ‖reference‖. Measured: fp32 at most 3e-6, fp16 at most 1.5e-3, over every case below.
BOUNDS = {"fp32": 1e-5, "fp16": 5e-3}


def state(module):
    """Parameters under their checkpoint names, rounded to float16; torch computes with the rounded ones too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half().float())
    prefix = "text_model." if hasattr(module, "embeddings") else ""
    return {f"{prefix}{name}": p.detach().half().numpy() for name, p in module.named_parameters()}


def session(component, config, compute, tensors):
    graph = build(component, dict(config), Variant(compute))
    names = [parameter.name for parameter in graph.parameters]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_external_initializers(names, [ort.OrtValue.ortvalue_from_numpy(tensors[n]) for n in names])
    return ort.InferenceSession(graph.serialize(), options, providers=["CPUExecutionProvider"])


def run(graph, **inputs):
    types = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(int64)": np.int64}
    feeds = {v.name: np.asarray(inputs[v.name]).astype(types[v.type]) for v in graph.get_inputs()}
    return dict(zip([v.name for v in graph.get_outputs()], graph.run(None, feeds), strict=True))


def relative(got, expected):
    expected = np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    return np.linalg.norm(got.astype(np.float64) - expected) / np.linalg.norm(expected)


def beside(config, batch, seed=9):
    """What a UNet of this config takes beside sample, timestep and text, by the names of its ports."""
    inputs = {}
    if config.addition_embed_type == "text_time":
        ids = np.random.default_rng(seed).integers(0, 2000, (batch, 6)).astype(np.float32)
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs |= {"text_embeds": halves(batch, width, seed=seed), "time_ids": ids}
    if config.time_cond_proj_dim is not None:
        inputs["timestep_cond"] = halves(batch, config.time_cond_proj_dim, seed=seed + 1)
    if config.num_class_embeds is not None:
        inputs["class_labels"] = np.random.default_rng(seed).integers(0, config.num_class_embeds, batch)
    return inputs


def with_torch(unet, sample, timestep, context, inputs):
    """What the module gives; `inputs` as `beside` makes them."""
    tensors = {name: torch.tensor(value) for name, value in inputs.items()}
    told = {name: tensors.pop(name, None) for name in ("timestep_cond", "class_labels")}
    with torch.inference_mode():
        return unet(
            torch.tensor(sample),
            torch.tensor(timestep),
            torch.tensor(context),
            **told,
            added_cond_kwargs=tensors or None,
        ).sample


def halves(*shape, seed=0, std=1.0):
    values = np.random.default_rng(seed).standard_normal(shape) * std
    return values.astype(np.float16).astype(np.float32)
