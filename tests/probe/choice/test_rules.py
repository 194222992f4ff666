"""What the folds choose, and what the choice is worth on rows without a say in it."""

import numpy as np
import pytest
from head2toe.probe.choice.rules import BestHead, Stacking, merits_over_folds
from head2toe.probe.choice.trials import Library
from head2toe.probe.metrics.calibration import temperature_of
from head2toe.probe.metrics.classification import LESS_IS_BETTER, METRICS
from head2toe.store.common.errors import DataError
from scipy.special import log_softmax

N, CLASSES = 100, 3
LABELS, FOLDS = np.random.default_rng(0).permutation(N) % CLASSES, np.arange(N) * 5 // N
ALL_ROWS = np.ones((1, N), np.int64)


def library(*skills: float, sizes: list[int] | None = None, seed: int = 0) -> Library:
    """A head for each skill, 0 being none."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((len(skills), N, CLASSES))
    scores[:, np.arange(N), LABELS] += np.asarray(skills)[:, None]
    return Library.of(list(log_softmax(scores, axis=2)), LABELS, FOLDS, sizes or [10] * len(skills))


def right_in(*shares: float, sizes: list[int], losses: list[float] | None = None) -> Library:
    """Heads with an accuracy (and a certainty, which decides the log-loss) of their own, the same in every fold."""
    predictions = []
    for share, certainty in zip(shares, losses or [0.8] * len(shares), strict=True):
        predicted = LABELS.copy()
        for fold in range(5):
            wrong = np.flatnonzero(fold == FOLDS)[: round(20 * (1 - share))]
            predicted[wrong] = (predicted[wrong] + 1) % CLASSES
        others = (1 - certainty) / (CLASSES - 1)
        predictions.append(np.log(np.where(np.eye(CLASSES)[predicted] > 0, certainty, others)))
    return Library.of(predictions, LABELS, FOLDS, sizes)


def chosen(rule: BestHead, heads: Library) -> int:
    return int(rule.choose(heads, 0).weights.argmax())


def test_the_best_wins_and_the_log_loss_then_the_fewest_features_settle_ties() -> None:
    assert chosen(BestHead(), right_in(0.8, 0.9, 0.85, sizes=[5, 500, 5])) == 1
    assert chosen(BestHead(), right_in(0.9, 0.9, 0.9, sizes=[5, 500, 5], losses=[0.7, 0.8, 0.75])) == 1
    assert chosen(BestHead(), right_in(0.9, 0.9, 0.9, sizes=[50, 5, 5], losses=[0.8, 0.8, 0.8 + 1e-7])) == 1


def test_the_simplest_has_the_fewest_features_within_one_standard_error() -> None:
    heads = library(2.0, 1.9, 1.8, 0.1, sizes=[500, 50, 50, 5])
    merits, errors = merits_over_folds(heads, ALL_ROWS, "accuracy")
    within = [k for k in range(4) if merits[0, k] >= merits[0].max() - errors[0, merits[0].argmax()]]
    assert 3 not in within
    assert chosen(BestHead(simplest=True), heads) in [k for k in within if heads.sizes[k] == 50]
    without_spread = right_in(0.9, 0.85, sizes=[500, 5])
    assert chosen(BestHead(simplest=True), without_spread) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_rows_count_as_often_as_they_were_drawn(metric: str) -> None:
    """A merit is the mean over the folds of the metric of the rows, each there as often as it was drawn."""
    heads = library(1.0, 2.0, 0.2)
    draws = np.concatenate([ALL_ROWS, np.random.default_rng(1).multinomial(N, np.full(N, 1 / N), size=3)])
    merits, errors = merits_over_folds(heads, draws, metric)
    sign = -1 if metric in LESS_IS_BETTER else 1
    for draw, merit, error in zip(draws, merits, errors, strict=True):
        rows = [np.repeat(np.flatnonzero(fold == FOLDS), draw[fold == FOLDS]) for fold in range(5)]
        for head, logp in enumerate(heads.log_probabilities):
            values = [METRICS[metric](logp[drawn].astype(float), LABELS[drawn]) for drawn in rows]
            assert merit[head] == pytest.approx(sign * np.mean(values), abs=1e-5)
            assert error[head] == pytest.approx(np.std(values, ddof=1) / np.sqrt(5), abs=1e-5)


def test_a_fold_without_two_classes_has_no_say_in_the_area_under_the_curve() -> None:
    folds = np.where(LABELS == 0, 0, 1 + np.arange(N) % 2)
    scores = np.random.default_rng(0).standard_normal((2, N, CLASSES))
    heads = Library.of(list(log_softmax(scores, axis=2)), LABELS, folds, [1, 1])
    merits, _ = merits_over_folds(heads, ALL_ROWS, "auroc")
    expected = np.mean([METRICS["auroc"](heads.log_probabilities[0][folds == k], LABELS[folds == k]) for k in (1, 2)])
    assert merits[0, 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rule", [BestHead(), BestHead("log_loss"), Stacking(20)])
def test_heads_that_know_nothing_are_found_out(rule: BestHead | Stacking) -> None:
    """Of 300 guesses the luckiest looks good on the rows that chose it; corrected, it is worth a guess."""
    heads = library(*[0.0] * 300)
    verdict = rule.choose(heads, 0)
    plain = (np.tensordot(verdict.weights, heads.log_probabilities, 1).argmax(1) == LABELS).mean()
    corrected = verdict.corrected["accuracy"]
    assert plain > 0.4
    assert abs(corrected.value - 1 / 3) < 0.08
    assert corrected.interval is not None
    assert corrected.interval.low < 1 / 3 < corrected.interval.high


@pytest.mark.parametrize("rule", [BestHead(), Stacking(20)])
def test_where_there_is_nothing_to_choose_nothing_is_corrected(rule: BestHead | Stacking) -> None:
    heads = library(2.0)
    verdict = rule.choose(heads, 0)
    assert verdict.weights.tolist() == [1.0]
    assert verdict.corrected["accuracy"].value == pytest.approx(
        (heads.log_probabilities.argmax(axis=2) == heads.labels).mean(), abs=0.02
    )
    assert verdict.corrected["log_loss"].value == pytest.approx(heads.losses.mean(), abs=0.03)
    assert set(verdict.corrected) == set(METRICS)


def test_averaging_brings_what_no_single_head_has() -> None:
    heads = library(*[1.0] * 30)
    verdict = Stacking(8).choose(heads, 0)
    assert 2 <= np.count_nonzero(verdict.weights) <= 8
    assert verdict.weights.sum() == pytest.approx(1)
    single = BestHead("log_loss").choose(heads, 0)
    assert verdict.corrected["log_loss"].value < 0.9 * single.corrected["log_loss"].value
    again = Stacking(8).choose(heads, 0)
    assert np.array_equal(again.weights, verdict.weights)


def test_a_single_row_leaves_nothing_to_judge_by() -> None:
    heads = Library.of([np.log([[0.2, 0.8]])], np.array([1]), np.array([0]), [3])
    for rule in (BestHead(), Stacking(5)):
        assert rule.choose(heads, 0).corrected == {}


def test_rows_that_always_train_are_left_out_and_nan_is_refused() -> None:
    logp = np.log(np.full((4, 2), 0.5))
    logp[0] = np.nan
    heads = Library.of([logp], np.array([0, 1, 0, 1]), np.array([-1, 0, 0, 1]), [2])
    assert heads.log_probabilities.shape == (1, 3, 2)
    assert heads.n_folds == 2
    with pytest.raises(DataError, match="predicted NaN"):
        Library.of([logp], np.array([0, 1, 0, 1]), np.array([0, 0, 0, 1]), [2])


def test_probabilities_are_calibrated_on_rows_without_a_say() -> None:
    """Of heads that know nothing, the mean of the luckiest looks sure of itself on the rows that chose it."""
    heads = library(*[0.0] * 300)
    verdict = Stacking(20).choose(heads, 0)
    assert verdict.log_probabilities.shape == (N, CLASSES)
    plain = log_softmax(np.tensordot(verdict.weights, heads.log_probabilities, 1), axis=1)
    rows = np.arange(N)
    assert -plain[rows, LABELS].mean() < np.log(CLASSES) - 0.02
    assert -verdict.log_probabilities[rows, LABELS].mean() > np.log(CLASSES) - 0.02
    assert temperature_of(plain, LABELS) < 1 < temperature_of(verdict.log_probabilities, LABELS)
    assert temperature_of(np.full((3, 2), np.nan), np.zeros(3, int)) == 1.0
