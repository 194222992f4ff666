"""Metrics agree with scikit-learn's; a temperature undoes what sharpened the probabilities; tests between methods."""

import numpy as np
import pytest
from head2toe.probe.metrics import calibration, classification
from head2toe.probe.metrics.uncertainty import McNemar, accuracy_interval
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


def test_the_temperature_scales_with_the_logits() -> None:
    logp, y = made(5)
    once, thrice = (calibration.fit_temperature(classification.normalized(k * logp), y) for k in (1, 3))
    assert thrice == pytest.approx(3 * once, rel=1e-3)


def test_mcnemar_is_symmetric_and_certain_intervals_have_width() -> None:
    a, b = np.random.default_rng(0).random((2, 200)) < 0.7
    assert McNemar.of(a, b).p == McNemar.of(b, a).p
    assert McNemar.of(a, a).p == 1
    assert accuracy_interval(np.ones(50, dtype=bool), 0).low < 0.95


def test_calibration_error_of_known_cases() -> None:
    """Sure and always right: 0. Always 0.8 sure and right in 6 of 10: 0.2. Over all rows, not over bins."""
    y = np.arange(10) % 2
    assert calibration.ece(classification.normalized(np.log(np.eye(2)[y] * 0.999998 + 1e-6)), y) == pytest.approx(
        0, abs=1e-5
    )
    taken = np.where(np.arange(10) < 6, y, 1 - y)
    logp = np.log(np.where(np.eye(2)[taken] > 0, 0.8, 0.2))
    assert calibration.ece(logp, y) == pytest.approx(0.2)
    counts, confidence, right = calibration.reliability(logp, y)
    assert counts.sum() == 10
    assert confidence[counts > 0] == pytest.approx([0.8])
    assert right[counts > 0] == pytest.approx([0.6])
    assert np.isnan(right[counts == 0]).all()


def test_temperature_mends_calibration_and_leaves_the_order() -> None:
    """Labels drawn from the stated probabilities are calibrated; sharpened threefold, they are not."""
    rng = np.random.default_rng(0)
    true = classification.normalized(2 * rng.standard_normal((4000, 5)))
    y = np.array([rng.choice(5, p=row) for row in np.exp(true)])
    sharp = classification.normalized(3 * true)
    temperature = calibration.fit_temperature(sharp, y)
    mended = classification.normalized(sharp, temperature)
    assert temperature == pytest.approx(3, rel=0.1)
    assert calibration.ece(true, y) < 0.03
    assert calibration.ece(mended, y) < 0.03 < calibration.ece(sharp, y)
    assert np.array_equal(mended.argmax(1), sharp.argmax(1))


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
