"""Stage one's loop: images through the backbone once, pooled features of every tap into the stores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.backbone.windows import MEAN, Statistics, Tokens
from head2toe.extract.features.reader import FeatureReader, Features
from head2toe.extract.images.batches import batches
from head2toe.extract.images.sources import ImageSource
from head2toe.store.console.progress import Progress
from head2toe.store.writing.waiting import Waiting
from head2toe.store.writing.writer import BlockWriter, StoreWriter

Claims = Mapping[int, BlockWriter]
"""One row block of each store that this process may fill, by target size."""

Read = Callable[[list[str]], Iterator[tuple[list[str], dict[int, Features]]]]
"""Takes the digests of images, and yields them batch by batch with their features by target size."""

SECONDS_BETWEEN_LOOKS = 0.5
"""How long to wait for other processes before their blocks are looked at again."""


def run(
    images: Sequence[ImageSource],
    digests: Sequence[str],
    backbone: Backbone,
    taps: Sequence[Tap],
    writers: Mapping[int, StoreWriter],
    *,
    tokens: Tokens = "paper",
    statistics: Statistics = MEAN,
    amp: bool = False,
    compiled: bool = False,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> int:
    """Fill the stores of all target sizes in one pass.

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
    writers : mapping of int to StoreWriter
        The store of each target size.
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
        Called with how many images are extracted, and how many are to be.

    Returns
    -------
    int
        How many images went through the backbone.

    Raises
    ------
    DataError
        An image can't be read, or a layer came out NaN or infinite; blocks committed so far are kept.
    StoreError
        A store can't be written.
    """
    source = dict(zip(digests, images, strict=True))
    total = len(set[str]().union(*(writer.missing() for writer in writers.values())))
    reader = FeatureReader(
        backbone,
        taps,
        tuple(writers),
        tokens,
        statistics=statistics,
        amp=amp,
        compiled_for=batch_size if compiled else 0,
    )

    def read(missing: list[str]) -> Iterator[tuple[list[str], dict[int, Features]]]:
        for names, batch in batches(missing, source, backbone.preprocessing, batch_size):
            yield names, reader(batch)

    extracted = 0
    with closing(reader):
        waiting = Waiting()
        while blocks := sorted({block for writer in writers.values() for block in writer.pending()}):
            claimed = False
            for block in blocks:
                with _claimed(writers, block) as claims:
                    claimed |= bool(claims)
                    for n in _fill(claims, {size: writers[size].images for size in claims}, read):
                        extracted += n
                        if progress:
                            progress(extracted, total)
            if claimed:
                waiting = Waiting()
            else:  # all that is left is in other processes' hands
                waiting.pause(SECONDS_BETWEEN_LOOKS, partial(_others_at_work, writers))
    return extracted


def _others_at_work(writers: Mapping[int, StoreWriter]) -> str:
    """Describe who is filling the row blocks that are waited for."""
    return "; ".join(filter(None, (writer.others() for writer in writers.values())))


@contextmanager
def _claimed(writers: Mapping[int, StoreWriter], block: int) -> Iterator[Claims]:
    """Claim a block of every store where it is free; commit what was claimed at the end, unless an error came."""
    with ExitStack() as stack:
        claims = {
            size: stack.enter_context(claim)
            for size, writer in writers.items()
            if (claim := writer.claim(block)) is not None
        }
        yield claims
        for claim in claims.values():
            claim.commit()


def _fill(claims: Claims, images: Mapping[int, Sequence[str]], read: Read) -> Iterator[int]:
    """Supply what claimed blocks miss of their stores' images, and yield the number of images of each batch."""
    missing = {size: {images[size][row]: row for row in claim.missing} for size, claim in claims.items()}
    for digests, features in read(list(dict.fromkeys(digest for rows in missing.values() for digest in rows))):
        for size, claim in claims.items():
            # A store may hold rows already that another target size still misses.
            wanted = [i for i, digest in enumerate(digests) if digest in missing[size]]
            if wanted:
                rows = [missing[size][digests[i]] for i in wanted]
                claim.put(rows, {layer: values[wanted] for layer, values in features[size].items()})
        yield len(digests)
