"""Rows that other stores already hold, which are copied instead of extracted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from head2toe.store.common.errors import StoreError
from head2toe.store.format.layout import Spec
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.row_map import RowMap, Segment
from head2toe.store.writing.block_file import Staging


@dataclass(frozen=True)
class Reuse:
    """Where other stores hold the rows of a store that is to be written.

    Attributes
    ----------
    siblings : tuple of FeatureStore
        Stores that differ in nothing but the images, and hold some of the rows.
    sibling : (n_rows,) int64 array
        Which of them holds each row; -1 for a row that none has.
    row : (n_rows,) int64 array
        In which of its rows.
    """

    siblings: tuple[FeatureStore, ...]
    sibling: np.ndarray
    row: np.ndarray

    @classmethod
    def of(cls, spec: Spec, siblings: Sequence[FeatureStore]) -> "Reuse":
        """Look every image of a spec up in stores that differ in nothing but the images."""
        sibling = np.full(spec.n_rows, -1, np.int64)
        row = np.zeros(spec.n_rows, np.int64)
        for number, store in enumerate(siblings):
            for i in np.flatnonzero(sibling < 0):
                if (its_row := store.row_by_image.get(spec.images[i])) is not None:
                    sibling[i], row[i] = number, its_row
        used, renumbered = np.unique(sibling[sibling >= 0], return_inverse=True)
        sibling[sibling >= 0] = renumbered
        return cls(tuple(siblings[number] for number in used), sibling, row)  # the others aren't kept open

    @property
    def total(self) -> int:
        """Number of rows that needn't be extracted."""
        return int((self.sibling >= 0).sum())

    def copy_into(self, staging: Staging, rows: range) -> np.ndarray:
        """Copy those of a block's rows that siblings hold.

        Parameters
        ----------
        staging : Staging
            Takes them.
        rows : range
            The block's rows, as numbers in the store.

        Returns
        -------
        (len(rows),) bool array
            Which rows were copied. Those that a damaged block of a sibling holds are not.
        """
        sibling, row = self.sibling[rows.start : rows.stop].copy(), self.row[rows.start : rows.stop]
        for number in np.unique(sibling[sibling >= 0]):
            store = self.siblings[number]
            wanted = np.flatnonzero(sibling == number)
            for segment in RowMap.of(row[wanted], store.spec.rows_per_block).segments:
                targets = wanted[segment.target]
                try:
                    _copy(store, segment, targets, staging)
                except StoreError:  # `verify` reports it; extracting is always possible
                    sibling[targets] = -1
        return sibling >= 0


def _copy(store: FeatureStore, segment: Segment, targets: np.ndarray, staging: Staging) -> None:
    """Copy rows of one block, all layers; raises `StoreError` if the block isn't what was written."""
    for layer, name in enumerate(store.layers.names):
        store.check(layer, segment.block)
        staging.layer(name)[:, targets] = store.block(layer, segment.block)[:, segment.source]
