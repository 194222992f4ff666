"""One pass over all features of a design, block by block, on several threads."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from head2toe.select.compute.arrays import Array, Arrays
from head2toe.select.compute.threads import thread_pool
from head2toe.store.reading.design_matrix import Design

BLOCK_BYTES = 1 << 23  # of features, and of what is computed from them: the size of the caches, not of the memory
FEWEST_FEATURES = 256  # in a block, however many rows: products with fewer are slow
MOST_BYTES = 1 << 26  # but no more than that
BLOCKS_IN_SPAN, FEWEST_SPANS = 2, 16  # a thread takes little at a time, so that all end at about the same time


Columns = slice | np.ndarray
"""Which features of a design: a span of them or, on a GPU, any."""
UseBlock = Callable[[Columns, Array], None]
"""Takes some features of a design and their values (features, n) float32, on the device that is computed with."""


def each_block(
    design: Design, arrays: Arrays, use: UseBlock, *, width: int = 0, within: tuple[int, int] | None = None
) -> None:
    """Call `use` with every block of the design, in as many threads as the BLAS may use.

    How the design is cut does not depend on the number of threads, and every product has a BLAS of one thread: the
    numbers come out the same, bit for bit. What has to be converted to float32 is converted in these threads as well.

    Parameters
    ----------
    design : Design
        n rows, d features.
    arrays : Arrays
        The device that the threads compute on.
    use : function
        Takes a block and reads its values before it returns. Any thread may call it; a GPU is given its work by one.
        Only on a GPU a block may have features of several layers, and of these not all.
    width : int
        How many numbers `use` holds for every feature, if these are more than there are rows.
    within : (int, int), optional
        Of these features alone, one of `parts`.
    """
    d = design.shape[1]
    if arrays.memory is not None:
        for columns, values in arrays.memory.chunks(design, arrays.xp, width, within):
            use(columns, values)
        return
    max_bytes, span = _cut(design, width)

    def stream(first: int) -> None:
        for block in design.stream(max_bytes=max(1, max_bytes), within=(first, min(first + span, d))):
            use(slice(block.start, block.stop), arrays.put(block.values))

    with thread_pool(arrays) as (_, run):
        run([partial(stream, first) for first in range(*(within or (0, d)), span)])


def parts(design: Design, width: int, count: int) -> list[tuple[int, int]]:
    """Cut a pass over a design into at most so many parts, the first feature and the one behind the last of each.

    They end where `each_block` cuts all of it, too, so that blocks, and numbers, are the same.
    """
    _, span = _cut(design, width)
    firsts = range(0, design.shape[1], span)
    edges = [firsts[len(firsts) * k // count] for k in range(count)] if count < len(firsts) else list(firsts)
    return list(pairwise([*edges, design.shape[1]]))


def shifted(columns: Columns, first: int) -> Columns:
    """Count features from the first of a part."""
    return slice(columns.start - first, columns.stop - first) if isinstance(columns, slice) else columns - first


def _cut(design: Design, width: int) -> tuple[int, int]:
    """Return the bytes of a block, and how many features a thread takes at a time."""
    n, d = design.shape
    max_bytes = min(max(BLOCK_BYTES, 4 * n * FEWEST_FEATURES), MOST_BYTES) * n // max(n, width)
    return max_bytes, max(1, min(BLOCKS_IN_SPAN * max_bytes // (4 * n), -(-d // FEWEST_SPANS)))
