"""Stage one's loop: images through the backbone once, pooled features of every tap into the stores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.backbone.windows import MEAN, Statistics, Tokens
from head2toe.extract.features.reader import FeatureReader, Features
from head2toe.extract.features.views import View
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

Read = Callable[[list[tuple[str, list[View]]]], Iterator[tuple[list[Pair], dict[int, Features]]]]
"""Takes the digests of images with the views wanted of each; yields the pairs with their features by target size."""

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
    amp: bool = False,
    compiled: bool = False,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> int:
    """Fill the stores of all views and target sizes in one pass; an image is decoded once for all its views.

    Blocks that another process is writing are left to it; if it dies, they are taken over. Nothing is sealed here.

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
    amp : bool
        Whether the backbone computes in half precision.
    compiled : bool
        Whether torch compiles the backbone first.
    batch_size : int
        Images that go through the backbone at once.
    progress : callable, optional
        Called with how many images are extracted, and how many are to be; each view of an image counts.

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
    reader = FeatureReader(
        backbone,
        taps,
        tuple(dict.fromkeys(size for _, size in writers)),
        tokens,
        statistics=statistics,
        amp=amp,
        compiled_for=batch_size if compiled else 0,
    )

    def read(wanted: list[tuple[str, list[View]]]) -> Iterator[tuple[list[Pair], dict[int, Features]]]:
        for pairs, batch in view_batches(wanted, source, backbone.preprocessing, batch_size):
            yield pairs, reader(batch)

    extracted = 0
    with closing(reader):
        waiting = Waiting()
        while blocks := sorted({block for writer in writers.values() for block in writer.pending()}):
            claimed = False
            for block in blocks:
                with _claimed(writers, block) as claims:
                    claimed |= bool(claims)
                    for n in _fill(claims, {slot: writers[slot].images for slot in claims}, read):
                        extracted += n
                        if progress:
                            progress(extracted, total)
            if claimed:
                waiting = Waiting()
            else:  # all that is left is in other processes' hands
                waiting.pause(SECONDS_BETWEEN_LOOKS, partial(_others_at_work, writers))
    return extracted


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
def _claimed(writers: Mapping[Slot, StoreWriter], block: int) -> Iterator[Claims]:
    """Claim a block of every store where it is free; commit what was claimed at the end, unless an error came."""
    with ExitStack() as stack:
        claims = {
            slot: stack.enter_context(claim)
            for slot, writer in writers.items()
            if (claim := writer.claim(block)) is not None
        }
        yield claims
        for claim in claims.values():
            claim.commit()


def _fill(claims: Claims, images: Mapping[Slot, Sequence[str]], read: Read) -> Iterator[int]:
    """Supply what claimed blocks miss of their stores' images, and yield the number of inputs of each batch."""
    missing = {slot: {images[slot][row]: row for row in claim.missing} for slot, claim in claims.items()}
    wanted: dict[str, list[View]] = {}
    for (view, _), rows_by_digest in missing.items():
        for digest in rows_by_digest:
            views = wanted.setdefault(digest, [])
            if view not in views:
                views.append(view)
    for pairs, features in read(list(wanted.items())):
        for slot, claim in claims.items():
            view, size = slot
            # A store may hold rows already that another view or target size still misses.
            taken = [i for i, (digest, of) in enumerate(pairs) if of == view and digest in missing[slot]]
            if taken:
                rows = [missing[slot][pairs[i][0]] for i in taken]
                claim.put(rows, {layer: values[taken] for layer, values in features[size].items()})
        yield len(pairs)
