"""Models as others export them, made of the runtime's own graphs: weights inside, other names, types and sizes."""

import json
import shutil
from pathlib import Path

import numpy as np
from onnx_build import TYPES, attribute, value
from random_models import change, copy_configs, fill

from latentrt.models.bundle import open_model
from latentrt.models.component import Component
from latentrt.models.model import Model
from latentrt.models.published import SD1_SCHEDULER
from latentrt.networks import Variant
from latentrt.networks.proto import ModelProto

HALF, SINGLE = np.float16, np.float32


def small_checkpoint(root: Path, width: int = 768, xl: bool = False) -> Path:
    """A diffusers folder whose widths are the published ones where a graph's family is told by them, else small."""
    copy_configs(root)
    encoder = {
        "hidden_size": width,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "max_position_embeddings": 77,
    }
    change(root / "text_encoder" / "config.json", **encoder, num_attention_heads=4)
    change(root / "tokenizer" / "tokenizer_config.json", model_max_length=77)
    change(
        root / "unet" / "config.json",
        block_out_channels=[32, 64],
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        cross_attention_dim=width,
        sample_size=8,
    )
    change(
        root / "vae" / "config.json",
        block_out_channels=[16, 32],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        scaling_factor=0.18215,
    )
    (root / "scheduler" / "scheduler_config.json").write_text(json.dumps(SD1_SCHEDULER))
    change(root / "model_index.json", scheduler=["diffusers", "PNDMScheduler"])
    if xl:
        _make_xl(root, width)
    fill(root)
    return root


def _make_xl(root: Path, width: int) -> None:
    for name in ("text_encoder", "tokenizer"):
        shutil.copytree(root / name, root / f"{name}_2")
    change(
        root / "text_encoder_2" / "config.json",
        hidden_size=2048 - width,
        hidden_act="gelu",
        projection_dim=48,
        architectures=["CLIPTextModelWithProjection"],
    )
    change(
        root / "unet" / "config.json",
        cross_attention_dim=2048,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=48 + 6 * 256,
    )
    change(root / "vae" / "config.json", scaling_factor=0.13025, force_upcast=False)
    change(
        root / "model_index.json",
        _class_name="StableDiffusionXLPipeline",
        text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
        tokenizer_2=["transformers", "CLIPTokenizer"],
    )


