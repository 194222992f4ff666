"""Devices, their memory, streams and events.

A copy from pinned memory is done as late as CUDA may do it: when somebody waits for its stream or for an event after
it. Who forgets to wait computes with what was there before, and who overwrites the pinned memory too soon copies that.
"""

import threading
from collections.abc import Callable
from typing import Any

from ._counting import count

settings = {"devices": 1, "memory": 80 * 10**9}
"""How many GPUs there are, and how many bytes each has."""
_thread = threading.local()
_lock = threading.RLock()
_live = {"bytes": 0}


class CUDARuntimeError(RuntimeError):
    """What the CUDA runtime raises."""

    def __init__(self, status: int) -> None:
        self.status = status
        names = {100: "cudaErrorNoDevice: no CUDA-capable device is detected", 101: "cudaErrorInvalidDevice"}
        super().__init__(names.get(status, f"cudaError {status}"))


class OutOfMemoryError(MemoryError):
    """What CuPy's memory pool raises."""


def current_id() -> int:
    """The device of the calling thread; every thread begins on 0."""
    return getattr(_thread, "device", 0)


def device_count() -> int:
    if settings["devices"] < 1:
        raise CUDARuntimeError(100)
    return settings["devices"]


class Device:
    """A GPU; its text does not begin with `cuda`."""

    def __init__(self, device: Any = None) -> None:
        self.id = current_id() if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> "Device":
        _thread.stack = [*getattr(_thread, "stack", []), current_id()]
        return self.use()

    def __exit__(self, *args: object) -> None:
        *_thread.stack, _thread.device = _thread.stack

    def use(self) -> "Device":
        if not 0 <= self.id < settings["devices"]:
            raise CUDARuntimeError(101)
        _thread.device = self.id
        return self

    def synchronize(self) -> None:
        count(syncs=1)

    @property
    def mem_info(self) -> tuple[int, int]:
        return settings["memory"] - _live["bytes"], settings["memory"]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


class Memory:
    """What an array owns and its views share."""

    __slots__ = ("nbytes",)

    def __init__(self, nbytes: int) -> None:
        self.nbytes = 0
        with _lock:
            if _live["bytes"] + nbytes > settings["memory"]:
                raise OutOfMemoryError(f"Out of memory allocating {nbytes:,} bytes")
            _live["bytes"] += nbytes
            self.nbytes = nbytes

    def __del__(self) -> None:
        with _lock:
            _live["bytes"] -= self.nbytes


class Event:
    """A point in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._before: list[Callable[[], None]] = []

    def record(self, stream: "Stream | None" = None) -> None:
        self._before = list((stream or get_current_stream()).waiting)

    def synchronize(self) -> None:
        count(syncs=1)
        self.pass_by()

    def pass_by(self) -> None:
        """Do what the stream had to do before this point."""
        for copy in self._before:
            copy()
        self._before = []


class Stream:
    """An order of work; kernels are done at once, copies from pinned memory as late as they may be."""

    null: "Stream"

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __enter__(self) -> "Stream":
        _thread.streams = [*getattr(_thread, "streams", []), self]
        return self

    def __exit__(self, *args: object) -> None:
        _thread.streams = _thread.streams[:-1]

    def later(self, copy: Callable[[], None]) -> None:
        """Take note of a copy that is to be done once."""
        done = []

        def once() -> None:
            if not done:
                done.append(True)
                copy()

        self.waiting.append(once)

    def synchronize(self) -> None:
        count(syncs=1)
        for copy in self.waiting:
            copy()
        self.waiting = []

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        event.pass_by()


Stream.null = Stream(null=True)


def get_current_stream() -> Stream:
    streams = getattr(_thread, "streams", [])
    return streams[-1] if streams else Stream.null
