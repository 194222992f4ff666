"""Batches of decoded and resized images, prepared by threads ahead of the backbone."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from head2toe.extract.images.decode import out_of_memory, without_remedy
from head2toe.extract.images.preprocess import Preprocessing, Resizer
from head2toe.extract.images.sources import ImageSource
from head2toe.store.common.errors import DataError


def batches(
    digests: Sequence[str], source: Mapping[str, ImageSource], preprocessing: Preprocessing, batch_size: int
) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Decode and resize images in threads, which stay two batches ahead (PIL works outside the GIL).

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
    resize = preprocessing.resizer()
    groups = [list(digests[i : i + batch_size]) for i in range(0, len(digests), batch_size)]
    ahead: deque[list[Future[torch.Tensor]]] = deque()
    with _threads() as threads:
        try:
            for i, group in enumerate(groups):
                for later in groups[i + len(ahead) : i + 3]:
                    ahead.append([threads.submit(_resized, source[digest], resize) for digest in later])
                yield group, torch.stack([future.result() for future in ahead.popleft()])
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


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))


def _resized(image: ImageSource, resize: Resizer) -> torch.Tensor:
    loaded = image.load()
    try:
        return resize(loaded)
    except ValueError as error:
        raise DataError(
            f"can't resize image {image.name} ({loaded.width} x {loaded.height} pixels; {error}): cut it to another "
            "shape or leave it out, or take --preprocess whole"
        ) from error
    except MemoryError as error:
        raise out_of_memory(image.name) from error
