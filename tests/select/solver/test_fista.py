"""Proximal gradient descends, even where the Lipschitz constant was found too small."""

import numpy as np
import pytest
from head2toe.select.objective.datafits import Multinomial
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.objective.problem import Problem
from head2toe.select.solver.fista import fista_steps, smoothness
from head2toe.select.solver.path import path
from head2toe.store.reading.design_matrix import ArrayDesign


@pytest.fixture
def problem(make_data, cpu):
    X, y = make_data(n=60, d=5)
    rows = np.ascontiguousarray((X - X.mean(axis=0)).T)
    return Problem(rows, np.eye(3)[y], 0.02, Multinomial(), GroupL21(), cpu.xp)


def test_fista_steps_do_not_climb(problem):
    W, Z = np.zeros((5, 3)), np.zeros((60, 3))
    b, fit = problem.evaluate(Z, np.zeros(3))
    too_long = 1e4 / smoothness(problem)
    end = fista_steps(problem, W, Z, b, fit, problem.gradient(fit.residual), too_long, too_long, 10)
    reached = problem.datafit.evaluate(end.Z, b, problem.Y, problem.xp).value
    assert reached + problem.penalty.value(end.W, problem.lam, problem.xp) < fit.value
    assert end.step < too_long


def test_a_first_row_at_the_mean_says_nothing_of_the_lipschitz_constant(cpu):
    """Power iterations begin at that row; at zero they found nothing, and steps of 1e30 were taken."""
    X, y = np.float32([1, 0, 2, 0, 2, 0, 2, 1, 1])[:, None], np.array([0, 0, 1, 0, 1, 1, 1, 0, 1])
    masks = np.ones((1, len(y)), bool)
    points = list(path(ArrayDesign(X), y, masks, n_classes=2, ratios=(1.0, 0.7, 0.5), tol=1e-3, arrays=cpu))
    assert all(point.solutions[0].converged for point in points)
    assert len(points[-1].solutions[0].columns) == 1
