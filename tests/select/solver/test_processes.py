"""Helpers: what they find is what this process finds, bit for bit, and one that dies is not missed."""

import fcntl
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from head2toe.select.objective.datafits import Multinomial
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.solver import processes as crew_module
from head2toe.select.solver.path import path
from head2toe.select.solver.processes import Crew
from head2toe.select.solver.row_set import RowSet
from head2toe.store.reading.design_matrix import ArrayDesign
from threadpoolctl import threadpool_limits


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 40)).astype(np.float32)
    return X, rng.integers(0, 3, 60)


@pytest.fixture
def tasks(problem, cpu):
    """One task for each of four strengths."""
    X, y = problem
    ones = np.ones(40, np.float32)
    out = []
    for lam in (0.08, 0.06, 0.04, 0.02):
        s = RowSet(y, np.arange(60), X.mean(axis=0), ones, 3, Multinomial(), GroupL21(), cpu)
        s.begin(lam, 1e-3)
        s.working = np.arange(40)
        out.append(s.task(np.ascontiguousarray(X.T), np.arange(40)))
    return out


@pytest.fixture
def crew(cpu, monkeypatch):
    """A crew with one helper that has started."""
    monkeypatch.setattr(crew_module, "WORTH_HELP", -1.0)
    crew = Crew(cpu)
    with threadpool_limits(2):
        yield crew
    crew.close()


def wait_for(helper):
    deadline = time.monotonic() + 60
    while helper.is_starting(0.02) and time.monotonic() < deadline:
        pass
    assert helper.is_ready


def agree(found, expected):
    assert np.array_equal(found.W, expected.W)
    assert np.array_equal(found.b, expected.b)
    assert found.gap == expected.gap


def test_a_helper_finds_the_same(crew, tasks, cpu):
    first = crew.solve(tasks)
    (helper,) = crew._helpers
    wait_for(helper)
    with threadpool_limits(1):
        expected = [task.solve(cpu) for task in tasks]
        agree(helper.solve(tasks[2]), expected[2])
    for found in (first, crew.solve(tasks)):
        for one, other in zip(found, expected, strict=True):
            agree(one, other)


@pytest.mark.parametrize("trouble", ["killed", "not picklable"])
def test_a_helper_that_fails_is_not_missed(crew, tasks, cpu, trouble):
    class Own(GroupL21):
        """A penalty that no other process can know."""

    crew.solve(tasks)
    (helper,) = crew._helpers
    wait_for(helper)
    if trouble == "killed":
        helper._process.kill()
    else:
        tasks = [replace(task, penalty=Own()) for task in tasks]
    found = crew.solve(tasks)
    for one, task in zip(found, tasks, strict=True):
        agree(one, task.solve(cpu))
    assert not helper.is_ready
    assert not helper.is_starting(0)  # nobody waits for it any more


def test_a_user_whose_pipes_take_all_they_may(crew, tasks, monkeypatch):
    """Linux gives an unprivileged user 64 MiB for pipes: thirty helpers, of all runs together."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    crew.solve(tasks)
    wait_for(crew._helpers[0])


def test_a_helper_that_can_t_be_started_is_not_missed(crew, tasks, cpu, monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for one, task in zip(crew.solve(tasks), tasks, strict=True):
        agree(one, task.solve(cpu))


class OfAScript(GroupL21):
    """As if it were written in the script that is run, which helpers don't import."""


def test_what_helpers_cannot_import_is_solved_here_without_a_word(crew, tasks, cpu, monkeypatch, capfd):
    monkeypatch.setattr(OfAScript, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "OfAScript", OfAScript, raising=False)
    crew.call_for_help(2)
    wait_for(crew._helpers[0])
    for found, task in zip(crew.solve([replace(t, penalty=OfAScript()) for t in tasks]), tasks, strict=True):
        agree(found, task.solve(cpu))
    crew.close()
    assert capfd.readouterr().err == ""


def test_errors_of_a_task_are_raised_here(crew, tasks):
    crew.solve(tasks)
    wait_for(crew._helpers[0])
    broken = [replace(task, mean=np.zeros((3, 1), np.float32)) for task in tasks]
    with pytest.raises(ValueError, match="broadcast"):
        crew.solve(broken)


def test_a_path_is_the_same_with_one_thread_and_with_two(problem, cpu, monkeypatch):
    monkeypatch.setattr(crew_module, "WORTH_HELP", -1.0)
    _, y = problem
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
