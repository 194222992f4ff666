"""Thumbnails of a task's images, for the report."""

from collections.abc import Callable
from io import BytesIO

from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import Head2ToeError
from PIL.Image import Image, Resampling

SIDE = 176
"""Largest width and height of a thumbnail in pixels."""


def task_thumbnails(
    task: str, seed: int, path_column: str | None = None, label_column: str | None = None
) -> Callable[[str], bytes | None]:
    """Return a function from an image's name to a small JPEG, or to None where the image can't be read any more.

    Parameters
    ----------
    task : str
        A name or a path, as for `load_task`; a relative path counts from the current folder.
    seed : int
        The seed, as for `load_task`.
    path_column, label_column : str, optional
        The columns of a table, as for `load_task`.
    """
    try:
        images = {
            image.name: image
            for image in load_task(task, seed=seed, path_column=path_column, label_column=label_column).images
        }
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
