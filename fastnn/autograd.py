"""The tape: operations that gave a Tensor its value, and the walk back over them.

A gradient is a rule beside its operation (`fastnn.functional`), written with kernels on Tensors, so that a recorder
sees the backward pass as it sees the forward pass.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from fastnn import random
from fastnn.dispatch import (
    Array,
    Handle,
    Storage,
    call,
    constant,
    device_of,
    next_serial,
    not_a_tensor,
    run,
    state,
    unrecorded,
    wrap,
)

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")

Rule = Callable[..., "Tensor"]

_next_order = itertools.count().__next__


class no_grad:
    """Operations inside are not put on the tape, in this thread; a context manager and a decorator.

    >>> import fastnn as fn
    >>> w = fn.ones(2, requires_grad=True)
    >>> with no_grad():
    ...     w -= 0.5
    >>> w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    _enabled = False

    def __enter__(self) -> None:
        self._previous = state.grad_enabled
        state.grad_enabled = self._enabled

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        state.grad_enabled = self._previous

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class enable_grad(no_grad):
    """Operations inside are put on the tape, also where `no_grad` is around; a context manager and a decorator.

    >>> import fastnn as fn
    >>> w = fn.ones(2, requires_grad=True)
    >>> with no_grad(), enable_grad():
    ...     (w * 3).sum().backward()
    >>> w.grad
    tensor([3., 3.])
    """

    _enabled = True


class Operation:
    """A differentiable operation: for each operand a rule that gives its gradient.

    A rule takes `g`, the gradient of the result, and then, by name, what it needs: operands, the result `y`, or
    attributes given to `track`. Only what the needed rules name is kept for the backward pass. Operands that never
    have a gradient (indices, conditions) have None for a rule.
    """

    __slots__ = ("name", "positions", "rules")

    def __init__(self, name: str, /, **rules: Rule | None) -> None:
        self.name = name
        self.positions = {operand: i for i, operand in enumerate(rules)}
        self.rules = tuple((rule or _no_rule, _parameters(rule)) for rule in rules.values())


def _no_rule(*_: Any) -> "Tensor":
    raise AssertionError("[backward] this operand has no gradient")


def _parameters(rule: Rule | None) -> tuple[str, ...]:
    if rule is None:
        return ()
    code = rule.__code__
    names: tuple[str, ...] = code.co_varnames[1 : code.co_argcount]
    return names


class Node:
    """One application of an operation: edges to the operands that need a gradient, and the values their rules need."""

    __slots__ = ("edges", "operation", "order", "saved", "versions")

    order: int
    operation: Operation
    edges: list[tuple[Rule, tuple[str, ...], "Node | Tensor", tuple[int, ...]]]
    saved: dict[str, Any] | None
    versions: list[tuple[str, Storage, int]]

    def gradients(self, g: "Tensor") -> "Sequence[Tensor]":
        saved: Any = self.saved
        return [rule(g, *map(saved.__getitem__, names)) for rule, names, _, _ in self.edges]

    def release(self) -> None:
        """Frees the saved values. Without any, the node can be passed again, as in PyTorch."""
        if self.versions:
            self.saved, self.edges, self.versions = None, [], []

    @property
    def name(self) -> str:
        return self.operation.name


def track(operation: Operation, y: "Tensor", inputs: "tuple[Tensor | None, ...]", **attributes: Any) -> "Tensor":
    """`y`, put on the tape as the result of `operation` on `inputs` where one of them requires a gradient."""
    if not state.grad_enabled:
        return y
    edges, saved, versions = [], attributes, []
    for operand, (rule, names) in zip(inputs, operation.rules, strict=False):  # operands left out come last
        if operand is None or not operand.requires_grad:
            continue
        edges.append((rule, names, operand if operand._node is None else operand._node, operand._array.shape))
        for name in names:
            if name not in saved:
                # y, but not itself: it holds the node, and a cycle would keep both alive
                value: Any = wrap(y._array, y._storage) if name == "y" else inputs[operation.positions[name]]
                saved[name] = value
                versions.append((name, value._storage, value._storage.version))
    if not edges:
        return y
    node = Node()
    node.order = _next_order()
    node.operation = operation
    node.edges = edges
    node.saved = saved
    node.versions = versions
    y._node = node
    y.requires_grad = True
    return y


def unit(root: "Tensor") -> "Tensor":
    """The gradient of a scalar `root` with respect to itself: 1, always the same Tensor for a dtype and a device."""
    key = root._array.dtype, device_of(root)
    if key not in _units:
        _units[key] = constant(1, root._array.dtype, device_of(root))
    return _units[key]


