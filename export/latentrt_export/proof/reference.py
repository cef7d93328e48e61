"""What torch computes: the component's own class of diffusers or transformers.

torch's group norms on the CPU are less exact over channels-last memory: off by 1e-5 and more where those over
contiguous memory are by 3e-7. The attention of diffusers' VAE leaves its result channels last, and what follows keeps
that, so here every operation is handed contiguous tensors.
"""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from latentrt.errors import ModelError, WeightsError
from latentrt.models.component import Component
from latentrt.models.model import TEXT_ENCODERS
from latentrt.models.safetensors import Tensor
from latentrt.models.weights import Weights
from latentrt_export.proof.norms import Norm, norm_of

Array = npt.NDArray[Any]

_CLASSES = {
    kind.__name__: kind
    for kind in (CLIPTextModel, CLIPTextModelWithProjection, UNet2DConditionModel, AutoencoderKL)
}
_MASK = -1e30  # what is below is no activation, but a mask on its way into a softmax


@dataclass(frozen=True)
class Reference:
    """What torch gave.

    Attributes:
        outputs: of every trial, by the graph's names.
        largest: |activation| on the way to them.
        norms: those that were computed in each trial.
    """

    outputs: list[dict[str, Array]]
    largest: float
    norms: Counter[Norm]


def reference_outputs(
    component: Component,
    weights: Path,
    trials: Sequence[Mapping[str, Array]],
    dtype: str = "float32",
    read: Callable[[str, tuple[int, ...]], Array] | None = None,
) -> Reference:
    """What torch gives for every trial.

    Each layer has its weights while it runs and no longer, so that the network is never in memory as a whole.

    Args:
        component: the network.
        weights: its safetensors file.
        trials: inputs by name, as `parity.trials` makes them.
        dtype: "float32" or "float64", what torch computes in; the outputs are of that type.
        read: gives each tensor of the file by name and shape, in place of the file.

    Raises:
        ModelError: the class refuses the config.
        WeightsError: the class wants a parameter that was not written: the graph does not compute all of it.
    """
    computing = getattr(torch, dtype)
    module = _empty(component, computing)
    places = _places(module, weights, component.name)
    _fill_while_running(
        module, places, _read if read is None else lambda one: read(one.name, one.shape), computing
    )
    norms = _norms_that_run(module)
    # The plain form of attention, whose scores can be seen.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), _Watch() as seen:
        outputs = [_run(component.name, module, trial, computing) for trial in trials]
    return Reference(outputs, seen.largest, Counter(norms.values()))


