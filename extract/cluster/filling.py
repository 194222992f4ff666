"""Stores filled by the workers of a cluster: row blocks are its tasks."""

import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from head2toe.extract.cluster.address import Address
from head2toe.extract.cluster.block_task import BlockDone, BlockTask, Job, extract_block, forget
from head2toe.extract.cluster.scheduler import ConnectionLost, connected, finished
from head2toe.extract.features.loop import Slot, missing_by_view
from head2toe.extract.images.sources import ImageSource
from head2toe.extract.options import ExtractOptions
from head2toe.store.common.errors import Head2ToeError
from head2toe.store.console.progress import Counter, Progress
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.writing.writer import StoreWriter


def fill_on_cluster(
    address: Address,
    images: Sequence[ImageSource],
    digests: Sequence[str],
    writers: Mapping[Slot, StoreWriter],
    options: ExtractOptions,
    *,
    weights_sha256: str,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
) -> int:
    """Have the workers of a cluster fill the stores of all views and target sizes; nothing is sealed here.

    A block is committed once, by whoever writes it. What a worker that died had not committed is done again by another.

    Parameters
    ----------
    address : Address
        Where the workers are.
    images, digests : sequence
        All images of the stores, and their sha256 (hex).
    writers : mapping of (View, int) to StoreWriter
        The store of each view and target size, in a folder that the workers see, too.
    options : ExtractOptions
        The options, with one backbone.
    weights_sha256 : str
        The hash of the backbone's weights here.
    progress : callable, optional
        Called with how many images all workers have extracted, and how many they are to.
    note : callable, optional
        Called with each line that a worker has to say, once.

    Returns
    -------
    int
        How many images went through the workers' backbones, each as often as in views.

    Raises
    ------
    Head2ToeError
        What ended a worker's block, or the cluster can't be used; blocks committed so far are kept.
    """
    root = Catalogue(options.store).root.absolute()
    paths = {slot: str(writer.path.absolute()) for slot, writer in writers.items()}
    of_workers = replace(options, store=root, cluster=None)
    job = Job(uuid.uuid4().hex, of_workers, weights_sha256, paths, address.devices, str(Path.cwd()))
    total = sum(len(missing) for missing in missing_by_view(writers).values())
    counter, noted = Counter(progress, total), set[str]()
    cuts: list[ConnectionLost] = []
    by_device = dict.fromkeys(address.devices, 0)
    with closing(_every(address, job, lambda: _tasks(job, images, digests, writers), cuts)) as every:
        for done in every:
            _raise_error_of(done)
            by_device[done.device] = by_device.get(done.device, 0) + done.extracted
            counter.add(done.extracted)
            for line in set(done.notes) - noted:
                noted.add(line)
                if note:
                    note(line)
    if note and cuts:
        note("the connection to the scheduler was cut and taken up again; images finished meanwhile are not counted")
    if note and address.devices:
        note(f"images by device: {', '.join(f'{device} {n}' for device, n in by_device.items())}")
    return sum(by_device.values())


def _every(
    address: Address, job: Job, missing: Callable[[], Iterator[BlockTask]], cuts: list[ConnectionLost]
) -> Generator[BlockDone]:
    """Yield what comes of every block that is missing; cuts of the connection to a scheduler are listed.

    After a cut, what is still missing is asked for again. Where it is cut a second time before any block was done,
    ConnectionLost is raised: that is no passing trouble.
    """
    while True:
        some = False
        try:
            with connected(address, again=bool(cuts)) as client:
                try:
                    for done in finished(client, extract_block, missing()):
                        some = True
                        yield done
                finally:
                    if client.status == "running":
                        client.run(forget, job.name, on_error="ignore")
            return
        except ConnectionLost as error:
            if not address.scheduler or (cuts and not some):
                raise
            cuts.append(error)


def _raise_error_of(done: BlockDone) -> None:
    """Raise the error that ended a block, if one did."""
    if done.kind is not None:
        error: Head2ToeError = done.kind(done.error)
        raise error


def _tasks(
    job: Job, images: Sequence[ImageSource], digests: Sequence[str], writers: Mapping[Slot, StoreWriter]
) -> Iterator[BlockTask]:
    """Yield a task for each block that a store lacks, with the images of its rows."""
    source = dict(zip(digests, images, strict=True))
    for block in sorted({block for writer in writers.values() for block in writer.pending()}):
        rows = {
            writer.images[row]: None
            for writer in writers.values()
            if block < writer.n_blocks
            for row in writer.block_rows(block)
        }
        wanted = tuple(digest for digest in rows if digest in source)
        yield BlockTask(job, block, tuple(source[digest] for digest in wanted), wanted)