_units: "dict[tuple[np.dtype[Any], str], Tensor]" = {}


def backward(root: "Tensor", gradient: "Tensor | None" = None, retain_graph: bool = False) -> None:
    """Adds the gradient of `root` to `grad` of every leaf that requires one.

    `gradient`, of the shape of `root`, is the gradient of some scalar with respect to `root`; it may be left out where
    `root` has one element. The values kept for the pass are freed unless `retain_graph`.
    """
    if not root.requires_grad:
        raise RuntimeError("[backward] this tensor does not require a gradient: nothing it was computed from does")
    if gradient is None:
        if root._array.size != 1:
            raise RuntimeError(
                f"[backward] gradient is missing: a tensor of shape {root.shape} has no single gradient; "
                "reduce it by sum() or mean(), or pass gradient="
            )
        gradient = unit(root)
        if root._array.ndim:
            gradient = wrap(gradient._array.reshape(root._array.shape), gradient._storage)
    elif not isinstance(gradient, Handle):
        raise not_a_tensor("backward", gradient)
    elif gradient.shape != root.shape or gradient.dtype != root.dtype:
        raise ValueError(
            f"[backward] gradient is {gradient.dtype} {gradient.shape}, the tensor {root.dtype} {root.shape}"
        )
    start = next_serial()  # storages with a greater serial are made by this pass
    leaves: dict[Tensor, Tensor] = {}
    pending: dict[Node, Tensor] = {}
    queue: list[tuple[int, Node]] = []
    if root._node is None:
        leaves[root] = gradient
    else:
        pending[root._node] = gradient
        queue.append((-root._node.order, root._node))
    enabled, state.grad_enabled = state.grad_enabled, False
    try:
        while queue:  # an operation is younger than its operands: by then all gradients of a node have come in
            _, node = heappop(queue)
            if node.saved is None:
                raise _freed(node)
            for name, storage, version in node.versions:
                if storage.version != version or node.saved[name]._storage is not storage:
                    raise _changed(node, name)
            for (_, _, target, shape), g in zip(node.edges, node.gradients(pending.pop(node)), strict=True):
                if g._array.shape != shape:
                    g = sum_to(g, shape)
                if isinstance(target, Node):
                    if target in pending:
                        pending[target] = run("add", pending[target], g)
                    else:
                        pending[target] = g
                        heappush(queue, (-target.order, target))
                else:
                    leaves[target] = run("add", leaves[target], g) if target in leaves else g
            if not retain_graph:
                node.release()
        _accumulate(leaves, start)
    finally:
        state.grad_enabled = enabled


def _freed(node: Node) -> RuntimeError:
    return RuntimeError(
        f"[backward] the values that {node.name} kept are freed: a second backward through them needs "
        "retain_graph=True in the first"
    )


def _changed(node: Node, name: str) -> RuntimeError:
    return RuntimeError(
        f"[backward] {name} of {node.name} was changed in place after the forward pass, "
        "and its old value is needed: change a clone() instead"
    )


def _accumulate(leaves: "dict[Tensor, Tensor]", start: int) -> None:
    """Adds the gradients of one pass to `grad`; the first is taken over where nothing else shares its memory."""
    taken = set()
    for leaf, g in leaves.items():
        if leaf.grad is not None:
            run("add", leaf.grad, g, out=leaf.grad)
            continue
        storage = g._storage
        whole = g._array is storage.array or g._array.flags.c_contiguous  # what kernels make is contiguous
        if storage.serial <= start or storage in taken or not whole:
            g = run("cast", g)
        taken.add(g._storage)
        leaf.grad = g
        if state.recorder is not None:
            state.recorder.gradient(leaf)


def sum_to(g: "Tensor", shape: tuple[int, ...]) -> "Tensor":
    """The gradient of an operand of `shape` that was broadcast: summed over the axes it was repeated along."""
    extra = g._array.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n != g._array.shape[i + extra]))
    total = run("sum", g, axis=axes)
    result: Tensor = wrap(total._array.reshape(shape), total._storage)
    return result


