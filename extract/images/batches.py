"""Batches of decoded and resized images, prepared by threads ahead of the backbone."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from head2toe.extract.images.decode import fault
from head2toe.extract.images.preprocess import Preprocessing, Resizer
from head2toe.extract.images.sources import ImageSource
from head2toe.store.common.errors import DataError


def batches(
    digests: Sequence[str], source: Mapping[str, ImageSource], preprocessing: Preprocessing, batch_size: int
) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Decoded and resized batches; threads stay two batches ahead of the backbone (PIL works outside the GIL)."""
    resize = preprocessing.resizer()
    groups = [list(digests[i : i + batch_size]) for i in range(0, len(digests), batch_size)]
    ahead: deque[list[Future[torch.Tensor]]] = deque()
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool_:
        try:
            for i, group in enumerate(groups):
                for coming in groups[i + len(ahead) : i + 3]:
                    ahead.append([pool_.submit(_resized, source[digest], resize) for digest in coming])
                yield group, torch.stack([future.result() for future in ahead.popleft()])
        finally:
            pool_.shutdown(wait=False, cancel_futures=True)


def _resized(image: ImageSource, resize: Resizer) -> torch.Tensor:
    loaded = image.load()
    try:
        return resize(loaded)
    except ValueError as error:
        raise DataError(
            f"can't resize image {image.name} ({loaded.width} x {loaded.height} pixels; {error}): cut it to another "
            "shape or leave it out, or take --preprocess whole"
        ) from error


def unreadable(images: Sequence[ImageSource]) -> dict[int, str]:
    """Rows of the images that can't be decoded, and why; what `--on-error skip` leaves out."""

    def look(image: ImageSource) -> str | None:
        try:
            image.load()
        except DataError as error:
            return fault(error)
        return None

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool_:
        return {row: why for row, why in enumerate(pool_.map(look, images)) if why}
