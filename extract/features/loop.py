"""Stage one's loop: images through the backbone once, pooled features of every tap into the stores."""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import torch
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.compiled import Graph, Pooled
from head2toe.extract.backbone.pooling import Tokens
from head2toe.extract.backbone.taps import Point, Tap, first_tensor, hooked
from head2toe.extract.images.preprocess import Preprocessing, Resizer
from head2toe.extract.images.sources import ImageSource, fault
from head2toe.store.common.errors import DataError
from head2toe.store.common.progress import Progress
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.writing.writer import StoreWriter

AMP_DTYPES = {"cuda": torch.float16, "cpu": torch.bfloat16}
"""What autocast computes in; pooling is in float32 all the same."""

Features = dict[str, np.ndarray]
"""Layer name to (rows, width) float32."""


class FeatureReader:
    """Runs the backbone on a batch and returns the pooled features of every tap, for every target size.

    With `compiled_for`, a number of images, torch compiles it for batches of that size; see `Graph`.
    """

    def __init__(
        self,
        backbone: Backbone,
        taps: Sequence[Tap],
        target_sizes: Sequence[int],
        tokens: Tokens = "paper",
        *,
        amp: bool = False,
        compiled_for: int = 0,
    ) -> None:
        self._backbone = backbone
        self._taps = {(tap.side, tap.module, tap.call): tap for tap in taps}
        self._points: list[Point] = [("", side, path) for side, path in {(t.side, t.module): None for t in taps}]
        self._target_sizes = tuple(target_sizes)
        self._tokens: Tokens = tokens
        self._autocast = torch.autocast(backbone.device.type, AMP_DTYPES[backbone.device.type], enabled=amp)
        self._indices = {size: layer_index(taps, size, tokens) for size in target_sizes}
        self._graph = Graph(backbone.model, taps, target_sizes, tokens, compiled_for) if compiled_for else None

    def __call__(self, batch: torch.Tensor) -> dict[int, Features]:
        """(n, 3, s, s) uint8 to target size -> layer -> (n, width) float32."""
        device = self._backbone.device
        with torch.inference_mode(), self._autocast:
            images = batch.to(device, non_blocking=True, memory_format=torch.channels_last)
            images = self._backbone.preprocessing.normalize(images)
            pooled = self._graph(images) if self._graph else self._pooled(images)
        return {size: _to_host(self._indices[size], layers) for size, layers in pooled.items()}

    def close(self) -> None:
        """Leave the backbone as it was."""
        if self._graph:
            self._graph.close()

    def _pooled(self, images: torch.Tensor) -> Pooled:
        pooled: Pooled = {size: {} for size in self._target_sizes}

        def read(point: Point, call: int, value: Any) -> None:
            tap = self._taps.get((point[1], point[2], call))
            if tap is None:
                return
            tensor = first_tensor(value)
            assert tensor is not None, f"tap {tap.name} gave a tensor when it was discovered"
            for size, layers in pooled.items():
                # Pooled at once: a later layer may work in place, and memory stays bounded by one batch.
                layers[tap.name] = tap.pool(tensor, size, self._tokens)

        with hooked(self._backbone.model, self._points, read):
            self._backbone.model(images)
        return pooled


def layer_index(taps: Sequence[Tap], target_size: int, tokens: Tokens = "paper") -> LayerIndex:
    """Which layer holds which columns after pooling to `target_size`."""
    return LayerIndex(tuple(tap.name for tap in taps), tuple(tap.width(target_size, tokens) for tap in taps))


def run(
    images: Sequence[ImageSource],
    digests: Sequence[str],
    backbone: Backbone,
    taps: Sequence[Tap],
    writers: Mapping[int, StoreWriter],
    *,
    tokens: Tokens = "paper",
    amp: bool = False,
    compiled: bool = False,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> int:
    """Fill the stores of all target sizes in one pass; returns how many images went through the backbone.

    Blocks that another process is writing are left to it; if it dies, they are taken over. Nothing is sealed here.

    Raises
    ------
    DataError
        An image can't be read, or a layer came out NaN or infinite; blocks committed so far are kept.
    """
    source = dict(zip(digests, images, strict=True))
    compiled_for = batch_size if compiled else 0
    reader = FeatureReader(backbone, taps, tuple(writers), tokens, amp=amp, compiled_for=compiled_for)
    extracted, total = 0, len(set[str]().union(*(writer.missing() for writer in writers.values())))
    with closing(reader):
        while blocks := sorted({block for writer in writers.values() for block in writer.pending()}):
            claimed = 0
            for block in blocks:
                with ExitStack() as stack:
                    claims = {
                        size: stack.enter_context(claim)
                        for size, writer in writers.items()
                        if (claim := writer.claim(block)) is not None
                    }
                    claimed += len(claims)
                    wanted = {size: {writers[size].images[r]: r for r in c.missing} for size, c in claims.items()}
                    todo = list(dict.fromkeys(digest for rows in wanted.values() for digest in rows))
                    for names, batch in batches(todo, source, backbone.preprocessing, batch_size):
                        for size, features in reader(batch).items():
                            if size not in claims:
                                continue
                            mine = [i for i, name in enumerate(names) if name in wanted[size]]
                            rows = [wanted[size][names[i]] for i in mine]
                            claims[size].put(rows, {layer: values[mine] for layer, values in features.items()})
                        extracted += len(names)
                        if progress:
                            progress(extracted, total)
                    for claim in claims.values():
                        claim.commit()
            if not claimed:
                time.sleep(0.5)  # all that is left is in other processes' hands
    return extracted


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


def _to_host(index: LayerIndex, layers: Mapping[str, torch.Tensor]) -> Features:
    """One transfer for all layers, then views."""
    everything = torch.cat([layers[name] for name in index.names], dim=1).cpu().numpy()
    return {name: everything[:, index.columns(name)] for name in index.names}
