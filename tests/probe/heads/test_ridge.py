"""Ridge heads are scikit-learn's."""

from collections.abc import Callable

import array_api_compat.numpy as np_xp
import numpy as np
from head2toe.probe.heads.eigenbasis import RotatedRows, eigenbasis, stack
from head2toe.probe.heads.ridge import ridge_path, ridge_refits
from head2toe.select.compute.arrays import Arrays, to_numpy
from sklearn.linear_model import Ridge


def test_least_squares_agree_with_scikit_learns_ridge(
    labelled: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> None:
    X, y = labelled(120, 300, 4)
    train = np.arange(120) < 96
    basis = stack([eigenbasis(X.T, train, np_xp)], [train], np_xp)
    for heads in ridge_path(basis, np.eye(4)[y], [1.0, 100.0], np_xp):
        peer = Ridge(alpha=10 / heads.C).fit(X[train], np.eye(4)[y[train]])
        np.testing.assert_allclose(heads.scores[0], peer.predict(X), atol=1e-8)
        np.testing.assert_allclose(basis.coordinates[0] @ heads.theta[0, :-1] + heads.theta[0, -1], heads.scores[0])


def test_refits_on_other_columns_and_at_other_strengths_are_scikit_learns_ridge(
    arrays: Arrays, labelled: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    X, y = labelled(60, 90, 3)
    train, Y = np.arange(60) < 50, np.eye(3)[y]
    columns = (slice(0, 20), slice(0, 90), slice(0, 20))
    values = [arrays.put(np.ascontiguousarray(X.T[some])) for some in columns]
    rows = [RotatedRows.of(one, arrays.put(train), arrays.put(Y), arrays) for one in values]
    settings = [{"C": 1.0, "scale": 1.0}, {"C": 10.0, "scale": 3.0}, {"C": 100.0, "scale": 0.5}]
    for some, head, (coef, intercept) in zip(columns, settings, ridge_refits(rows, settings), strict=True):
        peer = Ridge(alpha=10 / head["C"]).fit(X[train, some], Y[train])
        predicted = X[:, some] @ to_numpy(coef) + to_numpy(intercept)
        np.testing.assert_allclose(predicted, head["scale"] * peer.predict(X[:, some]), atol=1e-5)
    assert ridge_refits([], []) == []
