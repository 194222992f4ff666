"""Rows that other stores already hold: copied instead of extracted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.store.format.layout import Spec
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.row_map import RowMap
from head2toe.store.writing.block_file import Staging


@dataclass(frozen=True)
class Reuse:
    """For every row of a store to be written: which sibling holds it (-1: none), and in which row."""

    siblings: tuple[FeatureStore, ...]
    sibling: np.ndarray
    row: np.ndarray

    @classmethod
    def of(cls, spec: Spec, siblings: Sequence[FeatureStore]) -> "Reuse":
        """Look every image up in the siblings: stores that differ in nothing but the images."""
        sibling = np.full(spec.n_rows, -1, np.int64)
        row = np.zeros(spec.n_rows, np.int64)
        for number, store in enumerate(siblings):
            known = store.row_by_image
            for i in np.flatnonzero(sibling < 0):
                if (found := known.get(spec.images[i])) is not None:
                    sibling[i], row[i] = number, found
        used, renumbered = np.unique(sibling[sibling >= 0], return_inverse=True)
        sibling[sibling >= 0] = renumbered
        return cls(tuple(siblings[number] for number in used), sibling, row)  # the others aren't kept open

    @property
    def total(self) -> int:
        """How many rows needn't be extracted."""
        return int((self.sibling >= 0).sum())

    def copy_into(self, staging: Staging, rows: range) -> np.ndarray:
        """Copy a block's known rows; returns which they are, (len(rows),) bool."""
        sibling, row = self.sibling[rows.start : rows.stop], self.row[rows.start : rows.stop]
        for number in np.unique(sibling[sibling >= 0]):
            store = self.siblings[number]
            here = np.flatnonzero(sibling == number)
            from_rows = RowMap.of(row[here], store.spec.rows_per_block)
            for layer, name in enumerate(store.layers.names):
                target = staging.layer(name)
                for segment in from_rows.segments:
                    values = store.block(layer, segment.block)[:, segment.source]
                    target[:, here[segment.target]] = values
        return sibling >= 0
