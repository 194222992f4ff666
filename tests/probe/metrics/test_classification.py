"""Metrics agree with scikit-learn's, ties and absent classes included; impossible predictions are refused."""

import numpy as np
import pytest
from head2toe.probe.metrics import classification
from head2toe.store.common.errors import DataError
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score


def made(classes: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    y = rng.integers(classes, size=n)
    z = rng.standard_normal((n, classes)) + 1.5 * np.eye(classes)[y]
    return classification.normalized(z), y


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_agreement_with_scikit_learn(classes: int) -> None:
    logp, y = made(classes)
    p = np.exp(logp)
    assert classification.accuracy(logp, y) == pytest.approx(accuracy_score(y, p.argmax(1)))
    assert classification.balanced_accuracy(logp, y) == pytest.approx(balanced_accuracy_score(y, p.argmax(1)))
    assert classification.log_loss(logp, y) == pytest.approx(log_loss(y, p))
    peer = roc_auc_score(y, p[:, 1]) if classes == 2 else roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert classification.auroc(logp, y) == pytest.approx(peer)


def test_auroc_leaves_out_absent_classes() -> None:
    logp, y = made(5)
    there = y != 3
    peers = [roc_auc_score(y[there] == c, logp[there, c]) for c in (0, 1, 2, 4)]
    assert classification.auroc(logp[there], y[there]) == pytest.approx(np.mean(peers))
    assert np.isnan(classification.auroc(logp[:10], np.full(10, 2)))
    two, z = made(2)
    assert np.isnan(classification.auroc(two, np.zeros_like(z)))
    assert classification.auroc(np.log(np.full((6, 3), 1 / 3)), np.arange(6) % 3) == pytest.approx(0.5)


def test_impossible_is_finite_and_nan_is_refused() -> None:
    logp = classification.normalized(np.array([[0.0, -np.inf], [-np.inf, 0.0]]))
    assert classification.log_loss(logp, np.array([1, 1])) == pytest.approx(-classification.FLOOR / 2)
    for bad in (np.nan, np.inf):
        with pytest.raises(DataError, match="predicted NaN"):
            classification.normalized(np.array([[0.0, bad]]))


@pytest.mark.parametrize("classes", [3, 10, 100])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_auroc_of_votes_is_that_of_their_numbers(classes: int, k: int) -> None:
    """Equal votes are ties, however the other votes of the row fell; rounding had told them apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=400)
    chances = rng.dirichlet(np.full(classes, 0.5), 400) + np.eye(classes)[y] / 2
    votes = np.stack([rng.multinomial(k, row / row.sum()) for row in chances])
    logp = np.log((votes + 1 / classes) / (k + 1)).astype(np.float32)
    assert classification.auroc(classification.normalized(logp), y) == pytest.approx(
        classification.auroc(votes, y), abs=1e-12
    )
