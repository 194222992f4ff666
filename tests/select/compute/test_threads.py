"""Threads: all jobs run, failures come through, and every thread is on the device."""

import threading

import pytest
from head2toe.select.compute.arrays import Arrays
from head2toe.select.compute.threads import thread_pool
from threadpoolctl import threadpool_limits


class Device:
    """Stands for CuPy's, whose `use` holds for the calling thread alone."""

    def __init__(self):
        self.users = set()

    def use(self):
        self.users.add(threading.get_ident())


@pytest.mark.parametrize("threads", [1, 2])
def test_jobs_run_on_the_device(threads):
    device, seen, meet = Device(), [], threading.Barrier(threads)
    arrays = Arrays(None, device, "cuda:0")
    arrays.enter()

    def job():
        meet.wait(30)
        seen.append(threading.get_ident())

    with threadpool_limits(threads), thread_pool(arrays) as (number, run):
        assert number == threads
        run([job] * 4)
    assert len(seen) == 4
    assert len(set(seen)) == threads
    assert set(seen) <= device.users


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_in_a_thread_is_raised(threads, cpu):
    with threadpool_limits(threads), thread_pool(cpu) as (_, run), pytest.raises(ZeroDivisionError):
        run([lambda: 1 // 0])
