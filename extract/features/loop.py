"""Stage one's loop: images through the backbone once, pooled features of every tap into the stores."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.pooling import Tokens
from head2toe.extract.backbone.taps import Tap
from head2toe.extract.features.reader import FeatureReader
from head2toe.extract.images.batches import batches
from head2toe.extract.images.sources import ImageSource
from head2toe.store.common.progress import Progress
from head2toe.store.writing.waiting import Waiting
from head2toe.store.writing.writer import StoreWriter


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
        waiting = Waiting()
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
            if claimed:
                waiting = Waiting()
            else:  # all that is left is in other processes' hands
                waiting.pause(0.5, lambda: "; ".join(filter(None, (writer.others() for writer in writers.values()))))
    return extracted
