"""Which operators a provider has kernels for: asked of ONNX Runtime before a session is made."""

import functools
from collections.abc import Mapping

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as native

from latentrt.engine.providers import Provider
from latentrt.errors import ProviderError
from latentrt.models.given.given_graph import GivenGraph

# Operators of ONNX's own domain without kernels on the CPU that ONNX Runtime writes out in others, as onnx.defs says;
# and constants, with which it is done when it loads.
_WRITTEN_OUT = frozenset(
    {"Bernoulli", "CastLike", "CausalConvWithState", "CenterCropPad", "Constant", "GroupNormalization", "HardSwish",
     "LinearAttention", "Mish", "NegativeLogLikelihoodLoss", "SequenceMap", "SoftmaxCrossEntropyLoss", "SwiGLU",
     "Swish"}
)  # fmt: skip
_REGISTERED = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def missing_operators(operators: Mapping[tuple[str, str], int], provider: Provider) -> dict[str, int]:
    """How often each operator occurs that neither the provider nor the CPU beside it has, by `domain.name`.

    Empty of a provider that keeps no list of kernels, as OpenVINO, which decides when it is handed a graph; and of an
    ONNX Runtime that does not tell.
    """
    kernels = _kernels()
    registered = _REGISTERED.get(provider.name)
    if registered is None or not kernels:
        return {}
    there = kernels.get(registered, frozenset()) | kernels["CPUExecutionProvider"]
    return {
        f"{domain or 'onnx'}.{name}": count
        for (domain, name), count in sorted(operators.items())
        if (domain, name) not in there and not (domain == "" and name in _WRITTEN_OUT)
    }


def check_operators(component: str, graph: GivenGraph, provider: Provider) -> None:
    """Refuse a graph that the provider cannot run.

    Raises:
        ProviderError: names every operator that it lacks.
    """
    missing = missing_operators(graph.operators, provider)
    if missing:
        listed = ", ".join(f"{name} ({count})" for name, count in missing.items())
        raise ProviderError(
            f"{graph.file}: {component} wants operators that onnxruntime {ort.__version__} does not have on "
            f"{provider.name}: {listed}. It is optimised for another provider: run it there (--device), or take an "
            "export that is not (of optimum without -O4, of Olive before its optimisation), or the checkpoint itself"
        )


@functools.cache
def _kernels() -> dict[str, frozenset[tuple[str, str]]]:
    """(domain, operator) by provider."""
    read = getattr(native, "get_all_opkernel_def", None)
    if read is None:
        return {}
    found: dict[str, set[tuple[str, str]]] = {}
    for kernel in read():
        domain = "" if kernel.domain == "ai.onnx" else kernel.domain
        found.setdefault(kernel.provider, set()).add((domain, kernel.op_name))
    return {provider: frozenset(names) for provider, names in found.items()}
