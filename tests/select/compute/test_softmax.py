"""Softmax and its logarithm agree with SciPy's on every namespace, whatever the size of the logits."""

import numpy as np
import pytest
from head2toe.select.compute.arrays import to_numpy
from head2toe.select.compute.softmax import log_softmax, softmax
from scipy import special


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scipy_agrees(axis, size, arrays):
    Z = size * np.random.default_rng(0).standard_normal((4, 5, 6))
    probabilities, log_sum_exp = softmax(arrays.put(Z), arrays.xp, axis=axis)
    np.testing.assert_allclose(to_numpy(probabilities), special.softmax(Z, axis=axis), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(to_numpy(log_sum_exp), special.logsumexp(Z, axis=axis), rtol=1e-12)
    logp = to_numpy(log_softmax(arrays.put(Z), arrays.xp, axis=axis))
    np.testing.assert_allclose(logp, special.log_softmax(Z, axis=axis), rtol=1e-12, atol=1e-12)
