"""What can run here, and what is chosen.

Nothing falls back in silence: what was asked for and cannot be had is an error that names what is missing.
"""

import functools
import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnxruntime as ort

from latentrt.checks import DEVICES
from latentrt.engine.processor import processor_here
from latentrt.engine.threads import threads_here
from latentrt.errors import InputError, ProviderError
from latentrt.networks import Dtype
from latentrt.networks.graph import identity_graph

_CUDA = "CUDAExecutionProvider"
_OPENVINO = "OpenVINOExecutionProvider"


class ProviderPassedOver(UserWarning):
    """`auto` chose a provider although a faster one is installed, which does not run here; the message says why."""


@dataclass(frozen=True)
class Provider:
    """An execution provider that has been shown to run here.

    `dtype` is what it computes in unless told otherwise. `graph_optimization` is False where the provider wants the
    graph as it is and optimises by itself. `maps_weights` is False where they are handed over rather than mapped from
    the checkpoint's file. `widens_weights`: for fp32 compute it holds a wider copy of fp16 weights in the system's
    memory; `Session` sees to it that there is one at a time, or none. `pinned_sessions`: how many sessions to keep,
    each for sizes of its own, where the provider is faster with sizes that it knows; 0 where one session for all sizes
    is as fast. `fused_attention`: its kernel of ONNX Runtime's MultiHeadAttention is the faster one, see `Variant`.
    `has_int8`: it has the operators of int8 graphs. `has_bf16`: it computes graphs of fp16 in bf16, if told. `threads`:
    that it computes in; None: as many as it takes itself.
    """

    name: str
    dtype: Dtype
    graph_optimization: bool = True
    maps_weights: bool = True
    widens_weights: bool = False
    pinned_sessions: int = 0
    fused_attention: bool = False
    has_int8: bool = False
    has_bf16: bool = False
    threads: int | None = None

    def session_options(
        self, dtype: str, low_memory: bool = False, streams: bool = False
    ) -> ort.SessionOptions:
        """Options of a session on this provider alone, for a graph of the given compute type.

        With `low_memory`, weights are not re-ordered for the provider's kernels: they are held once while loading. With
        `streams` they are not held at all, see `Session`.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors; what matters of warnings is checked and said by us
        # The graph's own. ONNX Runtime's holds more at once: it casts all weights first, and leaves to the end what
        # nothing waits for.
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        if not self.graph_optimization:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        elif low_memory:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        if streams:
            # Above this level it folds casts whatever it is told.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.add_session_config_entry("optimization.disable_specified_optimizers", "ConstantFolding")
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        _ATTACH[self.name](options, dtype, self.threads)
        return options


@dataclass(frozen=True)
class ProviderStatus:
    """What is known of a provider here.

    `reason` says what it would run, or why it is out and what to do. `installed`: it is here, whether or not it runs.
    """

    name: str
    available: bool
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    installed: bool = True


def choose(device: str = "auto", threads: int | None = None) -> Provider:
    """The provider for a device name; `auto` is CUDA, then OpenVINO, then CPU, the first that runs here and gains.

    OpenVINO gains where it computes in bf16 (docs/measurements.md, "Providers of a processor"). A provider that is
    installed and yet passed over by `auto` is told by a `ProviderPassedOver` warning.

    Args:
        device: its name.
        threads: see `threads_here`.

    Raises:
        InputError: no such device name, or no such number of threads.
        ProviderError: it was asked for and cannot be had; the message names what is missing.
    """
    if device not in DEVICES:
        raise InputError(f"device: expected one of {', '.join(DEVICES)}; got {device!r}")
    for provider in _PREFERENCE:
        if device in ("auto", provider.name):
            status = _probe(provider.name)
            idle = _no_gain(provider) if device == "auto" else None
            if status.available and idle is None:
                return replace(provider, threads=threads_here(threads).number)
            if device != "auto":
                raise ProviderError(f"device {device}: {status.reason}")
            if status.installed:
                why = status.reason if idle is None or not status.available else idle
                warnings.warn(f"{provider.name} is passed over: {why}", ProviderPassedOver, stacklevel=3)
    raise ProviderError(f"no execution provider runs here: {_probe('cpu').reason}")


def _no_gain(provider: Provider) -> str | None:
    """Why a provider gains nothing over those behind it; None: it gains."""
    if provider.name != "openvino" or provider.has_bf16:
        return None
    return "without units for bf16 (AVX512-BF16, AMX) it is no faster than the CPU provider; --device openvino takes it"


def survey() -> list[ProviderStatus]:
    """The state of every known provider, in order of preference."""
    return [_probe(provider.name) for provider in _PREFERENCE]


def open_session(model: bytes | str, options: ort.SessionOptions) -> ort.InferenceSession:
    """ONNX Runtime's session of a graph, on the providers of its options, or an error.

    Its Python layer would print a failure to stdout, and try again with the CPU and other options.

    Raises:
        ProviderError: the graph is refused, or resources are wanting; in ONNX Runtime's words.
    """
    try:
        return ort.InferenceSession(model, options, enable_fallback=0)
    except Exception as error:  # a class for each of its status codes
        raise ProviderError(str(error)) from error


def _attach_cpu(options: ort.SessionOptions, dtype: str, threads: int | None) -> None:
    options.add_provider("CPUExecutionProvider", {})


def _attach_cuda(options: ort.SessionOptions, dtype: str, threads: int | None) -> None:
    options.add_provider(_CUDA, {"use_tf32": "1" if dtype == "fp16" else "0"})


def _attach_openvino(options: ort.SessionOptions, dtype: str, threads: int | None) -> None:
    # Asked for f16, it computes in bf16 where the processor has units for that alone, and in fp32 where for neither.
    precision = {"fp16": "f16", "bf16": "bf16"}.get(dtype, "f32")
    of_cpu: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision}
    if threads is not None:
        of_cpu["INFERENCE_NUM_THREADS"] = threads
    load_config = json.dumps({"CPU": of_cpu})
    if _openvino_built_in():
        options.add_provider(_OPENVINO, {"device_type": "CPU", "load_config": load_config})
    else:
        options.add_provider_for_devices(_openvino_devices()[:1], {"load_config": load_config})


_ATTACH: dict[str, Callable[[ort.SessionOptions, str, int | None], None]] = {
    "cuda": _attach_cuda,
    "openvino": _attach_openvino,
    "cpu": _attach_cpu,
}


# Remembered from the import on: once the plugin is registered it stands among the providers that are built in.
@functools.cache
def _openvino_built_in() -> bool:
    """Whether this onnxruntime is Intel's own build (onnxruntime-openvino), which needs no plugin."""
    return _OPENVINO in ort.get_available_providers()


