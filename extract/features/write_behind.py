"""What is done beside the forward pass, in a thread: features to the host, into their blocks, and on to disk."""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue
from types import TracebackType
from typing import Self

Job = Callable[[], object]

WAITING = 2
"""The most jobs that wait. Each holds the features of a batch; one more is at work, and another is being computed."""


SECONDS_BETWEEN_CALLS = 0.1
"""How long it is waited for a thread to end before it is told again."""


class WriteBehind:
    """Does jobs one after another in a thread of its own, in the order in which they come; a context manager.

    What a job raises ends all: later jobs are dropped, and the next call raises it in the calling thread. When the
    caller fails or is interrupted, jobs that wait are still done, for their features are computed; a second
    interruption drops them. The thread is gone when the block is left.

    Parameters
    ----------
    threaded : bool
        Whether there is a thread; without one, every job is done at once.
    waiting : int
        The most jobs that wait; the caller waits for a place.
    """

    def __init__(self, *, threaded: bool, waiting: int = WAITING) -> None:
        self._jobs: Queue[Job | None] = Queue(waiting)
        self._error: BaseException | None = None
        self._dropping = False
        self._thread = threading.Thread(target=self._work, name="write-behind", daemon=True) if threaded else None

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if kind is None:
            self.check()

    def __call__(self, job: Job) -> None:
        """Have a job done after those before it. Raises what an earlier job raised."""
        if self._thread is None:
            job()
            return
        self.check()
        self._jobs.put(job)

    def flush(self) -> None:
        """Wait until all jobs are done. Raises what one of them raised."""
        self._jobs.join()
        self.check()

    def check(self) -> None:
        """Raise what a job raised, if one did."""
        if self._error is not None:
            raise self._error

    def _end(self) -> None:
        """End the thread, and wait until it has ended."""
        if self._thread is None:
            return
        try:
            self._wait_for(self._thread)
        except BaseException:
            self._dropping = True
            self._wait_for(self._thread)
            raise

    def _wait_for(self, thread: threading.Thread) -> None:
        """Tell the thread that there are no more jobs, until it has ended.

        Once is not enough. Where a signal interrupts a put as it wakes the thread, the queue may go on listing a wait
        that is over; the next put then wakes that one, and nobody.
        """
        while thread.is_alive():
            with suppress(Full):
                self._jobs.put_nowait(None)
            with self._jobs.not_empty:
                self._jobs.not_empty.notify_all()
            thread.join(SECONDS_BETWEEN_CALLS)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if self._error is None and not self._dropping:
                    job()
            except BaseException as error:
                self._error = error
            del job  # with its features, before the next one is waited for
            self._jobs.task_done()
