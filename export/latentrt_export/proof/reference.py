"""What torch computes: the component's own class of diffusers or transformers, on the weights that were written."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
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
from transformers import CLIPTextConfig, CLIPTextModel

from latentrt.errors import WeightsError
from latentrt.models.weights import Weights

Array = npt.NDArray[Any]

_MASK = -1e30  # what is below is no activation, but a mask on its way into a softmax


@dataclass(frozen=True)
class Reference:
    """torch's float32 outputs of every trial by the graph's names, and the largest |activation| on the way to them."""

    outputs: list[dict[str, Array]]
    largest: float


def reference_outputs(
    component: str, config: Mapping[str, Any], weights: Path, trials: Sequence[Mapping[str, Array]]
) -> Reference:
    """What torch gives for every trial.

    Computed in float32 from the float16 weights of the bundle. Each layer is widened while it runs and no longer, so
    that the network takes half of its float32 size.

    Args:
        component: "text_encoder", "unet", "vae_encoder" or "vae_decoder".
        config: its config.json.
        weights: its safetensors file.
        trials: inputs by name, as `parity.trials` makes them.

    Raises:
        WeightsError: the class wants a parameter that was not written: the graph does not compute all of it.
    """
    module = _empty(component, config)
    _fill(module, weights, component)
    _widen_while_running(module)
    # The plain form of attention, whose scores can be seen.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), _Largest() as seen:
        return Reference([_run(component, module, trial) for trial in trials], seen.largest)


class _Largest(TorchDispatchMode):
    """Looks at the result of every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0.0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        # Of a norm's results only the first is stored; mean and deviation stay inside it. Views hold nothing new.
        first = result[0] if isinstance(result, tuple) else result
        looks = isinstance(first, torch.Tensor) and first.dtype == torch.float32 and not function.is_view
        if looks and first.numel() > 1 and not first.is_meta:
            low, high = (float(value) for value in torch.aminmax(first))
            self.largest = max(self.largest, high, -low if low > _MASK else 0.0)
        return result


def _empty(component: str, config: Mapping[str, Any]) -> Any:
    """The module without storage for its parameters."""
    with init_empty_weights(include_buffers=False), _quiet():
        if component == "text_encoder":
            said = {key: value for key, value in config.items() if value is not None}  # null says nothing
            module = CLIPTextModel(CLIPTextConfig.from_dict(said))
        else:
            kind = UNet2DConditionModel if component == "unet" else AutoencoderKL
            module = kind.from_config(dict(config))
    if component == "vae_encoder":
        del module.decoder, module.post_quant_conv
    if component == "vae_decoder":
        del module.encoder, module.quant_conv
    return module.eval()


def _fill(module: torch.nn.Module, weights: Path, component: str) -> None:
    tensors = Weights((weights,))
    for name, parameter in list(module.named_parameters()):
        tensor = tensors.find(name) or tensors.find(f"text_model.{name}")
        if tensor is None or tensor.shape != tuple(parameter.shape):
            raise WeightsError(
                f"{component}: {type(module).__name__} wants {name} of shape {tuple(parameter.shape)}, "
                f"the graph has {'no such parameter' if tensor is None else tensor.shape}; this is a mistake of "
                "latentrt, please report it with config.json"
            )
        with tensor.file.open("rb") as file:  # not the mapping: its pages would count twice
            file.seek(tensor.start)
            values = np.fromfile(file, np.float16, (tensor.end - tensor.start) // 2).reshape(tensor.shape)
        owner, _, leaf = name.rpartition(".")
        setattr(
            module.get_submodule(owner),
            leaf,
            torch.nn.Parameter(torch.from_numpy(values), requires_grad=False),
        )


def _widen_while_running(module: torch.nn.Module) -> None:
    def widen(layer: torch.nn.Module, args: Any) -> None:
        for parameter in layer.parameters(recurse=False):
            parameter.data = parameter.data.float()

    def narrow(layer: torch.nn.Module, args: Any, output: Any) -> None:
        for parameter in layer.parameters(recurse=False):
            parameter.data = parameter.data.half()  # exact: these values were float16 before

    for layer in module.modules():
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_pre_hook(widen)
            layer.register_forward_hook(narrow)


def _run(component: str, module: Any, trial: Mapping[str, Array]) -> dict[str, Array]:
    inputs = {name: torch.from_numpy(np.asarray(value)) for name, value in trial.items()}
    if component == "text_encoder":
        result = module(inputs["input_ids"], output_hidden_states=True)
        outputs = {"last_hidden_state": result.last_hidden_state, "pooler_output": result.pooler_output}
        outputs |= {f"hidden_states.{i}": state for i, state in enumerate(result.hidden_states)}
    elif component == "unet":
        sample, timestep, context = (inputs[k] for k in ("sample", "timestep", "encoder_hidden_states"))
        outputs = {"out_sample": module(sample, timestep, context, return_dict=False)[0]}
    elif component == "vae_encoder":
        outputs = {"latent_parameters": module.encode(inputs["sample"]).latent_dist.parameters}
    else:
        outputs = {"sample": module.decode(inputs["latent_sample"], return_dict=False)[0]}
    return {name: value.float().numpy() for name, value in outputs.items()}


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