class Export:
    """One network's graph with its weights inside, to be changed and saved."""

    def __init__(self, component: Component, compute: str = "fp32") -> None:
        self.component = component
        graph = component.graph(Variant(compute))
        self.model = graph.proto
        dtype = SINGLE if compute == "fp32" else HALF
        for tensor in self.model.graph.initializer:
            if tensor.data_location == 1:
                found = component.weights.find(tensor.name, tuple(tensor.dims))
                array = component.weights.read(found).astype(dtype)
                tensor.ClearField("data_location")
                del tensor.external_data[:]
                tensor.data_type, tensor.raw_data = TYPES[np.dtype(dtype)], array.tobytes()

    @classmethod
    def of(cls, model) -> "Export":
        """Of a graph that is whole already."""
        made = cls.__new__(cls)
        made.model = model
        return made

    def takes(self, name: str, new: str | None = None, dtype=None, shape=None) -> "Export":
        """Change an input's name, type or shape; a number may become a row of equal ones."""
        graph = self.model.graph
        port = next(v for v in graph.input if v.name == name)
        inner, old, outer = port.type.tensor_type.elem_type, f"{name}.inner", new or name
        sizes = [d.dim_value or d.dim_param for d in port.type.tensor_type.shape.dim]
        wanted = sizes if shape is None else shape
        for node in graph.node:
            node.input[:] = [old if one == name else one for one in node.input]
        port.Clear()
        value(
            port, outer, next(k for k, v in TYPES.items() if v == inner) if dtype is None else dtype, wanted
        )
        kept = list(graph.node)
        del graph.node[:]
        cast = graph.node.add(op_type="Cast", input=[outer], output=[old + ".cast"])
        attribute(cast, "to", 2, i=inner)
        flat = len(wanted) > len(sizes)
        node = graph.node.add(
            op_type="ReduceMax" if flat else "Identity", input=[old + ".cast"], output=[old]
        )
        if flat:
            attribute(node, "keepdims", 2, i=0)
        graph.node.extend(kept)
        return self

    def gives(self, name: str, new: str | None = None, dtype=None, first: int | None = None) -> "Export":
        """Change an output's name or type; `first`: so many of its channels."""
        graph = self.model.graph
        port = next(v for v in graph.output if v.name == name)
        sizes = [d.dim_value or d.dim_param for d in port.type.tensor_type.shape.dim]
        inner, old, outer = port.type.tensor_type.elem_type, f"{name}.inner", new or name
        for node in graph.node:
            node.input[:] = [old if one == name else one for one in node.input]
            node.output[:] = [old if one == name else one for one in node.output]
        if first is not None:
            sizes[1] = first
            for key, number in (("start", 0), ("end", first), ("axis", 1)):
                tensor = graph.initializer.add(name=f"{name}.{key}", data_type=7, dims=[1])
                tensor.raw_data = np.array([number], np.int64).tobytes()
            places = [f"{name}.{key}" for key in ("start", "end", "axis")]
            graph.node.add(op_type="Slice", input=[old, *places], output=[old + ".first"])
            old += ".first"
        port.Clear()
        value(port, outer, next(k for k, v in TYPES.items() if v == inner) if dtype is None else dtype, sizes)
        node = graph.node.add(op_type="Cast", input=[old], output=[outer])
        attribute(node, "to", 2, i=port.type.tensor_type.elem_type)
        return self

    def only(self, *outputs: str) -> "Export":
        """Drop the other outputs."""
        kept = [v for v in self.model.graph.output if v.name in outputs]
        del self.model.graph.output[:]
        self.model.graph.output.extend(kept)
        return self

    def floats(self, dtype) -> "Export":
        """All floating-point inputs and outputs in one type."""
        ours = {TYPES[np.dtype(one)] for one in (HALF, SINGLE)}
        for ports, change_port in (
            (self.model.graph.input, self.takes),
            (self.model.graph.output, self.gives),
        ):
            for name in [v.name for v in ports if v.type.tensor_type.elem_type in ours]:
                change_port(name, dtype=dtype)
        return self

    def fixed(self, **sizes: int) -> "Export":
        """Give free dimensions a size, in every input and output."""
        for port in (*self.model.graph.input, *self.model.graph.output):
            for dim in port.type.tensor_type.shape.dim:
                if dim.dim_param in sizes:
                    dim.dim_value = sizes[dim.dim_param]
        return self

    def also_takes(self, name: str, dtype, shape=()) -> "Export":
        """A further input, which nothing uses."""
        value(self.model.graph.input.add(), name, dtype, shape)
        return self

    def save(self, path: Path, data: str | None = None) -> Path:
        """Write it; `data`: the file beside it that takes its weights."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is not None:
            with (path.parent / data).open("wb") as file:
                for tensor in self.model.graph.initializer:
                    raw = tensor.raw_data
                    if len(raw) > 256:
                        place = {"location": data, "offset": file.tell(), "length": len(raw)}
                        file.write(raw)
                        tensor.ClearField("raw_data")
                        tensor.data_location = 1
                        for key, said in place.items():
                            tensor.external_data.add(key=key, value=str(said))
        path.write_bytes(self.model.SerializeToString())
        return path


def toy_unet(dtype=SINGLE) -> Export:
    """out_sample = sample / 2 + timestep + the mean of encoder_hidden_states: each input shows, at no cost."""
    model = ModelProto(ir_version=8)
    model.opset_import.add(version=17)
    g = model.graph
    value(g.input.add(), "sample", dtype, ("batch", 4, "height", "width"))
    value(g.input.add(), "timestep", dtype, ())
    value(g.input.add(), "encoder_hidden_states", dtype, ("batch", "sequence", 8))
    value(g.output.add(), "out_sample", dtype, ("batch", 4, "height", "width"))
    g.initializer.add(name="half", data_type=TYPES[np.dtype(dtype)], raw_data=np.array(0.5, dtype).tobytes())
    g.initializer.add(name="last", data_type=7, dims=[1], raw_data=np.array([3], np.int64).tobytes())
    g.node.add(op_type="Mul", input=["sample", "half"], output=["smaller"])
    mean = g.node.add(op_type="ReduceMean", input=["encoder_hidden_states"], output=["mean"])
    attribute(mean, "axes", 7, ints=[1, 2])
    g.node.add(op_type="Unsqueeze", input=["mean", "last"], output=["told"])
    g.node.add(op_type="Add", input=["smaller", "told"], output=["both"])
    g.node.add(op_type="Add", input=["both", "timestep"], output=["out_sample"])
    return Export.of(model)


def exports(model: Model, compute: str = "fp32") -> dict[str, Export]:
    """Every network of a model."""
    return {name: Export(component, compute) for name, component in model.components.items()}


def optimum(checkpoint: Path, root: Path) -> Path:
    """As optimum writes it: configs, whole timesteps, weights beside the graph."""
    model = open_model(checkpoint)
    made = exports(model)
    made["unet"].takes("timestep", dtype=np.int64)
    for name, export in made.items():
        export.save(root / name / "model.onnx", "model.onnx_data" if name == "unet" else None)
        shutil.copy(export.component.where, root / name / "config.json")
    for name in ("scheduler", *(f.name for f in checkpoint.glob("tokenizer*"))):
        shutil.copytree(checkpoint / name, root / name)
    shutil.copy(checkpoint / "model_index.json", root)
    return root
