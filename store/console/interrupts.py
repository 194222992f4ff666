"""Signals that end a command (Ctrl-C, SIGTERM, SIGHUP): one line and the exit code 128 + the signal's number.

While Python imports and when it shuts down, the process leaves at once: nothing is in the making then. While a command
works, a signal is raised as an exception, so that partial files are removed and worker processes ended on the way out.
In the very end, when Python takes its handlers away and frees its modules, Ctrl-C changes nothing any more: the command
is done, and its exit code says so.

This module is the first that `head2toe.pipeline` imports, and imports little itself: until it has run, Ctrl-C is
Python's own and ends in a traceback. A program of a user's that imports the package keeps its own handlers.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

MESSAGE = "interrupted: what was finished is kept; run the same command again to go on"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IN_A_ROW = 1.0  # seconds in which a terminal, a shell and a wrapper may all pass the same signal on
_SWALLOWED = 0.05  # seconds after which an exception that Python could not raise where it was is raised again


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end.

    Attributes
    ----------
    number : int
        The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(MESSAGE)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells and schedulers expect of a process that this signal ended."""
        return 128 + self.number


def leave_at_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (of a signal's handler)
    """Print the line, if no signal came before, and end the process without anything that Python does at its end."""
    _leave(number, "" if _Handler.ever else f"{MESSAGE}\n")


def _leave(number: int, line: str) -> NoReturn:
    try:
        os.write(2, line.encode())
    finally:
        os._exit(128 + number)


def is_command() -> bool:
    """Whether this process is the command `head2toe`, and not a program that imports the package."""
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    script = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119 - pathlib would have to be imported
    return script in ("head2toe", "head2toe.exe") or getattr(module, "name", None) == "head2toe.pipeline"


@contextmanager
def raised() -> Iterator[None]:
    """Raise `Interrupted` for every signal that asks the process to end while the block runs.

    A signal that is ignored (as under `nohup`) or has a handler of somebody else's keeps it, and outside of the main
    thread nothing changes. One that comes more than a second after the first ends the process at once.

    Raises
    ------
    Interrupted
        A signal came; also where the block turned it into an error of another kind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number in _SIGNALS if before[number] in (*_DEFAULTS, leave_at_once)]
    reporting = sys.unraisablehook
    for number in ours:
        signal.signal(number, handler)
    sys.unraisablehook = handler.unraisable
    try:
        yield
    except Exception as error:
        if handler.number is None:
            raise
        raise Interrupted(handler.number) from error  # compiled code that is initialised raises an ImportError
    finally:
        sys.unraisablehook = reporting
        for number in ours:
            signal.signal(number, before[number])


class _Handler:
    """Raises the first signal, and sees to it that it arrives."""

    ever = False  # whether any has been raised in this process

    def __init__(self) -> None:
        self.number: int | None = None
        self._first = 0.0
        self._raise_again = False

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (of a signal's handler)
        if self.number is None:
            self.number, self._first = number, time.monotonic()
            _Handler.ever = True
        elif self._raise_again:
            self._raise_again = False
        elif time.monotonic() - self._first < _IN_A_ROW:
            return
        else:
            _leave(self.number, f"{MESSAGE}\n")
        raise Interrupted(self.number)

    def unraisable(self, report: Any) -> None:
        """Take what was raised where nothing can be raised (a destructor, a callback): the signal comes once more."""
        if not isinstance(report.exc_value, Interrupted):
            sys.__unraisablehook__(report)
            return
        self._raise_again = True
        again = threading.Timer(_SWALLOWED, os.kill, (os.getpid(), report.exc_value.number))
        again.daemon = True
        again.start()


_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


def _is_child() -> bool:
    """Whether multiprocessing started this process, with the command's main module imported once more."""
    return "--multiprocessing-fork" in sys.orig_argv


if is_command() and threading.current_thread() is threading.main_thread():
    if _is_child():  # Ctrl-C in a terminal is for the parent, which ends its workers
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for _number in () if _is_child() else _SIGNALS:
        if signal.getsignal(_number) in _DEFAULTS:
            signal.signal(_number, leave_at_once)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the first that is registered is the last to be run
