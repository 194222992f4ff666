"""Decoded images for what reads them again and again: resized once, uint8, in memory or in a mapped temporary file."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from head2toe.extract.images.batches import batches
from head2toe.extract.images.preprocess import Preprocessing
from head2toe.extract.images.sources import ImageSource
from head2toe.store.common.files import explained, preallocate
from head2toe.store.console.progress import Counter, Progress

IN_MEMORY = 1 << 30
"""The number of bytes from which images are kept in a file, which the system may drop from memory and read again."""


@contextmanager
def decoded(
    images: Sequence[ImageSource],
    preprocessing: Preprocessing,
    *,
    in_memory: int = IN_MEMORY,
    progress: Progress | None = None,
) -> Iterator[np.ndarray]:
    """Decode and resize images; they are dropped at the context's end.

    Parameters
    ----------
    images : sequence of ImageSource
        The n images.
    preprocessing : Preprocessing
        How they are resized; nothing is normalised here.
    in_memory : int
        The number of bytes from which they are kept in a temporary file.
    progress : callable, optional
        Called with how many images are decoded, and how many there are.

    Yields
    ------
    (n, 3, s, s) uint8 array
        The pixels, in the order of the images.

    Raises
    ------
    DataError
        An image can't be read.
    StoreError
        The temporary file can't be written.
    """
    shape = (len(images), 3, preprocessing.input_size, preprocessing.input_size)
    with TemporaryDirectory(prefix="head2toe-", ignore_cleanup_errors=True) as folder:
        small = math.prod(shape) < in_memory
        pixels = np.empty(shape, np.uint8) if small else _mapped(Path(folder) / "pixels", shape)
        names = [str(row) for row in range(len(images))]
        counter = Counter(progress, len(images))
        for rows, batch in batches(names, dict(zip(names, images, strict=True)), preprocessing, 32):
            pixels[int(rows[0]) : int(rows[-1]) + 1] = batch.numpy()
            counter.add(len(rows))
        yield pixels


def _mapped(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array that lies in a new file; its room on the disk is taken at once."""
    with explained(file):
        with file.open("xb") as opened:
            preallocate(opened.fileno(), math.prod(shape))
        return np.memmap(file, np.uint8, "r+", shape=shape)
