"""Small pictures of a task's images, for a page."""

from collections.abc import Callable
from io import BytesIO

from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import Head2ToeError
from PIL.Image import Image, Resampling

SIDE = 176


def of_task(task: str, seed: int) -> Callable[[str], bytes | None]:
    """Image name to a small JPEG; None where the task or the image can't be read (any more).

    Parameters
    ----------
    task, seed
        As for `load_task`. A relative path counts from where this runs.
    """
    try:
        images = {image.name: image for image in load_task(task, seed=seed).images}
    except (Head2ToeError, OSError):
        images = {}  # moved or removed since: whoever asks for a picture learns that there is none

    def thumbnail(name: str) -> bytes | None:
        try:
            return None if name not in images else small_jpeg(images[name].load())
        except Head2ToeError:
            return None

    return thumbnail


def small_jpeg(image: Image, side: int = SIDE) -> bytes:
    """At most `side` pixels wide and high; what is tiny is enlarged pixel by pixel."""
    if (times := side // max(image.size)) > 1:
        image = image.resize((times * image.width, times * image.height), Resampling.NEAREST)
    image.thumbnail((side, side))
    sink = BytesIO()
    image.save(sink, "JPEG", quality=82)
    return sink.getvalue()
