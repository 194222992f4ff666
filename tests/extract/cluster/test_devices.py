"""Several devices of one machine: a worker for each, and every block's network where its worker belongs.

Where there are no GPUs, `cpu:0` and `cpu:1` stand for them: torch takes both as names of the CPU, and a worker says
which of them its network was put on.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from head2toe.extract.cluster.address import Address
from head2toe.extract.features.extraction import Extraction
from head2toe.extract.options import ExtractOptions
from head2toe.pipeline import Options, extract
from head2toe.store.common import cores
from head2toe.store.common.errors import BadRequest
from head2toe.tests.extract.cluster.images import N, many_images


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """So many images that they are seven blocks."""
    return many_images(tmp_path / "images")


@pytest.fixture
def tiny() -> dict[str, Any]:
    network = {"backbone": "test_resnet", "weights": "random", "input_size": 32, "taps": "blocks"}
    return network | {"target_sizes": (64,), "dtype": "float32"}


@pytest.fixture
def cpus_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `cpu:0` and `cpu:1` be two devices, as two GPUs are."""
    monkeypatch.setattr(cores, "_ONE_OF_SEVERAL", re.compile(r"(cpu|cuda):\d"))


def images_by_device(extraction: Extraction) -> dict[str, int]:
    """What the note of an extraction says."""
    (note,) = (note for note in extraction.notes if note.startswith("images by device: "))
    return {device: int(n) for device, n in re.findall(r"(\w+:\d) (\d+)", note)}


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:0,", "a name is missing beside a comma"),
        (",", "a name is missing beside a comma"),
        ("cuda:0,,cuda:1", "a name is missing beside a comma"),
        ("cuda:0, cuda:1", "without spaces"),
        ("cuda:0,cuda:0", "cuda:0 is named twice"),
        ("cpu,cuda:0", "'cpu' can't be one of several"),
        ("cuda,cuda:1", "'cuda' can't be one of several"),
        ("cuda:0,cuda:x", "'cuda:x' can't be one of several"),
        ("cuda:0,auto", "'auto' can't be one of several"),
    ],
)
def test_nonsense_is_refused_in_one_line(device: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as raised:
        ExtractOptions(device=device)
    assert "\n" not in str(raised.value)
    assert "cuda:0,cuda:1" in str(raised.value) or "name each once" in str(raised.value)


def test_several_devices_are_of_this_machine() -> None:
    with pytest.raises(BadRequest, match="leave --cluster tcp://host:8786 out"):
        Options(device="cuda:0,cuda:1", cluster="tcp://host:8786")
    with pytest.raises(BadRequest, match="fewer processes of this machine than devices"):
        Address.asked("local:1", ("cuda:0", "cuda:1"))
    assert Address.asked(None, ("cuda:0",)) is None
    each = Address.asked(None, ("cuda:2", "cuda:5"))
    assert each is not None
    assert (each.processes, each.devices) == (2, ("cuda:2", "cuda:5"))
    twice = Address.asked("local:4", ("cuda:2", "cuda:5"))
    assert twice is not None
    assert (twice.processes, twice.devices) == (4, ("cuda:2", "cuda:5"))


def test_a_device_that_is_not_there_is_said_before_anything_starts(
    many: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(distributed, "LocalCluster", lambda **_: pytest.fail("workers were started"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BadRequest, match="no device cuda:0: torch sees 0 CUDA devices"):
        extract(str(many), **tiny, store=tmp_path / "stores", device="cuda:0,cuda:1")
    assert not list((tmp_path / "stores").glob("??/*"))


@pytest.mark.usefixtures("cpus_count")
def test_each_worker_has_a_device_and_the_store_is_that_of_one(
    many: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    shared = extract(str(many), **tiny, store=tmp_path / "shared", device="cpu:0,cpu:1")
    by_device = images_by_device(shared)
    assert shared.images_extracted == N == sum(by_device.values())
    assert by_device.keys() == {"cpu:0", "cpu:1"}
    assert min(by_device.values()) > 0
    alone = extract(str(many), **tiny, store=tmp_path / "alone", device="cpu")
    assert shared.store.key == alone.store.key
    again = extract(str(many), **tiny, store=tmp_path / "shared", device="cuda:0,cuda:1")
    assert again.images_extracted == 0  # which asks for no device


@pytest.mark.gpu
def test_two_gpus_share_the_images(many: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two GPUs: torch sees {torch.cuda.device_count()}")
    shared = extract(str(many), **tiny, store=tmp_path / "shared", device="cuda:0,cuda:1")
    by_device = images_by_device(shared)
    assert by_device.keys() == {"cuda:0", "cuda:1"}
    assert sum(by_device.values()) == N
    assert min(by_device.values()) > 0
