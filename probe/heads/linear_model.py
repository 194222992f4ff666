"""A linear model on some columns of a design, in the units in which the store holds them."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class LinearModel:
    """The probabilities softmax(Wᵀ z + b), where z are the chosen features of an image, centred and scaled.

    Of an image in several views z is the mean over them. A mean of heads may hold some that read the whole image alone,
    with weights W₀ of their own: softmax(Wᵀ z + W₀ᵀ z₀ + b), z₀ of the whole image.

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
    coef_whole : (k, classes) float32 array, optional
        W₀, where there are views.
    """

    target_sizes: tuple[int, ...]
    columns: np.ndarray
    unit: bool
    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    views: tuple[str, ...] = ()
    coef_whole: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """How many bytes a model takes up: column numbers as int32, scales and weights as they are."""
        numbers = (self.columns.astype(np.int32), self.mean, self.scale, self.coef, self.coef_whole, self.intercept)
        return sum(part.nbytes for part in numbers if part is not None)

    def fault(self, n_classes: int) -> str:
        """Say why this is no model of so many classes, for it can come from a file; empty if it is one."""
        k = len(self.columns) if self.columns.ndim == 1 else -1
        shapes = {"columns": (k,), "mean": (k,), "scale": (k,), "coef": (k, n_classes), "intercept": (n_classes,)}
        shapes |= {} if self.coef_whole is None else {"coef_whole": (k, n_classes)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != (np.int64 if name == "columns" else np.float32):
                return f"{name} of its model has the shape {array.shape} and the dtype {array.dtype}"
            if not np.isfinite(array).all():
                return f"{name} of its model holds NaN or infinity"
        if self.coef_whole is not None and not self.views:
            return "its model has weights of whole images apart, and no views"
        ascending = k == 0 or (self.columns[0] >= 0 and (np.diff(self.columns) >= 1).all())
        return "" if ascending else "the columns of its model are not ascending"

    def at_temperature(self, temperature: float) -> "LinearModel":
        """Return the model whose scores are divided by a temperature: less certain above 1, more certain below."""
        factor = np.float32(1 / temperature)
        whole = None if self.coef_whole is None else self.coef_whole * factor
        return replace(self, coef=self.coef * factor, coef_whole=whole, intercept=self.intercept * factor)
