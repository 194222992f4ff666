"""Streams over the design: the one pass that every λ needs, dual norms of all features for all row sets at once."""

from collections.abc import Callable
from functools import partial

from head2toe.select.compute.arrays import Arrays
from head2toe.select.compute.threads import workers
from head2toe.store.reading.design_matrix import Block, Design

BLOCK_BYTES = 1 << 23  # of features, and of what is made of them: the caches' size, not the memory's
FEWEST_FEATURES = 256  # in a block, however many rows: products with fewer are slow
MOST_BYTES = 1 << 26  # but no more than that
BLOCKS_IN_SPAN, FEWEST_SPANS = 2, 16  # what a thread takes at a time: so little that all end at about the same time


def each_block(design: Design, arrays: Arrays, use: Callable[[Block], None], *, width: int = 0) -> None:
    """Call `use` with every block of the design, in as many threads as the BLAS may use.

    How the design is cut doesn't depend on the number of threads, and every product has a BLAS of one thread: the
    numbers come out the same, bit for bit. What has to be converted to float32 is converted in these threads, too.

    Parameters
    ----------
    use
        Reads the block's values before it returns; any thread may call it.
    width
        How many numbers `use` holds of every feature, if more than there are rows.
    """
    n, d = design.shape
    max_bytes = min(max(BLOCK_BYTES, 4 * n * FEWEST_FEATURES), MOST_BYTES) * n // max(n, width)
    span = max(1, min(BLOCKS_IN_SPAN * max_bytes // (4 * n), -(-d // FEWEST_SPANS)))

    def stream(first: int) -> None:
        for block in design.stream(max_bytes=max(1, max_bytes), within=(first, min(first + span, d))):
            use(block)

    with workers(arrays) as (_, run):
        run([partial(stream, first) for first in range(0, d, span)])
