"""What `latentrt info` tells of a network that is given as ONNX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentrt.models.given.part import GivenPart
    from latentrt.networks import Value

_PORTS = 4  # of each side that are shown as text; hidden states may be dozens


def facts(part: "GivenPart") -> dict[str, Any]:
    """Of its graph and files, as plain data."""
    graph = part.graph
    own = {f"{domain}.{name}": count for (domain, name), count in sorted(graph.operators.items()) if domain}
    return {
        "graph": {
            "file": graph.file.name,
            "precision": graph.precision,
            "opsets": {domain or "onnx": version for domain, version in graph.opsets.items()},
            "ir_version": graph.ir_version,
            "producer": graph.producer,
            "nodes": sum(graph.operators.values()),
            "operators_beside_onnx": own,
            "inputs": {name: _port(value) for name, value in graph.inputs.items()},
            "outputs": {name: _port(value) for name, value in graph.outputs.items()},
        },
        "parameters": graph.num_parameters,
        "dtypes": sorted(graph.weights),
        "files": {file.name: file.stat().st_size for file in (graph.file, *graph.data)},
    }


def lines(graph: Mapping[str, Any]) -> list[str]:
    """The same of its graph, as text."""
    opsets = ", ".join(f"{domain} {version}" for domain, version in graph["opsets"].items())
    own = ", ".join(f"{name} ({count})" for name, count in graph["operators_beside_onnx"].items())
    return [
        f"    graph    given, computes in {graph['precision']}: {graph['nodes']} nodes, opset {opsets}, "
        f"IR {graph['ir_version']}, by {graph['producer'] or 'an unnamed program'}",
        f"    own      {own or 'no operators but those of ONNX'}",
        f"    inputs   {_listed(graph['inputs'])}",
        f"    outputs  {_listed(graph['outputs'])}",
    ]


def _listed(ports: Mapping[str, str]) -> str:
    shown = [f"{name} {port}" for name, port in ports.items()]
    more = [f"and {len(shown) - _PORTS} more"] if len(shown) > _PORTS + 2 else []
    return ", ".join(shown[:_PORTS] + more if more else shown)


def _port(value: "Value") -> str:
    sizes = ", ".join(str(size) or "?" for size in value.shape)
    return f"{'unknown' if value.dtype is None else value.dtype.name} ({sizes})"
