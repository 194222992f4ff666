"""float16: whether a layer can be stored in half the bytes without losing what varies, and back to float32 fast."""

import numpy as np

LARGEST = 65504.0
"""The largest float16; from 65520 up, NumPy casts to infinity with no more than a warning."""

HALF_STEP = 2.0**-11
"""The largest relative rounding error of a normal float16; below 2**-14 it grows, and what is below 2**-25 is zero."""

OFFSET_LOSS = 2.0**-7
"""How much of a feature's range (largest less smallest value) rounding may cost, as it does beside a large offset."""

FEW_ROWS = 32
"""So many rows, at least, show what range a feature has."""

_TILE = 1 << 17  # values: what is shifted, masked and scaled must still be in the cache
_SIGN_AND_REST = np.uint32(0x8FFFE000).view(np.int32)
_REBIAS = np.float32(2.0**112)  # float32's exponent bias less float16's, 127 - 15


def float32_because(values: np.ndarray, *, few: bool = False) -> str | None:
    """Say in a few words why a layer's block can't be stored as float16; None if it can.

    Parameters
    ----------
    values : (features, rows) float32 array
        The layer's values, finite.
    few : bool
        Whether these rows are too few to show how a feature varies, and other blocks show it: then values that overflow
        are looked for, and nothing else.

    Notes
    -----
    A block is safe if no value overflows, and if no value of any feature j is rounded by more than

    - 2**-11 of max |x_j|, which is more than normal numbers are, so that subnormal numbers alone can break it;
    - 2**-7 of max x_j - min x_j, if the feature varies at all.
    """
    rows_at_once = max(1, 8 * _TILE // max(1, values.shape[1]))
    rounded = np.empty((min(rows_at_once, len(values)), values.shape[1]), np.float32)
    for start in range(0, len(values), rows_at_once):
        tile = values[start : start + rows_at_once]
        low, high = tile.min(axis=1), tile.max(axis=1)
        peak = np.maximum(high, -low)
        if peak.max() > LARGEST:
            return f"values up to {peak.max():.3g}, float16 ends at {LARGEST:.0f}"
        if few:
            continue
        error = _rounding_error(tile, rounded[: len(tile)])
        if (lost := error > HALF_STEP * peak).any():
            j = int(np.argmax(lost))
            return f"feature {start + j} is too small for float16 (values up to {peak[j]:.3g})"
        extent = high - low
        if (drowned := (extent > 0) & (error > OFFSET_LOSS * extent)).any():
            j = int(np.argmax(drowned))
            return f"feature {start + j} varies less than float16 resolves (from {low[j]:.6g} to {high[j]:.6g})"
    return None


def _rounding_error(values: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """Return each feature's largest rounding error in float16, (features,) float32; the buffer is overwritten."""
    upcast(values.astype(np.float16), buffer)
    np.subtract(buffer, values, out=buffer)
    error: np.ndarray = np.maximum(buffer.max(axis=1), -buffer.min(axis=1))
    return error


def upcast(values: np.ndarray, out: np.ndarray) -> None:
    """Copy float16 values into a float32 array: ``out[...] = values``, faster than NumPy does it.

    Parameters
    ----------
    values : (m, n) float16 array
        Finite values.
    out : (m, n) float32 array
        Takes them.

    Notes
    -----
    A float16 is 1 sign bit, 5 bits of exponent and 10 of mantissa. Widened to 32 bits with its sign and shifted by 13,
    exponent and mantissa stand where float32 has them; the mask clears the copies of the sign between; and the product
    with 2**112 mends the exponent, of subnormal numbers as well, exactly. Infinity and NaN would come out wrong, but no
    store holds any.
    """
    bits = values.view(np.int16)
    at_once = max(1, _TILE // max(1, out.shape[1]))
    for start in range(0, len(out), at_once):
        tile = out[start : start + at_once]
        raw = tile.view(np.int32)
        raw[...] = bits[start : start + at_once]
        np.left_shift(raw, 13, out=raw)
        np.bitwise_and(raw, _SIGN_AND_REST, out=raw)
        np.multiply(tile, _REBIAS, out=tile)
