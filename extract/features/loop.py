"""Stage one's loop: images through the backbone once, pooled features of every tap into the stores."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial

import torch
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.backbone.windows import MEAN, Statistics, Tokens
from head2toe.extract.features.precision import FLOAT32, Precision
from head2toe.extract.features.reader import FeatureReader, Features
from head2toe.extract.features.views import View
from head2toe.extract.features.write_behind import WriteBehind
from head2toe.extract.images.batches import view_batches
from head2toe.extract.images.sources import ImageSource
from head2toe.store.console.progress import Progress
from head2toe.store.writing.waiting import Waiting
from head2toe.store.writing.writer import BlockWriter, StoreWriter

Slot = tuple[View, int]
"""What a store is of: a view of the images, and a target size."""

Claims = Mapping[Slot, BlockWriter]
"""One row block of each store that this process may fill."""

Pair = tuple[str, View]
"""The digest of an image, and a view of it."""

Pending = Callable[[], dict[int, Features]]
"""Waits for features, and returns them by target size."""

Read = Callable[[list[tuple[str, list[View]]]], Iterator[tuple[list[Pair], Pending]]]
"""Takes the digests of images with the views wanted of each; yields the pairs with their features."""

MOST_BLOCKS = 2
"""The most row blocks of a store that are claimed and not yet committed: one is filled while the other is written."""

SECONDS_BETWEEN_GLANCES = 0.005
"""How long to wait for a block of this process to be on disk before it is looked at again."""

SECONDS_BETWEEN_LOOKS = 0.5
"""How long to wait for other processes before their blocks are looked at again."""


def run(
    images: Sequence[ImageSource],
    digests: Sequence[str],
    backbone: Backbone,
    taps: Sequence[Tap],
    writers: Mapping[Slot, StoreWriter],
    *,
    tokens: Tokens = "paper",
    statistics: Statistics = MEAN,
    precision: Precision = FLOAT32,
    compiled: bool = False,
    batch_size: int = 32,
    threaded: bool | None = None,
    only: Collection[int] | None = None,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
) -> int:
    """Fill the stores of all views and target sizes in one pass; an image is decoded once for all its views.

    Blocks that another process is writing are left to it; if it dies, they are taken over. Nothing is sealed here.
    Where a GPU's memory runs out, batches are halved until they fit.

    Parameters
    ----------
    images : sequence of ImageSource
        All images of the stores, in any order; the same one may be there twice.
    digests : sequence of str
        Their content hashes.
    backbone : Backbone
        What they go through.
    taps : sequence of Tap
        Where features are read, in the order of the stores' layers.
    writers : mapping of (View, int) to StoreWriter
        The store of each view and target size.
    tokens : Tokens
        What is kept of sequences.
    statistics : Statistics
        What is kept of every window.
    precision : Precision
        What the backbone computes in.
    compiled : bool
        Whether torch compiles the backbone first.
    batch_size : int
        Images that go through the backbone at once.
    threaded : bool, optional
        Whether features are gathered in a thread and written in another beside the next forward pass; by default on a
        GPU alone (see `writes_behind`).
    only : collection of int, optional
        The row blocks to fill; all by default.
    progress : callable, optional
        Called with how many images are extracted, and how many are to be; each view of an image counts.
    note : callable, optional
        Called with one line if batches had to be halved.

    Returns
    -------
    int
        How many images went through the backbone, each as often as in views.

    Raises
    ------
    DataError
        An image can't be read, or a layer came out NaN or infinite; blocks committed so far are kept.
    StoreError
        A store can't be written.
    """
    source = dict(zip(digests, images, strict=True))
    total = sum(len(missing) for missing in missing_by_view(writers).values())
    kind = backbone.device.type
    reader = FeatureReader(
        backbone,
        taps,
        tuple(dict.fromkeys(size for _, size in writers)),
        tokens,
        statistics=statistics,
        precision=precision,
        compiled_for=batch_size if compiled else 0,
    )
    extracted = 0
    threaded = writes_behind(kind) if threaded is None else threaded
    with (
        closing(reader),
        _held() as held,
        WriteBehind(threaded=threaded) as finish,  # blocks to disk
        WriteBehind(threaded=threaded) as write,  # features into blocks
    ):
        fitting = _Fitting(reader, batch_size, write, note)

        def read(wanted: list[tuple[str, list[View]]]) -> Iterator[tuple[list[Pair], Pending]]:
            for pairs, batch in view_batches(wanted, source, backbone.preprocessing, batch_size, device=kind):
                yield from fitting(pairs, batch)

        waiting = Waiting()
        while blocks := _pending(writers, only):
            claimed = False
            for block in blocks:
                while len(held) >= MOST_BLOCKS:
                    write.check()
                    finish.check()
                    time.sleep(SECONDS_BETWEEN_GLANCES)
                claims = _claimed(writers, block, held)
                claimed |= bool(claims)
                for n in _fill(claims, {slot: writers[slot].images for slot in claims}, read, write):
                    extracted += n
                    if progress:
                        progress(extracted, total)
                write(partial(finish, partial(_commit, claims, held)))
            write.flush()
            finish.flush()  # before it is looked which blocks are left
            if claimed:
                waiting = Waiting()
            else:  # all that is left is in other processes' hands
                waiting.pause(SECONDS_BETWEEN_LOOKS, partial(_others_at_work, writers))
    return extracted


def _pending(writers: Mapping[Slot, StoreWriter], only: Collection[int] | None) -> list[int]:
    """List the blocks that a store lacks, of those that are asked for."""
    pending = {block for writer in writers.values() for block in writer.pending()}
    return sorted(pending if only is None else pending & set(only))


def writes_behind(device: str) -> bool:
    """Return whether a type of device has features written in a thread of their own.

    A GPU computes while the CPU writes. On a CPU the thread takes its time from the forward pass, which uses all cores:
    `benchmarks/gpu/extraction.py --device cpu` prints what that comes to.
    """
    return device == "cuda"


def missing_by_view(writers: Mapping[Slot, StoreWriter]) -> dict[View, set[str]]:
    """Return the images of each view that are to be extracted, for one of its target sizes or more."""
    missing: dict[View, set[str]] = {}
    for (view, _), writer in writers.items():
        missing.setdefault(view, set()).update(writer.missing())
    return missing


def _others_at_work(writers: Mapping[Slot, StoreWriter]) -> str:
    """Describe who is filling the row blocks that are waited for."""
    return "; ".join(filter(None, (writer.others() for writer in writers.values())))


@contextmanager
def _held() -> Iterator[list[Claims]]:
    """Give a list of what is claimed and not yet committed; at the end, what is still in it is given back."""
    held: list[Claims] = []
    try:
        yield held
    finally:
        for claims in held:
            for claim in claims.values():
                claim.close()


def _claimed(writers: Mapping[Slot, StoreWriter], block: int, held: list[Claims]) -> Claims:
    """Claim a block of every store where it is free."""
    claims: dict[Slot, BlockWriter] = {}
    held.append(claims)  # before the first is claimed: whatever interrupts the next, it is given back
    for slot, writer in writers.items():
        if (claim := writer.claim(block)) is not None:
            claims[slot] = claim
    return claims


def _commit(claims: Claims, held: list[Claims]) -> None:
    """Commit a block of every store, whose features have all been put."""
    for claim in claims.values():
        claim.commit()
    held.remove(claims)


class _Fitting:
    """Has a reader read batches in parts that fit into a GPU's memory, as far as has been seen."""

    def __init__(
        self, reader: FeatureReader, batch_size: int, write: WriteBehind, note: Callable[[str], object] | None
    ) -> None:
        self._reader, self._size, self._write, self._note = reader, batch_size, write, note

    def __call__(self, pairs: list[Pair], batch: torch.Tensor) -> Iterator[tuple[list[Pair], Pending]]:
        """Yield the pairs of each part of a batch with their features."""
        start = 0
        while start < len(pairs):
            part = slice(start, start + self._size)
            if (features := self._begun(batch[part])) is not None:
                yield pairs[part], features
                start = part.stop

    def _begun(self, part: torch.Tensor) -> Pending | None:
        """Begin to read a part; None if it did not fit, and smaller ones are to be tried."""
        try:
            return self._reader.begin(part)
        except torch.OutOfMemoryError:
            if len(part) == 1:
                raise
        # Outside of the handler, whose traceback holds what was computed.
        before, self._size = self._size, len(part) // 2
        self._write.flush()  # what waits to be written holds memory of the GPU
        torch.cuda.empty_cache()
        self._reader.compile_for(self._size)
        if self._note:
            self._note(f"batches of {self._size} images instead of {before}, which the GPU had no memory for")
        return None


