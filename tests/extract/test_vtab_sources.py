"""VTAB-1k from TensorFlow Datasets and torchvision, with stand-ins for both: neither downloads nor TensorFlow here."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torchvision
from head2toe.extract import folders, vtab, vtab_labels, vtab_tfds, vtab_torchvision, vtab_writer
from head2toe.extract.vtab_recipes import RECIPES, Cut
from head2toe.extract.vtab_writer import Part, Picture, png, write_task
from head2toe.store.errors import BadRequest, DataError, MissingExtra
from PIL import Image
from scipy.io import savemat

BY_FOLDER = {task.folder: task for task in vtab.TASKS}


def jpeg(value: int) -> bytes:
    """A JPEG file unlike that of any other value."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value % 256, 99, 7)).save(file, "JPEG", comment=str(value))
    return file.getvalue()


def tiny_png(value: int) -> bytes:
    return png(np.full((2, 2), value % 256, dtype=np.uint8))


def lines(folder: Path, name: str) -> list[tuple[str, int]]:
    """Path and label of every line of a list."""
    rows = [line.rpartition(" ") for line in (folder / f"{name}.txt").read_text().splitlines()]
    return [(path, int(label)) for path, _, label in rows]


# ---- label definitions ----------------------------------------------------------------------------------------------


def reference_bin(value: float, thresholds: list[float]) -> int:
    """As task_adaptation puts it, in NumPy: the greatest index where threshold - distance is negative."""
    return int(np.max(np.where((np.array(thresholds, dtype=np.float32) - np.float32(value)) < 0)))


@pytest.mark.parametrize(
    ("nearest", "expected"),
    [
        (0.1, 0),
        (8.0, 0),
        (8.001, 1),
        (8.5, 1),
        (8.75, 2),
        (9.0, 2),
        (9.5, 3),
        (9.6, 4),
        (10.0, 4),
        (10.1, 5),
        (100.0, 5),
    ],
)
def test_clevr_distance(nearest: float, expected: int) -> None:
    coords = np.array([[200, 100, 12.0], [0, 0, nearest], [1, 1, 100.0]], dtype=np.float32)
    assert vtab_labels.clevr_distance(coords) == expected
    assert expected == reference_bin(nearest, [0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0])


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan")])
def test_a_distance_below_all_bins_has_no_class(value: float) -> None:
    with pytest.raises(DataError, match="not above 0"):
        vtab_labels.clevr_distance(np.array([[0, 0, value]]))


def test_clevr_count_has_eight_classes() -> None:
    assert [vtab_labels.clevr_count(n) for n in range(3, 11)] == list(range(8))
    assert len(vtab_labels.CLEVR_COUNT_CLASSES) == 8


@pytest.mark.parametrize(
    ("types", "depths", "expected"),
    [
        ([0], [8.0], 0),
        ([0], [8.1], 1),
        ([1], [20.0], 1),
        ([2], [20.5], 2),
        ([3, 0], [1.0, 30.0], 2),  # the pedestrian is nearer, but no vehicle
        ([3, 7], [1.0, 2.0], 3),
        ([], [], 3),
        ([0], [-2.0], 0),  # beside the camera
        ([0], [999.5], 3),
    ],
)
def test_kitti_distance(types: list[int], depths: list[float], expected: int) -> None:
    locations = np.array([[5.0, 1.0, depth] for depth in depths], dtype=np.float32).reshape(-1, 3)
    assert vtab_labels.kitti_distance(np.array(types, dtype=np.int64), locations) == expected
    nearest = min([depth for kind, depth in zip(types, depths, strict=True) if kind < 3], default=1000.0)
    assert expected == reference_bin(nearest, [-100.0, 8.0, 20.0, 999.0])


@pytest.mark.parametrize(("n_values", "sizes"), [(32, {2}), (40, {2, 3})])
def test_merged_labels_are_the_floor_of_the_quotient(n_values: int, sizes: set[int]) -> None:
    found = [vtab_labels.merged(v, n_values, 16) for v in range(n_values)]
    divisor = np.float32(n_values / 16)  # as task_adaptation divides
    assert found == np.floor_divide(np.arange(n_values, dtype=np.float32), divisor).astype(int).tolist()
    assert set(np.bincount(found).tolist()) == sizes
    assert len(found) == n_values