class _Watch(TorchDispatchMode):
    """Hands every operation contiguous tensors, and looks at its result."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0.0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not function.is_view and not function._schema.is_mutable:
            args = tuple(_contiguous(value) for value in args)
        result = function(*args, **(kwargs or {}))
        # Of a norm's results only the first is stored; mean and deviation stay inside it. Views hold nothing new.
        first = result[0] if isinstance(result, tuple) else result
        looks = isinstance(first, torch.Tensor) and first.is_floating_point() and not function.is_view
        if looks and first.numel() > 1 and not first.is_meta:
            low, high = (float(value) for value in torch.aminmax(first))
            self.largest = max(self.largest, high, -low if low > _MASK else 0.0)
        return result


def _contiguous(value: Any) -> Any:
    return value.contiguous() if isinstance(value, torch.Tensor) and value.ndim == 4 else value


def _empty(component: Component, dtype: torch.dtype) -> Any:
    """The module without storage for its parameters."""
    try:
        with init_empty_weights(include_buffers=False), _quiet():
            kind: Any = _CLASSES[component.kind]
            if component.name in TEXT_ENCODERS:
                said = {
                    key: value for key, value in component.config.items() if value is not None
                }  # null says nothing
                module = kind(CLIPTextConfig.from_dict(said))
            else:
                module = kind.from_config(dict(component.config))
            module.to(dtype)
    except Exception as error:  # of whatever kind the class raises for settings that it does not take
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{component.name}: its class in diffusers or transformers refuses config.json, so that nothing can be "
            f"proven: {type(error).__name__}: {reason}"
        ) from error
    if component.name == "vae_encoder":
        del module.decoder, module.post_quant_conv
    if component.name == "vae_decoder":
        del module.encoder, module.quant_conv
    return module.eval()


def _places(module: torch.nn.Module, weights: Path, component: str) -> dict[str, Tensor]:
    """Where each parameter of the module was written."""
    tensors, places = Weights((weights,)), {}
    for name, parameter in module.named_parameters():
        tensor = tensors.find(name) or tensors.find(f"text_model.{name}")
        if tensor is None or tensor.shape != tuple(parameter.shape):
            raise WeightsError(
                f"{component}: {type(module).__name__} wants {name} of shape {tuple(parameter.shape)}, "
                f"the graph has {'no such parameter' if tensor is None else tensor.shape}; this is a mistake of "
                "latentrt, please report it with config.json"
            )
        places[name] = tensor
    return places


def _read(tensor: Tensor) -> Array:
    with tensor.file.open("rb") as file:  # not the mapping: its pages would count twice
        file.seek(tensor.start)
        data = np.fromfile(file, np.uint8, tensor.end - tensor.start)
    return data.view({"F16": "<f2", "F32": "<f4"}[tensor.dtype]).reshape(tensor.shape)


def _fill_while_running(
    module: torch.nn.Module,
    places: Mapping[str, Tensor],
    read: Callable[[Tensor], Array],
    dtype: torch.dtype,
) -> None:
    def fill(name: str, layer: torch.nn.Module, args: Any) -> None:
        for leaf, _ in list(layer.named_parameters(recurse=False)):
            # A copy: what comes of a mapped file is read-only.
            values = torch.from_numpy(np.array(read(places[f"{name}.{leaf}"]))).to(dtype)
            setattr(layer, leaf, torch.nn.Parameter(values, requires_grad=False))

    def empty(layer: torch.nn.Module, args: Any, output: Any) -> None:
        for leaf, parameter in list(layer.named_parameters(recurse=False)):
            setattr(layer, leaf, torch.nn.Parameter(parameter.to("meta"), requires_grad=False))

    for name, layer in module.named_modules():
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_pre_hook(functools.partial(fill, name))
            layer.register_forward_hook(empty)


def _norms_that_run(module: torch.nn.Module) -> dict[str, Norm]:
    """The module's norms by name, which are there once they have run."""
    ran: dict[str, Norm] = {}

    def note(name: str, layer: torch.nn.Module, args: Any) -> None:
        ran[name] = norm_of(layer)

    for name, layer in module.named_modules():
        if isinstance(layer, torch.nn.GroupNorm | torch.nn.LayerNorm):
            layer.register_forward_pre_hook(functools.partial(note, name))
    return ran


def _run(component: str, module: Any, trial: Mapping[str, Array], dtype: torch.dtype) -> dict[str, Array]:
    inputs = {}
    for name, value in trial.items():
        tensor = torch.from_numpy(np.asarray(value))
        inputs[name] = tensor.to(dtype) if tensor.is_floating_point() and tensor.ndim else tensor
    if component in TEXT_ENCODERS:
        result = module(inputs["input_ids"], output_hidden_states=True)
        outputs = {"last_hidden_state": result.last_hidden_state}
        if "text_embeds" in result:  # that class keeps the state which it projects to itself
            outputs["text_embeds"] = result.text_embeds
        else:
            outputs["pooler_output"] = result.pooler_output
        outputs |= {f"hidden_states.{i}": state for i, state in enumerate(result.hidden_states)}
    elif component == "unet":
        sample, timestep, context = (inputs.pop(k) for k in ("sample", "timestep", "encoder_hidden_states"))
        told = {name: inputs.pop(name, None) for name in ("timestep_cond", "class_labels")}
        told["added_cond_kwargs"] = inputs
        outputs = {"out_sample": module(sample, timestep, context, **told, return_dict=False)[0]}
    elif component == "vae_encoder":
        outputs = {"latent_parameters": module.encode(inputs["sample"]).latent_dist.parameters}
    else:
        outputs = {"sample": module.decode(inputs["latent_sample"], return_dict=False)[0]}
    return {name: value.to(dtype).numpy() for name, value in outputs.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence both libraries' advice about configurations, which is meant for training them."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = [library.get_verbosity() for library in (diffusers_logging, transformers_logging)]
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(before[0])
        transformers_logging.set_verbosity(before[1])
