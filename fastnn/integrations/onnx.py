"""Models as ONNX files, which run in onnxruntime and wherever else ONNX is read.

A file holds all that stands between a row and its prediction: how uint8 or the columns of a table are scaled, the
network, the largest logit and the softmax, or the unit of the values. This module needs onnx, the extra `[onnx]`.
"""

import json
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import fastnn
from fastnn import checkpoint, nn
from fastnn.data import Schema
from fastnn.models import Model

_OPSET, _IR_VERSION = 21, 10  # of onnx 1.16; Gelu came with opset 20

Shape = tuple[int, ...]  # of a row: the axis of the batch stands before it


def export(model: Model, path: checkpoint.Path) -> None:
    """Write `model`, as it predicts, to an ONNX file; it appears whole or not at all.

    Input `X`: a batch of any number of rows, in the shape of the training data, or flat where no `DataLoader` told it;
    uint8 where the model was trained on uint8, which is scaled as it was then, else of the dtype of the weights. For a
    model that was trained on TableData it is float64: the columns in the order of its features, in their own units.
    Outputs: `prediction` is what `model.predict` gives, and for classes `probabilities` what `model.predict_proba`
    gives, both to rounding. Weights keep their names, such as ``net.1.weight``. The metadata are `class` and, where the
    model knows them, `class_names`, `features` and `target`, in JSON. Numbers that are not finite, which `predict`
    refuses in tables, run through.

    Raises TypeError for a forward or a layer that is not fastnn's, which it names; ValueError for a lazy layer without
    weights, and for layers that do not fit the rows; OSError when the file cannot be written.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    >>> model = fastnn.SoftmaxRegression(num_outputs=3, lr=0.1)
    >>> model.predict_proba(np.ones((1, 4))).shape
    (1, 3)
    >>> export(model, path)
    >>> [node.op_type for node in onnx.load(path).graph.node]
    ['Gemm', 'ArgMax', 'Softmax']
    """
    if not isinstance(model, Model):
        raise TypeError(f"[export] model is a {type(model).__name__}: give a fastnn.Model that has it as its net")
    if type(model).forward is not Model.forward:
        raise TypeError(
            f"[export] {type(model).__name__} has a forward of its own: what is exported is a `net` of layers"
        )
    arrays, known = model.describe()
    layers = list(_layers("net", getattr(model, "net", None)))
    dtype = next((array.dtype for array in arrays.values()), np.dtype("float32"))
    shape = _row_shape(layers) if known["input_shape"] is None else tuple(known["input_shape"])
    graph = _Graph(helper.np_dtype_to_tensor_dtype(dtype))
    value = graph.input(shape, known["uint8_divisor"]) if model.schema is None else graph.columns(shape, model.schema)
    for name, layer in layers:
        value, shape = _CONVERSIONS[type(layer)](graph, layer, name, value, shape)
    if model.schema is not None and not known["classifies"]:
        value = graph.unscaled(value, model.schema)
    graph.output(value, shape, known["classifies"], known["target_ndim"])
    file = helper.make_model(
        helper.make_graph(graph.nodes, known["class"], graph.inputs, graph.outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="fastnn",
        producer_version=fastnn.__version__,
    )
    told = {"class_names": known["class_names"]}
    if model.schema is not None:
        told |= {"features": model.schema.features, "target": model.schema.target}
    texts = {name: json.dumps(value) for name, value in told.items() if value}
    helper.set_model_props(file, {"class": known["class"], **texts})
    onnx.checker.check_model(file, full_check=True)
    checkpoint.atomic_write(path, file.SerializeToString(deterministic=True))


def _layers(name: str, module: Any) -> Iterator[tuple[str, nn.Module]]:
    """The layers of a network in the order in which they compute, with their names."""
    if type(module) is nn.Sequential:
        for child, member in module.named_children():
            yield from _layers(f"{name}.{child}", member)
    elif type(module) in _CONVERSIONS:
        yield name, module
    else:
        known = ", ".join(["Sequential", *sorted(kind.__name__ for kind in _CONVERSIONS)])
        raise TypeError(f"[export] {name} is a {type(module).__name__}, which has no form in ONNX here: use {known}")


def _row_shape(layers: list[tuple[str, nn.Module]]) -> Shape:
    """Flat rows, as long as the first linear layer takes them."""
    for _, layer in layers:
        if isinstance(layer, nn.Linear):
            return (layer.in_features,)
    raise ValueError("[export] nothing tells the shape of X: train the model, or give its net a Linear")


class _Graph:
    """Nodes in the order in which they run, and the constants, inputs and outputs around them."""

    def __init__(self, element: int) -> None:
        self.element = element  # ONNX's number of the dtype that is computed in
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def node(self, operator: str, *inputs: str, output: str, **attributes: Any) -> str:
        """Add a node, which has the name of its output; returns that."""
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Add a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def input(self, shape: Shape, divisor: float | None) -> str:
        """Add `X`; returns the rows as the network takes them."""
        if divisor is None:
            self.inputs.append(_batch("X", self.element, shape))
            return "X"
        self.inputs.append(_batch("X", TensorProto.UINT8, shape))
        value = self.node("Cast", "X", output="X.cast", to=self.element)
        dtype = helper.tensor_dtype_to_np_dtype(self.element)
        return self.node("Div", value, self.constant("divisor", dtype.type(divisor)), output="X.scaled")

    def columns(self, shape: Shape, schema: Schema) -> str:
        """Add `X`, the columns of a table; returns them standardised, in float64 as the schema does, then cast."""
        self.inputs.append(_batch("X", TensorProto.DOUBLE, shape))
        value = self.node("Sub", "X", self.constant("mean", np.array(schema.mean)), output="X.centred")
        value = self.node("Div", value, self.constant("scale", np.array(schema.scale)), output="X.scaled")
        value = self.node("Cast", value, output="X.float", to=TensorProto.FLOAT)
        return (
            value if self.element == TensorProto.FLOAT else self.node("Cast", value, output="X.cast", to=self.element)
        )

    def unscaled(self, value: str, schema: Schema) -> str:
        """Add what makes values in their own unit, float64, of the network's result; returns them."""
        self.element = TensorProto.DOUBLE
        value = self.node("Cast", value, output="values.double", to=self.element)
        scale, mean = np.float64(schema.target_scale), np.float64(schema.target_mean)
        value = self.node("Mul", value, self.constant("target_scale", scale), output="values.scaled")
        return self.node("Add", value, self.constant("target_mean", mean), output="values")

    def output(self, value: str, shape: Shape, classifies: bool, target_ndim: int | None) -> None:
        """Add what predictions are made of `value`, the network's result."""
        if classifies:
            self.node("ArgMax", value, output="prediction", axis=1, keepdims=0)
            self.node("Softmax", value, output="probabilities", axis=1)
            self.outputs = [
                _batch("prediction", TensorProto.INT64, shape[1:]),
                _batch("probabilities", self.element, shape),
            ]
            return
        if target_ndim == 1 and shape == (1,):
            self.node("Squeeze", value, self.constant("axis", np.array([1], np.int64)), output="prediction")
            shape = ()
        else:
            self.node("Identity", value, output="prediction")
        self.outputs = [_batch("prediction", self.element, shape)]


def _batch(name: str, element: int, shape: Shape) -> onnx.ValueInfoProto:
    """The type of a value of any number of rows."""
    return helper.make_tensor_value_info(name, element, ["batch", *shape])


# ---- layers: the nodes of each, the last under its name, on value `x`; returns the result and its shape -------


def _linear(graph: _Graph, layer: nn.Linear, name: str, x: str, shape: Shape) -> tuple[str, Shape]:
    if shape[-1:] != (layer.in_features,):
        raise ValueError(f"[export] {name} takes {layer.in_features} features, but rows come to it as {shape}")
    weight = graph.constant(f"{name}.weight", layer.weight)
    bias = [] if layer.bias is None else [graph.constant(f"{name}.bias", layer.bias)]
    if len(shape) == 1:
        graph.node("Gemm", x, weight, *bias, output=name, transB=1)
        return name, (layer.out_features,)
    turned = graph.node("Transpose", weight, output=f"{name}.turned", perm=[1, 0])
    product = graph.node("MatMul", x, turned, output=f"{name}.product" if bias else name)
    if bias:
        graph.node("Add", product, *bias, output=name)
    return name, (*shape[:-1], layer.out_features)


def _flatten(graph: _Graph, layer: nn.Flatten, name: str, x: str, shape: Shape) -> tuple[str, Shape]:
    start, end = (dim % (len(shape) + 1) for dim in (layer.start_dim, layer.end_dim))
    if start == 0 and end > 0:
        raise ValueError(f"[export] {name} is a {layer!r}, which joins the rows of a batch: start at axis 1")
    if start >= end:
        return x, shape
    shape = (*shape[: start - 1], prod(shape[start - 1 : end]), *shape[end:])
    as_before = 0  # of the batch
    graph.node("Reshape", x, graph.constant(f"{name}.shape", np.array([as_before, *shape], np.int64)), output=name)
    return name, shape


def _softmax(graph: _Graph, layer: nn.Softmax, name: str, x: str, shape: Shape) -> tuple[str, Shape]:
    return graph.node("Softmax", x, output=name, axis=layer.dim), shape


def _dropout(graph: _Graph, layer: nn.Dropout, name: str, x: str, shape: Shape) -> tuple[str, Shape]:
    return x, shape  # predictions drop nothing


def _elementwise(operator: str) -> Callable[..., tuple[str, Shape]]:
    return lambda graph, layer, name, x, shape: (graph.node(operator, x, output=name), shape)


_CONVERSIONS: dict[type, Callable[[_Graph, Any, str, str, Shape], tuple[str, Shape]]] = {
    nn.Dropout: _dropout,
    nn.Flatten: _flatten,
    nn.GELU: _elementwise("Gelu"),
    nn.Linear: _linear,
    nn.ReLU: _elementwise("Relu"),
    nn.Sigmoid: _elementwise("Sigmoid"),
    nn.Softmax: _softmax,
    nn.Tanh: _elementwise("Tanh"),
}