_PREFERENCE = (
    Provider("cuda", "fp16"),
    # A plugin gets its weights by another door than what is built in; there, only handing them over was ever tried.
    Provider(
        "openvino",
        "bf16" if processor_here().has_bf16 else "fp16",
        graph_optimization=False,
        maps_weights=_openvino_built_in(),
        pinned_sessions=2 if _openvino_built_in() else 1,  # each holds a copy of weights that are handed over
        has_bf16=processor_here().has_bf16,
    ),
    # onnxruntime's x86 kernels compute in fp32 only
    Provider("cpu", "fp32", widens_weights=True, fused_attention=True, has_int8=True),
)


@functools.cache
def _openvino_devices() -> tuple[Any, ...]:
    """The plugin's devices, CPU first; registers the plugin once in this process."""
    import onnxruntime_ep_openvino

    ort.register_execution_provider_library(_OPENVINO, onnxruntime_ep_openvino.get_library_path())
    devices = [d for d in ort.get_ep_devices() if d.ep_name == onnxruntime_ep_openvino.get_ep_name()]
    cpu = ort.OrtHardwareDeviceType.CPU
    return tuple(sorted(devices, key=lambda d: d.device.type != cpu))


@functools.cache
def _probe(name: str) -> ProviderStatus:
    """Whether a session of one node can be made and run on the provider."""
    detail = {"onnxruntime": ort.__version__}
    provider = next(p for p in _PREFERENCE if p.name == name)
    absent = _ABSENT[name]()
    if absent is not None:
        return ProviderStatus(name, False, absent, detail, installed=False)
    try:
        if name == "cuda":
            ort.preload_dlls()
        if name == "openvino" and not _openvino_built_in() and not _openvino_devices():
            # https://github.com/microsoft/onnxruntime/pull/31981: processors of other vendors are filtered out
            raise ProviderError(
                "the plugin offers no device here: it takes Intel hardware only. On other processors Intel's own "
                "build, onnxruntime-openvino in place of onnxruntime, can serve"
            )
        session = open_session(identity_graph(), provider.session_options(provider.dtype))
        if name == "cuda" and _CUDA not in session.get_providers():
            # onnxruntime itself goes on with the CPU here, and says so in its log only
            raise ProviderError("its driver, CUDA or cuDNN libraries are missing or of another version")
        session.run(None, {"x": np.ones(1, np.float32)})
    except Exception as error:
        return ProviderStatus(name, False, f"it does not start: {_first_line(error)}", detail)
    return ProviderStatus(
        name,
        True,
        f"runs here; computes in {provider.dtype} unless told otherwise"
        + (", UNet and VAE decoder also in int8 (--dtype int8)" if provider.has_int8 else ""),
        detail,
    )


def _cuda_absent() -> str | None:
    if _CUDA in ort.get_available_providers():
        return None
    return (
        "this onnxruntime is built without CUDA; install `latentrt[cuda]` in an environment of its own "
        "(onnxruntime and onnxruntime-gpu exclude each other)"
    )


def _openvino_absent() -> str | None:
    if _openvino_built_in() or importlib.util.find_spec("onnxruntime_ep_openvino") is not None:
        return None
    return "the plugin is not installed; install `latentrt[openvino]`"


# What says that a provider is not installed, and what to install.
_ABSENT: dict[str, Callable[[], str | None]] = {
    "cuda": _cuda_absent,
    "openvino": _openvino_absent,
    "cpu": lambda: None,
}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
