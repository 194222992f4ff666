"""The terms of a stack are those of each problem alone, whatever fills it up."""

import numpy as np
import pytest
from head2toe.select.compute.arrays import to_numpy
from head2toe.select.lockstep.chosen_rows import ChosenRows
from head2toe.select.lockstep.stack import Stack
from head2toe.select.objective.datafits import Multinomial
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.objective.problem import DualPoint, Problem, best_dual

CLASSES, SHAPES = 4, ((7, 30), (5, 30), (7, 21))
P, N = 7, 30


class Several:
    """Three problems, each alone and all in a stack, with weights and residuals to look at them from."""

    def __init__(self, arrays, cpu, weighted):
        rng, xp = np.random.default_rng(0), arrays.xp
        self.cpu, self.problems, self.W, self.b, shares = cpu, [], [], [], []
        for k, (p, n) in enumerate(SHAPES):
            own = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
            shares.append(own / own.sum())
            datafit = Multinomial(shares[-1]) if weighted else Multinomial()
            Y = np.eye(CLASSES)[np.arange(n) % CLASSES]
            X = rng.standard_normal((p, n)).astype(np.float32)
            self.problems.append(Problem(X, Y, 0.05 * (k + 1), datafit, GroupL21(), cpu.xp))
            self.W.append(rng.standard_normal((p, CLASSES)))
            self.b.append(rng.standard_normal(CLASSES))
        lam = arrays.put(np.array([one.lam for one in self.problems])[:, None, None])
        X, Y = (self.filled([getattr(one, name) for one in self.problems]) for name in ("X", "Y"))
        self.stack = Stack.of(
            arrays.put(X), arrays.put(Y), arrays.put(self.filled([own[:, None] for own in shares])), lam, xp
        )
        self.stacked_W = arrays.put(self.filled(self.W))
        self.stacked_b = arrays.put(np.stack(self.b)[:, None, :])

    @staticmethod
    def filled(parts):
        shape = np.max([part.shape for part in parts], axis=0)
        out = np.zeros((len(parts), *shape), parts[0].dtype)
        for k, part in enumerate(parts):
            out[(k, *map(slice, part.shape))] = part
        return out

    def check(self, found, expected, **tolerance):
        """Compare what the stack gives with what each problem gives; what fills up is zero."""
        np.testing.assert_allclose(to_numpy(found), self.filled(expected), **{"rtol": 1e-4, "atol": 1e-6} | tolerance)

    def fits(self):
        return [p.datafit.evaluate(p.predict(W), b, p.Y, np) for p, W, b in self.each()]

    def each(self):
        return zip(self.problems, self.W, self.b, strict=True)


@pytest.fixture(params=[False, True], ids=["rows alike", "rows weighted"])
def several(request, arrays, cpu):
    return Several(arrays, cpu, request.param)


def of_each(values):
    return [np.full((1, 1), value) for value in values]


def test_the_data_term(several):
    stack, alone = several.stack, several.fits()
    Z = stack.predict(several.stacked_W)
    fit = stack.evaluate(Z, several.stacked_b)
    several.check(fit.value, of_each(one.value for one in alone))
    several.check(fit.residual, [one.residual for one in alone])
    G = stack.gradient(fit.residual)
    several.check(G, [p.gradient(one.residual) for p, one in zip(several.problems, alone, strict=True)])


def test_the_intercepts(several):
    b, fit = several.stack.with_intercept(several.stack.predict(several.stacked_W), several.stacked_b)
    alone = [p.evaluate(p.predict(W), b) for p, W, b in several.each()]
    several.check(b, [own[None, :] for own, _ in alone])
    several.check(fit.value, of_each(one.value for _, one in alone))
    several.check(fit.residual, [one.residual for _, one in alone])
    assert np.abs(to_numpy(fit.residual).sum(axis=1)).max() < 1e-11


def test_distances_and_hessians(several, arrays):
    stack, alone, rng = several.stack, several.fits(), np.random.default_rng(1)
    fit = stack.evaluate(stack.predict(several.stacked_W), several.stacked_b)
    for size in (1e-6, 1.0, 30.0):
        steps = [size * rng.standard_normal(p.Y.shape) for p in several.problems]
        expected = [p.datafit.bregman(f, dZ, np) for p, f, dZ in zip(several.problems, alone, steps, strict=True)]
        several.check(stack.bregman(fit, arrays.put(several.filled(steps))), of_each(expected), atol=0)
    low = [f.mean.astype(np.float32) for f in alone]
    products = [
        p.datafit.hessian(m, V.astype(np.float32), np) for p, m, V in zip(several.problems, low, steps, strict=True)
    ]
    V = arrays.put(several.filled([V.astype(np.float32) for V in steps]))
    several.check(stack.hessian(stack.low(fit.mean), V), products)
    weights = [p.datafit.weights(f.mean, np)[:, None] for p, f in zip(several.problems, alone, strict=True)]
    several.check(stack.weights(fit.mean), weights)


def test_a_step_that_overflows_is_far(several, arrays):
    stack = several.stack
    fit = stack.evaluate(stack.predict(several.stacked_W), several.stacked_b)
    dZ = np.zeros((len(SHAPES), N, CLASSES))
    dZ[:, :, 0] = 2000.0
    assert (to_numpy(stack.bregman(fit, arrays.put(dZ))) > 100).all()


def test_the_penalty(several, arrays):
    stack, step = several.stack, np.array([0.5, 2.0, 7.0])
    several.check(
        stack.penalty(several.stacked_W), of_each(p.penalty.value(W, p.lam, np) for p, W, _ in several.each())
    )
    found = stack.prox(several.stacked_W, arrays.put(step[:, None, None]))
    several.check(found, [p.penalty.prox(W, t * p.lam, np) for (p, W, _), t in zip(several.each(), step, strict=True)])


def test_dual_points_and_mixtures(several, arrays):
    stack, rng = several.stack, np.random.default_rng(2)
    known = [1e-3 * (p.Y - p.Y.mean(axis=0)) * rng.uniform(0.2, 3) for p in several.problems]
    newest = [one.residual for one in several.fits()]
    expected = []
    for p, G, H in zip(several.problems, known, newest, strict=True):
        expected.append(best_dual(p, DualPoint.of(p, G, p.gradient(G)), H, p.gradient(H)))
    first, second = (
        stack.dual_point(arrays.put(G), stack.gradient(arrays.put(G))) for G in map(several.filled, (known, newest))
    )
    found = first.improved(second, stack)
    several.check(found.value, of_each(one.value for one in expected))
    several.check(found.residual, [one.residual for one in expected])
    several.check(found.norms, [one.norms for one in expected])


def test_rows_are_taken_and_put_back(arrays):
    A = np.arange(2 * 5 * 3, dtype=np.float64).reshape(2, 5, 3) + 1
    chosen = np.array([[0, 1, 0, 1, 1], [1, 0, 0, 0, 0]], bool)
    rows = ChosenRows.of(arrays.put(chosen), 3, arrays.xp)
    taken = rows.take(arrays.put(A))
    np.testing.assert_array_equal(to_numpy(taken)[0], A[0, [1, 3, 4]])
    np.testing.assert_array_equal(to_numpy(taken)[1], [A[1, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(to_numpy(rows.put_back(taken)), A * chosen[:, :, None])
