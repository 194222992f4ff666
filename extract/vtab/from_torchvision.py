"""The download of VTAB-1k's tasks that torchvision has datasets of, into the VTAB-1k folder layout.

The images are the original ones, but the 1000 training rows are **not VTAB-1k's own**: those are defined by TensorFlow
Datasets' order, which torchvision's datasets don't have. They are drawn here with a fixed seed, and results are near
the published ones without being comparable row by row. KITTI is left out though torchvision has it: it doesn't say
which frames belong to one drive, and neighbouring frames, nearly the same picture, would stand on both sides of the
split.
"""

import http.client
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.extract.readers.splits import hold_out
from head2toe.extract.readers.vtab_lists import TEST_LIST, TRAIN800, VAL200
from head2toe.extract.vtab.tasks import N_TRAIN, N_VAL, VtabTask
from head2toe.extract.vtab.writer import LabelledImage, SplitRows, write_task
from head2toe.store.common.errors import BadRequest, DataError

SEED = 0
"""Draws the rows, always the same ones."""

_DOWNLOAD_ERRORS = (
    *(OSError, RuntimeError, ImportError, EOFError, ValueError),
    *(http.client.HTTPException, tarfile.TarError, zipfile.BadZipFile),
)
"""What torchvision lets through when a download, its checksum or its unpacking fails."""


@dataclass(frozen=True)
class Offer:
    """A class of `torchvision.datasets`, and the arguments that choose its subsets.

    Attributes
    ----------
    dataset : str
        The name of the class.
    train : mapping
        Arguments that choose the training rows.
    test : mapping, optional
        Arguments that choose the test rows; without them, test rows are held out.
    val : mapping, optional
        Arguments that choose the validation rows; without them, they are drawn from the training rows.
    """

    dataset: str
    train: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[str, Any] | None = None
    val: Mapping[str, Any] | None = None


def _with_three_subsets(dataset: str) -> Offer:
    return Offer(dataset, {"split": "train"}, {"split": "test"}, {"split": "val"})


OFFERS: dict[str, Offer] = {
    "cifar": Offer("CIFAR100", {"train": True}, {"train": False}),
    "caltech101": Offer("Caltech101"),
    "dtd": _with_three_subsets("DTD"),
    "oxford_flowers102": _with_three_subsets("Flowers102"),
    "oxford_iiit_pet": Offer("OxfordIIITPet", {"split": "trainval"}, {"split": "test"}),
    "svhn": Offer("SVHN", {"split": "train"}, {"split": "test"}),
    "sun397": Offer("SUN397"),
    "patch_camelyon": _with_three_subsets("PCAM"),
    "eurosat": Offer("EuroSAT"),
}
"""Offers by the task's folder in the shared layout, the one name of a task that all sources agree on."""


def offers(task: VtabTask) -> bool:
    """Return whether torchvision can download the task."""
    return task.folder in OFFERS


def materialise(task: VtabTask, root: Path) -> Path:
    """Download a task into `<root>/torchvision`, write it into `<root>/vtab-1k/<folder>`, and return that folder.

    Parameters
    ----------
    task : VtabTask
        The task.
    root : Path
        The data root (`head2toe.extract.options.data_root`).

    Returns
    -------
    Path
        The folder. One that was there already is left as it is, and nothing is downloaded.

    Raises
    ------
    BadRequest
        Torchvision doesn't offer the task.
    DataError
        The download failed (the message names the dataset, the folder and the other ways), or the folder can't be
        written.
    """
    folder = root / "vtab-1k" / task.folder
    if folder.is_dir():
        return folder
    if not offers(task):
        raise BadRequest(
            f"no download of task {task.name} through torchvision (there is for {', '.join(OFFERS)}): put VTAB-1k's "
            f"folder at {folder}, or use TensorFlow Datasets (pip install 'head2toe[tfds]')"
        )
    offer = OFFERS[task.folder]
    train = _open_subset(task, root, offer.train)
    classes = tuple(getattr(train.dataset, "classes", None) or map(str, range(task.n_classes)))
    if len(classes) != task.n_classes:
        raise DataError(
            f"task {task.name} has {task.n_classes} classes, but torchvision's {offer.dataset} in "
            f"{root / 'torchvision'} has {len(classes)}: if its download was interrupted, remove it and begin again"
        )
    return write_task(folder, classes, _draw_splits(task, root, train), _provenance(offer))