class Context:
    """What the forward of a `Function` hands to its backward."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Array, ...] = ()

    def save_for_backward(self, *arrays: Array) -> None:
        """Keeps `arrays` as `saved_tensors`."""
        self.saved_tensors = arrays


class Function:
    """A differentiable operation of one's own, forward and backward in NumPy.

    `forward(ctx, *args)` gets an array (read-only) for every Tensor and anything else as it is, and returns an array;
    `backward(ctx, grad)` gets the gradient of that and returns one gradient per argument of forward (None for those
    that have none), a tuple where there are several. (torch.autograd.Function.)

    >>> import fastnn as fn
    >>> class Cube(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * grad * x**2
    >>> x = fn.tensor([1.0, 2.0], requires_grad=True)
    >>> Cube.apply(x).sum().backward()
    >>> x.grad
    tensor([ 3., 12.])
    """

    _borrows = False  # neither its arguments nor its result are kept or changed later: they need no copies

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Array:
        """The result for `args`."""
        raise NotImplementedError("[Function] forward is missing")

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Any:
        """The gradients of the arguments of forward."""
        raise NotImplementedError("[Function] backward is missing")

    @classmethod
    def apply(cls, *args: Any) -> "Tensor":
        """Runs forward on `args` and puts it on the tape."""
        places = [i for i, value in enumerate(args) if hasattr(value, "_storage")]
        tensors = [args[i] for i in places]
        application = Application(cls, places, [None if i in places else value for i, value in enumerate(args)])
        (y,) = call(application.forward, *tensors)
        if state.grad_enabled and any(tensor.requires_grad for tensor in tensors):
            y._node = FunctionNode(application, tensors)
            y.requires_grad = True
        result: Tensor = y
        return result


class Application:
    """One use of a `Function`: its backward reads what its forward saved, in a replay as well.

    `places` are the positions of Tensors among the arguments, `plain` are the others.
    """

    def __init__(self, function: type[Function], places: list[int], plain: list[Any]) -> None:
        self.function = function
        self.places = places
        self.plain = plain

    @property
    def signature(self) -> tuple[Any, ...]:
        """What is equal for equal uses."""
        return self.function, self.places, self.plain

    def forward(self, *arrays: Array) -> tuple[Array, ...]:
        args = list(self.plain)
        for place, array in zip(self.places, arrays, strict=True):
            args[place] = array
        self.inputs, self.context = arrays, Context()
        result = self._unrecorded(self.function.forward, *args)
        # A copy: forward may return its input, or keep its result and change it later.
        return (result if self.function._borrows else np.array(result, order="C"),)

    def backward(self, grad: Array) -> tuple[Array, ...]:
        """One gradient per Tensor; zeros where backward gives None."""
        name, given = self.function.__name__, self._unrecorded(self.function.backward, grad)
        gradients = given if isinstance(given, tuple) else (given,)
        if len(gradients) != len(self.plain):
            raise ValueError(f"[{name}.backward] gave {len(gradients)} gradients for {len(self.plain)} arguments")
        results = []
        for place, x in zip(self.places, self.inputs, strict=True):
            g = np.zeros_like(x) if gradients[place] is None else np.array(gradients[place], x.dtype, order="C")
            if g.shape != x.shape:
                raise ValueError(f"[{name}.backward] gradient {place} is {g.shape}, the argument {x.shape}")
            results.append(g)
        return tuple(results)

    def _unrecorded(self, half: Callable[..., Any], *args: Any) -> Any:
        """What `half` does within is done again when it is called in a replay, and is no part of the record."""
        with unrecorded() as recorder:
            before = random.get_state()
            result = half(self.context, *args)
            drawn = random.get_state() != before
        if recorder is not None and drawn:
            recorder.escape(f"a random number of fastnn in {self.function.__name__}")
        return result


class FunctionNode(Node):
    """A `Function` on the tape."""

    __slots__ = ("application", "wanted")

    def __init__(self, application: Application, tensors: "list[Tensor]") -> None:
        self.order = _next_order()
        self.application = application
        self.wanted = [i for i, tensor in enumerate(tensors) if tensor.requires_grad]
        operands = [tensors[i] for i in self.wanted]
        self.edges = [(_no_rule, (), t if t._node is None else t._node, t.shape) for t in operands]
        self.saved = {
            f"argument {place}": tensor
            for place, tensor in zip(application.places, tensors, strict=True)
            if any(np.may_share_memory(tensor._array, array) for array in application.context.saved_tensors)
        }
        self.versions = [(name, t._storage, t._storage.version) for name, t in self.saved.items()]

    def gradients(self, g: "Tensor") -> "Sequence[Tensor]":
        results = call(self.application.backward, g)
        return [results[i] for i in self.wanted]

    def release(self) -> None:
        self.saved, self.edges, self.versions = None, [], []
        self.application.context, self.application.inputs = Context(), ()

    @property
    def name(self) -> str:
        return self.application.function.__name__
