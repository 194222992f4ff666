"""One reader for extraction, compiled graphs and deployed networks: in order, pooled at once, complete or refused."""

from dataclasses import replace

import pytest
import torch
from head2toe.extract.backbone.backbone import load_backbone
from head2toe.extract.backbone.layer_reader import Layer, LayerReader
from head2toe.extract.backbone.taps import discover
from head2toe.store.common.errors import DataError
from torch import nn


class Halves(nn.Module):
    """Calls one module twice, and changes in place what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.last = nn.Identity(), nn.Identity()
        self.passed_last = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.scale(x * 1)
        first.mul_(2)
        second = self.scale(first + 1)
        self.passed_last += 1
        return self.last(second)


@pytest.fixture
def layers() -> list[Layer]:
    """Of every tap of a small ResNet at two target sizes, in an order that is not the network's."""
    taps = discover(load_backbone("resnet18", weights="random", input_size=32, device="cpu"), "all").taps
    return [Layer(tap, size) for size in (300, 64) for tap in reversed(taps)]


def tap(call: int, module: str = "scale") -> Layer:
    some = discover(load_backbone("test_resnet", weights="random", input_size=32, device="cpu"), "pre_logits").taps[0]
    return Layer(replace(some, name=f"{module}@{call}", module=module, side="out", call=call, shape=(4,)), 8)


def test_layers_come_in_the_order_asked_for(layers: list[Layer]) -> None:
    network = load_backbone("resnet18", weights="random", input_size=32, device="cpu").model
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        together = LayerReader(network, layers)(images)
        for number in (0, 5, len(layers) - 1):
            (alone,) = LayerReader(network, layers[number : number + 1])(images)
            assert torch.equal(together[number], alone)
    assert [values.shape for values in together] == [(2, layer.tap.width(layer.target_size)) for layer in layers]


def test_what_is_read_is_what_passed_at_that_call_whatever_comes_later() -> None:
    x = torch.rand(3, 4)
    first, second = LayerReader(Halves(), [tap(0), tap(1)])(x.clone())
    assert torch.equal(first, x)
    assert torch.equal(second, 2 * x + 1)


def test_a_pass_ends_early_only_if_it_may() -> None:
    network = Halves()
    reader = LayerReader(network, [tap(0)])
    reader(torch.rand(3, 4), end_early=True)
    assert network.passed_last == 0
    reader(torch.rand(3, 4))
    assert network.passed_last == 1
    assert not any(module._forward_hooks for module in network.modules())


def test_what_is_kept_is_for_the_caller_to_say() -> None:
    x = torch.rand(3, 4)
    reader = LayerReader(Halves(), [tap(0), tap(1)], keep=lambda number, pooled: pooled[:, [number]])
    first, second = reader(x.clone())
    assert torch.equal(first, x[:, :1])
    assert torch.equal(second, (2 * x + 1)[:, 1:2])


def test_a_tap_that_is_not_passed_is_named_as_a_fault() -> None:
    with pytest.raises(DataError, match="does not pass all taps of the model: is timm another version"):
        LayerReader(Halves(), [tap(0), tap(2)])(torch.rand(3, 4))
