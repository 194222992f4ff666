"""A calibration error is what it says of known cases; a temperature undoes what sharpened the probabilities."""

import numpy as np
import pytest
from head2toe.probe.metrics import calibration, classification


def test_the_temperature_scales_with_the_logits() -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(5, size=300)
    logp = classification.normalized(rng.standard_normal((300, 5)) + 1.5 * np.eye(5)[y])
    once, thrice = (calibration.fit_temperature(classification.normalized(k * logp), y) for k in (1, 3))
    assert thrice == pytest.approx(3 * once, rel=1e-3)


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