def test_names_of_merged_classes_cover_all_values() -> None:
    names = vtab_labels.merged_classes("orientation", 40, 16)
    assert names[0] == "orientation 0-2"
    assert names[1] == "orientation 3-4"
    assert names[-1] == "orientation 38-39"
    assert len(set(names)) == 16


# ---- splits ---------------------------------------------------------------------------------------------------------

REAL = {  # the builders' sizes, and VTAB-1k's rows in them
    "cifar": ({"train": 50000, "test": 10000}, "train[45000:45200]", "test[0:10000]"),
    "caltech101": ({"train": 3059, "test": 6085}, "train[2753:2953]", "test[0:6085]"),
    "dtd": ({"train": 1880, "validation": 1880, "test": 1880}, "validation[0:200]", "test[0:1880]"),
    "oxford_iiit_pet": ({"train": 3680, "test": 3669}, "train[2944:3144]", "test[0:3669]"),
    "svhn": ({"train": 73257, "test": 26032}, "train[65931:66131]", "test[0:26032]"),
    "eurosat": ({"train": 27000}, "train[16200:16400]", "train[21600:27000]"),
    "resisc45": ({"train": 31500}, "train[18900:19100]", "train[25200:31500]"),
    "clevr_count": ({"train": 70000, "validation": 15000, "test": 15000}, "train[63000:63200]", "validation[0:15000]"),
    "dsprites_ori": ({"train": 737280}, "train[589824:590024]", "train[663552:737280]"),
    "smallnorb_azi": ({"train": 24300, "test": 24300}, "test[0:200]", "test[12150:24300]"),
}


@pytest.mark.parametrize("folder", REAL)
def test_splits_in_absolute_rows(folder: str) -> None:
    sizes, val, test = REAL[folder]
    assert {name: cut.spec(sizes) for name, cut in RECIPES[folder].cuts.items()} == {
        "train800": "train[0:800]",
        "val200": val,
        "test": test,
    }


@pytest.mark.parametrize("folder", RECIPES)
def test_no_row_is_in_two_splits(folder: str) -> None:
    sizes = {"train": 4321, "validation": 432, "test": 1234}
    rows: set[tuple[str, int]] = set()
    total = 0
    for cut in RECIPES[folder].cuts.values():
        first, last = cut.bounds(sizes)
        rows |= {(cut.split, row) for row in range(first, last)}
        total += last - first
    assert len(rows) == total


@pytest.mark.parametrize("sizes", [{}, {"train": 199}, {"train": 0}])
def test_a_cut_that_is_not_there(sizes: dict[str, int]) -> None:
    with pytest.raises(DataError, match="are needed"):
        Cut("train", rows=200).bounds(sizes)


def test_every_task_has_a_recipe() -> None:
    assert set(RECIPES) == set(BY_FOLDER)
    assert set(vtab_torchvision.OFFERS) < set(BY_FOLDER)


# ---- TensorFlow Datasets --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("folder", RECIPES)
def test_labels_of_every_task_fit_its_classes(folder: str, fake_tfds: Callable[..., FakeBuilder]) -> None:
    builder, recipe, n_classes = fake_tfds(folder), RECIPES[folder], BY_FOLDER[folder].n_classes
    assert {recipe.label(builder.example(i)) for i in range(2000)} == set(range(n_classes))
    assert isinstance(recipe.classes, str) or len(set(recipe.classes)) == n_classes


OF_EVERY_KIND = ("eurosat", "kitti", "dsprites_ori", "smallnorb_azi")


