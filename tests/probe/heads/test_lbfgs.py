"""The curvature that L-BFGS keeps: what a step did is remembered exactly, also when the penalty has changed since."""

import array_api_compat.numpy as xp
import numpy as np
from head2toe.probe.heads.lbfgs import MEMORY, Curvature


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
