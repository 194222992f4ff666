"""What selection leaves behind: for every λ and row set, the best columns in order of relevance. Saved as one file."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.select.arrays import Arrays
from head2toe.select.normalize import UnitRows
from head2toe.select.path import path
from head2toe.select.scores import rank
from head2toe.store.design import Design
from head2toe.store.errors import DataError
from head2toe.store.files import write_bytes
from head2toe.store.progress import Progress


@dataclass(frozen=True)
class Certificate:
    """How exactly one λ was solved: the worst over the row sets.

    Attributes
    ----------
    ratio : float
        λ / λ_max.
    gap : float
        Relative duality gap, an upper bound on the relative suboptimality.
    converged : bool
        Whether the gap came below the tolerance everywhere.
    active : tuple of int
        Number of features with W_j ≠ 0, for each row set.
    stopped : str
        Why the path ended here, if it ended before the last λ asked for (classes that separate, say).
    """

    ratio: float
    gap: float
    converged: bool
    active: tuple[int, ...]
    stopped: str = ""


@dataclass(frozen=True, eq=False)
class Selection:
    """Features ranked by l2,1 relevance, for each fold's training rows and, last, for all training rows.

    Attributes
    ----------
    rankings : (λ, row sets, top) int32 array
        The most relevant columns, best first.
    certificates : tuple of Certificate
        One for each λ.
    n_features : int
        Number of columns that were ranked (`rankings` holds the top of them).
    """

    rankings: np.ndarray
    certificates: tuple[Certificate, ...]
    n_features: int

    @property
    def ratios(self) -> tuple[float, ...]:
        """λ / λ_max of every ranking."""
        return tuple(c.ratio for c in self.certificates)

    def columns(self, ratio: float, row_set: int, fraction: float) -> np.ndarray:
        """The top `fraction` of all columns, ascending. At least one."""
        k = max(1, int(fraction * self.n_features))
        return np.sort(self.rankings[self.ratios.index(ratio), row_set, :k]).astype(np.int64)

    def save(self, file: Path, settings: dict[str, Any]) -> None:
        """Write the selection and the settings that made it; whole or not at all."""
        header = {
            "settings": settings,
            "n_features": self.n_features,
            "certificates": [*map(asdict, self.certificates)],
        }
        content = io.BytesIO()
        np.savez(content, rankings=self.rankings, header=np.array(json.dumps(header)))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, content.getvalue())

    @classmethod
    def load(cls, file: Path) -> "Selection":
        """Read what `save` wrote. Raises DataError for anything else."""
        try:
            with np.load(file, allow_pickle=False) as data:
                header = json.loads(str(data["header"]))
                certificates = tuple(Certificate(**c | {"active": tuple(c["active"])}) for c in header["certificates"])
                return cls(data["rankings"], certificates, header["n_features"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(f"{file} is not a selection ({error}): remove it and select again") from error


def rank_features(
    design: Design,
    labels: np.ndarray,
    folds: np.ndarray,
    n_classes: int,
    *,
    ratios: Sequence[float],
    top: float,
    tol: float,
    arrays: Arrays,
    progress: Progress | None = None,
) -> Selection:
    """Rank all features of the training rows by l2,1 relevance (Evci et al. 2022, eq. 2), for every λ and fold.

    Parameters
    ----------
    design : Design
        (n, d); every layer of every example is brought to unit norm first (the paper's normalisation).
    labels, folds : (n,) int arrays
        Labels, and the fold each row is held out in.
    ratios : sequence of float
        λ / λ_max, falling.
    top : float
        Fraction of the features to keep in the rankings.
    tol : float
        Relative duality gap to reach.
    """
    masks = np.stack([folds != fold for fold in range(int(folds.max()) + 1)] + [np.ones(len(folds), dtype=bool)])
    n_features = design.shape[1]
    k = max(1, int(top * n_features))
    rankings, certificates = [], []
    points = path(UnitRows.of(design), labels, masks, n_classes=n_classes, ratios=tuple(ratios), tol=tol, arrays=arrays)
    for done, point in enumerate(points, start=1):
        rankings.append(np.stack([rank(scores, k) for scores in point.scores]).astype(np.int32))
        certificates.append(
            Certificate(
                ratio=point.ratio,
                gap=max(s.gap for s in point.solutions),
                converged=all(s.converged for s in point.solutions),
                active=tuple(len(s.columns) for s in point.solutions),
                stopped=point.stopped,
            )
        )
        if progress:
            progress(done, len(ratios))
    return Selection(np.stack(rankings), tuple(certificates), n_features)
