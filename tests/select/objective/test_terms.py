"""Data terms and penalties keep their promises: derivatives, prox, duality; and rankings break ties by column."""

import numpy as np
import pytest
from head2toe.select.compute.arrays import to_numpy
from head2toe.select.objective.datafits import Multinomial, Quadratic
from head2toe.select.objective.group_penalty import GroupNorm
from head2toe.select.objective.penalties import L1, GroupL21, GroupL21Ridge
from head2toe.select.objective.sparse_group_penalty import SparseGroupNorm
from head2toe.select.ranking.weight_scores import rank

GROUP = np.array([0, 1, 1, 0, 2, 1])
PENALTIES = [GroupL21(), GroupL21Ridge(0.7), L1(), GroupNorm(GROUP), SparseGroupNorm(GROUP, 0.3)]


TERMS = {"multinomial": Multinomial(), "quadratic": Quadratic()}


@pytest.fixture(params=[(name, weighted) for name in TERMS for weighted in (False, True)], ids=str)
def setting(request, arrays):
    rng = np.random.default_rng(0)
    name, weighted = request.param
    datafit = TERMS[name]
    if weighted:
        datafit = datafit.weighted(arrays.put(rng.dirichlet(np.ones(30))))
    y = rng.integers(0, 4, 30) if isinstance(datafit, Multinomial) else rng.standard_normal((30, 4))
    Y = datafit.targets(y, datafit.classes(y, 4), arrays)
    return datafit, Y, arrays.put(rng.standard_normal((30, 4))), arrays.put(rng.standard_normal((30, 4))), arrays


def test_the_intercept_is_exact(setting):
    datafit, Y, Z, _, arrays = setting
    b = datafit.intercept(Z, Y, None, arrays.xp)
    assert np.abs(to_numpy(datafit.evaluate(Z, b, Y, arrays.xp).residual).sum(axis=0)).max() < 1e-12


@pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)
def test_a_weight_of_2_is_the_row_twice(term, arrays):
    rng, xp = np.random.default_rng(4), arrays.xp
    times = np.resize([1, 2, 3], 30)
    y = rng.integers(0, 4, 30) if isinstance(term, Multinomial) else rng.standard_normal((30, 4))
    Z, V = rng.standard_normal((2, 30, 4))
    values = []
    weighted = term.weighted(arrays.put(times / times.sum()))
    for datafit, rows in ((weighted, np.arange(30)), (term, np.arange(30).repeat(times))):
        Y, z, v = datafit.targets(y[rows], np.arange(4), arrays), arrays.put(Z[rows]), arrays.put(V[rows])
        b = datafit.intercept(z, Y, None, xp)
        fit = datafit.evaluate(z, b, Y, xp)
        hessian = xp.sum(v * datafit.hessian(fit.mean, v, xp))
        dual = datafit.dual(fit.residual, Y, 0.7, xp)
        whole = [float(x) for x in (xp.sum(hessian), xp.sum(datafit.weights(fit.mean, xp)))]
        values.append([*to_numpy(b), fit.value, datafit.bregman(fit, v, xp), dual, *whole])
    np.testing.assert_allclose(*values, rtol=1e-10)
    assert weighted.curvature == pytest.approx(term.curvature * 1.5)


def test_derivatives_are_those_of_the_value(setting):
    datafit, Y, Z, V, arrays = setting
    xp, h = arrays.xp, 1e-5
    b = datafit.intercept(Z, Y, None, xp)
    here, ahead, behind = (datafit.evaluate(Z + t * V, b, Y, xp) for t in (0.0, h, -h))
    slope = float(to_numpy(xp.sum(here.residual * V)))
    assert (ahead.value - behind.value) / (2 * h) == pytest.approx(slope, rel=1e-6)
    difference = to_numpy(ahead.residual - behind.residual) / (2 * h)
    np.testing.assert_allclose(to_numpy(datafit.hessian(here.mean, V, xp)), difference, atol=1e-8)
    assert datafit.bregman(here, 0.3 * V, xp) == pytest.approx(
        datafit.evaluate(Z + 0.3 * V, b, Y, xp).value - here.value - 0.3 * slope, abs=1e-12
    )


def test_the_dual_never_exceeds_the_primal_and_meets_it_without_penalty(setting):
    datafit, Y, Z, _, arrays = setting
    b = datafit.intercept(Z, Y, None, arrays.xp)
    fit = datafit.evaluate(0 * Z, datafit.intercept(0 * Z, Y, None, arrays.xp), Y, arrays.xp)
    assert datafit.dual(fit.residual, Y, 1.0, arrays.xp) == pytest.approx(fit.value)
    fit = datafit.evaluate(Z, b, Y, arrays.xp)
    for s in (0.0, 0.3, 1.0):
        assert datafit.dual(fit.residual, Y, s, arrays.xp) <= datafit.evaluate(0 * Z, 0 * b, Y, arrays.xp).value


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
def test_the_prox_is_a_minimum(penalty, arrays):
    rng = np.random.default_rng(1)
    xp, t = arrays.xp, 0.7
    V = rng.standard_normal((6, 3))
    V[0] = 0
    W = penalty.prox(arrays.put(V), t, xp)

    def cost(W):
        return ((to_numpy(W) - V) ** 2).sum() / 2 + penalty.value(W, t, xp)

    best = cost(W)
    for _ in range(200):
        assert best <= cost(W + arrays.put(0.1 * rng.standard_normal(V.shape))) + 1e-12


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
def test_fenchel_young_holds(penalty, cpu):
    """<R, W> <= λΩ(W) + (λΩ)*(sR) for the scaled R, with equality somewhere near the prox."""
    rng = np.random.default_rng(3)
    xp, lam = cpu.xp, 0.4
    for _ in range(50):
        R, W = rng.standard_normal((2, 6, 3))
        s, conjugate = penalty.dual(penalty.pooled(penalty.norms(R, xp), xp), lam, xp)
        assert (s * R * W).sum() <= penalty.value(W, lam, xp) + conjugate + 1e-12


@pytest.mark.parametrize("penalty", [GroupL21(), GroupL21Ridge(0.7)], ids=lambda p: type(p).__name__)
def test_the_local_model_is_that_of_the_penalty(penalty, arrays):
    rng = np.random.default_rng(2)
    W, V = (arrays.put(rng.standard_normal((5, 3))) for _ in range(2))
    h = 1e-6
    here, ahead, behind = (penalty.local(W + s * h * V, 0.3, arrays.xp) for s in (0, 1, -1))
    np.testing.assert_allclose(
        to_numpy(here.hessian(V, arrays.xp)), to_numpy(ahead.gradient - behind.gradient) / (2 * h), atol=1e-7
    )


def test_rank_breaks_ties_by_column():
    scores = np.array([0.5, 2.0, 0.5, 3.0, 0.5, 2.0], np.float32)
    assert rank(scores, 5).tolist() == [3, 1, 5, 0, 2]
    assert rank(scores, 99).tolist() == [3, 1, 5, 0, 2, 4]
    assert rank(scores, 0).tolist() == []
    rng = np.random.default_rng(0)
    many = rng.integers(0, 50, 1000).astype(np.float32)
    assert rank(many, 300).tolist() == np.argsort(-many, kind="stable")[:300].tolist()
