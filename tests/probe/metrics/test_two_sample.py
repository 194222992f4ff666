"""Sides that are drawn alike are told from those that are not, whatever the shares of the classes."""

import numpy as np
import pytest
from head2toe.probe.metrics.two_sample import FEWEST, MOST, sides


def drawn(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Features that tell classes apart."""
    return rng.standard_normal((len(labels), 12)) + 3 * np.eye(12)[labels]


@pytest.mark.parametrize("seed", range(20))
def test_images_that_are_drawn_alike_are_no_news(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([rng.integers(0, 4, 300), rng.choice(4, 150, p=(0.7, 0.2, 0.05, 0.05))])
    found = sides(drawn(rng, labels), labels, 300)
    assert found is not None
    assert found.note == "", "other shares of the classes are no reason"
    assert found.share == pytest.approx(found.expected, abs=5 * found.spread)


def test_copies_that_stay_on_their_side_are_told() -> None:
    """Six versions of each photograph, all in training or all in the test, as whole groups are."""
    rng = np.random.default_rng(0)
    photographs = np.arange(80)
    labels = np.repeat(photographs % 4, 6)
    features = np.repeat(drawn(rng, photographs % 4), 6, axis=0) + 0.2 * rng.standard_normal((480, 12))
    found = sides(features, labels, 320)
    assert found is not None
    assert found.share > 0.95
    assert found.note.startswith("training and test images aren't drawn alike: ")
    dealt = rng.permutation(480)
    mixed = sides(features[dealt], labels[dealt], 320)
    assert mixed is not None
    assert mixed.note == "", "versions on both sides"


def test_another_camera_in_the_test_is_told() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 450)
    features = drawn(rng, labels)
    features[300:] += np.repeat((2.0, 0.0), 6)
    found = sides(features, labels, 300)
    assert found is not None
    assert found.note


def test_few_images_say_nothing_and_many_are_looked_at_in_part() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 10 * MOST)
    features = drawn(rng, labels)
    assert sides(features[:400], labels[:400], 400 - FEWEST + 1) is None
    assert sides(features, labels, 10 * MOST - FEWEST) is None, "of which a tenth is looked at"
    part = np.linspace(0, len(labels) - 1, MOST).astype(int)
    assert sides(features, labels, 8 * MOST) == sides(features[part], labels[part], round(0.8 * MOST))