def _fill(claims: Claims, images: Mapping[Slot, Sequence[str]], read: Read, write: WriteBehind) -> Iterator[int]:
    """Supply what claimed blocks miss of their stores' images, and yield the number of inputs of each batch."""
    missing = {slot: {images[slot][row]: row for row in claim.missing} for slot, claim in claims.items()}
    wanted: dict[str, list[View]] = {}
    for (view, _), rows_by_digest in missing.items():
        for digest in rows_by_digest:
            views = wanted.setdefault(digest, [])
            if view not in views:
                views.append(view)
    for pairs, pending in read(list(wanted.items())):
        write(partial(_put, claims, missing, pairs, pending))
        yield len(pairs)


def _put(claims: Claims, missing: Mapping[Slot, Mapping[str, int]], pairs: Sequence[Pair], pending: Pending) -> None:
    """Put the features of a batch into the claimed blocks, as soon as they have arrived."""
    features = pending()
    for slot, claim in claims.items():
        view, size = slot
        # A store may hold rows already that another view or target size still misses.
        taken = [i for i, (digest, of) in enumerate(pairs) if of == view and digest in missing[slot]]
        if taken:
            rows = [missing[slot][pairs[i][0]] for i in taken]
            claim.put(rows, {layer: values[taken] for layer, values in features[size].items()})
