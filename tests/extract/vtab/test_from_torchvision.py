"""VTAB-1k from torchvision: its own classes on planted trees, or stand-ins; nothing is downloaded."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torchvision
from head2toe.extract.readers import vtab_lists
from head2toe.extract.vtab import from_torchvision
from head2toe.extract.vtab.tasks import VTAB_TASKS
from head2toe.store.common.errors import BadRequest, DataError
from PIL import Image
from scipy.io import savemat

Lines = Callable[[Path, str], list[tuple[str, int]]]
BY_FOLDER = {task.folder: task for task in VTAB_TASKS}


def jpeg(value: int) -> bytes:
    """A JPEG file unlike that of any other value."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value % 256, 99, 7)).save(file, "JPEG", comment=str(value))
    return file.getvalue()


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
def test_torchvision_arrays(
    folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    n_classes = BY_FOLDER[folder].n_classes
    monkeypatch.setattr(
        torchvision.datasets, name, lambda *a, **k: FakeArrays(*a, n_classes=n_classes, names=folder == "cifar", **k)
    )
    made = from_torchvision.materialise(BY_FOLDER[folder], tmp_path)
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
    assert vtab_lists.read(made).classes[1] == ("name 1" if folder == "cifar" else "1")
    assert json.loads((made / "SOURCE.json").read_text())["rows"].startswith("not VTAB's own rows")


def test_the_draw_is_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    monkeypatch.setattr(torchvision.datasets, "SVHN", FakeArrays)
    one, two = (from_torchvision.materialise(BY_FOLDER["svhn"], tmp_path / name) for name in ("one", "two"))
    for name in ("train800", "val200", "test"):
        assert (one / f"{name}.txt").read_text() == (two / f"{name}.txt").read_text()
        assert all((one / p).read_bytes() == (two / p).read_bytes() for p, _ in lines(one, name)[:20])
    order = [label for _, label in lines(one, "train800")]
    assert order != sorted(order)


@pytest.fixture
def tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 and 20 rows instead of 800 and 200: planting trees takes its time."""
    monkeypatch.setattr(from_torchvision, "N_TRAIN", 80)
    monkeypatch.setattr(from_torchvision, "N_VAL", 20)


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
def test_torchvision_files(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """Torchvision's own classes on trees as their archives unpack: they find them, and download nothing."""
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_check_integrity", lambda _: True)  # it wants checksums
    plant_it, n_test = PLANTED[folder]
    plant_it(tmp_path / "torchvision")
    task = BY_FOLDER[folder]
    made = from_torchvision.materialise(task, tmp_path)
    originals = {p.read_bytes() for p in (tmp_path / "torchvision").rglob("*.jpg")}
    written = [(made / path).read_bytes() for path, _ in lines(made, "train800val200") + lines(made, "test")]
    assert len(written) == len(set(written)) == 100 + n_test  # no image twice
    assert set(written) <= originals  # bytes as they were
    listing = vtab_lists.read(made)
    assert len(listing.classes) == task.n_classes
    n_by_class = np.bincount([label for _, label in listing.test], minlength=task.n_classes)
    assert len(set(n_by_class)) == 1  # as even as the dataset is
    source = json.loads((made / "SOURCE.json").read_text())
    assert ("held out" in source["test"]) == (folder in ("eurosat", "caltech101", "sun397"))


@pytest.mark.usefixtures("tenth")
def test_the_label_belongs_to_the_image(tmp_path: Path, lines: Lines) -> None:
    plant_eurosat(tmp_path / "torchvision")
    made = from_torchvision.materialise(BY_FOLDER["eurosat"], tmp_path)
    truth = {p.read_bytes(): int(p.parent.name[1:]) for p in (tmp_path / "torchvision").rglob("*.jpg")}
    for name in ("train800", "val200", "test"):
        assert all(truth[(made / path).read_bytes()] == label for path, label in lines(made, name))


@pytest.mark.usefixtures("tenth")
def test_pcam_as_torchvision_reads_it(tmp_path: Path, lines: Lines) -> None:
    base = tmp_path / "torchvision" / "pcam"
    base.mkdir(parents=True)
    for split, n, shade in (("train", 90, 10), ("valid", 21, 20), ("test", 12, 30)):
        with h5py.File(base / f"camelyonpatch_level_2_split_{split}_x.h5", "w") as file:
            file["x"] = np.full((n, 2, 2, 3), shade, np.uint8)
        with h5py.File(base / f"camelyonpatch_level_2_split_{split}_y.h5", "w") as file:
            file["y"] = np.arange(n).reshape(n, 1, 1, 1) % 2
    made = from_torchvision.materialise(BY_FOLDER["patch_camelyon"], tmp_path)
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
        from_torchvision.materialise(BY_FOLDER["dtd"], tmp_path)
    message = str(caught.value)
    for part in ("DTD", str(tmp_path / "torchvision"), str(tmp_path / "vtab-1k" / "dtd"), "head2toe[tfds]", str(error)):
        assert part in message
    assert "\n" not in message
    assert not (tmp_path / "vtab-1k").exists()


@pytest.mark.parametrize("folder", ["kitti", "clevr_count", "resisc45"])
def test_what_torchvision_does_not_offer(folder: str, tmp_path: Path) -> None:
    assert not from_torchvision.offers(BY_FOLDER[folder])
    with pytest.raises(BadRequest, match=r"dtd.*head2toe\[tfds\]"):
        from_torchvision.materialise(BY_FOLDER[folder], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("tenth")
def test_a_download_that_was_interrupted(tmp_path: Path) -> None:
    plant_dtd(tmp_path / "torchvision")
    for path in (tmp_path / "torchvision" / "dtd" / "dtd" / "images" / "c03").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"c03.*interrupted, remove"):
        from_torchvision.materialise(BY_FOLDER["dtd"], tmp_path)
    assert list((tmp_path / "vtab-1k").iterdir()) == []
    plant(tmp_path / "two" / "torchvision" / "eurosat" / "2750", ["A", "B"], 3)
    with pytest.raises(DataError, match=r"10 classes.*EuroSAT.*has 2.*interrupted"):
        from_torchvision.materialise(BY_FOLDER["eurosat"], tmp_path / "two")
    plant(tmp_path / "few" / "torchvision" / "eurosat" / "2750", [f"C{i}" for i in range(10)], 3)
    with pytest.raises(DataError, match=r"too few images.*interrupted"):
        from_torchvision.materialise(BY_FOLDER["eurosat"], tmp_path / "few")
