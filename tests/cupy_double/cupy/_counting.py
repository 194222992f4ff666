"""What a GPU would have been asked to do: launches, library calls, waits and bytes, counted; their time is a model."""

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LAUNCH, LIBRARY, SYNC = 8e-6, 20e-6, 12e-6  # seconds on the host: a kernel of CuPy's, a call of cuBLAS, a wait
PCIE, HBM, FLOPS = 25e9, 3e12, 5e13  # bytes a second from pinned memory, of the device's memory; float32 FLOP a second


@dataclass
class Counts:
    """Counts of a stretch of work.

    Attributes
    ----------
    launches, library, syncs : int
        Kernels of CuPy's own, calls of cuBLAS and cuSOLVER, times that the host waits for the device.
    bytes_up, bytes_down, hbm_bytes : int
        From the host, to the host, and read or written in the device's memory.
    flops : float
        Of matrix products and factorisations.
    handles : int
        Of cuBLAS and cuSOLVER: each thread makes its own.
    lines : Counter
        Launches, calls and waits by the nearest line of the package; only where `trace` is set.
    """

    launches: int = 0
    library: int = 0
    syncs: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    hbm_bytes: int = 0
    flops: float = 0.0
    handles: int = 0
    lines: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """Everything that the host has to start."""
        return self.launches + self.library

    @property
    def host_seconds(self) -> float:
        """What starting and waiting would cost the host."""
        return LAUNCH * self.launches + LIBRARY * self.library + SYNC * self.syncs

    @property
    def transfer_seconds(self) -> float:
        """What the bytes would take over PCIe."""
        return (self.bytes_up + self.bytes_down) / PCIE

    @property
    def device_seconds(self) -> float:
        """The roofline: what memory and products would take, whichever is longer."""
        return max(self.hbm_bytes / HBM, self.flops / FLOPS)


trace = False
_open: list[Counts] = []
_lock = threading.RLock()
_handles = threading.local()


@contextlib.contextmanager
def region(into: Counts | None = None) -> Iterator[Counts]:
    """Count what happens inside, in whichever thread; regions may lie within each other."""
    counts = Counts() if into is None else into
    with _lock:
        _open.append(counts)
    try:
        yield counts
    finally:
        with _lock:
            at = max(i for i, one in enumerate(_open) if one is counts)
            del _open[at]


def count(*, launches: int = 0, library: int = 0, syncs: int = 0, handle: str = "", **further: Any) -> None:
    """Add to all regions that are open; `further` names other attributes of `Counts`."""
    new = 0
    if handle and handle not in vars(_handles):
        setattr(_handles, handle, True)
        new = 1
    with _lock:
        for counts in _open:
            counts.launches += launches
            counts.library += library
            counts.syncs += syncs
            counts.handles += new
            for name, amount in further.items():
                setattr(counts, name, getattr(counts, name) + amount)
            if trace:
                counts.lines[_line()] += launches + library + syncs


def launch(*arrays: Any, launches: int = 1) -> None:
    """Count a kernel that reads or writes these NumPy arrays."""
    count(launches=launches, hbm_bytes=sum(array.nbytes for array in arrays if hasattr(array, "nbytes")))


def _line() -> str:
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("head2toe."):
            return f"{frame.f_globals['__name__'].removeprefix('head2toe.')}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
