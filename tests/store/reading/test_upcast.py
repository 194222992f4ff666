"""Upcasting agrees with numpy on every finite float16 there is."""

import numpy as np
from head2toe.store.format.float16 import upcast


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
