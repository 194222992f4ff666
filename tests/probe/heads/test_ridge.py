"""Ridge heads are scikit-learn's."""

from collections.abc import Callable

import array_api_compat.numpy as np_xp
import numpy as np
from head2toe.probe.heads.eigenbasis import eigenbasis, stack
from head2toe.probe.heads.ridge import ridge_path
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
