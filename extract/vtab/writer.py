"""Writing a task in the VTAB-1k folder layout, whole or not at all, so that one reader serves every source."""

import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.extract.images.decode import sniffed
from head2toe.extract.readers.image_folders import SOURCE_FILE
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import partial_name, sync_folder, write_json
from head2toe.store.common.progress import Counter, progress
from PIL import Image

TRAIN, VAL, BOTH, TEST = "train800", "val200", "train800val200", "test"
N_TRAIN, N_VAL = 800, 200


@dataclass(frozen=True, eq=False)
class Picture:
    """One row: an image file's bytes as they are, or uint8 pixels (height, width[, 1 or 3]); and its label."""

    image: bytes | np.ndarray
    label: int


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one split, made one at a time, and how many there will be."""

    n: int
    rows: Iterable[Picture]


def write_task(folder: Path, classes: Sequence[str], parts: Mapping[str, Part], source: Mapping[str, Any]) -> Path:
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
    parts : mapping of str to Part
        `train800`, `val200` and `test`.
    source : mapping
        The provenance, for `SOURCE.json`.

    Raises
    ------
    DataError
        A label without a class, an image that is none, a split of another size than was said; or the folder can't be
        written (a full disk, no permission).
    """
    with _made_whole(folder) as partial:
        total = sum(part.n for part in parts.values())
        with progress(f"writing {folder.name}", unit="img") as report:
            counter = Counter(report, total)
            train = _write_images(partial, BOTH, 0, parts[TRAIN], len(classes), counter)
            val = _write_images(partial, BOTH, len(train), parts[VAL], len(classes), counter)
            test = _write_images(partial, TEST, 0, parts[TEST], len(classes), counter)
        for name, lines in ((TRAIN, train), (VAL, val), (BOTH, train + val), (TEST, test), ("classes", list(classes))):
            (partial / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        write_json(partial / SOURCE_FILE, source)
    return folder


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
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


def _write_images(partial: Path, where: str, first: int, part: Part, n_classes: int, counter: Counter) -> list[str]:
    """Write a split's images, numbered from `first`; return the lines of its list."""
    images = partial / "images" / where
    images.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, row in enumerate(part.rows, start=first):
        content = row.image if isinstance(row.image, bytes) else png(row.image)
        suffix = sniffed(content)
        if suffix == "unknown":
            raise DataError(f"row {number - first} of {where} for {partial.parent} is not an image")
        if not 0 <= row.label < n_classes:
            raise DataError(f"row {number - first} of {where} has label {row.label}, but there are {n_classes} classes")
        name = f"{number:06d}.{suffix}"
        (images / name).write_bytes(content)
        lines.append(f"images/{where}/{name} {row.label}")
        counter.add()
    if len(lines) != part.n:
        raise DataError(f"{where} for {partial.parent} came with {len(lines)} rows instead of {part.n}")
    return lines


def png(pixels: np.ndarray) -> bytes:
    """Uint8 pixels (height, width), (height, width, 1) or (height, width, 3) as a PNG file, which loses nothing."""
    file = io.BytesIO()
    squeezed = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    Image.fromarray(squeezed).save(file, "PNG")
    return file.getvalue()
