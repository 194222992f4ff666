"""The true class is in a set as often as is asked, whatever the model and however few rows were held out."""

from itertools import pairwise

import numpy as np
import pytest
from head2toe.extract.uncertainty.columns import set_cells
from head2toe.extract.uncertainty.prediction_sets import prediction_sets, rows_needed, threshold
from head2toe.store.common.errors import BadRequest


def drawn(rng: np.random.Generator, n: int, classes: int = 5, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a poor classifier that is far too sure of itself, and the true classes."""
    labels = rng.integers(classes, size=n)
    z = rng.standard_normal((n, classes))
    z[np.arange(n), labels] += skill
    odds = np.exp(4 * z)
    return odds / odds.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.8), (30, 0.9), (199, 0.95), (50, 0.5)])
def test_sets_hold_the_true_class_as_often_as_is_asked(n: int, coverage: float) -> None:
    """Over many draws of both held-out rows and new images, with k / (n + 1) known exactly."""
    rng, hits, draws, new = np.random.default_rng(0), [], 400, 50
    for _ in range(draws):
        probabilities, labels = drawn(rng, n + new)
        held_out = np.sort(probabilities[np.arange(n), labels[:n]])
        sets = probabilities[n:] >= threshold(held_out, coverage)
        hits.append(sets[np.arange(new), labels[n:]].mean())
    exact = 1 - np.floor((n + 1) * (1 - coverage) + 1e-9) / (n + 1)
    error = float(np.std(hits) / np.sqrt(draws))
    assert exact >= coverage - 1e-9
    assert abs(np.mean(hits) - exact) < 4 * error, (np.mean(hits), exact, error)
    # One rank further would not do: the rule is as sharp as it may be.
    assert 1 - (np.floor((n + 1) * (1 - coverage) + 1e-9) + 1) / (n + 1) < coverage


@pytest.mark.parametrize("coverage", [1e-300, 1e-15, 1e-9, 1e-6])
def test_next_to_no_coverage_asks_for_the_most_probable_class_alone(coverage: float) -> None:
    held_out = np.linspace(0.1, 0.9, 48)
    assert threshold(held_out, coverage) == 0.9


def test_a_set_is_never_empty_and_grows_with_the_coverage() -> None:
    probabilities, labels = drawn(np.random.default_rng(1), 500)
    held_out = np.sort(probabilities[np.arange(500), labels])
    sizes = []
    for coverage in (0.1, 0.5, 0.9, 0.99):
        sets = prediction_sets(probabilities, threshold(held_out, coverage))
        assert sets[np.arange(500), probabilities.argmax(axis=1)].all()
        sizes.append(sets.sum(axis=1))
    assert all((small <= large).all() for small, large in pairwise(sizes))
    assert sizes[0].mean() == 1
    assert sizes[-1].mean() > 1


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_too_few_rows_leave_every_class_in(coverage: float) -> None:
    needed = rows_needed(coverage)
    assert threshold(np.linspace(0.1, 0.9, needed), coverage) > 0
    assert threshold(np.linspace(0.1, 0.9, needed - 1), coverage) == 0
    assert prediction_sets(np.array([[0.0, 0.2, 0.8]]), 0.0).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 95.0, float("nan"), float("inf")])
def test_a_coverage_that_makes_no_sense_is_refused(coverage: float) -> None:
    with pytest.raises(BadRequest, match=r"expected a share between 0 and 1, such as 0\.95"):
        threshold(np.array([0.5]), coverage)


def test_the_cells_name_the_classes_by_probability_and_abstain_where_all_are_in() -> None:
    p, classes = np.array([0.2, 0.5, 0.3]), ("a", "b", "c")
    assert set_cells(p, classes, 0.25) == {"set": ["b", "c"], "set_size": 2, "abstain": False}
    assert set_cells(p, classes, 0.9) == {"set": ["b"], "set_size": 1, "abstain": False}
    assert set_cells(p, classes, 0.0) == {"set": ["b", "c", "a"], "set_size": 3, "abstain": True}
