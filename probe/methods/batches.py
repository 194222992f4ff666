"""Candidates cross-validated side by side, as a GPU wants them: a few large batches instead of many small problems.

What a step down asks of a GPU is the same for one candidate and for a hundred, and takes the GPU hardly longer.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from head2toe.probe.heads.crossval import fold_bases
from head2toe.probe.heads.eigenbasis import RotatedRows, joined
from head2toe.probe.heads.kinds import ExactHeads, KindOnBases, Settings, Tried
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.refit import RefitRows, refits
from head2toe.probe.methods.candidates import Candidate, Choice, HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData

BATCH_BYTES = 2 << 30
"""Of the coordinates of all rows that a batch has at most; training takes about five times as much."""
BATCH_SHARE = 1 / 16
"""Of the GPU's memory that these coordinates take at most."""


def cross_validated_in_batches(grid: Sequence[Candidate], data: ProbeData) -> Iterator[tuple[int, list[Tried]]]:
    """Cross-validate every candidate on a GPU.

    Yields
    ------
    k : int
        The number of a candidate in the grid.
    tried : list of (settings, log_probabilities)
        What its `cross_validate` yields.
    """
    exact: dict[KindOnBases, dict[int, HeadOnColumns]] = {}
    for k, candidate in enumerate(grid):
        kind = candidate.kind_of(data) if isinstance(candidate, HeadOnColumns) else None
        if isinstance(candidate, HeadOnColumns) and isinstance(kind, KindOnBases):
            exact.setdefault(kind, {})[k] = candidate
        else:
            yield k, list(candidate.cross_validate(data))
    for of_kind, heads in exact.items():
        for batch in batches(heads, data, most_bytes(data)):
            tried = _side_by_side(of_kind, [heads[k] for k in batch], data)
            yield from zip(batch, tried, strict=True)


def refitted_in_batches(
    chosen: Sequence[tuple[Choice, Settings]], data: ProbeData
) -> Iterator[tuple[int, tuple[np.ndarray, LinearModel]]]:
    """Train exact heads, each at settings of its own, on all training rows on a GPU.

    Parameters
    ----------
    chosen : sequence of (Choice, dict)
        What is no head on columns of the kind `ExactHeads` is passed over. Those on the same columns, which are read
        and rotated once, come together.
    data : ProbeData

    Yields
    ------
    k : int
        The number of a choice.
    refit : tuple of ((m, classes) array, LinearModel)
        As of `Choice.refit`.
    """
    batch: list[tuple[HeadOnColumns, list[int]]] = []
    taken, most = 0, most_bytes(data)
    for members in sharing([choice for choice, _ in chosen]):
        head = chosen[members[0]][0]
        if not (isinstance(head, HeadOnColumns) and isinstance(head.kind_of(data), ExactHeads)):
            continue
        nbytes = 8 * len(data.labels) * min(data.n_train, len(head.columns)) * len(members)
        if batch and taken + nbytes > most:
            yield from _refitted(batch, chosen, data)
            batch, taken = [], 0
        batch.append((head, members))
        taken += nbytes
    yield from _refitted(batch, chosen, data)


def sharing(choices: Sequence[Choice]) -> list[list[int]]:
    """Return the numbers of the choices that are one and the same together: its columns are read and rotated once."""
    groups: dict[int, list[int]] = {}
    for k, choice in enumerate(choices):
        groups.setdefault(id(choice), []).append(k)
    return list(groups.values())


def _refitted(
    batch: Sequence[tuple[HeadOnColumns, list[int]]], chosen: Sequence[tuple[Choice, Settings]], data: ProbeData
) -> Iterator[tuple[int, tuple[np.ndarray, LinearModel]]]:
    """Train the heads of a batch in lockstep, several of them on the same columns; see `refitted_in_batches`."""
    read: dict[int, tuple[RefitRows, RotatedRows]] = {}
    training = data.arrays.xp.arange(data.n_train, device=data.arrays.device)
    for head, members in batch:
        design, sizes = head.design(data), head.target_sizes
        rows = RefitRows.read(design, head.columns, data.on_device, head.scaling, data.arrays, sizes)
        rotated = RotatedRows.of(rows.scaled.values, rows.train, rows.Y, data.arrays, training)
        read.update(dict.fromkeys(members, (rows, rotated)))
    weights = ExactHeads().trained([rotated for _, rotated in read.values()], [chosen[k][1] for k in read])
    trained = refits([(rows, head) for (rows, _), head in zip(read.values(), weights, strict=True)])
    views = {k: head.views for head, members in batch for k in members}
    found = ((k, one.on_views(views[k])) for k, one in zip(read, trained, strict=True))
    yield from ((k, (one.log_probabilities, one.model)) for k, one in found)


def batches(heads: Mapping[int, HeadOnColumns], data: ProbeData, most: int) -> Iterator[list[int]]:
    """Cut candidates into batches whose coordinates take so many bytes at most, or of one; like ranks come together."""

    def rank(k: int) -> int:
        return min(data.n_train, len(heads[k].columns))

    batch: list[int] = []
    for k in sorted(heads, key=rank):
        if batch and 4 * (len(batch) + 1) * data.n_folds * data.n_train * rank(k) > most:
            yield batch
            batch = []
        batch.append(k)
    yield batch


def most_bytes(data: ProbeData) -> int:
    """Return how many bytes the coordinates of a batch may take."""
    _, total = data.arrays.device.mem_info
    return min(BATCH_BYTES, int(BATCH_SHARE * total))


def _side_by_side(kind: KindOnBases, heads: Sequence[HeadOnColumns], data: ProbeData) -> list[list[Tried]]:
    """Train the heads of a batch in lockstep."""
    bases = [
        fold_bases(head.training(data), head.fold_columns, data.on_device, head.scaling, data.arrays) for head in heads
    ]
    basis = joined(bases, data.arrays.xp)
    del bases
    by_setting = kind.on_bases(basis, data.on_device, data.arrays)
    return [list(tried) for tried in zip(*by_setting, strict=True)]
