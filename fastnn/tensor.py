"""Tensor: an array that can carry a gradient, with PyTorch's conventions."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn import autograd, devices, dispatch, exchange
from fastnn import functional as F
from fastnn.dispatch import Array, Handle, device_of, dtype_name, escape, run, state
from fastnn.functional import inplace


class Tensor(Handle):
    """An array of float32, float64, int64, int32, uint8 or bool, which may require a gradient.

    `data` is what `tensor` takes, but another Tensor's memory is shared. Arithmetic is elementwise with NumPy's
    broadcasting; ``np.asarray(t)`` shares the memory.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()

    grad: "Tensor | None"

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False) -> None:
        source = data if isinstance(data, Tensor) and dtype is None else F.tensor(data, dtype)
        self._array = source._array
        self._storage = source._storage
        self.requires_grad = False
        self.grad = None
        self._node = None
        self.requires_grad_(requires_grad)

    # ---- what it is -----------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of the elements."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def device(self) -> str:
        """Where the memory is: "cpu" or "cuda"."""
        return device_of(self)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than computed from what requires a gradient."""
        return self._node is None

    @property
    def T(self) -> "Tensor":
        """A view with the axes reversed."""
        axes = range(self._array.ndim)[::-1]
        return autograd.track(F.shape.TRANSPOSE, F.shape.view_of(self, self._array.T), (self,), axes=axes)

    @property
    def data(self) -> "Tensor":
        """A view outside the tape; assigning copies into the memory, or takes over another of another shape, dtype or
        device.
        """
        return self.detach()

    @data.setter
    def data(self, value: "Tensor") -> None:
        if value._array is self._array:  # from ``t.data -= ...``
            return
        if value.shape == self.shape and value.dtype == self.dtype and device_of(value) == device_of(self):
            run("cast", value, out=self)
            return
        self._array, self._storage = value._array, value._storage

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of axis `dim`."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    def numel(self) -> int:
        """Number of elements."""
        return self._array.size

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise TypeError("[len] a tensor without dimensions has no length")
        return int(self._array.shape[0])

    # ---- gradients ------------------------------------------------------------------------------------------------

    backward = autograd.backward

    def detach(self) -> "Tensor":
        """A view of the same memory outside the tape."""
        return F.shape.view_of(self, self._array)

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Sets whether `backward` gives it a gradient; floating point only."""
        if requires_grad and self._array.dtype.kind != "f":
            raise TypeError(f"[requires_grad] a gradient needs a floating-point tensor, not {self.dtype}")
        if self._node is not None and not requires_grad:
            raise RuntimeError("[requires_grad] a computed tensor cannot give up its gradient: use detach()")
        self.requires_grad = requires_grad
        return self

    # ---- arithmetic: the functions, as methods --------------------------------------------------------------------

    __add__ = __radd__ = add = F.add
    __sub__ = sub = F.subtract
    __mul__ = __rmul__ = mul = F.multiply
    __truediv__ = div = F.divide
    __pow__ = pow = F.power
    __matmul__ = matmul = F.matmul
    dot, mv, mm = F.dot, F.mv, F.mm
    __neg__ = F.negative
    __abs__ = abs = F.abs
    __lt__, __le__, __gt__, __ge__ = F.less, F.less_equal, F.greater, F.greater_equal
    __getitem__ = F.getitem
    __hash__ = object.__hash__
    __array_priority__ = 1000  # array + tensor is a Tensor

    exp, log, sqrt, sign, clamp = F.exp, F.log, F.sqrt, F.sign, F.clamp
    relu, sigmoid, tanh, softmax, log_softmax = F.relu, F.sigmoid, F.tanh, F.softmax, F.log_softmax
    sum, mean, max, min, argmax, argmin = F.sum, F.mean, F.max, F.min, F.argmax, F.argmin
    amax, amin, norm, cumsum = F.amax, F.amin, F.norm, F.cumsum
    reshape, flatten, transpose = F.reshape, F.flatten, F.transpose
    unsqueeze, squeeze, clone = F.unsqueeze, F.squeeze, F.clone

    def __rsub__(self, other: Any) -> "Tensor":
        return F.subtract(other, self)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return F.divide(other, self)

    def __rpow__(self, other: Any) -> "Tensor":
        return F.power(other, self)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return F.matmul(F.tensor(other), self)

    def __eq__(self, other: object) -> "Tensor":  # type: ignore[override]
        return NotImplemented if other is None or isinstance(other, str) else F.equal(self, other)

    def __ne__(self, other: object) -> "Tensor":  # type: ignore[override]
        return NotImplemented if other is None or isinstance(other, str) else F.not_equal(self, other)

    def __invert__(self) -> "Tensor":
        if self._array.dtype.kind != "b":
            raise TypeError(f"[~] the tensor is {self.dtype}: only bool is inverted, use ~x.bool() or x == 0")
        return F.equal(self, False)

    def view(self, *shape: Any) -> "Tensor":
        """`reshape` that never copies."""
        if not self._array.flags.c_contiguous:
            raise ValueError("[view] the tensor is not contiguous: use reshape(), which copies")
        return F.reshape(self, *shape)

    # ---- other dtypes and devices -----------------------------------------------------------------------------------

    def to(self, *args: Any, dtype: Any = None, device: str | None = None) -> "Tensor":
        """As another dtype, or on a device, "cpu" or "cuda"; itself where it is that already."""
        for arg in args:
            if isinstance(arg, str) and arg.partition(":")[0] in ("cpu", "cuda"):
                device = arg
            elif isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            else:
                dtype = arg
        x = self if device is None else F.to_device(self, devices.resolve("to", device))
        return x if dtype is None else F.cast(x, dtype)

    def type(self, dtype: Any) -> "Tensor":
        """As another dtype."""
        return F.cast(self, dtype)

    def float(self) -> "Tensor":
        """As float32."""
        return F.cast(self, "float32")

    def double(self) -> "Tensor":
        """As float64."""
        return F.cast(self, "float64")

    def long(self) -> "Tensor":
        """As int64; floating point is cut toward zero."""
        return F.cast(self, "int64")

    def bool(self) -> "Tensor":
        """As bool: whether it is not 0."""
        return F.cast(self, "bool")

    def cpu(self) -> "Tensor":
        """On the CPU."""
        return self.to("cpu")

    def cuda(self) -> "Tensor":
        """On the GPU."""
        return self.to("cuda")

    # ---- in place -------------------------------------------------------------------------------------------------

    __iadd__, __isub__, __imul__, __itruediv__ = inplace.iadd, inplace.isub, inplace.imul, inplace.itruediv
    add_, sub_, mul_, div_ = inplace.add_, inplace.sub_, inplace.mul_, inplace.div_
    fill_, zero_, normal_, uniform_ = inplace.fill_, inplace.zero_, inplace.normal_, inplace.uniform_

    def __setitem__(self, key: Any, value: Any) -> None:
        inplace.writable("setitem", self)
        if isinstance(value, Tensor) and value.requires_grad and state.grad_enabled:
            raise RuntimeError(
                "[setitem] the value requires a gradient, which an assignment would lose: use cat, stack or where, "
                "or assign under no_grad()"
            )
        F.setitem(self, key, value)

    def copy_(self, source: Any) -> "Tensor":
        """Takes over the elements of `source`, broadcast, cast, and brought from another device."""
        self[...] = source
        return self

    # ---- what leaves for Python: each of these is told to an active recorder ---------------------------------------

    def numpy(self) -> Array:
        """The array itself, sharing memory; of a Tensor on a device, look at it before the next operation."""
        escape("numpy()")
        return self._array

    def item(self) -> Any:
        """The one element as a Python number."""
        escape("item()")
        if self._array.size != 1:
            raise ValueError(f"[item] a tensor of shape {self.shape} is not one number")
        return self._array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        escape("tolist()")
        return self._array.tolist()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        escape("conversion to an array")
        if copy or (dtype is not None and dtype != self._array.dtype):
            if copy is False:
                raise ValueError(f"[__array__] {self.dtype} as {dtype} needs a copy")
            return self._array.astype(dtype or self._array.dtype)
        return self._array

    def __dlpack__(self, **kwargs: Any) -> Any:
        on_device = self.device != "cpu"
        escape("DLPack", waits=not on_device)  # the consumer's stream waits
        return exchange.dlpack(self._array, **kwargs) if on_device else self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return exchange.dlpack_device(self._array)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.device == "cpu":
            raise AttributeError("[__cuda_array_interface__] the tensor is on the CPU")
        escape("__cuda_array_interface__", waits=False)
        return exchange.array_interface(self._array)

    def __bool__(self) -> Any:
        escape("bool()")
        if self._array.size != 1:
            raise ValueError(f"[bool] a tensor of shape {self.shape} is neither true nor false: use a comparison's sum")
        return bool(self._array)

    def __float__(self) -> Any:
        return float(self._number("float()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __index__(self) -> int:
        if self._array.dtype.kind not in "iu":
            raise TypeError(f"[index] a tensor of {self.dtype} is not an index")
        return int(self._number("index"))

    def _number(self, what: str) -> Any:
        escape(what)
        if self._array.size != 1:
            raise ValueError(f"[{what}] a tensor of shape {self.shape} is not one number")
        return self._array.item()

    def __iter__(self) -> "Iterator[Tensor]":
        escape("iteration")
        return (self[i] for i in range(len(self)))

    def __format__(self, spec: str) -> str:
        escape("format()")
        return format(self._array.item(), spec) if self._array.ndim == 0 else format(str(self), spec)

    def __repr__(self) -> str:
        escape("print()")
        whole = self._array.dtype.kind != "f" or not np.any(self._array[np.isfinite(self._array)] % 1)
        mode: Any = "unique" if whole else "fixed"
        numbers = np.array2string(self._array, precision=4, separator=", ", prefix="tensor(", floatmode=mode)
        default = dtype_name(self.dtype) in ("float32", "int64", "bool")
        dtype = "" if default else f", dtype={self.dtype}"
        return f"tensor({numbers}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __copy__(self) -> "Tensor":
        return _leaf(type(self), self, self.requires_grad, self.grad)

    def __reduce__(self) -> Any:
        escape("pickling")
        return _unpickled, (type(self), self._array, self.requires_grad, self.grad, self.device)


def _leaf(kind: "type[Tensor]", data: Any, requires_grad: bool, grad: Tensor | None) -> Tensor:
    """A Tensor of class `kind` that shares the memory of `data`; a computed one is a leaf in its copy."""
    tensor = object.__new__(kind)
    Tensor.__init__(tensor, data, requires_grad=requires_grad)
    tensor.grad = grad
    return tensor


def _unpickled(
    kind: "type[Tensor]", array: Array, requires_grad: bool, grad: Tensor | None, device: str = "cpu"
) -> Tensor:
    """A Tensor from its pickle: one that can be written to, though joblib maps large arrays read-only; on the CPU where
    the device it was on is not here.
    """
    values = F.tensor(np.require(array, requirements="W"))
    return _leaf(
        kind, values.to(device if device == "cpu" or devices.why_not() is None else "cpu"), requires_grad, grad
    )


def from_dlpack(source: Any) -> Tensor:
    """A Tensor that shares the memory of any object with ``__dlpack__`` on the CPU; of one on a GPU, a copy there.

    Raises TypeError for other dtypes than Tensors have, DeviceError where there is no CUDA here for an array of CUDA.

    >>> from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    return F.tensor(exchange.from_dlpack(source))


dispatch.register(Tensor)
