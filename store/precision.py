"""Where float16 is safe: half the bytes, unless they would cost what the selection needs."""

import numpy as np

LARGEST = 65504.0  # from 65520 up, numpy casts to infinity with no more than a warning
HALF_STEP = 2.0**-11  # the largest relative rounding error of a normal float16
SMALLEST_NORMAL = 2.0**-14  # below, float16 loses digits; below 2**-25 everything is zero
_TILE = 1 << 20


def float32_because(values: np.ndarray) -> str | None:
    """Why a layer's block can't be stored as float16, in a few words; None if it can.

    Parameters
    ----------
    values
        (features, rows) float32, finite.

    Notes
    -----
    Safe means: no value overflows; every feature that varies does so by more than the rounding of its mean, i.e. its
    standard deviation is at least |mean| * 2**-11; and the layer as a whole isn't so small that it rounds to zero.
    """
    peak = 0.0
    rows_at_once = max(1, _TILE // max(1, values.shape[1]))
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
