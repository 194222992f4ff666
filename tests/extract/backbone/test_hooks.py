"""Hooks read what passes in their own thread, and are gone afterwards."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from head2toe.extract.backbone.hooks import first_tensor, hooked


def test_hooks_see_their_own_threads_pass_alone() -> None:
    """A server predicts in several threads with one network."""
    model, both = torch.nn.Sequential(torch.nn.Identity()), threading.Barrier(2)

    def seen(value: float) -> list[float]:
        values: list[float] = []
        with hooked(model, [("out", "0")], lambda _point, _call, x: values.append(float(x))):
            both.wait(10)
            model(torch.tensor(value))
            both.wait(10)
        return values

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(seen, [1.0, 2.0])) == [[1.0], [2.0]]


def test_a_missing_module_leaves_no_hook() -> None:
    model = torch.nn.Sequential(torch.nn.Identity())
    with pytest.raises(AttributeError), hooked(model, [("out", "0"), ("out", "none")], lambda *_: None):
        pass
    assert not model[0]._forward_hooks


def test_calls_are_counted_within_a_forward_pass() -> None:
    shared = torch.nn.Identity()
    model = torch.nn.Sequential(shared, shared)
    calls: list[tuple[tuple[str, str], int]] = []
    for _ in range(2):
        with hooked(model, [("in", "0"), ("out", "")], lambda point, call, _: calls.append((point, call))):
            model(torch.zeros(1))
    assert calls == [(("in", "0"), 0), (("in", "0"), 1), (("out", ""), 0)] * 2


def test_the_first_floating_tensor_is_taken_wherever_it_stands() -> None:
    tensor = torch.zeros(2)
    for value in (tensor, (torch.zeros(2, dtype=torch.int64), [tensor, torch.ones(2)]), {"a": None, "b": (tensor,)}):
        assert first_tensor(value) is tensor
    assert first_tensor((torch.zeros(2, dtype=torch.bool), "text")) is None