@pytest.mark.parametrize("folder", OF_EVERY_KIND)
def test_tfds_task_is_written_and_read(folder: str, tmp_path: Path, fake_tfds: Callable[..., FakeBuilder]) -> None:
    builder = fake_tfds(folder)
    task = BY_FOLDER[folder]
    made = vtab_tfds.materialise(task, tmp_path)
    assert made == tmp_path / "vtab-1k" / folder
    assert sys.modules["tensorflow_datasets"].asked == [(RECIPES[folder].builder, None)]

    listing = folders.read_lists(made)
    assert len(listing.train) == 1000
    assert len(listing.classes) == task.n_classes
    assert lines(made, "train800") + lines(made, "val200") == lines(made, "train800val200")
    cuts = {
        name: cut.bounds({k: v.num_examples for k, v in builder.info.splits.items()})
        for name, cut in RECIPES[folder].cuts.items()
    }
    for name, (first, last) in cuts.items():
        expected = [builder.example(i) for i in range(first, last)]
        rows = lines(made, name)
        assert [label for _, label in rows] == [RECIPES[folder].label(example) for example in expected]
        for (path, _), example in list(zip(rows, expected, strict=True))[::37]:
            content = (made / path).read_bytes()
            if folder.startswith("dsprites"):
                pixels = np.asarray(Image.open(io.BytesIO(example["image"])))
                assert (np.asarray(Image.open(made / path)) == 255 * pixels).all()
            else:
                assert content == example["image"]

    source = vtab_writer.source_of(made)
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
    assert {folder: RECIPES[folder].label(example) for folder in labels} == labels


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "vtab-1k" / "dtd"
    mine.mkdir(parents=True)
    assert vtab_tfds.materialise(BY_FOLDER["dtd"], tmp_path) == mine
    assert vtab_torchvision.materialise(BY_FOLDER["dtd"], tmp_path) == mine
    assert list(mine.iterdir()) == []


@pytest.mark.parametrize("absent", ["tensorflow", "tensorflow_datasets"])
def test_without_the_extra(
    absent: str, tmp_path: Path, fake_tfds: Callable[..., FakeBuilder], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tfds("dtd")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtra, match=r"head2toe\[tfds\]"):
        vtab_tfds.materialise(BY_FOLDER["dtd"], tmp_path)


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
        vtab_tfds.materialise(BY_FOLDER["dtd"], tmp_path)
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
    made = vtab_tfds.materialise(BY_FOLDER["oxford_iiit_pet"], tmp_path, data_dir=Path("/there"))
    source = vtab_writer.source_of(made)
    assert source is not None
    assert source["builder"] == "oxford_iiit_pet:4.*.*"
    assert source["rows"] == "VTAB-1k's own if oxford_iiit_pet:4.*.* orders rows as oxford_iiit_pet:3.*.* did"
    with pytest.raises(DataError, match=r"can't prepare dtd:3.*only: 4\.0\.0"):
        vtab_tfds.materialise(BY_FOLDER["dtd"], tmp_path, data_dir=Path("/there"))


def test_another_dataset_than_vtab_was_made_of(tmp_path: Path, fake_tfds: Callable[..., FakeBuilder]) -> None:
    fake_tfds("dtd", {"train": 900, "validation": 100, "test": 10})
    with pytest.raises(DataError, match=r"dtd:3.*validation.*100 rows"):
        vtab_tfds.materialise(BY_FOLDER["dtd"], tmp_path)
    fake_tfds("dtd").info.features["label"].names.pop()
    with pytest.raises(DataError, match=r"47 classes.*names 46"):
        vtab_tfds.materialise(BY_FOLDER["dtd"], tmp_path)


# ---- the writer -----------------------------------------------------------------------------------------------------


def parts(test: Iterator[Picture], n_test: int = 3) -> dict[str, Part]:
    return {
        "train800": Part(2, (Picture(jpeg(i), i) for i in range(2))),
        "val200": Part(1, iter([Picture(np.zeros((3, 3, 1), np.uint8), 0)])),
        "test": Part(n_test, test),
    }


def pictures(n: int) -> Iterator[Picture]:
    return (Picture(np.full((2, 3, 3), i, np.uint8), i % 2) for i in range(n))


def test_bytes_stay_and_pixels_become_png(tmp_path: Path) -> None:
    made = write_task(tmp_path / "t", ("a", "b"), parts(pictures(3)), {"source": "here"})
    (first, _), (second, _) = lines(made, "train800")
    assert (first, second) == ("images/train800val200/000000.jpg", "images/train800val200/000001.jpg")
    assert [(made / name).read_bytes() for name in (first, second)] == [jpeg(0), jpeg(1)]
    assert lines(made, "val200") == [("images/train800val200/000002.png", 0)]
    assert np.asarray(Image.open(made / "images/test/000002.png")).tolist() == [[[2] * 3] * 3] * 2
    assert (made / "classes.txt").read_text() == "a\nb\n"
    assert vtab_writer.source_of(made) == {"source": "here"}
    assert vtab_writer.source_of(tmp_path) is None
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def failing(error: BaseException) -> Iterator[Picture]:
    yield from pictures(1)
    raise error


