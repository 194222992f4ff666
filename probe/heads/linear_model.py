"""A linear model on some columns of a design, in the units in which the store holds them."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class LinearModel:
    """The probabilities softmax(Wᵀ z + b), where z are the chosen features of an image, centred and scaled.

    Attributes
    ----------
    target_sizes : tuple of int
        Which stores the columns count through, side by side.
    columns : (k,) int64 array
        Column numbers of the design, ascending.
    unit : bool
        Whether the chosen part of every layer is brought to unit norm first (the paper's normalisation).
    mean, scale : (k,) float32 arrays
        z = (x - mean) * scale.
    coef : (k, classes) float32 array
        W.
    intercept : (classes,) float32 array
        b.
    views : tuple of str
        The views of every image that it was trained on beside the whole; it was judged by the mean of what it predicts
        for all of them.
    """

    target_sizes: tuple[int, ...]
    columns: np.ndarray
    unit: bool
    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    views: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """How many bytes a model takes up: column numbers as int32, scales and weights as they are."""
        numbers = (self.columns.astype(np.int32), self.mean, self.scale, self.coef, self.intercept)
        return sum(part.nbytes for part in numbers)

    def at_temperature(self, temperature: float) -> "LinearModel":
        """Return the model whose scores are divided by a temperature: less certain above 1, more certain below."""
        factor = np.float32(1 / temperature)
        return replace(self, coef=self.coef * factor, intercept=self.intercept * factor)
