"""One pass over all features of a design, block by block, on several threads."""

from collections.abc import Callable
from functools import partial

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


def each_block(design: Design, arrays: Arrays, use: UseBlock, *, width: int = 0) -> None:
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
    """
    n, d = design.shape
    if arrays.memory is not None:
        for columns, values in arrays.memory.chunks(design, arrays.xp, width):
            use(columns, values)
        return
    max_bytes = min(max(BLOCK_BYTES, 4 * n * FEWEST_FEATURES), MOST_BYTES) * n // max(n, width)
    span = max(1, min(BLOCKS_IN_SPAN * max_bytes // (4 * n), -(-d // FEWEST_SPANS)))

    def stream(first: int) -> None:
        for block in design.stream(max_bytes=max(1, max_bytes), within=(first, min(first + span, d))):
            use(slice(block.start, block.stop), arrays.put(block.values))

    with thread_pool(arrays) as (_, run):
        run([partial(stream, first) for first in range(0, d, span)])
