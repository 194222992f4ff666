"""The thread beside the forward pass: in order, bounded, ended by errors and interruptions, and never left over."""

import threading
import time

import pytest
from head2toe.extract.features.write_behind import WAITING, WriteBehind


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "write-behind"]


@pytest.mark.parametrize("threaded", [False, True])
def test_jobs_are_done_in_order_and_all_of_them(threaded: bool) -> None:
    done: list[int] = []
    with WriteBehind(threaded=threaded) as write:
        for number in range(20):
            write(lambda number=number: done.append(number))
        write.flush()
        assert done == list(range(20))
        write(lambda: done.append(20))
    assert done[-1] == 20
    assert not alive()


def test_jobs_run_beside_the_caller_and_few_wait() -> None:
    begun, go_on = [], threading.Event()

    def job() -> None:
        begun.append(threading.current_thread())
        go_on.wait(10)

    with WriteBehind(threaded=True) as write:
        filled = threading.Thread(target=lambda: [write(job) for _ in range(WAITING + 5)])
        filled.start()
        time.sleep(0.1)
        assert filled.is_alive(), "the caller waits for a place"
        assert len(begun) == 1
        assert begun[0] is not threading.current_thread()
        go_on.set()
        filled.join()
    assert len(begun) == WAITING + 5


def test_an_error_ends_all_and_is_the_callers() -> None:
    done: list[int] = []

    def fails() -> None:
        raise OSError("the disk is full")

    def works() -> None:
        with WriteBehind(threaded=True) as write:
            write(fails)
            for number in range(100):
                write(lambda number=number: done.append(number))

    with pytest.raises(OSError, match="the disk is full"):
        works()
    assert not done
    assert not alive()


def test_the_last_jobs_error_is_not_lost() -> None:
    with pytest.raises(ZeroDivisionError), WriteBehind(threaded=True) as write:
        write(lambda: 1 / 0)
    with WriteBehind(threaded=True) as write:
        write(lambda: None)
        write.flush()
        write.check()


def test_what_waits_is_done_when_the_caller_is_interrupted() -> None:
    done: list[int] = []

    def interrupted() -> None:
        with WriteBehind(threaded=True) as write:
            write(lambda: time.sleep(0.05))
            write(lambda: done.append(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1]
    assert not alive()


def test_a_second_interruption_drops_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    write = WriteBehind(threaded=True)
    thread = write._thread
    assert thread is not None
    join, calls = thread.join, []

    def interrupted(timeout: float | None = None) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        join(timeout)

    monkeypatch.setattr(thread, "join", interrupted)

    def fails() -> None:
        with write:
            write(lambda: time.sleep(0.1))
            write(lambda: done.append(1))
            raise ValueError

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert not done
    assert not alive()


def test_the_device_goes_on_while_the_disk_is_written() -> None:
    went_on, written = threading.Event(), []
    with WriteBehind(threaded=True) as write:
        write(lambda: written.append(went_on.wait(60)))
        went_on.set()
    assert written == [True]


def test_a_wait_that_an_interrupted_put_left_behind_keeps_nobody_from_ending() -> None:
    """A signal between the two steps by which `Condition.notify` wakes a thread leaves a held lock in its list."""
    done: list[int] = []

    def left() -> None:
        with WriteBehind(threaded=True) as write:
            write(lambda: done.append(1))
            write.flush()
            while not (waiters := write._jobs.not_empty._waiters):  # type: ignore[attr-defined]
                time.sleep(0.001)
            stale = threading.Lock()
            stale.acquire()
            waiters.appendleft(stale)

    thread = threading.Thread(target=left, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "the thread that writes was never woken"
    assert done == [1]
    assert not alive()
