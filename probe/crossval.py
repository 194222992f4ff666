"""Cross-validation of a head on chosen columns, and the refit on all training rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from head2toe.probe.heads import Array, Heads, eigenbasis, logistic_path, stack
from head2toe.probe.rows import Columns, Rows
from head2toe.select.arrays import Arrays, to_numpy
from head2toe.store.design import Design


@dataclass(frozen=True)
class Labels:
    """Labels and folds of the training rows, on the device.

    Attributes
    ----------
    onehot : (n, classes) float32 array
    held_out : tuple of (n,) bool arrays
        The rows each fold is judged on; the others of the fold train its head.
    """

    onehot: Array
    held_out: tuple[Array, ...]

    @classmethod
    def of(cls, labels: Any, folds: Any, n_classes: int, arrays: Arrays) -> "Labels":
        """From host arrays of labels (n,) and fold numbers (n,)."""
        xp, device = arrays.xp, arrays.device
        y = xp.asarray(labels, device=device)
        onehot = xp.astype(y[:, None] == xp.arange(n_classes, device=device)[None, :], xp.float32)
        held_out = tuple(xp.asarray(folds == fold, device=device) for fold in range(int(folds.max()) + 1))
        return cls(onehot, held_out)


@dataclass(frozen=True)
class FoldScores:
    """How a head did on held-out rows.

    Attributes
    ----------
    C : float
        The head's inverse strength of regularisation.
    accuracies, log_losses : tuple of float
        One entry a fold.
    """

    C: float
    accuracies: tuple[float, ...]
    log_losses: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Mean over the folds."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def log_loss(self) -> float:
        """Mean over the folds."""
        return sum(self.log_losses) / len(self.log_losses)

    @property
    def standard_error(self) -> float:
        """Of the mean accuracy over the folds."""
        k, mean = len(self.accuracies), self.accuracy
        return (sum((a - mean) ** 2 for a in self.accuracies) / (k - 1) / k) ** 0.5


def cross_validate(
    design: Design, columns: Sequence[Columns], labels: Labels, strengths: Sequence[float], rows: Rows, arrays: Arrays
) -> list[FoldScores]:
    """Score heads of every strength; fold k is trained and judged on `columns[k]`.

    Nothing fitted sees a held-out row: columns were chosen, rows are centred and heads are trained without them.
    """
    xp = arrays.xp
    trains = [~held for held in labels.held_out]
    parts = [
        eigenbasis(rows(design, chosen, train, arrays), train, xp)
        for chosen, train in zip(columns, trains, strict=True)
    ]
    basis = stack(parts, trains, xp)
    # float32 and a loose tolerance rank settings as float64 and a tight one do, in a fifth of the time.
    path = logistic_path(basis, labels.onehot, strengths, xp, tol=1e-3)
    return [_judge(heads, labels, xp) for heads in path]


def refit(design: Design, columns: Columns, labels: Labels, C: float, rows: Rows, arrays: Arrays) -> Any:
    """Train on the first n rows of the design, those of `labels`; log-probabilities (m, classes) of the m others."""
    xp = arrays.xp
    n_train, n_classes = labels.onehot.shape
    train = xp.arange(design.shape[0], device=arrays.device) < n_train
    X = xp.astype(rows(design, columns, train, arrays), xp.float64)
    unknown = xp.zeros((design.shape[0] - n_train, n_classes), dtype=xp.float64, device=arrays.device)
    Y = xp.concat((xp.astype(labels.onehot, xp.float64), unknown))
    (heads,) = logistic_path(stack([eigenbasis(X, train, xp)], [train], xp), Y, [C], xp, tol=1e-6)
    return to_numpy(heads.log_probabilities[0, n_train:, :])


def _judge(heads: Heads, labels: Labels, xp: Any) -> FoldScores:
    accuracies, log_losses = [], []
    truth = xp.argmax(labels.onehot, axis=1)
    for k, held in enumerate(labels.held_out):
        w = xp.astype(held, labels.onehot.dtype)
        logp = heads.log_probabilities[k, ...]
        right = xp.astype(xp.argmax(logp, axis=1) == truth, w.dtype)
        accuracies.append(float(xp.sum(right * w) / xp.sum(w)))
        log_losses.append(float(-xp.sum(labels.onehot * logp * w[:, None]) / xp.sum(w)))
    return FoldScores(heads.C, tuple(accuracies), tuple(log_losses))
