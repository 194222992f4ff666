"""A linear model on some columns of a design, in the units in which the store holds them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LinearModel:
    """softmax(Wᵀ z + b), z the chosen features of an image, centred and scaled.

    Attributes
    ----------
    target_sizes : tuple of int
        Which stores the columns count through, side by side.
    columns : (k,) int64 array
        Of the design, ascending.
    unit : bool
        Whether the chosen part of every layer is brought to unit norm first (the paper's normalisation).
    mean, scale : (k,) float32 arrays
        z = (x - mean) * scale.
    coef : (k, classes) float32 array
    intercept : (classes,) float32 array
    """

    target_sizes: tuple[int, ...]
    columns: np.ndarray
    unit: bool
    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
