"""The curvature that L-BFGS keeps: what a step did is remembered exactly, also when the penalty has changed since."""

import array_api_compat.numpy as xp
import numpy as np
from head2toe.probe.heads.lbfgs import MEMORY, Curvature, StackedCurvature
from head2toe.select.compute.arrays import Arrays, to_numpy


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


def test_stacked_products_are_the_two_loops(arrays: Arrays) -> None:
    """Of several problems, before the memory is full and after, and after the ridge has changed."""
    rng = np.random.default_rng(0)
    D = rng.uniform(0.1, 10.0, (3, 2, 5))
    loops, stacked = Curvature(xp), StackedCurvature(arrays.xp)
    for number in range(MEMORY + 4):
        step, gradient, precondition = rng.standard_normal(D.shape), rng.standard_normal(D.shape), D + 1
        np.testing.assert_allclose(
            to_numpy(stacked.solve(arrays.put(gradient), arrays.put(precondition))),
            loops.solve(gradient, precondition),
            rtol=1e-9,
        )
        loops.add(step, D * step)
        stacked.add(arrays.put(step), arrays.put(D * step))
        if number in (4, MEMORY + 1):
            more = rng.uniform(0.1, 1.0, (3, 1, 5))
            loops.shift(more)
            stacked.shift(arrays.put(more))
            D = D + more


def test_stacked_a_problem_that_is_done_forgets_nothing(arrays: Arrays) -> None:
    rng = np.random.default_rng(1)
    D = rng.uniform(0.1, 10.0, (2, 2, 5))
    curvature, ones = StackedCurvature(arrays.xp), arrays.put(np.ones_like(D))
    for _ in range(4):
        step = rng.standard_normal(D.shape)
        curvature.add(arrays.put(step), arrays.put(D * step))
    before = to_numpy(curvature.solve(ones, ones))
    for _ in range(MEMORY):
        step = rng.standard_normal(D.shape)
        step[0] = 0
        curvature.add(arrays.put(step), arrays.put(D * step))
    after = to_numpy(curvature.solve(ones, ones))
    np.testing.assert_allclose(after[0], before[0], rtol=1e-12)
    assert np.abs(after[1] - before[1]).max() > 1e-3
