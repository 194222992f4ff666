"""Worker processes: their solutions are those of this process, bit for bit, and one that dies is not missed."""

import fcntl
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from head2toe.select.objective.datafits import Multinomial
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.solver import processes, subproblem
from head2toe.select.solver.path import path
from head2toe.select.solver.processes import WorkerPool
from head2toe.select.solver.row_set import RowSet
from head2toe.select.solver.subproblem import Subproblem, WorkingFeatures
from head2toe.store.common.errors import StoreError
from head2toe.store.reading.design_matrix import ArrayDesign
from threadpoolctl import threadpool_limits


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 40)).astype(np.float32)
    return X, rng.integers(0, 3, 60)


@pytest.fixture
def subproblems(data, cpu):
    """One for each of four strengths."""
    X, y = data
    ones = np.ones(40, np.float32)
    out = []
    for lam in (0.08, 0.06, 0.04, 0.02):
        s = RowSet(y, np.arange(60), X.mean(axis=0), ones, 3, Multinomial(), GroupL21(), cpu)
        s.begin(lam, 1e-3)
        s.working = np.arange(40)
        out.append(s.subproblem())
    return out


@pytest.fixture(params=["held", "read by each"])
def features(request, data, monkeypatch):
    """The features of all of them, held for all or read by every row set."""
    if request.param == "read by each":
        monkeypatch.setattr(subproblem, "MOST_HELD", 0)
    return WorkingFeatures(ArrayDesign(data[0]), np.arange(40))


@pytest.fixture
def pool(cpu, monkeypatch):
    """A pool that starts one worker as soon as it has something to solve."""
    monkeypatch.setattr(processes, "WORTH_WORKERS", -1.0)
    pool = WorkerPool(cpu)
    with threadpool_limits(2):
        yield pool
    pool.close()


def wait_for(worker):
    deadline = time.monotonic() + 60
    while worker.is_starting(0.02) and time.monotonic() < deadline:
        pass
    assert worker.is_ready


def agree(solution, expected):
    assert np.array_equal(solution.W, expected.W)
    assert np.array_equal(solution.b, expected.b)
    assert solution.gap == expected.gap


def test_a_worker_solves_the_same(pool, subproblems, features, cpu):
    first = pool.solve(subproblems, features)
    (worker,) = pool._workers
    wait_for(worker)
    with threadpool_limits(1):
        expected = [one.solve(features.of(one), cpu) for one in subproblems]
        agree(worker.solve(subproblems[2], features), expected[2])
    for solutions in (first, pool.solve(subproblems, features)):
        for one, other in zip(solutions, expected, strict=True):
            agree(one, other)


@pytest.mark.parametrize("trouble", ["killed", "not picklable"])
def test_a_worker_that_fails_is_not_missed(pool, subproblems, features, cpu, trouble):
    class Own(GroupL21):
        """A penalty that no other process can know."""

    pool.solve(subproblems, features)
    (worker,) = pool._workers
    wait_for(worker)
    if trouble == "killed":
        worker._process.kill()
    else:
        subproblems = [replace(one, penalty=Own()) for one in subproblems]
    solutions = pool.solve(subproblems, features)
    for solution, one in zip(solutions, subproblems, strict=True):
        agree(solution, one.solve(features.of(one), cpu))
    assert not worker.is_ready
    assert not worker.is_starting(0)  # no thread waits for it any more


def test_a_user_whose_pipes_take_all_they_may(pool, subproblems, features, monkeypatch):
    """Linux gives an unprivileged user 64 MiB for pipes: thirty workers, of all runs together."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    pool.solve(subproblems, features)
    wait_for(pool._workers[0])


def test_a_worker_that_can_t_be_started_is_not_missed(pool, subproblems, features, cpu, monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for solution, one in zip(pool.solve(subproblems, features), subproblems, strict=True):
        agree(solution, one.solve(features.of(one), cpu))


class OfAScript(GroupL21):
    """As if it were written in the script that is run, which workers do not import."""


def test_what_workers_cannot_import_is_solved_here_and_nothing_is_printed(
    pool, subproblems, features, cpu, monkeypatch, capfd
):
    monkeypatch.setattr(OfAScript, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "OfAScript", OfAScript, raising=False)
    pool.start(2)
    wait_for(pool._workers[0])
    subproblems = [replace(one, penalty=OfAScript()) for one in subproblems]
    for solution, one in zip(pool.solve(subproblems, features), subproblems, strict=True):
        agree(solution, one.solve(features.of(one), cpu))
    pool.close()
    assert capfd.readouterr().err == ""


def test_an_interrupt_leaves_what_is_waiting(pool, subproblems, features, monkeypatch):
    """Ctrl-C reaches this process; its worker ends what it is at, and takes no more."""
    pool.solve(subproblems, features)
    (worker,) = pool._workers
    wait_for(worker)
    solved = []
    monkeypatch.setattr(worker, "solve", lambda one, _: time.sleep(0.3) or solved.append(one))

    def interrupt(*_):
        time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Subproblem, "solve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.solve(subproblems, features)
    assert len(solved) <= 1


def test_errors_of_a_subproblem_are_raised_here(pool, subproblems, features):
    pool.solve(subproblems, features)
    wait_for(pool._workers[0])
    broken = [replace(one, mean=np.zeros((3, 1), np.float32)) for one in subproblems]
    with pytest.raises(ValueError, match="broadcast"):
        pool.solve(broken, features)


def test_features_that_can_t_be_read_are_an_error_here(pool, subproblems, features, monkeypatch):
    """A worker's thread meets it first; this process reads again, and raises."""
    pool.solve(subproblems, features)
    wait_for(pool._workers[0])

    def refuse(*_):
        raise StoreError("a block is damaged")

    monkeypatch.setattr(WorkingFeatures, "parts", refuse)
    with pytest.raises(StoreError, match="a block is damaged"):
        pool.solve(subproblems, features)


def test_a_path_is_the_same_with_one_thread_and_with_two(data, cpu, monkeypatch):
    monkeypatch.setattr(processes, "WORTH_WORKERS", -1.0)
    _, y = data
    X = np.random.default_rng(1).standard_normal((60, 700)).astype(np.float32)
    masks = np.ones((3, 60), bool)
    masks[0, ::2], masks[1, 1::2] = False, False
    settings = {"n_classes": 3, "ratios": np.geomspace(1, 0.3, 4), "tol": 1e-3, "standardize": True, "arrays": cpu}
    runs = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            runs.append(list(path(ArrayDesign(X), y, masks, **settings)))
    for one, two in zip(*runs, strict=True):
        assert np.array_equal(one.scores, two.scores)
        assert [s.gap for s in one.solutions] == [s.gap for s in two.solutions]
