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
_cache: "OrderedDict[tuple[str, int, int, bool], mmap.mmap]" = OrderedDict()
_lock = threading.Lock()
_whole: set[tuple[str, int, int, int, int]] = set()  # files whose content this process has compared with its checksum

_pieces: dict[tuple[str, int, int, int, int, int], np.ndarray] = {}  # the same of single features


def _after_fork() -> None:
    """Give a forked process a lock of its own: another thread may have held it when the process was forked."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def mapped(path: Path, nbytes: int, *, sparse: bool = False) -> mmap.mmap:
    """Map a whole file into memory, read-only.

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
    name = (os.fspath(path), status.st_dev, status.st_ino, sparse)
    with _lock:
        if name in _cache:
            _cache.move_to_end(name)
            return _cache[name]
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
    return view


def view(
    path: Path, nbytes: int, offset: int, shape: tuple[int, int], dtype: str, *, sparse: bool = False
) -> np.ndarray:
    """Return a read-only array over a part of a mapped file, without a copy.

    Parameters
    ----------
    path, nbytes, sparse
        The file and its size; see `mapped`.
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
    file = mapped(path, nbytes, sparse=sparse)
    kind = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(file, kind, shape[0] * shape[1], offset).reshape(shape)


def _identity(path: Path) -> tuple[str, int, int, int, int]:
    """Return what changes when a file's content does: if it is the same, what was checked needn't be checked again."""
    with explained(path, ANOTHER_ROOT):
        status = path.stat()
    return os.fspath(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


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
    if (name := _identity(path)) not in _whole:
        with explained(path, ANOTHER_ROOT):
            _conclude(path, name, crc32c(path) == crc, block)


def running(path: Path, nbytes: int, crc: int, block: int) -> "RunningChecksum | None":
    """Begin to compare a file with its checksum while it is read; None if this process has done so already."""
    name = _identity(path)
    return None if name in _whole else RunningChecksum(path, name, nbytes, crc, block)


class RunningChecksum:
    """The checksum of a file that is read in order, piece by piece. `running` makes one."""

    def __init__(self, path: Path, name: tuple[str, int, int, int, int], nbytes: int, crc: int, block: int) -> None:
        self._path, self._name, self._left, self._expected, self._block = path, name, nbytes, crc, block
        self._crc = 0

    def add(self, piece: np.ndarray) -> None:
        """Take the next piece, a C-contiguous array; raises `Damaged` if it was the last and the sum is another."""
        self._crc = google_crc32c.extend(self._crc, piece)
        self._left -= piece.nbytes
        if self._left == 0:
            _conclude(self._path, self._name, self._crc == self._expected, self._block)


def are_checked(path: Path, offset: int, features: np.ndarray) -> bool:
    """Tell whether this process has compared all of some features of a layer, which lies at an offset in a file."""
    name = _identity(path)
    checked = _pieces.get((*name, offset))
    return name in _whole or (checked is not None and bool(checked[features].all()))


def check_pieces(
    path: Path, offset: int, features: np.ndarray, values: np.ndarray, sums: np.ndarray, block: int
) -> None:
    """Compare some features of a layer with their checksums, each once for as long as the file stays as it is.

    Parameters
    ----------
    path, offset
        The file that they lie in, and where the layer begins.
    features : (k,) int64 array
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
    name = _identity(path)
    if name in _whole:
        return
    checked = _pieces.setdefault((*name, offset), np.zeros(len(sums), bool))
    for i in np.flatnonzero(~checked[features]):
        if google_crc32c.value(values[i]) != sums[features[i]]:
            raise damaged(path, f"row block {block}, feature {features[i]}: isn't what was written (CRC-32C)")
    checked[features] = True


def _conclude(path: Path, name: tuple[str, int, int, int, int], same: bool, block: int) -> None:
    if not same:
        raise damaged(path, f"row block {block}: the content isn't what was written (CRC-32C)")
    _whole.add(name)


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
