"""The demo's text encoder: a small CLIPTextModel that is taught to read a scene before any picture is drawn.

Its last six states, which see the whole caption, are trained to spell out the background and what lies at each
of the five places as fixed codes; every other state becomes one constant. The denoiser's cross-attention then
finds what belongs where from its first step on, and different wordings of a scene come to the same states.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from latentrt.models.demo.scenes import (
    BACKGROUNDS,
    COLOURS,
    DEFAULT_BACKGROUND,
    DEFAULT_SIZE,
    PLACES,
    SHAPES,
    SIZES,
    Scene,
    caption,
    held_out,
    is_caption,
    make_scene,
    parse,
    sample,
)  # fmt: skip

from . import stage
from .optim import make_optimisers, rate_at, set_rate, take_step
from .tokenizer import END, MAX_LENGTH, START, encode

WIDTH = 128
SLOTS = ("background", *PLACES)  # the last positions, in this order
_NAMES = (
    "word", "empty", "unknown", *(f"slot {s}" for s in SLOTS), *(f"background {b}" for b in BACKGROUNDS),
    *(f"colour {c}" for c in COLOURS), *(f"shape {s}" for s in SHAPES), *(f"size {s}" for s in SIZES),
)  # fmt: skip


def make_text_encoder(tokenizer: CLIPTokenizer, seed: int = 0) -> CLIPTextModel:
    """An untrained text encoder of the demo's architecture."""
    torch.manual_seed(seed)
    ids = tokenizer.convert_tokens_to_ids
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=WIDTH,
        bos_token_id=ids(START),
        eos_token_id=ids(END),
        pad_token_id=ids(END),
    )
    return CLIPTextModel(config)


def _codes() -> dict[str, np.ndarray]:
    # Orthonormal directions with mean 0, as a layer norm's output has: any attribute can be read off linearly.
    rng = np.random.default_rng(20)
    basis = rng.standard_normal((WIDTH, len(_NAMES)))
    q, _ = np.linalg.qr(basis - basis.mean(0))
    return dict(zip(_NAMES, q.T.astype(np.float32), strict=True))


_CODES = _codes()


def _code(*names: str) -> np.ndarray:
    total = np.sum([_CODES[name] for name in names], axis=0)
    return total * np.float32(np.sqrt(WIDTH) / np.linalg.norm(total))


def target_states(scene: Scene | None) -> np.ndarray:
    """float32 (32, 128): what the encoder's last hidden state should be; None is a text that names no scene."""
    states = np.repeat(_code("word")[None], MAX_LENGTH, axis=0)
    items = {item.place: item for item in scene.items} if scene else {}
    for n, slot in enumerate(SLOTS, start=MAX_LENGTH - len(SLOTS)):
        if scene is None:
            states[n] = _code(f"slot {slot}", "unknown")
        elif slot == "background":
            states[n] = _code(f"slot {slot}", f"background {scene.background}")
        elif slot in items:
            i = items[slot]
            states[n] = _code(f"slot {slot}", f"colour {i.colour}", f"shape {i.shape}", f"size {i.size}")
        else:
            states[n] = _code(f"slot {slot}", "empty")
    return states


def _texts(rng: np.random.Generator, count: int) -> tuple[list[str], list[Scene | None]]:
    texts: list[str] = []
    scenes: list[Scene | None] = []
    for _ in range(count):
        scene: Scene | None = sample(rng)
        if rng.random() < 0.15:  # short captions are what people type: "a red star"
            scene = make_scene(DEFAULT_BACKGROUND, [replace(i, size=DEFAULT_SIZE) for i in scene.items])
        if held_out(scene) or any(i.colour == scene.background for i in scene.items):
            scene = sample(rng)
        text = caption(scene, rng)
        kind = rng.random()
        if kind < 0.02:
            text, scene = "", None
        elif kind < 0.05:  # words in disorder, or no words at all, name no scene
            words = text.split() if kind < 0.035 else [chr(c) for c in rng.integers(97, 123, size=12)]
            text, scene = " ".join(rng.permutation(words)[: rng.integers(1, 9)]), None
            if is_caption(text) and held_out(scene := parse(text)):
                text, scene = "", None
        elif kind < 0.10:
            text = text.capitalize() + "."
        texts.append(text)
        scenes.append(scene)
    return texts, scenes


@torch.no_grad()
def last_states(model: CLIPTextModel, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """float32 (b, 32, 128): what the denoiser's cross-attention sees."""
    device = next(model.parameters()).device
    return model(torch.from_numpy(encode(tokenizer, texts)).to(device)).last_hidden_state.float().cpu()


def slot_accuracy(model: CLIPTextModel, tokenizer: CLIPTokenizer, pairs: list[tuple[str, Scene]]) -> float:
    """Share of captions whose six scene states all carry the right attributes as their nearest codes."""
    states = last_states(model, tokenizer, [text for text, _ in pairs])[:, -len(SLOTS) :].numpy()
    right = np.ones(len(pairs), bool)
    for n, slot in enumerate(SLOTS):
        if slot == "background":
            names = [(f"background {b}",) for b in BACKGROUNDS]
        else:
            names = [("empty",)] + [
                (f"colour {c}", f"shape {s}", f"size {z}") for c in COLOURS for s in SHAPES for z in SIZES
            ]
        table = np.stack([_code(f"slot {slot}", *parts) for parts in names])
        wanted = np.stack([target_states(scene)[MAX_LENGTH - len(SLOTS) + n] for _, scene in pairs])
        right &= (states[:, n] @ table.T).argmax(1) == (wanted @ table.T).argmax(1)
    return float(right.mean())


def train(
    folder: Path, tokenizer: CLIPTokenizer, budget: stage.Budget, *,
    batch: int = 64, seed: int = 0, dtype: str = "auto", every: int = 50,
) -> CLIPTextModel:  # fmt: skip
    """Train until the budget is spent, resuming from `folder`."""
    device = stage.pick_device()
    model = make_text_encoder(tokenizer, seed).to(device)
    optimisers = make_optimisers(model, muon_lr=0.01, adam_lr=2e-3, adam_names=("text_model.embed", "embed"))
    rng = np.random.default_rng(seed + 1)
    checkpoint = stage.Checkpoint(folder / "text_encoder.pt", model, optimisers, budget, rng)
    checkpoint.resume()

    weight = torch.full((MAX_LENGTH, 1), 0.1, device=device)
    weight[-len(SLOTS) :] = 2.0  # the states that carry the scene count most
    budget.start()
    while budget.fraction() < 1:
        set_rate(optimisers, rate_at(budget.fraction(), budget.done, hold=0.3))
        texts, scenes = _texts(rng, batch)
        wanted = torch.from_numpy(np.stack([target_states(scene) for scene in scenes])).to(device)
        with stage.autocast(device, dtype):
            states = model(torch.from_numpy(encode(tokenizer, texts)).to(device)).last_hidden_state
        loss = (weight * (states.float() - wanted) ** 2).mean()
        loss.backward()
        take_step(optimisers)
        budget.tick()
        if budget.done % every == 0:
            stage.progress("text encoder", budget, budget.done * batch, loss=loss.item())
        if budget.done % (5 * every) == 0:
            checkpoint.save()
    checkpoint.save()
    return model
