"""`latentrt doctor`: what is here, what would run, why the rest is out, and what would be faster."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import warnings
from typing import Any

from latentrt._version import __version__
from latentrt.checks import DEVICES
from latentrt.cli import recommend
from latentrt.cli.recommend import Machine, has_nvidia, recommendations
from latentrt.engine.processor import processor_here

EXAMPLES = """\
examples:
  latentrt doctor
  latentrt doctor --json

Exits with 1 when nothing can run here.
"""

PACKAGES = (
    *("numpy", "pillow", "tokenizers", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    *("onnxruntime-ep-openvino", "torch", "diffusers", "transformers", "onnx", "onnxscript"),
)

TELEMETRY = "ORT_DISABLE_TELEMETRY"
# What ONNX Runtime 1.32 takes for yes, in upper case too; all else, "2" and an empty value too, leaves it on.
_YES = ("1", "true", "yes", "on")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    facts = describe()
    print(json.dumps(facts) if args.json else _text(facts))
    return 0 if facts["auto"] is not None else 1


def describe() -> dict[str, Any]:
    """Everything shown, as plain data. `auto` is None when nothing runs."""
    facts: dict[str, Any] = {
        "latentrt": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "threads": _threads(),
        "onnxruntime": None,
        "telemetry": _telemetry(),
        "cache": _cache(),
        "providers": [],
        "auto": None,
        "recommended": [],
    }
    if importlib.util.find_spec("onnxruntime") is None:
        facts["providers"] = [
            {"name": name, "available": False, "reason": f"install 'latentrt[{name}]'", "detail": {}}
            for name in DEVICES
            if name != "auto"
        ]
        facts["recommended"] = _recommended(facts)
        return facts
    import onnxruntime

    from latentrt.engine import providers
    from latentrt.errors import ProviderError

    facts["onnxruntime"] = {
        "version": onnxruntime.__version__,
        "build": onnxruntime.get_build_info(),
        "built_with": onnxruntime.get_available_providers(),
    }
    for status in providers.survey():
        entry = {"name": status.name, "available": status.available, "reason": status.reason}
        facts["providers"].append({**entry, "detail": dict(status.detail)})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is passed over; the list above says why
            chosen = providers.choose("auto")
        facts["auto"] = {"device": chosen.name, "dtype": chosen.dtype}
    except ProviderError:
        pass
    facts["recommended"] = _recommended(facts)
    return facts


def _telemetry() -> dict[str, Any]:
    """Whether ONNX Runtime keeps its events to itself: `import latentrt` sees to it, unless the user has said more."""
    value = os.environ[TELEMETRY]
    return {"off": value.strip().lower() in _YES, "set_by": f"{TELEMETRY}={value}"}


def _threads() -> dict[str, Any]:
    """How many threads compute on the processor, and why so many; None: as many as the provider takes."""
    from latentrt.engine.threads import threads_here

    threads = threads_here()
    return {"number": threads.number, "reason": threads.reason}


def _cache() -> dict[str, Any] | None:
    """Where prepared weights are kept, how much may be, and is; None where that is switched off."""
    from latentrt.engine.prepared.folder import cache_here

    cache = cache_here()
    if cache is None:
        return None
    return {"folder": str(cache.root), "limit": cache.limit, "size": cache.size()}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> dict[str, Any]:
    processor = processor_here()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"name": processor.name, "cores": cores, "flags": list(processor.features)}


def _recommended(facts: dict[str, Any]) -> list[dict[str, Any]]:
    runs = frozenset(entry["name"] for entry in facts["providers"] if entry["available"])
    return recommendations(Machine(processor_here(), has_nvidia(), runs))


def _text(facts: dict[str, Any]) -> str:
    cpu, runtime, auto = facts["cpu"], facts["onnxruntime"], facts["auto"]
    telemetry, threads = facts["telemetry"], facts["threads"]
    number = "" if threads["number"] is None else f"{threads['number']}, "
    lines = [
        f"latentrt {facts['latentrt']}, Python {facts['python']}, {facts['platform']}",
        f"cpu          {cpu['name']}, {cpu['cores']} cores, {' '.join(cpu['flags']) or 'flags unknown'}",
        f"threads      {number}{threads['reason']}",
        "packages     " + ", ".join(f"{name} {version}" for name, version in facts["packages"].items()),
    ]
    if runtime is None:
        lines.append("onnxruntime  not installed")
    else:
        lines.append(f"onnxruntime  {runtime['version']}, built with {', '.join(runtime['built_with'])}")
        lines.append(f"             {runtime['build']}")
    lines.append(f"telemetry    {'off' if telemetry['off'] else 'on'}, by {telemetry['set_by']}")
    cache = facts["cache"]
    size = "off" if cache is None else f"{cache['size'] / 1e9:.1f} of at most {cache['limit'] / 1e9:.1f} GB"
    lines.append(f"cache        {size}{'' if cache is None else ', ' + cache['folder']}")
    lines.append("providers")
    lines += [
        f"  {'yes' if entry['available'] else 'no ':3} {entry['name']:10} {entry['reason']}"
        for entry in facts["providers"]
    ]
    if auto is None:
        lines.append("auto         nothing runs here: pip install 'latentrt[cpu]'")
    else:
        lines.append(f"auto         --device {auto['device']} --dtype {auto['dtype']}")
    lines += ["recommended", *recommend.lines(facts["recommended"])]
    return "\n".join(lines)
