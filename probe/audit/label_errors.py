"""Which labels are probably wrong: by what heads that had not seen an image say of it.

Confident learning (Northcutt, Jiang & Chuang 2021, Journal of Artificial Intelligence Research 70, 1373-1411): a class
t_c is known by how probable it usually is on images that bear its label,

    t_c = mean of p_c over the rows with the label c,

so that hard classes, of which nothing is certain, are not suspected as a whole. A label y is suspect where another
class c is at least as probable as it usually is, p_c >= t_c, and no such class is y. Rows are ranked by p_y / t_y: how
probable the label is beside how probable it usually is. On labels that were turned on purpose this finds more than p_y
alone or margins do (docs/results.md).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelQuality:
    """What is thought of the labels of n rows.

    Attributes
    ----------
    given : (n,) float64 array
        The probability of the label.
    score : (n,) float64 array
        From 0, a label as probable as is usual for its class or more, to 1, one that is impossible.
    suggestion : (n,) int64 array
        The most probable of the other classes.
    suspected : (n,) bool array
        Whether confident learning takes the label for wrong.
    """

    given: np.ndarray
    score: np.ndarray
    suggestion: np.ndarray
    suspected: np.ndarray

    @property
    def ranking(self) -> np.ndarray:
        """The rows (n,) int64, the most suspicious first."""
        return np.lexsort((self.given, -self.score))


def usual_probabilities(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how probable each class is on average over the rows that bear its label, (classes,) float64.

    Parameters
    ----------
    probabilities : (n, classes) array
        Of each row, by a head that had not seen it.
    labels : (n,) int array

    Returns
    -------
    ndarray
        1 for a class without a row, which thus is never suggested but for certain.
    """
    n_classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    sums = np.bincount(labels, weights=own, minlength=n_classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def label_quality(probabilities: np.ndarray, labels: np.ndarray, usual: np.ndarray) -> LabelQuality:
    """Judge labels by probabilities.

    Parameters
    ----------
    probabilities : (n, classes) array
        Of each row, by a head that had not seen it.
    labels : (n,) int array
    usual : (classes,) array
        Of `usual_probabilities`: of the same rows, or, for test rows, of the training rows.
    """
    P = np.asarray(probabilities, np.float64)
    rows = np.arange(len(labels))
    given = P[rows, labels]
    others = P.copy()
    others[rows, labels] = -1.0
    confident = np.where(usual <= P, P, -1.0)
    most = confident.argmax(axis=1)
    return LabelQuality(
        given=given,
        score=np.clip(1 - given / np.maximum(usual[labels], np.finfo(np.float64).tiny), 0, 1),
        suggestion=others.argmax(axis=1),
        suspected=(confident[rows, most] >= 0) & (most != labels),
    )
