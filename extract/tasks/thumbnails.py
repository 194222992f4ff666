"""Thumbnails of a task's images: for pages, and to compare pixels by."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
from head2toe.extract.images.sources import ImageSource
from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.cores import usable_cores
from head2toe.store.common.errors import DataError, Head2ToeError
from PIL.Image import Image, Resampling

SIDE = 176
"""Largest width and height of a thumbnail in pixels."""
GREY_SIDE = 64
"""Width and height of a grey version."""


def thumbnails_of(record: Mapping[str, Any]) -> Callable[[str], bytes | None]:
    """Return a function from an image's name to a small JPEG, or to None where the image can't be read any more.

    Parameters
    ----------
    record : dict
        The record of a run, `result.json`. A relative path of its task counts from the current folder.
    """
    columns = {name: record["options"].get(name) for name in ("path_column", "label_column")}  # older ones lack both
    try:
        task = load_task(record["argument"], seed=record["seed"], **columns)
        images = {image.name: image for image in task.images}
    except (Head2ToeError, OSError):
        images = {}  # moved or removed since: whoever asks for a picture learns that there is none

    def thumbnail(name: str) -> bytes | None:
        try:
            return None if name not in images else small_jpeg(images[name].load())
        except Head2ToeError:
            return None

    return thumbnail


def small_jpeg(image: Image, side: int = SIDE) -> bytes:
    """Encode an image as a JPEG at most `side` pixels wide and high; a tiny one is enlarged pixel by pixel."""
    if (times := side // max(image.size)) > 1:
        image = image.resize((times * image.width, times * image.height), Resampling.NEAREST)
    image.thumbnail((side, side))
    sink = BytesIO()
    image.save(sink, "JPEG", quality=82)
    return sink.getvalue()


def grey_versions(images: Sequence[ImageSource]) -> np.ndarray | None:
    """Return small grey versions (n, 64, 64) uint8 of images, squeezed into a square; None where one can't be read."""

    def grey(image: ImageSource) -> np.ndarray:
        return np.asarray(image.load().convert("L").resize((GREY_SIDE, GREY_SIDE), Resampling.BOX))

    with ThreadPoolExecutor(usable_cores()) as threads:
        try:
            return np.stack(list(threads.map(grey, images)))
        except DataError:
            threads.shutdown(wait=False, cancel_futures=True)
            return None
