"""Fewer candidates where there are many rows: all are tried on some rows, and those that do well there on more.

Successive halving (Jamieson & Talwalkar 2016, AISTATS 51, 240-248) with rows as the budget. A round draws training rows
of every fold and class, and each fold's heads are trained and judged on the drawn ones as they will be on all rows: no
head predicts a row that trained it or ranked its columns. What averages heads keeps the candidates of most weight in
the mean that would be chosen on these rows, everything else those of least log-loss. What trains nothing (penalised
models, which the path left, and nearest neighbours) always goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from head2toe.probe.many_rows.heads import MANY
from head2toe.probe.many_rows.rotation import MOST_COLUMNS
from head2toe.probe.methods.candidates import Candidate, HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.store.reading.design_matrix import Design

FIRST, TIMES = 2000, 4
"""Rows of the first round, and by how much more there are in the next."""
KEPT_OF_FIRST, FEWEST = 24, 8
"""How many candidates the first round leaves, and the last at least."""


@dataclass(frozen=True)
class Round:
    """A round of halving.

    Attributes
    ----------
    rows : int
        On how many candidates are tried.
    kept : int
        How many of those that train heads go on.
    """

    rows: int
    kept: int


def rounds(n_train: int) -> tuple[Round, ...]:
    """Plan the rounds for so many training rows: none up to `MANY`."""
    planned, rows, kept = [], FIRST, KEPT_OF_FIRST
    while n_train > MANY and 2 * rows <= n_train:
        planned.append(Round(rows, kept))
        rows, kept = rows * TIMES, max(FEWEST, kept // 2)
    return tuple(planned)


def notes_on(n_train: int) -> list[str]:
    """What a user should know of it, for so many training rows: nothing where there are no rounds."""
    planned = rounds(n_train)
    if not planned:
        return []
    parts = [f"on {one.rows:,} of them the best {one.kept} are found" for one in planned]
    return [
        f"{n_train:,} training rows: {', then '.join(parts)} of the heads that a method may choose from, and only "
        f"those are trained on all rows; no selection of more than {MOST_COLUMNS:,} features is tried"
    ]


def affordable(grid: Sequence[Candidate], n_train: int) -> list[Candidate]:
    """Leave out selections of more columns than are rotated, where there are many rows and smaller selections."""
    if n_train <= MANY:
        return list(grid)
    return [one for one in grid if "features" not in one.settings or len(one.columns) <= MOST_COLUMNS]


def thinned(
    grid: Sequence[Candidate], data: ProbeData, merits: Callable[[Sequence[Candidate], ProbeData], np.ndarray]
) -> list[Candidate]:
    """Thin a grid out in the rounds that its rows ask for, its order unchanged.

    Parameters
    ----------
    grid : sequence of Candidate
    data : ProbeData
        All rows.
    merits : function
        Candidates and some rows' data to the merit of each of them there: the larger, the better.
    """
    left = affordable(grid, data.n_train)
    for one in rounds(data.n_train):
        trained = [k for k, candidate in enumerate(left) if isinstance(candidate, HeadOnColumns)]
        if len(trained) <= one.kept:
            continue
        merit = merits(left, on_rows(data, drawn(data, one.rows)))
        best = sorted(trained, key=lambda k: -merit[k])[: one.kept]
        left = [candidate for k, candidate in enumerate(left) if k in best or k not in trained]
    return left


def drawn(data: ProbeData, n: int) -> np.ndarray:
    """Draw about n training rows, ascending: of every fold and class its share, and one at least of each."""
    rng, rows = np.random.default_rng([data.seed, n]), []
    of_rows = np.stack([data.folds, data.train_labels])
    _, groups = np.unique(of_rows, axis=1, return_inverse=True)
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups.ravel() == group)
        count = max(1, round(len(members) * n / data.n_train))
        rows.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(rows))


def on_rows(data: ProbeData, rows: np.ndarray) -> ProbeData:
    """Return the data of some training rows, without test rows and without views."""

    def taken(designs: Mapping[int, Design]) -> dict[int, Design]:
        return {size: design.take(rows) for size, design in designs.items()}

    return replace(data, designs=taken(data.designs), labels=data.labels[rows], folds=data.folds[rows], views={})
