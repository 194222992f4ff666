"""Intervals cover what they should about as often as they should, and pairing tells what two intervals can't."""

import numpy as np
import pytest
from head2toe.probe.metrics.uncertainty import (
    DRAWS,
    Interval,
    McNemar,
    Mean,
    accuracy_interval,
    balanced_accuracy_interval,
    mean_interval,
    paired_difference,
)
from scipy.stats import binom


def test_the_bootstrap_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        interval = accuracy_interval(rng.random(250) < 0.8, seed=trial)
        covered += interval.low <= 0.8 <= interval.high
    # Of 200 intervals that cover with probability 0.95, fewer than 178 do once in ten thousand.
    assert binom.cdf(177, 200, 0.95) < 1e-3
    assert 178 <= covered < 200


def test_the_interval_has_the_width_of_the_normal_approximation() -> None:
    right = np.arange(2000) % 10 < 7
    interval = accuracy_interval(right, 0)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 2000), rel=0.1)
    assert (interval.low + interval.high) / 2 == pytest.approx(0.7, abs=0.005)


def test_the_paired_bootstrap_sees_what_single_intervals_hide() -> None:
    rng = np.random.default_rng(1)
    b = rng.random(1000) < 0.7
    a = b | (rng.random(1000) < 0.1)  # never worse, a little better
    single = [accuracy_interval(x, 0) for x in (a, b)]
    assert single[0].low < single[1].high
    assert paired_difference(a, b, 0).low > 0
    assert McNemar.of(a, b).p < 1e-4
    level = paired_difference(a, a, 0)
    assert (level.low, level.high) == (0, 0)
    there, back = paired_difference(a, b, 0), paired_difference(b, a, 0)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_the_same_seed_draws_the_same_resamples_for_every_statistic() -> None:
    values = np.random.default_rng(2).random(50)
    once, twice = (mean_interval(factor * values, seed=3) for factor in (1, 2))
    assert ends(twice) == pytest.approx(tuple(2 * end for end in ends(once)), rel=1e-12)
    assert mean_interval(values, seed=3) == once
    assert mean_interval(values, seed=4) != once
    right = values < 0.7
    assert ends(balanced_accuracy_interval(right, np.zeros(50, int), 3)) == pytest.approx(
        ends(accuracy_interval(right, 3)), rel=1e-12
    )


@pytest.mark.parametrize("n", [50, 3000])
def test_intervals_are_quantiles_over_resamples_of_the_rows(n: int) -> None:
    """Published figures must come out again: the rows that a seed draws are part of what is documented."""
    rng = np.random.default_rng(n)
    labels, values = rng.integers(4, size=n), rng.standard_normal(n)
    right = values < 0.7
    drawn = np.random.default_rng(7).integers(n, size=(DRAWS, n))
    assert ends(mean_interval(values, 7)) == pytest.approx(
        np.quantile(values[drawn].mean(axis=1), (0.025, 0.975)), abs=1e-12
    )
    shares = [np.mean([right[rows][labels[rows] == c].mean() for c in np.unique(labels[rows])]) for rows in drawn]
    assert ends(balanced_accuracy_interval(right, labels, 7)) == pytest.approx(
        np.quantile(shares, (0.025, 0.975)), abs=1e-12
    )


def test_a_single_row_is_its_own_interval() -> None:
    assert ends(mean_interval(np.array([0.3]), 0)) == (0.3, 0.3)
    assert ends(balanced_accuracy_interval(np.array([True]), np.array([2]), 0)) == (1.0, 1.0)
    assert ends(accuracy_interval(np.array([True]), 0)) == pytest.approx((0.025, 1.0))


def test_large_test_sets_are_resampled_in_pieces() -> None:
    interval = mean_interval(np.arange(100_000) % 2, 0)
    assert 0.49 < interval.low < 0.5 < interval.high < 0.51


def test_balanced_accuracy_weighs_classes_alike_and_bears_a_class_of_one_row() -> None:
    labels = np.array([0] * 99 + [1])
    right = labels == 0  # 99 % accurate, 50 % balanced
    interval = balanced_accuracy_interval(right, labels, 0)
    assert interval.low == pytest.approx(0.5)
    assert interval.high == pytest.approx(1.0)  # resamples without class 1


def test_means_leave_out_what_is_not_defined() -> None:
    assert Mean.of([0.5, float("nan"), 0.7]) == Mean.of([0.5, 0.7])
    assert Mean.of([0.5, 0.7]).stderr == pytest.approx(0.1)
    assert np.isnan(Mean.of([0.5]).stderr)
    assert np.isnan(Mean.of([]).mean)


def test_mcnemar_is_symmetric_and_certain_intervals_have_width() -> None:
    a, b = np.random.default_rng(0).random((2, 200)) < 0.7
    assert McNemar.of(a, b).p == McNemar.of(b, a).p
    assert McNemar.of(a, a).p == 1
    assert accuracy_interval(np.ones(50, dtype=bool), 0).low < 0.95
