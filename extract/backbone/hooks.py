"""Hooks on the modules of a network: every value that passes a point in a forward pass, call by call."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Point = tuple[str, str]
"""A side and the path of a module: what enters it ("in") or leaves it ("out"). The path of the network itself is ""."""

Read = Callable[[Point, int, Any], None]
"""Takes a point, the number of the module's call within the forward pass, and what passed there."""


class Hooks:
    """Hooks that stay on a network until they are removed.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    points : iterable of Point
        Where to hook it.
    read : callable
        What to call with every value that passes; see `Read`.
    thread : int, optional
        The identifier of the only thread whose forward passes are read; by default those of all threads are.

    Raises
    ------
    AttributeError
        The network lacks a module; no hook is left on it.
    """

    def __init__(self, model: nn.Module, points: Iterable[Point], read: Read, *, thread: int | None = None) -> None:
        self._read = read
        self._thread = thread
        self._calls: dict[Point, int] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        try:
            for point in points:
                module = model.get_submodule(point[1])
                register = module.register_forward_pre_hook if point[0] == "in" else module.register_forward_hook
                self._handles.append(register(self._hook(point)))
        except BaseException:
            self.remove()
            raise

    def restart(self) -> None:
        """Count the calls from zero again: a new forward pass begins."""
        self._calls = {}

    def remove(self) -> None:
        """Take all hooks off the network."""
        for handle in self._handles:
            handle.remove()

    def _hook(self, point: Point) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, output: Any = None) -> None:
            if self._thread is not None and threading.get_ident() != self._thread:
                return
            call = self._calls[point] = self._calls.get(point, -1) + 1
            self._read(point, call, args if point[0] == "in" else output)

        return hook


@contextmanager
def hooked(model: nn.Module, points: Iterable[Point], read: Read) -> Iterator[None]:
    """Hook a network for one forward pass in this thread.

    Another thread may run the same network at the same time; its hooks stand beside these and read its own pass.
    Parameters and errors are those of `Hooks`.
    """
    hooks = Hooks(model, points, read, thread=threading.get_ident())
    try:
        yield
    finally:
        hooks.remove()


def first_tensor(value: Any) -> torch.Tensor | None:
    """Return the first floating-point tensor of a module's inputs or outputs, which may be tuples, lists or dicts."""
    if isinstance(value, torch.Tensor):
        return value if value.is_floating_point() else None
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return next((tensor for tensor in map(first_tensor, items) if tensor is not None), None)
