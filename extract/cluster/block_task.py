"""What a worker does: one row block of every store, through a backbone that it loads once."""

import platform
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, chdir, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from head2toe.extract.backbone.backbone import Backbone, torch_device
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.backbone.windows import Statistics, Tokens
from head2toe.extract.cluster.scheduler import place
from head2toe.extract.features import loop
from head2toe.extract.features.loop import Slot
from head2toe.extract.features.network import backbone_of, precision_of
from head2toe.extract.images.sources import ImageSource
from head2toe.extract.options import ExtractOptions
from head2toe.store.common.errors import BadRequest, DataError, DeviceError, Head2ToeError, OutOfMemory, StoreError
from head2toe.store.format.layout import Spec
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.writing.writer import StoreWriter

KINDS: tuple[type[Head2ToeError], ...] = (BadRequest, DataError, OutOfMemory, DeviceError, StoreError, Head2ToeError)
"""The kinds of error that a worker reports; a subclass may have arguments of its own, and does not travel."""


@dataclass(frozen=True)
class Job:
    """What all blocks of an extraction have in common.

    Attributes
    ----------
    name : str
        A name that no other job has.
    options : ExtractOptions
        The options, with one backbone and the stores' root in full.
    weights_sha256 : str
        The hash of the weights; a worker that finds others must not write.
    paths : dict of Slot to str
        The folder of the store of each view and target size. Workers read the images' order from the store itself.
    devices : tuple of str
        What the workers of this machine compute on, in the order of their numbers and again from the first; empty where
        each computes on what the options name.
    folder : str
        What relative paths of images and weights start from; a worker that was started elsewhere sees it as well.
    """

    name: str
    options: ExtractOptions
    weights_sha256: str
    paths: dict[Slot, str]
    devices: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True)
class BlockTask:
    """One row block of a job, with the images that it misses and their sha256 (hex)."""

    job: Job
    block: int
    images: tuple[ImageSource, ...]
    digests: tuple[str, ...]


@dataclass(frozen=True)
class BlockDone:
    """What came of a block: how many images were extracted, where, and what is to be noted, or what error ended it."""

    extracted: int = 0
    device: str = ""
    notes: tuple[str, ...] = ()
    kind: type[Head2ToeError] | None = None
    error: str = ""


@dataclass(frozen=True)
class _Open:
    """What a worker holds between two blocks of a job."""

    job: Job
    backbone: Backbone
    taps: Sequence[Tap]
    writers: dict[Slot, StoreWriter]


_lock = threading.Lock()  # a worker may have several threads; the network takes one block at a time
_open: dict[str, _Open] = {}


def extract_block(task: BlockTask) -> BlockDone:
    """Extract and commit one block, unless somebody has; an error is returned, for not all can be pickled."""
    try:
        with _lock, _inside(task.job.folder):
            return _extracted(task)
    except Head2ToeError as error:
        return BlockDone(kind=next(kind for kind in KINDS if isinstance(error, kind)), error=str(error))


def _inside(folder: str) -> AbstractContextManager[None]:
    """Work in a folder if it is there; where it is not, paths in full are read all the same."""
    return chdir(folder) if folder and Path(folder).is_dir() else nullcontext()


def forget(name: str) -> None:
    """Let go of a job's network and stores."""
    with _lock:
        _open.pop(name, None)


def _extracted(task: BlockTask) -> BlockDone:
    """Do the work of `extract_block`."""
    if task.job.name not in _open:
        _open.clear()
        _open[task.job.name] = _opened(task.job)
    at, options = _open[task.job.name], task.job.options
    notes: list[str] = []
    extracted = loop.run(
        task.images,
        task.digests,
        at.backbone,
        at.taps,
        at.writers,
        tokens=cast(Tokens, options.tokens),
        statistics=cast(Statistics, options.pool),
        precision=precision_of(options, at.backbone),
        compiled=options.compile,
        batch_size=options.batch_size_on(at.backbone.device.type),
        only=(task.block,),
        note=notes.append,
    )
    return BlockDone(extracted, str(at.backbone.device), tuple(notes))


def _opened(job: Job) -> _Open:
    """Load the network and open the stores."""
    options = job.options
    if job.devices:
        options = replace(options, device=job.devices[place() % len(job.devices)])
    # `backbone_of` is content without the GPU that is asked for, which is right where nothing is to be computed.
    try:
        torch_device(options.devices[0])
    except BadRequest as error:
        raise BadRequest(f"a worker on {platform.node()}: {error}") from error
    backbone = backbone_of(options)
    if backbone.weights_sha256 != job.weights_sha256:
        raise BadRequest(
            f"a worker finds other weights of {job.options.backbones[0]} than this machine "
            f"({backbone.weights_sha256[:12]}, not {job.weights_sha256[:12]}): give both the same file"
        )
    taps = discover(backbone, job.options.taps, include_input=job.options.include_input).taps
    catalogue = Catalogue(job.options.store)
    return _Open(job, backbone, taps, {slot: _writer(catalogue, path) for slot, path in job.paths.items()})


def _writer(catalogue: Catalogue, path: str) -> StoreWriter:
    """Take up a store that was begun elsewhere; its path says where a worker must see it, too."""
    folder = Path(path)
    if not folder.is_dir():
        raise StoreError(f"{path}: a worker does not see this folder: give --store a folder that all machines share")
    spec = Spec.read(folder)
    return catalogue.writer(spec.identity, spec.images, spec.layers)
