"""What a GPU is asked for, seen without one: a copy stream, pinned memory, and one wait for what came down."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from head2toe.extract.backbone import compiled
from head2toe.extract.features.transfers import OfCuda, OfHost, transfers_of
from head2toe.extract.images import batches


class Stream:
    """A stream that says what it was asked."""

    def __init__(self, said: list[str], name: str) -> None:
        self.said, self.name = said, name

    def wait_stream(self, other: "Stream") -> None:
        self.said.append(f"{self.name} waits for {other.name}")


class Recorded:
    """A tensor that says what it was asked, and computes nothing."""

    def __init__(self, said: list[str], name: str) -> None:
        self.said, self.name, self.shape, self.dtype = said, name, torch.Size((2, 5)), torch.float32

    def to(self, device: torch.device, *, non_blocking: bool) -> "Recorded":
        self.said.append(f"{self.name} to {device}" + (" without waiting" if non_blocking else ""))
        return Recorded(self.said, "images")

    def record_stream(self, stream: Stream) -> None:
        self.said.append(f"{self.name} used by {stream.name}")

    def contiguous(self, *, memory_format: torch.memory_format) -> "Recorded":
        self.said.append(f"{self.name} as {memory_format}")
        return self


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of `torch.cuda`, in order."""
    heard: list[str] = []

    @contextmanager
    def stream(of: Stream) -> Iterator[None]:
        heard.append(f"on {of.name}:")
        yield
        heard.append(f"no longer on {of.name}")

    class Event:
        def record(self, on: Stream) -> None:
            heard.append(f"event on {on.name}")

        def synchronize(self) -> None:
            heard.append("wait for the event")

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(heard, "copies"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream(heard, "computing"))
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    return heard


def test_a_batch_goes_up_on_its_own_stream_which_is_waited_for_on_the_device(said: list[str]) -> None:
    OfCuda(torch.device("cuda:1")).upload(Recorded(said, "batch"))  # type: ignore[arg-type]
    assert said == [
        "on copies:",
        "batch to cuda:1 without waiting",
        "no longer on copies",
        "computing waits for copies",
        "images used by computing",
        "images as torch.channels_last",
    ]


def test_features_come_down_into_pinned_memory_and_are_waited_for_when_wanted(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, copy = torch.empty, torch.Tensor.copy_

    def pinned(shape: Any, *, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
        said.append("pinned" if pin_memory else "not pinned")
        return empty(shape, dtype=dtype)

    def copying(to: torch.Tensor, of: torch.Tensor, *, non_blocking: bool) -> torch.Tensor:
        said.append("copied without waiting" if non_blocking else "copied")
        return copy(to, of)

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.Tensor, "copy_", copying)
    layers = [torch.ones(2, 3), torch.zeros(2, 2)]
    arrived = OfCuda(torch.device("cuda")).download(layers)
    assert said == ["pinned", "copied without waiting", "event on computing"], "nothing is waited for yet"
    assert arrived().tolist() == [[1, 1, 1, 0, 0]] * 2
    assert said[-1] == "wait for the event"


def test_on_a_cpu_nothing_is_copied_twice() -> None:
    assert isinstance(transfers_of(torch.device("cpu")), OfHost)
    batch = torch.zeros((2, 3, 4, 4), dtype=torch.uint8)
    assert OfHost().upload(batch).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_batches_for_a_gpu_are_pinned(device: str, pinned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    empty = torch.empty

    def watched(*shape: Any, pin_memory: bool = False, **rest: Any) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*shape, **rest)

    monkeypatch.setattr(torch, "empty", watched)
    one = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    assert batches._stacked([one, one], pinned=device == "cuda").tolist() == [one.tolist()] * 2
    assert asked == ([True] if pinned else [])


@pytest.mark.parametrize(("on_gpu", "mode"), [(False, None), (True, "reduce-overhead")])
def test_a_gpu_is_given_its_compiled_batches_as_one_graph(
    on_gpu: bool, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parameter:
        is_cuda = on_gpu

    class Network(torch.nn.Module):
        def parameters(self, recurse: bool = True) -> Iterator[Any]:  # noqa: ARG002
            yield Parameter()

    class Reader:
        network, points = Network(), ()

    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch, "compile", lambda _, **how: asked.update(how))
    compiled.Graph(Reader(), 4)  # type: ignore[arg-type]
    assert (asked["mode"], asked["fullgraph"], asked["dynamic"]) == (mode, True, False)