@pytest.mark.parametrize(
    ("test", "n_test", "kind", "words"),
    [
        (lambda: failing(KeyboardInterrupt()), 3, KeyboardInterrupt, "^$"),
        (lambda: failing(OSError(28, "No space left on device")), 3, DataError, "No space left.*HEAD2TOE_DATA"),
        (lambda: pictures(2), 3, DataError, "2 rows instead of 3"),
        (lambda: pictures(4), 3, DataError, "4 rows instead of 3"),
        (lambda: iter([Picture(b"hello", 0)]), 1, DataError, "not an image"),
        (lambda: iter([Picture(jpeg(0), 2)]), 1, DataError, "label 2, but there are 2 classes"),
        (lambda: iter([Picture(jpeg(0), -1)]), 1, DataError, "label -1"),
    ],
)
def test_what_is_not_finished_leaves_nothing(
    test: Callable[[], Iterator[Picture]], n_test: int, kind: type[BaseException], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words):
        write_task(tmp_path / "data" / "t", ("a", "b"), parts(test(), n_test), {})
    assert list((tmp_path / "data").iterdir()) == []


def test_killed_before_the_end_it_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a `kill -9` leaves: nothing is tidied up, and the task is still not there."""
    monkeypatch.setattr(vtab_writer.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        write_task(tmp_path / "t", ("a", "b"), parts(failing(KeyboardInterrupt())), {})
    assert not (tmp_path / "t").exists()
    assert [p.suffix for p in tmp_path.iterdir()] == [".partial"]


def test_another_process_was_faster(tmp_path: Path) -> None:
    def slow() -> Iterator[Picture]:
        yield from pictures(3)
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / "theirs").touch()

    assert write_task(tmp_path / "t", ("a", "b"), parts(slow()), {}) == tmp_path / "t"
    assert [p.name for p in (tmp_path / "t").iterdir()] == ["theirs"]
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_one_image_in_memory_at_a_time(tmp_path: Path) -> None:
    alive = 0
    most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def rows() -> Iterator[Picture]:
        nonlocal alive, most
        for _ in range(20):
            pixels = np.zeros((2, 2), np.uint8).view(Counted)
            alive += 1
            most = max(most, alive)
            picture = Picture(pixels, 0)
            del pixels
            yield picture
            del picture

    write_task(tmp_path / "t", ("a",), {"train800": Part(20, rows()), "val200": Part(0, []), "test": Part(0, [])}, {})
    assert most <= 2


# ---- torchvision ----------------------------------------------------------------------------------------------------


class FakeArrays:
    """A dataset that keeps arrays, as CIFAR100 and SVHN do."""

    def __init__(self, root: str, download: bool, n_classes: int = 10, names: bool = True, **split: Any) -> None:
        assert download
        assert Path(root).is_dir()
        self.n = 1100 if split in ({"train": True}, {"split": "train"}) else 300 if split == {"split": "val"} else 30
        self.n_classes = n_classes
        if names:
            self.classes = [f"name {i}" for i in range(n_classes)]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        if i >= self.n:
            raise IndexError(i)
        return Image.fromarray(np.full((2, 2, 3), (i % 256, i // 256, self.n % 256), np.uint8)), i % self.n_classes


@pytest.mark.parametrize(("folder", "name"), [("cifar", "CIFAR100"), ("patch_camelyon", "PCAM")])
def test_torchvision_arrays(folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_classes = BY_FOLDER[folder].n_classes
    monkeypatch.setattr(
        torchvision.datasets, name, lambda *a, **k: FakeArrays(*a, n_classes=n_classes, names=folder == "cifar", **k)
    )
    made = vtab_torchvision.materialise(BY_FOLDER[folder], tmp_path)
    seen = [tuple(np.asarray(Image.open(made / path))[0, 0]) for path, _ in lines(made, "train800val200")]
    assert len(set(seen)) == 1000
    assert len(lines(made, "test")) == 30
    for path, label in lines(made, "train800")[:50]:
        red, green, _ = np.asarray(Image.open(made / path))[0, 0].astype(int)
        assert label == (red + 256 * green) % n_classes
    side = {row[2] for row in seen[800:]}
    assert side == (
        {300 % 256} if folder == "patch_camelyon" else {1100 % 256}
    )  # from its own split where there is one
    assert folders.read_lists(made).classes[1] == ("name 1" if folder == "cifar" else "1")
    assert json.loads((made / "SOURCE.json").read_text())["rows"].startswith("not VTAB's own rows")


def test_the_draw_is_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "SVHN", FakeArrays)
    one, two = (vtab_torchvision.materialise(BY_FOLDER["svhn"], tmp_path / name) for name in ("one", "two"))
    for name in ("train800", "val200", "test"):
        assert (one / f"{name}.txt").read_text() == (two / f"{name}.txt").read_text()
        assert all((one / p).read_bytes() == (two / p).read_bytes() for p, _ in lines(one, name)[:20])
    order = [label for _, label in lines(one, "train800")]
    assert order != sorted(order)


@pytest.fixture
def tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 and 20 rows instead of 800 and 200: planting trees takes its time."""
    monkeypatch.setattr(vtab_torchvision, "N_TRAIN", 80)
    monkeypatch.setattr(vtab_torchvision, "N_VAL", 20)


