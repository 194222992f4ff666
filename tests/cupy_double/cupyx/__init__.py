"""What CuPy has beside NumPy's interface."""

from typing import Any

import numpy as np


class _Pinned(np.ndarray):
    def __array_finalize__(self, obj: Any) -> None:
        self.is_pinned = getattr(obj, "is_pinned", False)


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """Host memory that the device reads by itself."""
    made = np.empty(shape, dtype, order=order).view(_Pinned)
    made.is_pinned = True
    return made
