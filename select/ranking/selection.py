"""The result of ranking: for every λ and row set, the best columns in order of relevance. It is saved as one file."""

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.select.solver.path import PathPoint
from head2toe.select.solver.row_set import Solution
from head2toe.store.common.arrays_file import read_arrays, write_arrays


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
    note : str
        What a user should know about this λ: see `PathPoint.note`.
    """

    ratio: float
    gap: float
    converged: bool
    active: tuple[int, ...]
    stopped: str = ""
    note: str = ""

    @classmethod
    def of(cls, point: PathPoint) -> "Certificate":
        """Certify a point of the exact path."""
        return cls(
            ratio=point.ratio,
            gap=max(s.gap for s in point.solutions),
            converged=all(s.converged for s in point.solutions),
            active=tuple(len(s.columns) for s in point.solutions),
            stopped=point.stopped,
            note=point.note,
        )


@dataclass(frozen=True, eq=False)
class Sparse:
    """A penalised model: the few features with W_j ≠ 0, in the units of the design.

    Attributes
    ----------
    columns : ndarray of int64 (m,)
        Ascending.
    coef : ndarray of float32 (m, C)
    intercept : ndarray of float64 (C,)
    """

    columns: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    @classmethod
    def of(cls, solution: Solution) -> "Sparse":
        """Keep the model of a solution, its weights in float32."""
        return cls(solution.columns, solution.coef.astype(np.float32), solution.intercept)

    def check(self, n_features: int) -> None:
        """Check that this may be a model of so many features, for it can come from a file; raises `ValueError`."""
        columns, classes = self.columns, self.intercept.shape
        dtypes = [part.dtype.name for part in (columns, self.coef, self.intercept)]
        if (
            dtypes != ["int64", "float32", "float64"]
            or len(classes) != 1
            or columns.ndim != 1
            or self.coef.shape != (*columns.shape, *classes)
        ):
            raise ValueError(f"a model of shapes {columns.shape}, {self.coef.shape} and {classes}")
        if not ((columns >= 0) & (columns < n_features)).all() or (np.diff(columns) < 1).any():
            raise ValueError(f"a model of columns that are not ascending below {n_features}")
        if not (np.isfinite(self.coef).all() and np.isfinite(self.intercept).all()):
            raise ValueError("a model with NaN or infinity")


@dataclass(frozen=True, eq=False)
class Selection:
    """Features ranked by relevance, for each fold's training rows and, last, for all training rows.

    Attributes
    ----------
    rankings : ndarray of int32 (λ, row sets, top)
        The most relevant columns, best first.
    certificates : tuple of Certificate
        One for each λ; those of the paper's recipe say that nothing is certain.
    models : tuple of tuple of Sparse
        The penalised model of every λ and row set; empty for the paper's recipe, whose weights are not sparse.
    n_features : int
        Number of columns that were ranked (`rankings` holds the top of them).
    seconds : float
        Wall time of computing it.
    """

    rankings: np.ndarray
    certificates: tuple[Certificate, ...]
    models: tuple[tuple[Sparse, ...], ...]
    n_features: int
    seconds: float = 0.0

    @property
    def ratios(self) -> tuple[float, ...]:
        """λ / λ_max of every ranking, as far as they were solved."""
        return tuple(c.ratio for c in self.certificates)

    @property
    def ranked_ratios(self) -> tuple[float, ...]:
        """The λ / λ_max of all rankings that differ from each ranking before them."""
        return self.ranked_among(self.ratios)

    def ranked_among(self, ratios: Collection[float]) -> tuple[float, ...]:
        """Return those of some λ / λ_max that rank unlike each other.

        A score that does not look at weights ranks alike at all λ, of which the first is returned.
        """
        own: dict[bytes, float] = {}
        for ratio, ranking in zip(self.ratios, self.rankings, strict=True):
            if ratio in ratios:
                own.setdefault(ranking.tobytes(), ratio)
        return tuple(own.values())

    def top(self, ratio: float, row_set: int, k: int) -> np.ndarray:
        """Return the k most relevant columns (int64), ascending; as many as were ranked, if k is more."""
        return np.sort(self.rankings[self.ratios.index(ratio), row_set, :k]).astype(np.int64)

    def save(self, file: Path, settings: dict[str, Any]) -> None:
        """Write the selection and the settings that it was computed with to a file, atomically."""
        header = {
            "settings": settings,
            "n_features": self.n_features,
            "seconds": self.seconds,
            "certificates": [*map(asdict, self.certificates)],
        }
        flat = [model for models in self.models for model in models]
        arrays = {f"{name}_{i}": array for i, model in enumerate(flat) for name, array in vars(model).items()}
        write_arrays(file, header, rankings=self.rankings, **arrays)

    @classmethod
    def load(cls, file: Path) -> "Selection":
        """Read a file that `save` wrote. Raises DataError for anything else."""
        with read_arrays(file, "a selection", "remove it and select again") as (header, arrays):
            certificates = tuple(Certificate(**c | {"active": tuple(c["active"])}) for c in header["certificates"])
            rankings, d = arrays.pop("rankings"), header["n_features"]
            ranked = rankings.ndim == 3 and rankings.dtype == np.int32 and len(rankings) == len(certificates)
            if not ranked or type(d) is not int or not ((rankings >= 0) & (rankings < d)).all():
                raise ValueError(f"its rankings are no columns below {d} for {len(certificates)} λ")
            if type(header["seconds"]) not in (int, float) or not 0 <= header["seconds"] < math.inf:
                raise ValueError(f"seconds is {header['seconds']!r}")
            n_sets = rankings.shape[1]
            models = tuple(
                tuple(
                    Sparse(*(arrays[f"{name}_{i * n_sets + k}"] for name in ("columns", "coef", "intercept")))
                    for k in range(n_sets)
                )
                for i in range(len(certificates) if arrays else 0)
            )
            for model in (one for of_ratio in models for one in of_ratio):
                model.check(d)
            return cls(rankings, certificates, models, d, header["seconds"])
