"""What is safe in float16, and that upcasting agrees with NumPy on every finite float16 there is."""

import numpy as np
import pytest
from head2toe.store.format.float16 import float32_because, upcast


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_what_is_safe(rng: np.random.Generator) -> None:
    ordinary = rng.standard_normal((50, 40)).astype(np.float32)
    assert float32_because(ordinary) is None
    assert float32_because(np.zeros((3, 4), np.float32)) is None
    assert float32_because(np.full((3, 1000), 0.1, np.float32)) is None  # a dead feature loses nothing
    assert float32_because(ordinary[:, :1] * 1000) is None  # one row doesn't vary


def test_what_is_not(rng: np.random.Generator) -> None:
    ordinary = rng.standard_normal((50, 40)).astype(np.float32)
    large = ordinary.copy()
    large[7, 3] = -65520.0
    assert "6.55e+04" in str(float32_because(large))
    assert "6.55e+04" in str(float32_because(large, few=True))
    drowned = ordinary.copy()
    drowned[31] = 1000 + 0.1 * drowned[31]
    assert "feature 31 varies less" in str(float32_because(drowned))
    assert float32_because(drowned, few=True) is None  # other blocks say so


@pytest.mark.parametrize("scale", [1e-5, 1e-6, 3e-8, 1e-8, 1e-30])
@pytest.mark.parametrize("constant", [False, True])
def test_one_tiny_feature_beside_ordinary_ones(rng: np.random.Generator, scale: float, constant: bool) -> None:
    values = rng.standard_normal((50, 40)).astype(np.float32)
    values[17] = 0.7 * scale if constant else values[17] * scale
    assert "feature 17 is too small" in str(float32_because(values))


def test_tiny_values_of_a_feature_that_is_not_tiny(rng: np.random.Generator) -> None:
    """As after a ReLU or a softmax: what is lost is nothing beside what the feature's other values are."""
    values = np.exp(30 * rng.standard_normal((50, 400)) - 60).astype(np.float32)
    values[:, 0] = 1.0
    assert (values < 1e-9).mean() > 0.5
    assert float32_because(np.minimum(values, 1)) is None


def test_small_numbers_that_float16_holds_exactly() -> None:
    assert float32_because(np.arange(40, dtype=np.float32).reshape(2, 20) * np.float32(2**-24)) is None


def test_what_passes_keeps_what_varies(rng: np.random.Generator) -> None:
    """For all scales and shifts: stored as float16, no feature's error exceeds 1/128 of its range."""
    safe = 0
    for _ in range(300):
        values = rng.standard_normal((1, 30)) * 10.0 ** rng.uniform(-9, 4) + 10.0 ** rng.uniform(-9, 4)
        values = values.astype(np.float32)
        if float32_because(values) is None and np.ptp(values) > 0:
            safe += 1
            error = np.abs(values.astype(np.float16).astype(np.float32) - values).max()
            assert error <= np.ptp(values) / 128
            assert error <= np.abs(values).max() * 2.0**-11
    assert safe > 50


def test_every_finite_float16() -> None:
    values = np.arange(65536, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)].reshape(64, -1)
    out = np.empty(values.shape, np.float32)
    upcast(values, out)
    np.testing.assert_array_equal(out.view(np.uint32), values.astype(np.float32).view(np.uint32))


def test_into_a_part_of_a_wider_array() -> None:
    values = np.random.default_rng(0).standard_normal((3000, 70)).astype(np.float16)
    out = np.zeros((3000, 200), np.float32)
    upcast(values[:, 3:60], out[:, 100:157])
    np.testing.assert_array_equal(out[:, 100:157], values[:, 3:60])
    assert not out[:, :100].any()
    assert not out[:, 157:].any()