def plant(folder: Path, names: list[str], per_class: int, pattern: str = "{i:04d}.jpg") -> None:
    """Folders of JPEG files, no two alike."""
    for c, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            (folder / name / pattern.format(name=name, i=i)).write_bytes(jpeg(c * per_class + i))


def plant_eurosat(root: Path) -> None:
    plant(root / "eurosat" / "2750", [f"C{i}" for i in range(10)], 15)


def plant_caltech(root: Path) -> None:
    names = ["BACKGROUND_Google", *(f"c{i:03d}" for i in range(101))]
    plant(root / "caltech101" / "101_ObjectCategories", names, 3, "image_{i:04d}.jpg")


def plant_sun(root: Path) -> None:
    names = [f"a/c{i:03d}" for i in range(397)]
    plant(root / "SUN397", names, 3, "sun_{i:04d}.jpg")
    (root / "SUN397" / "ClassName.txt").write_text("".join(f"/a/c{i:03d}\n" for i in range(397)))


def plant_dtd(root: Path) -> None:
    names = [f"c{i:02d}" for i in range(47)]
    plant(root / "dtd" / "dtd" / "images", names, 5)
    (root / "dtd" / "dtd" / "labels").mkdir()
    for split, rows in (("train", range(3)), ("val", range(3, 4)), ("test", range(4, 5))):
        text = "".join(f"{name}/{i:04d}.jpg\n" for name in names for i in rows)
        (root / "dtd" / "dtd" / "labels" / f"{split}1.txt").write_text(text)


def plant_pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    plant(base, ["images"], 37 * 4, "{i:04d}.jpg")
    (base / "annotations").mkdir()
    for i in range(37 * 4):
        (base / "images" / f"{i:04d}.jpg").rename(base / "images" / f"kind{i % 37:02d}_{i:04d}.jpg")
    for split, rows in (("trainval", range(37 * 3)), ("test", range(37 * 3, 37 * 4))):
        text = "".join(f"kind{i % 37:02d}_{i:04d} {i % 37 + 1} 1 1\n" for i in rows)
        (base / "annotations" / f"{split}.txt").write_text(text)


def plant_flowers(root: Path) -> None:
    base = root / "flowers-102"
    (base / "jpg").mkdir(parents=True)
    ids = np.arange(1, 307)
    for i in ids:
        (base / "jpg" / f"image_{i:05d}.jpg").write_bytes(jpeg(int(i)))
    savemat(base / "imagelabels.mat", {"labels": (ids - 1) % 102 + 1})
    savemat(base / "setid.mat", {"trnid": ids[:102], "valid": ids[102:204], "tstid": ids[204:]})


PLANTED = {
    "eurosat": (plant_eurosat, 30),
    "caltech101": (plant_caltech, 102),
    "sun397": (plant_sun, 397),
    "dtd": (plant_dtd, 47),
    "oxford_iiit_pet": (plant_pets, 37),
    "oxford_flowers102": (plant_flowers, 102),
}


