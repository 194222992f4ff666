"""Metrics agree with scikit-learn's; a temperature undoes what sharpened the probabilities; tests between methods."""

import numpy as np
import pytest
from head2toe.probe import metrics
from head2toe.probe.uncertainty import McNemar, accuracy_interval
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score


def made(classes: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    y = rng.integers(classes, size=n)
    z = rng.standard_normal((n, classes)) + 1.5 * np.eye(classes)[y]
    return metrics.normalized(z), y


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_agreement_with_scikit_learn(classes: int) -> None:
    logp, y = made(classes)
    p = np.exp(logp)
    assert metrics.accuracy(logp, y) == pytest.approx(accuracy_score(y, p.argmax(1)))
    assert metrics.balanced_accuracy(logp, y) == pytest.approx(balanced_accuracy_score(y, p.argmax(1)))
    assert metrics.log_loss(logp, y) == pytest.approx(log_loss(y, p))
    peer = roc_auc_score(y, p[:, 1]) if classes == 2 else roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert metrics.auroc(logp, y) == pytest.approx(peer)


def test_the_temperature_scales_with_the_logits() -> None:
    logp, y = made(5)
    once, thrice = (metrics.fit_temperature(metrics.normalized(k * logp), y) for k in (1, 3))
    assert thrice == pytest.approx(3 * once, rel=1e-3)


def test_mcnemar_is_symmetric_and_certain_intervals_have_width() -> None:
    a, b = np.random.default_rng(0).random((2, 200)) < 0.7
    assert McNemar.of(a, b).p == McNemar.of(b, a).p
    assert McNemar.of(a, a).p == 1
    assert accuracy_interval(np.ones(50, dtype=bool), 0).low < 0.95