class Subset:
    """Rows of a torchvision dataset, in an order that is the same everywhere.

    Attributes
    ----------
    dataset : torchvision dataset
        The dataset, opened for these rows.
    files : list of (Path, int), optional
        Image files and labels; None if the dataset keeps arrays.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.files = _files(dataset)

    def __len__(self) -> int:
        return len(self.dataset) if self.files is None else len(self.files)

    def labels(self) -> np.ndarray:
        """Return the labels of all rows, an (n,) int64 array."""
        rows = self.files if self.files is not None else (self.dataset[i] for i in range(len(self)))
        return np.array([int(label) for _, label in rows], dtype=np.int64)

    def images(self, rows: np.ndarray) -> Iterator[LabelledImage]:
        """Read rows one at a time: a file's bytes where there is a file, else the pixels.

        Raises
        ------
        DataError
            A file can't be read.
        """
        for row in rows.tolist():
            if self.files is None:
                image, label = self.dataset[row]
                yield LabelledImage(np.asarray(image.convert("RGB")), int(label))
                continue
            path, label = self.files[row]
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DataError(
                    f"can't read {path} ({error.strerror}): if its download was interrupted, remove the dataset's "
                    "folder and begin again"
                ) from error
            yield LabelledImage(content, label)


def _files(dataset: Any) -> list[tuple[Path, int]] | None:
    """Image files and labels, sorted by path (SUN397 lists them as the file system does); None if it keeps arrays."""
    if hasattr(dataset, "samples"):  # an ImageFolder
        pairs = list(dataset.samples)
    else:
        paths = next((getattr(dataset, name) for name in ("_image_files", "_images") if hasattr(dataset, name)), None)
        if paths is None:
            return None
        pairs = list(zip(paths, dataset._labels, strict=True))
    return sorted((Path(path), int(label)) for path, label in pairs)


def _draw_splits(task: VtabTask, root: Path, train: Subset) -> dict[str, SplitRows]:
    """The three splits: 800 and 200 rows drawn with the seed, and all rows of the test."""
    offer = OFFERS[task.folder]
    rng = np.random.default_rng(SEED)
    pool = np.arange(len(train))
    if offer.test is not None:
        test = _open_subset(task, root, offer.test)
        test_rows = np.arange(len(test))
    else:
        held_out = hold_out(train.labels(), None, SEED)
        test, test_rows, pool = train, np.flatnonzero(held_out), np.flatnonzero(~held_out)
    drawn = rng.permutation(pool)
    if offer.val is None:
        val, val_rows = train, drawn[N_TRAIN : N_TRAIN + N_VAL]
    else:
        val = _open_subset(task, root, offer.val)
        val_rows = rng.permutation(len(val))[:N_VAL]
    if len(drawn[:N_TRAIN]) < N_TRAIN or len(val_rows) < N_VAL:
        raise DataError(
            f"torchvision's {offer.dataset} in {root / 'torchvision'} has too few images for task {task.name}: if its "
            "download was interrupted, remove it and begin again"
        )
    return {
        TRAIN800: SplitRows(N_TRAIN, train.images(drawn[:N_TRAIN])),
        VAL200: SplitRows(N_VAL, val.images(val_rows)),
        TEST_LIST: SplitRows(len(test_rows), test.images(test_rows)),
    }


def _open_subset(task: VtabTask, root: Path, arguments: Mapping[str, Any]) -> Subset:
    """The rows of the task's dataset that these arguments choose, downloaded if need be."""
    name, where = OFFERS[task.folder].dataset, root / "torchvision"
    try:
        where.mkdir(parents=True, exist_ok=True)
        from torchvision import datasets  # late, for it takes a second

        dataset = getattr(datasets, name)(str(where), download=True, **arguments)
        if name == "Caltech101":  # its class leaves out the background, which VTAB counts as the 102nd class
            dataset = datasets.ImageFolder(str(Path(dataset.root) / "101_ObjectCategories"))
        return Subset(dataset)
    except _DOWNLOAD_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"task {task.name}: torchvision can't get {name} into {where}: {reason[:300]}; other ways: put VTAB-1k's "
            f"folder at {root / 'vtab-1k' / task.folder}, or use TensorFlow Datasets (pip install 'head2toe[tfds]')"
        ) from error


def _provenance(offer: Offer) -> dict[str, Any]:
    import torchvision

    held_out = "a fifth of every class, held out with the seed (the dataset has no test split)"
    return {
        "source": "torchvision",
        "rows": "not VTAB's own rows: drawn with a fixed seed",
        "seed": SEED,
        "test": "the official one" if offer.test is not None else held_out,
        "lossless": True,
        "dataset": offer.dataset,
        "version": str(torchvision.__version__),
    }
