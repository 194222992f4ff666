"""Stage two, first half, as a whole: a selection for each target size, computed or recalled."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.select.arrays import Arrays
from head2toe.select.selection import Selection, rank_features
from head2toe.store.design import DesignMatrix
from head2toe.store.progress import progress
from head2toe.store.reader import FeatureStore
from head2toe.store.recall import code_fingerprint, fingerprint

LAMBDA_RATIOS = (0.3, 0.1, 0.03)
"""λ / λ_max. The support grows from some tens of features to some hundreds; the rest is ranked by its dual score."""
TOLERANCE = 3e-3
"""Relative duality gap; enough for a ranking (against 1e-5, the top thousand features overlap by .99 and more)."""


@dataclass(frozen=True, eq=False)
class Selected:
    """A selection for each target size, and the file each is kept in."""

    selections: Mapping[int, Selection]
    files: Mapping[int, Path]
    recalled: bool
    seconds: float

    def document(self) -> list[dict[str, Any]]:
        """As JSON: an entry for each target size."""
        return [
            {
                "target_size": size,
                "file": str(self.files[size]),
                "features": selection.n_features,
                "path": [asdict(certificate) for certificate in selection.certificates],
            }
            for size, selection in self.selections.items()
        ]


def select_features(
    name: str,
    stores: Mapping[int, FeatureStore],
    images: Sequence[str],
    labels: np.ndarray,
    folds: np.ndarray,
    n_classes: int,
    *,
    top: float,
    folder: Path,
    fresh: bool,
    arrays: Arrays,
) -> Selected:
    """Rank all features of each store by l2,1 relevance, for every fold and λ; see `rank_features`.

    Parameters
    ----------
    name : str
        The task's, for the files' names.
    stores : dict
        Target size to store.
    images : sequence of str
        Content hashes of the n training images.
    folder : Path
        Where selections are kept, under names made of all they depend on; `fresh` computes them again all the same.
    """
    start = time.perf_counter()
    selections, files, recalled = {}, {}, True
    for size, store in stores.items():
        settings = {
            "store": store.key,
            "rows": fingerprint([list(images), labels.tolist(), folds.tolist()]),
            "ratios": LAMBDA_RATIOS,
            "tol": TOLERANCE,
            "top": top,
            "code": code_fingerprint("select"),
        }
        files[size] = folder / f"{name}-{fingerprint(settings)[:16]}.npz"
        if files[size].is_file() and not fresh:
            selections[size] = Selection.load(files[size])
            continue
        recalled = False
        with progress(f"selecting from target size {size}", unit="λ") as report:
            selections[size] = rank_features(
                DesignMatrix.of([store], images),
                labels,
                folds,
                n_classes,
                ratios=LAMBDA_RATIOS,
                top=top,
                tol=TOLERANCE,
                arrays=arrays,
                progress=report,
            )
        selections[size].save(files[size], settings)
    return Selected(selections, files, recalled, time.perf_counter() - start)
