"""The writer of the VTAB-1k folder layout, whole or not at all, so that one reader serves every source."""

import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.extract.images.file_formats import format_of_bytes
from head2toe.extract.readers.vtab_lists import SOURCE_FILE, TEST_LIST, TRAIN800, TRAIN800VAL200, VAL200
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import partial_name, sync_folder, write_json
from head2toe.store.console.progress import Counter, progress
from PIL import Image


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One row of a task to be written.

    Attributes
    ----------
    image : bytes or uint8 array
        An image file's bytes, which are written as they are, or pixels (height, width), (height, width, 1) or
        (height, width, 3), which become a PNG file.
    label : int
        The number of its class.
    """

    image: bytes | np.ndarray
    label: int


@dataclass(frozen=True, eq=False)
class SplitRows:
    """The rows of one split.

    Attributes
    ----------
    n : int
        How many rows there will be.
    rows : iterable of LabelledImage
        The rows, made one at a time.
    """

    n: int
    rows: Iterable[LabelledImage]


def write_task(
    folder: Path, classes: Sequence[str], splits: Mapping[str, SplitRows], source: Mapping[str, Any]
) -> Path:
    """Write a task into `folder` and return it.

    Everything goes into a folder beside it that gets its name at the very end: stopped at any time (Ctrl-C, `kill`, a
    power cut) it leaves nothing that looks like a task. One image is in memory at a time.

    Parameters
    ----------
    folder : Path
        What to make: `images/`, `train800.txt`, `val200.txt`, `train800val200.txt`, `test.txt`, `classes.txt` and
        `SOURCE.json`. If it turns up meanwhile (another process was faster), that one stays.
    classes : sequence of str
        Names in label order.
    splits : mapping of str to SplitRows
        The rows of `train800`, `val200` and `test`.
    source : mapping
        The provenance, for `SOURCE.json`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        A label has no class, an image is none, a split has another number of rows than its `n`; or the folder can't
        be written (a full disk, no permission).
    """
    with _written_whole(folder) as partial:
        with progress(f"writing {folder.name}", unit="img") as report:
            counter = Counter(report, sum(split.n for split in splits.values()))
            train = _write_images(partial, TRAIN800VAL200, 0, splits[TRAIN800], len(classes), counter)
            val = _write_images(partial, TRAIN800VAL200, len(train), splits[VAL200], len(classes), counter)
            test = _write_images(partial, TEST_LIST, 0, splits[TEST_LIST], len(classes), counter)
        lists = {TRAIN800: train, VAL200: val, TRAIN800VAL200: train + val, TEST_LIST: test, "classes": classes}
        for name, lines in lists.items():
            (partial / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        write_json(partial / SOURCE_FILE, source)
    return folder


@contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when the block ends without an error, and is removed otherwise."""
    partial = partial_name(folder)
    try:
        partial.mkdir(parents=True)
        yield partial
        os.sync()  # tens of thousands of small files: one call for all instead of one each
        if not folder.exists():  # (a rename would replace an empty folder, which may be somebody's)
            partial.rename(folder)
            sync_folder(folder.parent)
    except OSError as error:
        raise DataError(f"can't write {folder}: {error}; to put data elsewhere, set HEAD2TOE_DATA") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_images(
    partial: Path, where: str, first: int, split: SplitRows, n_classes: int, counter: Counter
) -> list[str]:
    """Write a split's images, numbered from `first`; return the lines of its list."""
    images = partial / "images" / where
    images.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, row in enumerate(split.rows, start=first):
        content = row.image if isinstance(row.image, bytes) else png(row.image)
        suffix = format_of_bytes(content)
        if suffix == "unknown":
            raise DataError(f"row {number - first} of {where} for {partial.parent} is not an image")
        if not 0 <= row.label < n_classes:
            raise DataError(f"row {number - first} of {where} has label {row.label}, but there are {n_classes} classes")
        name = f"{number:06d}.{suffix}"
        (images / name).write_bytes(content)
        lines.append(f"images/{where}/{name} {row.label}")
        counter.add()
    if len(lines) != split.n:
        raise DataError(f"{where} for {partial.parent} came with {len(lines)} rows instead of {split.n}")
    return lines


def png(pixels: np.ndarray) -> bytes:
    """Encode uint8 pixels (height, width), (height, width, 1) or (height, width, 3) as a PNG file, without loss."""
    file = io.BytesIO()
    squeezed = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    Image.fromarray(squeezed).save(file, "PNG")
    return file.getvalue()
