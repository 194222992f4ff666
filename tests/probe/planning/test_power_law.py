"""The law is found again where there is one, and what it promises comes with an interval that noise widens."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from head2toe.probe.metrics.uncertainty import Interval
from head2toe.probe.planning.learning_curve import LearningCurve, Point
from head2toe.probe.planning.power_law import PowerLaw, fit

SIZES = (125, 180, 250, 350, 500)


def extrapolate(
    sizes: Sequence[int], accuracies: Sequence[float], errors: Sequence[float], n: int, seed: int = 0
) -> tuple[float, Interval]:
    """What a curve through these points promises at n labels."""
    return LearningCurve("linear", tuple(map(Point, sizes, accuracies, errors)), seed).at(n)


@pytest.mark.parametrize("law", [PowerLaw(0.95, 100.0, 0.8), PowerLaw(1.0, 60.0, 0.5), PowerLaw(1.0, 800.0, 1.2)])
def test_a_law_is_found_again(law: PowerLaw) -> None:
    accuracies = [float(law(n)) for n in SIZES]
    found = fit(SIZES, accuracies, [0.002] * len(SIZES))
    assert float(found(1000)) == pytest.approx(float(law(1000)), abs=0.005)
    assert 0 <= found.limit <= 1


def test_points_of_more_labels_count_more() -> None:
    """Points that lie off the law by as much: the first is followed less than the last."""
    law = PowerLaw(0.95, 80.0, 0.8)
    off = {}
    for place in (0, 4):
        accuracies = [float(law(n)) for n in SIZES]
        accuracies[place] -= 0.1
        off[place] = abs(float(fit(SIZES, accuracies, [0.01] * 5)(SIZES[place])) - accuracies[place])
    assert off[4] < 0.7 * off[0]


def test_noise_widens_the_interval_and_the_seed_draws_it() -> None:
    law = PowerLaw(0.95, 80.0, 0.8)
    accuracies = [float(law(n)) for n in SIZES]
    sure = extrapolate(SIZES, accuracies, [0.002] * 5, 1000)
    unsure = extrapolate(SIZES, accuracies, [0.02] * 5, 1000)
    assert sure[1].low <= sure[0] <= sure[1].high
    assert unsure[1].high - unsure[1].low > 2 * (sure[1].high - sure[1].low)
    assert extrapolate(SIZES, accuracies, [0.02] * 5, 1000) == unsure
    assert extrapolate(SIZES, accuracies, [0.02] * 5, 1000, seed=1)[1] != unsure[1]


@pytest.mark.parametrize("accuracies", [[0.5] * 5, [1.0] * 5, [0.0] * 5, [0.6, 0.5, 0.4, 0.3, 0.2]])
def test_a_flat_or_falling_curve_promises_no_more_than_all(accuracies: list[float]) -> None:
    promised, interval = extrapolate(SIZES, accuracies, [0.0] * 5, 4000)
    assert 0 <= interval.low <= interval.high <= 1
    assert np.isfinite(promised)


def test_errors_of_many_labels_fall_as_a_power() -> None:
    law = PowerLaw(0.9, 50.0, 0.7)
    missing = [0.9 - float(law(n)) for n in (1e6, 2e6)]
    assert missing[1] / missing[0] == pytest.approx(2**-0.7, rel=1e-3)


def test_a_curve_that_is_still_at_its_beginning_goes_on_to_rise() -> None:
    """Equal steps of the logit for equal factors: between 500 and 1000 labels it rises by more than ever before."""
    law = PowerLaw(1.0, 600.0, 1.0)
    accuracies = [float(law(n)) for n in SIZES]
    promised, _ = extrapolate(SIZES, accuracies, [0.01] * 5, 1000)
    assert promised == pytest.approx(float(law(1000)), abs=0.01)
    assert promised - accuracies[-1] > accuracies[-1] - accuracies[-3]


def test_folds_that_agree_by_chance_do_not_bind_the_law() -> None:
    """A standard error of five folds that is ten times too small is not taken at its word."""
    law, lucky = PowerLaw(0.95, 80.0, 0.8), [0.015] * 5
    accuracies = [float(law(n)) for n in SIZES]
    accuracies[2] += 0.015
    lucky[2] = 0.002
    told = extrapolate(SIZES, accuracies, lucky, 1000)[0]
    assert told == pytest.approx(extrapolate(SIZES, accuracies, [0.015] * 5, 1000)[0], abs=0.006)


def test_a_point_is_judged_by_the_means_of_its_repeats_on_each_fold() -> None:
    point = Point.of(125, np.array([[0.6, 0.7, 0.8], [0.8, 0.7, 0.6]]))
    assert (point.labels, point.accuracy) == (125, pytest.approx(0.7))
    assert point.error == pytest.approx(0, abs=1e-12)
    alone = Point.of(125, np.array([[0.6, 0.7, 0.8]]))
    assert alone.error == pytest.approx(0.1 / 3**0.5)


def test_repeats_bring_what_is_promised_nearer_to_what_comes() -> None:
    """Points that chance moves, as often as it is: with four repeats half as far as with one."""
    law, rng = PowerLaw(1.0, 60.0, 0.5), np.random.default_rng(0)
    off: dict[int, list[float]] = {1: [], 4: []}
    for repeats, _ in itertools.product(off, range(40)):
        accuracies = [float(law(n)) + rng.normal(0, 0.02, (repeats, 5)) for n in SIZES]
        points = tuple(Point.of(n, found) for n, found in zip(SIZES, accuracies, strict=True))
        off[repeats].append(abs(float(LearningCurve("linear", points).law(1000)) - float(law(1000))))
    assert np.mean(off[4]) < 0.65 * np.mean(off[1])
