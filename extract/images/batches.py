"""Batches of decoded and resized images, prepared by threads ahead of the backbone."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import torch
from head2toe.extract.images.decode import out_of_memory, without_remedy
from head2toe.extract.images.preprocess import Preprocessing, Resizer
from head2toe.extract.images.sources import ImageSource
from head2toe.store.common.cores import usable_cores
from head2toe.store.common.errors import DataError
from PIL import Image

MOST_DECODERS = {"cpu": 8, "cuda": 32}
"""The most threads that decode, by the type of the device that they feed; no more than there are cores.

On a CPU they share the cores with the forward pass. A GPU leaves the cores to them and is the faster of the two, so
that every core counts; more than 32 would wait for the one thread that makes batches of what they decode. Threads, not
processes: Pillow decodes and resizes outside of the GIL, and pixels need no copying between processes;
`benchmarks/gpu/extraction.py` prints what both do.
"""


class View(Protocol):
    """What of an image is resized; `head2toe.extract.features.views.View` is one."""

    def __call__(self, image: Image.Image, source: ImageSource) -> Image.Image:
        """Return the view of an image that was decoded from a source."""


V = TypeVar("V", bound=View)


def batches(
    digests: Sequence[str], source: Mapping[str, ImageSource], preprocessing: Preprocessing, batch_size: int
) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Decode and resize whole images in threads ahead of the backbone; see `view_batches`.

    Parameters
    ----------
    digests : sequence of str
        Which images, in which order.
    source : mapping of str to ImageSource
        The image of each digest.
    preprocessing : Preprocessing
        How images are resized; nothing is normalised here.
    batch_size : int
        Number of images in a batch; the last one may have fewer.

    Yields
    ------
    digests : list of str
        Of the images in the batch, n of them.
    pixels : (n, 3, s, s) uint8 tensor
        On the CPU; s is the preprocessing's input size.

    Raises
    ------
    DataError
        An image can't be read or resized; the message names it.
    OutOfMemory
        Memory ran out while one was decoded.
    """
    wanted = [(digest, (_whole,)) for digest in digests]
    for pairs, pixels in view_batches(wanted, source, preprocessing, batch_size):
        yield [digest for digest, _ in pairs], pixels


def view_batches(
    wanted: Sequence[tuple[str, Sequence[V]]],
    source: Mapping[str, ImageSource],
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    device: str = "cpu",
) -> Iterator[tuple[list[tuple[str, V]], torch.Tensor]]:
    """Decode and resize views of images in threads, which stay two batches ahead (PIL works outside the GIL).

    An image is decoded once for all its views.

    Parameters
    ----------
    wanted : sequence of (str, sequence of View)
        Which images, by their digests, each in which views.
    source, preprocessing : mapping, Preprocessing
        As of `batches`.
    batch_size : int
        Number of views in a batch; the last one may have fewer.
    device : str
        The type of the device that the batches are for: "cpu" or "cuda".

    Yields
    ------
    pairs : list of (str, View)
        Digest and view of each of the n inputs, an image's views after each other.
    pixels : (n, 3, s, s) uint8 tensor
        On the CPU; for a GPU in pinned memory, from which alone it copies while it computes.

    Raises
    ------
    DataError, OutOfMemory
        As of `batches`.
    """
    resize = preprocessing.resizer()
    pairs = [(digest, view) for digest, views in wanted for view in views]
    waiting = iter(wanted)
    ahead: deque[Future[list[torch.Tensor]]] = deque()
    begun = 0  # views of images that threads were given
    ready: deque[torch.Tensor] = deque()
    with _threads(device) as threads:
        try:
            for start in range(0, len(pairs), batch_size):
                batch = pairs[start : start + batch_size]
                while begun < start + 3 * batch_size and (following := next(waiting, None)):
                    digest, views = following
                    ahead.append(threads.submit(_resized, source[digest], views, resize))
                    begun += len(views)
                while len(ready) < len(batch):
                    ready.extend(ahead.popleft().result())
                yield batch, _stacked([ready.popleft() for _ in batch], pinned=device == "cuda")
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def unreadable(images: Sequence[ImageSource]) -> dict[int, str]:
    """Find the images that can't be decoded, which `--on-error skip` leaves out.

    Returns
    -------
    dict of int to str
        The row of each such image, and why it can't be decoded.

    Raises
    ------
    OutOfMemory
        Memory ran out while one was decoded, which leaves no image out.
    """

    def reason(image: ImageSource) -> str | None:
        try:
            image.load()
        except DataError as error:
            return without_remedy(error)
        return None

    with _threads() as threads:
        return {row: why for row, why in enumerate(threads.map(reason, images)) if why}


def _threads(device: str = "cpu") -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(MOST_DECODERS[device], usable_cores()))


def _stacked(images: list[torch.Tensor], *, pinned: bool) -> torch.Tensor:
    """Make a batch of images; torch keeps pinned memory, and hands it out again for a later batch."""
    shape = (len(images), *images[0].shape)
    return torch.stack(images, out=torch.empty(shape, dtype=torch.uint8, pin_memory=True) if pinned else None)


def _whole(image: Image.Image, source: ImageSource) -> Image.Image:  # noqa: ARG001
    """The view that is the image as it is."""
    return image


def _resized(image: ImageSource, views: Sequence[View], resize: Resizer) -> list[torch.Tensor]:
    """Decode an image, and resize each view of it."""
    loaded = image.load()
    try:
        return [resize(view(loaded, image)) for view in views]
    except ValueError as error:
        raise DataError(
            f"can't resize image {image.name} ({loaded.width} x {loaded.height} pixels; {error}): cut it to another "
            "shape or leave it out, or take --preprocess whole"
        ) from error
    except MemoryError as error:
        raise out_of_memory(image.name) from error
