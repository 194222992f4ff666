"""Two ways down: L-BFGS remembers what a step did, also when the penalty changes; Newton comes to the same heads."""

from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from head2toe.probe.heads.descent import MEMORY, Curvature
from head2toe.probe.heads.eigenbasis import Basis, eigenbasis, stack
from head2toe.probe.heads.logistic import logistic_path
from head2toe.select.compute.arrays import Arrays, numpy_arrays, to_numpy


def learned(problems: int, steps: int, seed: int = 0) -> tuple[Curvature, np.ndarray, np.ndarray, np.ndarray]:
    """Of the quadratics 1/2 <x, D x>, by random steps: also D, the last steps and the changes of the gradient."""
    rng = np.random.default_rng(seed)
    D = rng.uniform(0.1, 10.0, (problems, 3, 4))
    curvature = Curvature(xp)
    for _ in range(steps):
        step = rng.standard_normal(D.shape)
        curvature.add(step, D * step)
    return curvature, D, step, D * step


def test_the_last_step_is_what_its_change_of_the_gradient_asks_for() -> None:
    """The secant equation, whatever the preconditioner: H^-1 y = s."""
    curvature, D, step, change = learned(problems=2, steps=MEMORY + 3)
    assert len(curvature.pairs) == MEMORY
    np.testing.assert_allclose(curvature.solve(change, np.ones_like(D)), step, rtol=1e-10)


def test_what_was_learned_survives_a_change_of_the_ridge() -> None:
    curvature, D, step, _ = learned(problems=2, steps=5)
    more = np.array([0.5, 2.0])[:, None, None] * np.ones((1, 1, 4))
    curvature.shift(more)
    np.testing.assert_allclose(curvature.solve((D + more) * step, np.ones_like(D)), step, rtol=1e-10)


def test_a_problem_that_is_done_learns_nothing_and_disturbs_no_other() -> None:
    curvature, D, step, change = learned(problems=1, steps=4)
    both, nothing = Curvature(xp), np.zeros_like(step)
    for s, y, _ in curvature.pairs:
        both.add(np.concatenate([s, nothing]), np.concatenate([y, nothing]))
    directions = both.solve(np.concatenate([change, change]), np.concatenate([np.ones_like(D), 2 * np.ones_like(D)]))
    np.testing.assert_allclose(directions[0], curvature.solve(change, np.ones_like(D))[0])
    np.testing.assert_allclose(directions[1], change[0] / 2)


def quadratic_like(arrays: Arrays, dtype: Any, shares: tuple[float, ...]) -> tuple[Basis, Any]:
    """Folds of unlike difficulty on one set of rows: the labels of the first are noise, of the others less and less."""
    rng = np.random.default_rng(3)
    y = np.arange(90) % 3
    trains, parts = [], []
    for share in shares:
        X = share * rng.standard_normal((3, 40))[y] + rng.standard_normal((90, 40))
        trains.append(arrays.put(np.arange(90) < 75))
        parts.append(eigenbasis(arrays.put(X.T.astype(dtype)), trains[-1], arrays.xp))
    return stack(parts, trains, arrays.xp), arrays.put(np.eye(3, dtype=dtype)[y])


def test_newton_and_l_bfgs_come_to_the_same_heads(arrays: Arrays) -> None:
    found = []
    for on in (arrays, numpy_arrays()):
        basis, Y = quadratic_like(on, np.float64, (0.0, 0.5, 3.0))
        heads = logistic_path(basis, Y, [0.1, 10.0, 1e3], on.xp, tol=1e-9)
        found.append([to_numpy(one.log_probabilities) for one in heads])
    for ours, reference in zip(*found, strict=True):
        np.testing.assert_allclose(np.exp(ours), np.exp(reference), atol=1e-5)


def test_a_fold_that_is_done_is_not_disturbed_by_one_that_takes_long(arrays: Arrays) -> None:
    """Conjugate gradients that go on after convergence blow rounding up, in float32 within fifty steps."""
    basis, Y = quadratic_like(arrays, np.float32, (0.0, 3.0))
    alone = Basis(basis.coordinates[:1, ...], basis.weights[:1, ...], basis.eigenvalues[:1, ...])
    (both,), (one,) = (list(logistic_path(b, Y, [1e3], arrays.xp, tol=1e-3)) for b in (basis, alone))
    assert both.converged
    expected = np.exp(to_numpy(one.log_probabilities)[0])
    np.testing.assert_allclose(np.exp(to_numpy(both.log_probabilities)[0]), expected, atol=0.02)


def test_steps_end_where_rounding_lets_no_tolerance_be_met(arrays: Arrays) -> None:
    basis, Y = quadratic_like(arrays, np.float32, (1.0,))
    (heads,) = logistic_path(basis, Y, [10.0], arrays.xp, tol=1e-12)
    assert not heads.converged
    assert np.isfinite(to_numpy(heads.log_probabilities)).all()
