"""Kernels of one's own. The double runs their very text, which therefore has to be Python as well as CUDA C++."""

from typing import Any

import numpy as np

from ._array import ndarray, raw, wrap
from ._counting import launch

FUNCTIONS = {name: getattr(np, name) for name in ("exp", "log", "log1p", "expm1", "sqrt", "abs", "isfinite")}
FUNCTIONS |= {"max": np.maximum, "min": np.minimum, "fmax": np.fmax, "fmin": np.fmin}
REDUCERS = {"a + b": np.add.reduce, "max(a, b)": np.maximum.reduce}


def _parameters(text: str) -> list[tuple[str, str]]:
    """Type and name of each parameter."""
    pairs = [tuple(part.split()) for part in text.split(",")]
    if not all(len(pair) == 2 for pair in pairs):
        raise ValueError(f"parameters are types and names, not {text!r}")
    return pairs  # type: ignore[return-value]


def _bound(parameters: list[tuple[str, str]], args: Any) -> tuple[dict[str, Any], np.dtype]:
    """Values by name, scalars in the type of the arrays that share their letter; and what T stands for."""
    if len(args) != len(parameters):
        raise TypeError(f"{len(parameters)} arguments are asked for, {len(args)} given")
    arrays = [(kind, raw(a)) for (kind, _), a in zip(parameters, args, strict=True) if isinstance(a, ndarray)]
    types = {a.dtype for kind, a in arrays if kind == "T"}
    if len(types) != 1:
        raise TypeError(f"Type is mismatched. T: {sorted(map(str, types))}")
    (T,) = types
    names = {
        name: a if isinstance(a := raw(arg), np.ndarray) else T.type(a)
        for (_, name), arg in zip(parameters, args, strict=True)
    }
    return names, T


class ElementwiseKernel:
    """`cupy.ElementwiseKernel`: one output or several for each element of the inputs, broadcast."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel") -> None:
        self._inputs, self._outputs = _parameters(in_params), _parameters(out_params)
        self._code = compile(operation, name, "exec")

    def __call__(self, *args: Any) -> Any:
        names, T = _bound(self._inputs, args)
        with np.errstate(all="ignore"):
            exec(self._code, {"__builtins__": {}, "T": T.type, **FUNCTIONS}, names)
        shape = np.broadcast_shapes(*(np.shape(names[name]) for _, name in self._inputs))
        found = [
            wrap(np.array(np.broadcast_to(names[output], shape), dtype=T if kind == "T" else kind))
            for kind, output in self._outputs
        ]
        launch(*(a for a in names.values() if isinstance(a, np.ndarray)))
        return found[0] if len(found) == 1 else tuple(found)


class ReductionKernel:
    """`cupy.ReductionKernel`: map, reduce over some axes, and what is done with the result."""

    def __init__(
        self, in_params: str, out_params: str, map_expr: str, reduce_expr: str, post_map_expr: str, identity: str,
        name: str = "kernel",
    ) -> None:  # fmt: skip
        self._inputs, self._outputs = _parameters(in_params), _parameters(out_params)
        self._map, self._reduce = compile(map_expr, name, "eval"), REDUCERS[reduce_expr]
        self._after = compile(post_map_expr, name, "exec")

    def __call__(self, *args: Any, axis: Any = None, keepdims: bool = False) -> ndarray:
        names, T = _bound(self._inputs, args)
        space = {"__builtins__": {}, "T": T.type, **FUNCTIONS}
        with np.errstate(all="ignore"):
            mapped = np.asarray(eval(self._map, space, names), dtype=T)
            after = {"a": self._reduce(mapped, axis=axis, keepdims=keepdims)}
            exec(self._after, space, after)
        ((_, output),) = self._outputs
        found = np.asarray(after[output], dtype=T)
        launch(*(a for a in names.values() if isinstance(a, np.ndarray)), found)
        return wrap(found)
