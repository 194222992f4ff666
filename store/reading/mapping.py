"""Files mapped into memory: a small cache of read-only maps, checksums of what is read, and hints to the kernel.

Python's `mmap` keeps a file descriptor for as long as it lives, so a map for every file of every store would run out of
them: as many are kept as a quarter of the descriptors this process may have. An evicted map lives on for as long as a
view of it does.
"""

import mmap
import os
import resource
import threading
from collections import OrderedDict
from pathlib import Path

import google_crc32c
import numpy as np
from head2toe.store.common.files import ANOTHER_ROOT, crc32c, explained
from head2toe.store.format.damage import damaged

_CAPACITY = max(16, min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
_WILLNEED = getattr(os, "POSIX_FADV_WILLNEED", None)  # hints are absent on some platforms, and then aren't given
_RANDOM = getattr(mmap, "MADV_RANDOM", None)
_NOWAIT = getattr(os, "RWF_NOWAIT", None)
Identity = tuple[str, int, int, int, int]
"""A file's path, device, inode, size and time of change: if they are the same, what was checked needn't be again."""

_cache: "OrderedDict[tuple[str, int, int, bool], mmap.mmap]" = OrderedDict()
_lock = threading.Lock()
_checked: "dict[Identity, _Checked]" = {}


class _Checked:
    """What of a file this process has compared with its checksums: all of it, or features of the layer at an offset."""

    __slots__ = ("features", "whole")

    def __init__(self) -> None:
        self.whole = False
        self.features: dict[int, np.ndarray] = {}  # (width,) bool


def _after_fork() -> None:
    """Give a forked process a lock of its own: another thread may have held it when the process was forked."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _mapped(path: Path, nbytes: int, sparse: bool) -> tuple[mmap.mmap, Identity]:
    """Map a whole file into memory, read-only, and say which file it is, as it was before anything of it is read.

    Parameters
    ----------
    path : Path
        The file.
    nbytes : int
        The size the file must have. It is looked up at every call: touching a map beyond the end of a truncated file
        would kill the process with SIGBUS.
    sparse : bool
        Whether it will be read here and there: then the kernel reads no more than the pages touched. Such maps are kept
        apart from those for dense reading, for the hint holds for a whole map.

    Raises
    ------
    StoreError
        The file is missing, or not of this size.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - a hot path
    except FileNotFoundError as error:
        raise damaged(path, "missing") from error
    if status.st_size != nbytes:
        raise damaged(path, f"truncated or overwritten ({status.st_size} bytes instead of {nbytes})")
    identity = (os.fspath(path), status.st_dev, status.st_ino, nbytes, status.st_mtime_ns)
    name = (*identity[:3], sparse)
    with _lock:
        if name in _cache:
            _cache.move_to_end(name)
            return _cache[name], identity
    with explained(path, ANOTHER_ROOT), path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != nbytes:
            raise damaged(path, "changed while it was being opened")
        view = mmap.mmap(file.fileno(), nbytes, access=mmap.ACCESS_READ)
    if sparse and _RANDOM is not None:
        view.madvise(_RANDOM)
    with _lock:
        _cache[name] = view
        while len(_cache) > _CAPACITY:
            _cache.popitem(last=False)
    return view, identity


def view(path: Path, nbytes: int, offset: int, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Return a read-only array over a part of a mapped file, without a copy.

    Parameters
    ----------
    path, nbytes
        The file, and the size it must have.
    offset : int
        The array's first byte.
    shape : tuple of int
        The array's shape; the values lie in C order.
    dtype : str
        The values' dtype; they are little-endian.

    Raises
    ------
    StoreError
        The file is missing, or not of this size.
    """
    return _array(_mapped(path, nbytes, sparse=False)[0], offset, shape, dtype)


def _array(file: mmap.mmap, offset: int, shape: tuple[int, int], dtype: str) -> np.ndarray:
    kind = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(file, kind, shape[0] * shape[1], offset).reshape(shape)


def gather(
    path: Path, nbytes: int, offset: int, shape: tuple[int, int], dtype: str, features: "slice | np.ndarray"
) -> tuple[np.ndarray, Identity | None]:
    """Read some features of a layer, and tell whether this process has compared all of them with their checksums.

    Parameters
    ----------
    path, nbytes, offset, shape, dtype
        The file, its size, and where the layer lies in it; see `view`.
    features : slice or (k,) int64 array
        Which of the layer's features.

    Returns
    -------
    values : (k, R) array
        Of a slice, a view.
    unchecked : tuple, optional
        Which file it is, for `check_pieces`; None if there is nothing left to compare.

    Raises
    ------
    StoreError
        The file is missing, or not of its size.
    """
    file, identity = _mapped(path, nbytes, sparse=not isinstance(features, slice))
    layer = _array(file, offset, shape, dtype)
    values = layer[features] if isinstance(features, slice) else layer.take(features, axis=0)
    return values, None if _are_checked(identity, offset, features) else identity


def _are_checked(identity: Identity, offset: int, features: "slice | np.ndarray") -> bool:
    """Tell whether some features of the layer at an offset have been compared, themselves or with the whole file."""
    if (state := _checked.get(identity)) is None:
        return False
    if state.whole or (checked := state.features.get(offset)) is None:
        return state.whole
    few = checked[features] if isinstance(features, slice) else checked.take(features)
    return 0 not in few.tobytes()  # for few features a third of the time of `all`


def _identity(path: Path) -> Identity:
    with explained(path, ANOTHER_ROOT):
        status = path.stat()
    return os.fspath(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_checked(identity: Identity) -> bool:
    """Tell whether this process has compared a whole file with its checksum."""
    state = _checked.get(identity)
    return state is not None and state.whole


def check(path: Path, crc: int, block: int) -> None:
    """Compare a whole file with its checksum, once in this process for as long as the file stays as it is.

    Parameters
    ----------
    path : Path
        The file.
    crc : int
        Its CRC-32C.
    block : int
        The number of the row block that it holds, or a layer of which.

    Raises
    ------
    Damaged
        It isn't what was written.
    """
    if not _is_checked(name := _identity(path)):
        with explained(path, ANOTHER_ROOT):
            _conclude(path, name, crc32c(path) == crc, block)


def running(path: Path, nbytes: int, crc: int, block: int) -> "RunningChecksum | None":
    """Begin to compare a file with its checksum while it is read; None if this process has done so already."""
    name = _identity(path)
    return None if _is_checked(name) else RunningChecksum(path, name, nbytes, crc, block)


class RunningChecksum:
    """The checksum of a file that is read in order, piece by piece. `running` makes one."""

    def __init__(self, path: Path, name: Identity, nbytes: int, crc: int, block: int) -> None:
        self._path, self._name, self._left, self._expected, self._block = path, name, nbytes, crc, block
        self._crc = 0

    def add(self, piece: np.ndarray) -> None:
        """Take the next piece, a C-contiguous array; raises `Damaged` if it was the last and the sum is another."""
        self._crc = google_crc32c.extend(self._crc, piece)
        self._left -= piece.nbytes
        if self._left == 0:
            _conclude(self._path, self._name, self._crc == self._expected, self._block)


def check_pieces(
    identity: Identity, offset: int, features: "slice | np.ndarray", values: np.ndarray, sums: np.ndarray, block: int
) -> None:
    """Compare some features of a layer with their checksums, each once for as long as the file stays as it is.

    Parameters
    ----------
    identity, offset
        The file that they lie in, as `gather` has found it, and where the layer begins.
    features : slice or (k,) int64 array
        Which of the layer's features.
    values : (k, R) array
        Their values as they lie in the file.
    sums : (width,) uint32 array
        The CRC-32C of every feature of the layer.
    block : int
        The number of the row block.

    Raises
    ------
    Damaged
        One isn't what was written.
    """
    state = _checked.setdefault(identity, _Checked())
    checked = state.features.setdefault(offset, np.zeros(len(sums), bool))
    numbers = np.arange(len(sums))[features]
    for i in np.flatnonzero(~checked[numbers]):
        if google_crc32c.value(values[i]) != sums[numbers[i]]:
            what = f"row block {block}, feature {numbers[i]}: isn't what was written (CRC-32C)"
            raise damaged(Path(identity[0]), what)
    checked[numbers] = True


def _conclude(path: Path, name: Identity, same: bool, block: int) -> None:
    if not same:
        raise damaged(path, f"row block {block}: the content isn't what was written (CRC-32C)")
    _checked.setdefault(name, _Checked()).whole = True


def read_ahead(path: Path, start: int, stop: int) -> None:
    """Ask the kernel to fetch bytes [start, stop) of a file in the background, unless they are in memory already.

    Asking costs a look at every page, which is a tenth of a matrix product; looking at three first costs nothing.

    Raises
    ------
    StoreError
        The file can't be opened.
    """
    if _WILLNEED is None:
        return
    with explained(path, ANOTHER_ROOT):
        fd = os.open(path, os.O_RDONLY)
        try:
            if not all(_is_cached(fd, at) for at in (start, (start + stop) // 2, stop - 1)):
                os.posix_fadvise(fd, start, stop - start, _WILLNEED)
        finally:
            os.close(fd)


def _is_cached(fd: int, at: int) -> bool:
    """Tell whether a byte can be read without waiting for the disk."""
    if _NOWAIT is None:
        return False
    try:
        os.preadv(fd, [bytearray(1)], at, _NOWAIT)
    except OSError:  # it would block; or this file system can't tell, and asking is harmless
        return False
    return True
