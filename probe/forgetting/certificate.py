"""How far a trained head is at most from the exact optimum of its objective, computed from nothing but its weights.

The objectives are strongly convex in the weights V once the intercept, which has no penalty, is at its best. With the
gradient g there and the modulus μ, ‖g‖² / 2μ is a duality gap, and ‖g‖ / μ bounds the distance to the one optimum V*.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from head2toe.probe.audit.leave_one_out import best_intercepts
from head2toe.probe.heads.crossval import Weights
from scipy.special import log_softmax

AT_ONCE = 1024
"""Columns that are brought to float64 at once."""


@dataclass(frozen=True)
class Certificate:
    """What is proved of a head.

    Attributes
    ----------
    objective : str
        "logistic", "least squares" or "group lasso"; "none" for a head that minimises nothing to an end.
    gap : float, optional
        Duality gap as a share of the objective's value.
    gradient_norm : float, optional
        ‖g‖, of the objective as `logistic` and `least_squares` write it; None where the solver works with dual points.
    error : float, optional
        Bound on ‖V - V*‖ / ‖V‖; None where the objective is not strongly convex.
    """

    objective: str
    gap: float | None = None
    gradient_norm: float | None = None
    error: float | None = None


def logistic(values: np.ndarray, labels: np.ndarray, weights: Weights, C: float) -> Certificate:
    """Certify a logistic head: ½ ‖V‖² + C Σ cross-entropy, μ = 1.

    Parameters
    ----------
    values : (k, n) array
        Scaled features of the training rows.
    labels : (n,) int array
    weights : Weights
        On the host; coef (k, classes) and intercept (classes,).
    C : float
    """
    V, Y = np.asarray(weights.coef, np.float64), np.eye(weights.coef.shape[1])[labels]
    scores = _scores(values, V)
    start = np.asarray(weights.intercept, np.float64)[None]
    logp = log_softmax(scores + best_intercepts(scores[:, None], start, Y, np.ones((len(Y), 1))), axis=1)
    gradient = V + C * _back(values, np.exp(logp) - Y)
    value = 0.5 * float((V**2).sum()) - C * float((logp * Y).sum())
    return _certificate("logistic", V, gradient, value, 1.0)


def least_squares(values: np.ndarray, labels: np.ndarray, weights: Weights, C: float, scale: float) -> Certificate:
    """Certify a ridge head whose scores were multiplied by `scale`: ½ ‖Y - scores‖² + ½ (10 / C) ‖V‖², μ = 10 / C.

    Parameters
    ----------
    values, labels, weights
        See `logistic`.
    C, scale : float
        See `head2toe.probe.heads.kinds.Ridge`.
    """
    V, Y = np.asarray(weights.coef, np.float64) / scale, np.eye(weights.coef.shape[1])[labels]
    residuals = _scores(values, V) - Y
    residuals -= residuals.mean(axis=0)
    gradient = 10 / C * V + _back(values, residuals)
    value = 0.5 * float((residuals**2).sum()) + 5 / C * float((V**2).sum())
    return _certificate("least squares", V, gradient, value, 10 / C)


def _certificate(objective: str, V: np.ndarray, gradient: np.ndarray, value: float, modulus: float) -> Certificate:
    norm = float(np.linalg.norm(gradient))
    return Certificate(
        objective,
        gap=norm**2 / (2 * modulus) / max(value, np.finfo(float).tiny),
        gradient_norm=norm,
        error=norm / modulus / max(float(np.linalg.norm(V)), np.finfo(float).tiny),
    )


def _scores(values: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Multiply rows with weights, (n, classes) float64."""
    scores = np.zeros((values.shape[1], V.shape[1]))
    for columns, part in _parts(values):
        scores += part.T @ V[columns]
    return scores


def _back(values: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Multiply columns with residuals, (k, classes) float64."""
    return np.concatenate([part @ residuals for _, part in _parts(values)])


def _parts(values: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield values (k, n) some columns at a time, in float64."""
    for start in range(0, len(values), AT_ONCE):
        columns = slice(start, start + AT_ONCE)
        yield columns, values[columns].astype(np.float64)