@pytest.mark.usefixtures("tenth")
@pytest.mark.parametrize("folder", PLANTED)
def test_torchvision_files(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision's own classes on trees as their archives unpack: they find them, and download nothing."""
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_check_integrity", lambda _: True)  # it wants checksums
    plant_it, n_test = PLANTED[folder]
    plant_it(tmp_path / "torchvision")
    task = BY_FOLDER[folder]
    made = vtab_torchvision.materialise(task, tmp_path)
    originals = {p.read_bytes() for p in (tmp_path / "torchvision").rglob("*.jpg")}
    written = [(made / path).read_bytes() for path, _ in lines(made, "train800val200") + lines(made, "test")]
    assert len(written) == len(set(written)) == 100 + n_test  # no image twice
    assert set(written) <= originals  # bytes as they were
    listing = folders.read_lists(made)
    assert len(listing.classes) == task.n_classes
    n_by_class = np.bincount([label for _, label in listing.test], minlength=task.n_classes)
    assert len(set(n_by_class)) == 1  # as even as the dataset is
    source = json.loads((made / "SOURCE.json").read_text())
    assert ("held out" in source["test"]) == (folder in ("eurosat", "caltech101", "sun397"))


@pytest.mark.usefixtures("tenth")
def test_the_label_belongs_to_the_image(tmp_path: Path) -> None:
    plant_eurosat(tmp_path / "torchvision")
    made = vtab_torchvision.materialise(BY_FOLDER["eurosat"], tmp_path)
    truth = {p.read_bytes(): int(p.parent.name[1:]) for p in (tmp_path / "torchvision").rglob("*.jpg")}
    for name in ("train800", "val200", "test"):
        assert all(truth[(made / path).read_bytes()] == label for path, label in lines(made, name))


@pytest.mark.usefixtures("tenth")
def test_pcam_as_torchvision_reads_it(tmp_path: Path) -> None:
    base = tmp_path / "torchvision" / "pcam"
    base.mkdir(parents=True)
    for split, n, shade in (("train", 90, 10), ("valid", 21, 20), ("test", 12, 30)):
        with h5py.File(base / f"camelyonpatch_level_2_split_{split}_x.h5", "w") as file:
            file["x"] = np.full((n, 2, 2, 3), shade, np.uint8)
        with h5py.File(base / f"camelyonpatch_level_2_split_{split}_y.h5", "w") as file:
            file["y"] = np.arange(n).reshape(n, 1, 1, 1) % 2
    made = vtab_torchvision.materialise(BY_FOLDER["patch_camelyon"], tmp_path)
    for name, shade in (("train800", 10), ("val200", 20), ("test", 30)):
        assert {np.asarray(Image.open(made / path)).mean() for path, _ in lines(made, name)} == {shade}
    assert [label for _, label in lines(made, "test")] == [0, 1] * 6


@pytest.mark.parametrize(
    "error", [OSError("<urlopen error timed out>"), RuntimeError("File not found or corrupted."), ImportError("gdown")]
)
def test_a_download_that_fails(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torchvision.datasets, "DTD", refuse)
    with pytest.raises(DataError) as caught:
        vtab_torchvision.materialise(BY_FOLDER["dtd"], tmp_path)
    message = str(caught.value)
    for part in ("DTD", str(tmp_path / "torchvision"), str(tmp_path / "vtab-1k" / "dtd"), "head2toe[tfds]", str(error)):
        assert part in message
    assert "\n" not in message
    assert not (tmp_path / "vtab-1k").exists()


@pytest.mark.parametrize("folder", ["kitti", "clevr_count", "resisc45"])
def test_what_torchvision_does_not_offer(folder: str, tmp_path: Path) -> None:
    assert not vtab_torchvision.offers(BY_FOLDER[folder])
    with pytest.raises(BadRequest, match=r"dtd.*head2toe\[tfds\]"):
        vtab_torchvision.materialise(BY_FOLDER[folder], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("tenth")
def test_a_download_that_was_interrupted(tmp_path: Path) -> None:
    plant_dtd(tmp_path / "torchvision")
    for path in (tmp_path / "torchvision" / "dtd" / "dtd" / "images" / "c03").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"c03.*interrupted, remove"):
        vtab_torchvision.materialise(BY_FOLDER["dtd"], tmp_path)
    assert list((tmp_path / "vtab-1k").iterdir()) == []
    plant(tmp_path / "two" / "torchvision" / "eurosat" / "2750", ["A", "B"], 3)
    with pytest.raises(DataError, match=r"10 classes.*EuroSAT.*has 2.*interrupted"):
        vtab_torchvision.materialise(BY_FOLDER["eurosat"], tmp_path / "two")
    plant(tmp_path / "few" / "torchvision" / "eurosat" / "2750", [f"C{i}" for i in range(10)], 3)
    with pytest.raises(DataError, match=r"too few images.*interrupted"):
        vtab_torchvision.materialise(BY_FOLDER["eurosat"], tmp_path / "few")
