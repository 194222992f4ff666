"""VTAB-1k from TensorFlow Datasets, with a stand-in for it: neither downloads nor TensorFlow here."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from head2toe.extract.readers import vtab_lists
from head2toe.extract.vtab import from_tfds, from_torchvision
from head2toe.extract.vtab.recipes import VTAB_RECIPES
from head2toe.extract.vtab.tasks import VTAB_TASKS
from head2toe.extract.vtab.writer import png
from head2toe.store.common.errors import DataError, MissingExtra
from PIL import Image

Lines = Callable[[Path, str], list[tuple[str, int]]]
BY_FOLDER = {task.folder: task for task in VTAB_TASKS}


def tiny_png(value: int) -> bytes:
    return png(np.full((2, 2), value % 256, dtype=np.uint8))


class FakeBuilder:
    """A builder of tiny images with the features that the real one has; row i of a split says so in its pixels."""

    version = "9.9.9"

    def __init__(self, folder: str, sizes: dict[str, int]) -> None:
        self.folder = folder
        names = [f"class {i}" for i in range(BY_FOLDER[folder].n_classes)]
        self.info = SimpleNamespace(
            splits={name: SimpleNamespace(num_examples=n) for name, n in sizes.items()},
            features={key: SimpleNamespace(names=names) for key in ("label", "label_azimuth", "label_elevation")},
        )
        self.prepared = False
        self.read: list[str] = []

    def download_and_prepare(self) -> None:
        self.prepared = True

    def as_dataset(self, *, split: str, shuffle_files: bool, decoders: dict[str, Any], read_config: Any) -> Any:
        assert self.prepared
        assert not shuffle_files
        assert decoders == {"image": "skip"}
        assert read_config == {"interleave_cycle_length": 1, "try_autocache": False}
        self.read.append(split)
        name, _, bounds = split.partition("[")
        first, last = map(int, bounds.rstrip("]").split(":"))
        assert 0 <= first < last <= self.info.splits[name].num_examples
        return (self.example(i) for i in range(first, last))

    def example(self, i: int) -> dict[str, Any]:
        n = BY_FOLDER[self.folder].n_classes
        image = tiny_png(i % 2 if self.folder.startswith("dsprites") else i)
        if self.folder.startswith("clevr"):
            count = 3 + i % 8
            coords = np.full((count, 3), (7.0, 8.2, 8.7, 9.2, 9.7, 12.0)[i % 6], dtype=np.float32)
            return {"image": image, "objects": {"size": np.zeros(count, np.int64), "pixel_coords": coords}}
        if self.folder == "kitti":
            types, location = np.array([i % 5]), np.full((1, 3), 1.0 + i % 40, dtype=np.float32)
            return {"image": image, "objects": {"type": types, "location": location}}
        return {
            "image": image,
            "label": np.int64(i % n),
            "label_x_position": np.int64(i % 32),
            "label_orientation": np.int64(i % 40),
            "label_azimuth": np.int64(i % 18),
            "label_elevation": np.int64(i % 9),
            "label_category": np.int64(4),
        }


SIZES = {"train": 2100, "validation": 210, "test": 40}
FOR_SMALLNORB = {"train": 830, "test": 420}


@pytest.fixture
def fake_tfds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeBuilder]:
    """Put a stand-in for TensorFlow and TensorFlow Datasets in place; returns its builder."""

    def install(folder: str, sizes: dict[str, int] | None = None) -> FakeBuilder:
        builder = FakeBuilder(folder, sizes or (FOR_SMALLNORB if folder.startswith("smallnorb") else SIZES))
        fake: Any = ModuleType("tensorflow_datasets")
        fake.__version__ = "4.9.9"
        fake.asked = []
        fake.builder = lambda name, data_dir: fake.asked.append((name, data_dir)) or builder
        fake.decode = SimpleNamespace(SkipDecoding=lambda: "skip")
        fake.ReadConfig = dict
        fake.as_numpy = iter
        monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", fake)
        return builder

    return install


@pytest.mark.parametrize("folder", VTAB_RECIPES)
def test_labels_of_every_task_fit_its_classes(folder: str, fake_tfds: Callable[..., FakeBuilder]) -> None:
    builder, recipe, n_classes = fake_tfds(folder), VTAB_RECIPES[folder], BY_FOLDER[folder].n_classes
    assert {recipe.label(builder.example(i)) for i in range(2000)} == set(range(n_classes))
    assert isinstance(recipe.classes, str) or len(set(recipe.classes)) == n_classes


OF_EVERY_KIND = ("eurosat", "kitti", "dsprites_ori", "smallnorb_azi")


@pytest.mark.parametrize("folder", OF_EVERY_KIND)
def test_tfds_task_is_written_and_read(
    folder: str, tmp_path: Path, fake_tfds: Callable[..., FakeBuilder], lines: Lines
) -> None:
    builder = fake_tfds(folder)
    task = BY_FOLDER[folder]
    made = from_tfds.materialise(task, tmp_path)
    assert made == tmp_path / "vtab-1k" / folder
    assert sys.modules["tensorflow_datasets"].asked == [(VTAB_RECIPES[folder].builder, None)]

    listing = vtab_lists.read(made)
    assert len(listing.train) == 1000
    assert len(listing.classes) == task.n_classes
    assert lines(made, "train800") + lines(made, "val200") == lines(made, "train800val200")
    cuts = {
        name: cut.bounds({k: v.num_examples for k, v in builder.info.splits.items()})
        for name, cut in VTAB_RECIPES[folder].cuts.items()
    }
    for name, (first, last) in cuts.items():
        expected = [builder.example(i) for i in range(first, last)]
        rows = lines(made, name)
        assert [label for _, label in rows] == [VTAB_RECIPES[folder].label(example) for example in expected]
        for (path, _), example in list(zip(rows, expected, strict=True))[::37]:
            content = (made / path).read_bytes()
            if folder.startswith("dsprites"):
                pixels = np.asarray(Image.open(io.BytesIO(example["image"])))
                assert (np.asarray(Image.open(made / path)) == 255 * pixels).all()
            else:
                assert content == example["image"]

    source = vtab_lists.read_source(made)
    assert source is not None
    assert source["source"] == "TensorFlow Datasets"
    assert source["lossless"] is True
    assert source["version"] == "9.9.9"
    assert source["splits"]["train800"] == "train[0:800]"
    assert list(source["splits"].values()) == builder.read


def test_smallnorb_and_dsprites_read_the_attribute_of_their_name() -> None:
    example = {"label_azimuth": 17, "label_elevation": 5, "label_category": 3, "label_x_position": 31}
    example |= {"label_orientation": 12, "label": 0}
    labels = {"smallnorb_azi": 17, "smallnorb_ele": 5, "dsprites_loc": 15, "dsprites_ori": 4}
    assert {folder: VTAB_RECIPES[folder].label(example) for folder in labels} == labels


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "vtab-1k" / "dtd"
    mine.mkdir(parents=True)
    assert from_tfds.materialise(BY_FOLDER["dtd"], tmp_path) == mine
    assert from_torchvision.materialise(BY_FOLDER["dtd"], tmp_path) == mine
    assert list(mine.iterdir()) == []


@pytest.mark.parametrize("absent", ["tensorflow", "tensorflow_datasets"])
def test_without_the_extra(
    absent: str, tmp_path: Path, fake_tfds: Callable[..., FakeBuilder], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tfds("dtd")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtra, match=r"head2toe\[tfds\]"):
        from_tfds.materialise(BY_FOLDER["dtd"], tmp_path)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (AssertionError("Manual directory\n  does not exist"), DataError, "Manual directory does not exist"),
        (OSError("no route to host"), DataError, "no route to host"),
        (ImportError("No module named 'cv2'"), MissingExtra, "cv2"),
        (RuntimeError(), DataError, "RuntimeError"),
    ],
)
def test_what_tfds_cannot_prepare(
    error: Exception, kind: type[Exception], words: str, tmp_path: Path, fake_tfds: Callable[..., FakeBuilder]
) -> None:
    builder = fake_tfds("dtd")

    def refuse() -> None:
        raise error

    builder.download_and_prepare = refuse  # type: ignore[method-assign]
    with pytest.raises(kind, match=words) as caught:
        from_tfds.materialise(BY_FOLDER["dtd"], tmp_path)
    assert "dtd:3" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "vtab-1k").exists()


def test_a_version_that_is_gone(tmp_path: Path, fake_tfds: Callable[..., FakeBuilder]) -> None:
    """TensorFlow Datasets 4.9.10 has pets at 4.0.0 alone: taken, and said."""
    builder = fake_tfds("oxford_iiit_pet")

    def only_four(name: str, data_dir: str | None) -> FakeBuilder:
        assert data_dir == "/there"
        if not name.endswith(":4.*.*"):
            raise AssertionError(f"Dataset {name} cannot be loaded at version 3.*.*, only: 4.0.0.")
        return builder

    fake: Any = sys.modules["tensorflow_datasets"]
    fake.builder = only_four
    made = from_tfds.materialise(BY_FOLDER["oxford_iiit_pet"], tmp_path, data_dir=Path("/there"))
    source = vtab_lists.read_source(made)
    assert source is not None
    assert source["builder"] == "oxford_iiit_pet:4.*.*"
    assert source["rows"] == "VTAB-1k's own if oxford_iiit_pet:4.*.* orders rows as oxford_iiit_pet:3.*.* did"
    with pytest.raises(DataError, match=r"can't prepare dtd:3.*only: 4\.0\.0"):
        from_tfds.materialise(BY_FOLDER["dtd"], tmp_path, data_dir=Path("/there"))


def test_another_dataset_than_vtab_was_made_of(tmp_path: Path, fake_tfds: Callable[..., FakeBuilder]) -> None:
    fake_tfds("dtd", {"train": 900, "validation": 100, "test": 10})
    with pytest.raises(DataError, match=r"dtd:3.*validation.*100 rows"):
        from_tfds.materialise(BY_FOLDER["dtd"], tmp_path)
    fake_tfds("dtd").info.features["label"].names.pop()
    with pytest.raises(DataError, match=r"47 classes.*names 46"):
        from_tfds.materialise(BY_FOLDER["dtd"], tmp_path)
