"""`--compile`: the same layers and numbers as without, one graph for all batches, and an error where torch can't."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from head2toe.extract.backbone import compiled
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.taps import discover
from head2toe.extract.features.reader import FeatureReader
from head2toe.pipeline import extract, main
from head2toe.store.common.errors import BadRequest, MissingExtra
from head2toe.store.reading.design_matrix import DesignMatrix

SIZES = (64, 300)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Torch keeps what it has compiled for as long as the process lives."""
    yield
    torch._dynamo.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of compiling but its last step, which would write and build C++ for a minute."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")


@pytest.fixture
def small(small: dict[str, Any]) -> dict[str, Any]:
    """A backbone that is compiled in little time."""
    return small | {"backbone": "test_efficientnet"}


def pixels(backbone: Backbone, n: int) -> torch.Tensor:
    shape = (n, 3, backbone.input_size, backbone.input_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_a_graph_gives_the_layers_of_the_hooks(name: str) -> None:
    backbone = load_backbone(name, weights="random", input_size=None if name == "test_vit" else 64, device="cpu")
    taps = discover(backbone, "all", include_input=True).taps
    statistics = ("mean", "std", "max")
    reader = FeatureReader(backbone, taps, SIZES, statistics=statistics, compiled_for=4)
    for n in (4, 3, 1):
        images = pixels(backbone, n)
        plain = FeatureReader(backbone, taps, SIZES, statistics=statistics)(images)
        ours = reader(images)
        for size in SIZES:
            assert list(ours[size]) == list(plain[size]) == [tap.name for tap in taps]
            for layer, values in plain[size].items():
                assert np.allclose(ours[size][layer], values, rtol=1e-4, atol=1e-5 * np.abs(values).max()), layer
    reader.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in backbone.model.modules()), "it is as it was"


@pytest.mark.usefixtures("traced")
def test_one_graph_serves_batches_of_all_sizes() -> None:
    backbone = load_backbone("test_efficientnet", weights="random", input_size=64, device="cpu")
    reader = FeatureReader(backbone, discover(backbone).taps, (64,), compiled_for=4)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for n in (4, 2, 4, 1):
            assert reader(pixels(backbone, n))[64]["pre_logits"].shape[0] == n
    reader.close()


@pytest.mark.usefixtures("traced")
def test_a_compiled_run_finds_the_store_of_a_plain_one(image_folder: Path, small: dict[str, Any]) -> None:
    first = extract(str(image_folder), **small, compile=True, batch_size=8)
    again = extract(str(image_folder), **small)
    assert (first.images_extracted, again.images_extracted) == (51, 0)
    assert first.store.key == again.store.key


@pytest.mark.slow
def test_compiled_numbers_differ_by_rounding_alone(image_folder: Path, tmp_path: Path, small: dict[str, Any]) -> None:
    stores = [
        extract(str(image_folder), **small, compile=compile, dtype="float32", store=tmp_path / f"{compile}")
        for compile in (True, False)
    ]
    ours, plain = (
        DesignMatrix.of([one.store], one.digests).columns(np.arange(one.store.index.n_features)) for one in stores
    )
    assert np.abs(ours - plain).max() <= 1e-5 * np.abs(plain).max()


def test_a_missing_compiler_is_one_line(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    flags = ["--backbone", "test_efficientnet", "--weights", "random", "--input-size", "32", "--compile"]
    said = CliRunner().invoke(main, ["extract", str(image_folder), *flags])
    assert said.exit_code == MissingExtra.exit_code
    assert "--compile needs g++" in said.stderr.splitlines()[-1]


def test_a_network_that_is_no_graph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = load_backbone("test_efficientnet", weights="random", input_size=32, device="cpu")
    plain = backbone.model.forward_features

    def odd(x: torch.Tensor) -> torch.Tensor:
        return plain(x) if x.sum().item() > 0 else plain(-x)

    monkeypatch.setattr(backbone.model, "forward_features", odd)
    taps = discover(backbone, "blocks").taps
    with pytest.raises(BadRequest, match="run it without --compile"):
        FeatureReader(backbone, taps, (64,), compiled_for=2)(pixels(backbone, 2))
