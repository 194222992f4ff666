"""float16: whether a layer can be stored in half the bytes without losing what varies, and back to float32 fast."""

import numpy as np

LARGEST = 65504.0
"""The largest float16; from 65520 up, NumPy casts to infinity with no more than a warning."""

HALF_STEP = 2.0**-11
"""The largest relative rounding error of a normal float16."""

SMALLEST_NORMAL = 2.0**-14
"""The smallest float16 with all its digits; what is below 2**-25 becomes zero."""

_TILE = 1 << 17  # values: what is shifted, masked and scaled must still be in the cache
_SIGN_AND_REST = np.uint32(0x8FFFE000).view(np.int32)
_REBIAS = np.float32(2.0**112)  # float32's exponent bias less float16's, 127 - 15


def float32_because(values: np.ndarray) -> str | None:
    """Say in a few words why a layer's block can't be stored as float16; None if it can.

    Parameters
    ----------
    values : (features, rows) float32 array
        The layer's values, finite.

    Notes
    -----
    A block is safe if no value overflows; if every feature that varies does so by more than the rounding of its mean
    (its standard deviation is at least |mean| * 2**-11); and if the layer as a whole doesn't round to zero.
    """
    peak = 0.0
    rows_at_once = max(1, 8 * _TILE // max(1, values.shape[1]))
    for start in range(0, len(values), rows_at_once):
        tile = values[start : start + rows_at_once]
        low, high = tile.min(axis=1), tile.max(axis=1)
        peak = max(peak, float(high.max()), -float(low.min()))
        if peak > LARGEST:
            return f"values up to {peak:.3g}, float16 ends at {LARGEST:.0f}"
        mean = tile.mean(axis=1, dtype=np.float64)
        std = (tile - mean[:, None].astype(np.float32)).std(axis=1, dtype=np.float64)
        drowned = (high > low) & (std < np.abs(mean) * HALF_STEP)
        if drowned.any():
            j = int(np.argmax(drowned))
            return f"feature {start + j} varies less than float16 resolves (mean {mean[j]:.3g}, std {std[j]:.3g})"
    if 0 < peak < SMALLEST_NORMAL:
        return f"values no larger than {peak:.3g}, which float16 rounds to almost nothing"
    return None


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
