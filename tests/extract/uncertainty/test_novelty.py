"""The network tells the same novelty as was measured of held-out rows; what does not fit together is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from head2toe.extract.uncertainty.calibration import Calibration
from head2toe.extract.uncertainty.novelty import Novelty
from head2toe.extract.uncertainty.novelty_score import NoveltyScore
from head2toe.probe.methods.novelty import nearest_distance, training_images


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Forty features of n rows, on a few directions and noise."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).standard_normal((4, 40))
    return (rng.standard_normal((n, 4)) @ mixing + 0.3 * rng.standard_normal((n, 40)) + 7 + shift).astype(np.float32)


def novelty(n: int = 200) -> Novelty:
    """Of every second feature."""
    positions = np.arange(0, 40, 2)
    images = training_images(features(n, 0)[:, positions], np.arange(n) % 5, positions)
    assert images is not None
    return Novelty(
        images.positions.astype(np.int32),
        images.mean,
        images.scale,
        images.axes.astype(np.float16),
        images.rows.astype(np.float16),
        images.distances.astype(np.float32),
        images.neighbours,
    )


def test_the_network_measures_what_was_measured_of_held_out_rows() -> None:
    kept, x = novelty(), features(50, 1)
    z = ((x[:, kept.positions] - kept.mean) * kept.scale) @ kept.axes.astype(np.float32)
    expected = nearest_distance(z, kept.rows.astype(np.float32), kept.neighbours)
    score = NoveltyScore(kept)
    np.testing.assert_allclose(score.distance(torch.from_numpy(x)), expected, rtol=1e-3)
    nearer = (expected[:, None] > kept.distances).sum(axis=1) / (len(kept.distances) + 1)
    np.testing.assert_allclose(score(torch.from_numpy(x)), nearer, atol=0.011)


def test_images_like_the_training_images_have_every_novelty_alike_and_others_a_high_one() -> None:
    score = NoveltyScore(novelty(400))
    alike, others = score(torch.from_numpy(features(2000, 2))), score(torch.from_numpy(features(200, 3, shift=3)))
    quantiles = np.quantile(alike, [0.1, 0.5, 0.9, 0.95])
    assert np.abs(quantiles - [0.1, 0.5, 0.9, 0.95]).max() < 0.07, quantiles
    assert others.min() > 0.99


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"mean": np.zeros(3, np.float32)}, "mean of the novelty has the shape"),
        ({"rows": np.zeros((5, 3), np.float16)}, "rows of the novelty has the shape"),
        ({"rows": np.float16(0)}, "rows of the novelty has the shape"),
        ({"distances": np.float32(1)}, "distances of the novelty has the shape"),
        ({"distances": np.empty(0, np.float32)}, "no distance to compare with"),
        ({"scale": np.full(20, np.nan, np.float32)}, "NaN or infinity"),
        ({"positions": np.arange(20, dtype=np.int32)[::-1]}, "not ascending ones below 40"),
        ({"positions": np.arange(30, 50, dtype=np.int32)}, "not ascending ones below 40"),
        ({"neighbours": 0}, "looks at 0 of 200 training images"),
        ({"neighbours": 201}, "looks at 201 of 200 training images"),
    ],
)
def test_what_does_not_fit_together_is_named(change: dict[str, object], fault: str) -> None:
    whole = novelty()
    assert Calibration(np.array([0.2, 0.9]), whole).fault(40) == ""
    assert fault in Calibration(np.array([0.2, 0.9]), replace(whole, **change)).fault(40)  # type: ignore[arg-type]


@pytest.mark.parametrize("held_out", [[], [0.5, 0.4], [-0.1, 0.5], [0.5, 1.1], [np.nan], [[0.1]]])
def test_probabilities_of_held_out_rows_that_are_none_are_refused(held_out: list[float]) -> None:
    assert "not ascending ones from 0 to 1" in Calibration(np.array(held_out, np.float32)).fault(40)


def test_a_file_holds_all_of_it() -> None:
    whole = Calibration(np.array([0.2, 0.9]), novelty())
    again = Calibration.of(whole.arrays)
    assert all(np.array_equal(again.arrays[name], array) for name, array in whole.arrays.items())
    assert Calibration.of(Calibration(np.array([0.2])).arrays).novelty is None
