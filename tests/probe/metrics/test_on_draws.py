"""A metric of all draws together is that of each draw's rows alone."""

import numpy as np
import pytest
from head2toe.probe.metrics import classification
from head2toe.probe.metrics.on_draws import TOGETHER, on_draws

N = 60


def predictions(classes: int, *, coarse: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probabilities, many of them level where they are coarse, labels of which one is rare, and draws."""
    rng = np.random.default_rng(classes)
    labels = np.minimum(rng.integers(classes + 1, size=N), classes - 1)
    labels[labels == 0] = 1
    labels[:2] = 0
    scores = rng.standard_normal((N, classes)) + np.eye(classes)[labels]
    logp = classification.normalized(scores.round() if coarse else scores)
    return logp, labels, rng.multinomial(N, np.full(N, 1 / N), size=40)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("metric", classification.METRICS)
def test_each_draw_is_judged_as_by_itself(metric: str, classes: int, coarse: bool) -> None:
    logp, labels, draws = predictions(classes, coarse=coarse)
    rows = [np.repeat(np.arange(N), draw) for draw in draws]
    alone = [classification.METRICS[metric](logp[own], labels[own]) for own in rows]
    assert on_draws(metric, logp, labels, draws) == pytest.approx(alone, rel=1e-12, nan_ok=True)
    assert any((draw[:2] == 0).all() for draw in draws)  # without a row of the rare class


def test_a_metric_of_one_class_is_not_defined() -> None:
    logp, _, draws = predictions(3, coarse=False)
    assert np.isnan(on_draws("auroc", logp, np.ones(N, np.int64), draws)).all()


def test_a_metric_of_somebodys_own_is_asked_draw_by_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    logp, labels, draws = predictions(3, coarse=False)
    monkeypatch.setitem(classification.METRICS, "mine", lambda _, y: float(y.sum()))
    assert "mine" not in TOGETHER
    assert on_draws("mine", logp, labels, draws).tolist() == (draws @ labels).tolist()
