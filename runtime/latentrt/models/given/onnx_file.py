"""An ONNX file read without its weights, which may be gigabytes, and nothing of which is taken on the file's word."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentrt.errors import GraphError
from latentrt.files import contained
from latentrt.networks.graph import Graph
from latentrt.networks.proto import EXTERNAL, SCHEMA

MAX_GRAPH_BYTES = 64 << 20  # of a graph without its weights: about ten times SDXL's largest
_MAX_FIELDS = 4_000_000
_MAX_DEPTH = 64  # of messages in messages: graphs inside of nodes
_WHOLE = 1024  # bytes up to which a message is kept as it lies, unread
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
_VALUES = frozenset(
    SCHEMA["Tensor"][name][0]
    for name in ("float_data", "int32_data", "int64_data", "raw_data", "double_data")
)
# message -> number of a field that is declared -> the message that it holds; None: a value
_KEPT: dict[str, dict[int, str | None]] = {
    name: {number: kind if isinstance(kind, str) else None for number, _, kind in fields.values()}
    for name, fields in SCHEMA.items()
}


def read_graph(path: Path) -> Graph:
    """What computes, and which weights there are, by name and shape; their values are passed over.

    Raises:
        GraphError: no regular file, no ONNX model, or one whose nodes alone exceed `MAX_GRAPH_BYTES`.
    """
    if not path.is_file():
        raise GraphError(f"{path}: no such file, or no regular one; expected an ONNX model")
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise GraphError(f"{path}: is empty; expected an ONNX model")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                stripped = _Stripper(data, path).message("Model", 0, len(data))
            except (IndexError, ValueError) as error:
                raise GraphError(f"{path}: not a whole ONNX model ({error})") from None
    graph = Graph.parse(stripped, str(path))
    _check_text(graph.proto, path)
    return graph


def _check_text(message: Any, path: Path) -> None:
    """Refuse what is declared as text and is none, which protobuf would hand on as bytes."""
    for descriptor, value in message.ListFields():
        repeated = hasattr(value, "__len__") and not isinstance(value, str | bytes)
        for one in value if repeated else [value]:
            if descriptor.message_type is not None:
                _check_text(one, path)
            elif descriptor.type == descriptor.TYPE_STRING and not isinstance(one, str):
                raise GraphError(f"{path}: {descriptor.full_name} is {one!r}, which is no UTF-8 text")


def data_files(graph: Graph, folder: Path) -> tuple[Path, ...]:
    """The files beside a graph that hold its weights, each once.

    Raises:
        GraphError: one is missing, or shorter than the graph says.
        ModelError: one lies outside of the graph's folder.
    """
    ends: dict[str, int] = {}
    for tensor in _tensors(graph.proto):
        if tensor.data_location == EXTERNAL:
            said = {entry.key: entry.value for entry in tensor.external_data}
            location = said.get("location", "")
            try:
                end = int(said.get("offset") or 0) + int(said.get("length") or 0)
            except ValueError:
                raise GraphError(f"{graph.name}: {tensor.name}: {said} is no place of a weight") from None
            ends[location] = max(ends.get(location, 0), end)
    files = []
    for location, end in ends.items():
        file = contained(folder, location, "graph's folder")
        if not location or not file.is_file():
            raise GraphError(
                f"{graph.name}: its weights are in {location!r}, which is not there; download it to {file}, under "
                "that name"
            )
        if (size := file.stat().st_size) < end:
            raise GraphError(
                f"{file}: has {size} bytes; {graph.name} says that there are {end}; download it again"
            )
        files.append(file)
    return tuple(files)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of a model, in whatever it is."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from [attribute.t] if attribute.HasField("t") else []
        yield from attribute.tensors
        sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for one in [*sparse, *attribute.sparse_tensors]:
            yield from (one.values, one.indices)
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            yield from _of_graph(graph)


class _Stripper:
    """Copies a protobuf message field by field, without what `proto.py` does not declare and without long values."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data = data
        self._path = path
        self._fields = 0
        self._depth = 0

    def message(self, kind: str, start: int, end: int) -> bytes:
        """The message of this kind that lies from `start` to `end`."""
        data, pieces, size = self._data, [], 0
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"messages lie more than {_MAX_DEPTH} deep")
        at = start
        while at < end:
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise ValueError(f"more than {_MAX_FIELDS:,} fields")
            tag, value = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                _, after = self._varint(value, end)
            elif wire in (_FIXED64, _FIXED32):
                after = value + (8 if wire == _FIXED64 else 4)
            elif wire == _BYTES:
                length, value = self._varint(value, end)
                after = value + length
            else:
                raise ValueError(f"a field of wire type {wire}")
            if after > end:
                raise ValueError("it ends in the middle of a field")
            piece = b""
            if number in _KEPT[kind]:
                inner = _KEPT[kind][number]
                if wire == _BYTES and inner is not None and after - value > _WHOLE:
                    held = self.message(inner, value, after)
                    piece = _encoded(tag) + _encoded(len(held)) + held
                elif kind != "Tensor" or number not in _VALUES:
                    piece = data[at:after]
            size += len(piece)
            if size > MAX_GRAPH_BYTES:
                raise ValueError(f"more than {MAX_GRAPH_BYTES:,} bytes beside its weights")
            pieces.append(piece)
            at = after
        self._depth -= 1
        return b"".join(pieces)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """A number and where it ends."""
        number = shift = 0
        while at < end and shift < 64:
            byte = self._data[at]
            number |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return number, at
        raise ValueError("a number without an end")


def _encoded(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
