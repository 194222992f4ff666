"""Layers side by side by columns: which columns belong to which layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from head2toe.store.common.errors import BadRequest

LAST_LAYER = "pre_logits"
"""The layer of pooled features that the network's own classifier reads: what a linear probe is trained on."""


@dataclass(frozen=True)
class LayerIndex:
    """Layers side by side by columns, in the order given.

    Parameters
    ----------
    names : tuple of str
        Names of the L layers, each once.
    widths : tuple of int
        How many columns (features) each has, at least one.

    Attributes
    ----------
    offsets : (L + 1,) int64 array
        The columns of layer i are ``offsets[i]:offsets[i + 1]``.
    n_features : int
        The number of columns of all layers together.

    Raises
    ------
    BadRequest
        A name is empty or there twice, a width is below one, or there are more of one than of the other.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    offsets: np.ndarray = field(init=False, repr=False, compare=False)
    n_features: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))
        if len(self.names) != len(self.widths):
            raise BadRequest(f"{len(self.names)} layer names, but {len(self.widths)} widths")
        if len(set(self.names)) != len(self.names):
            raise BadRequest(f"layer {_first_repeated(self.names)!r} is there twice: every layer needs its own name")
        for name, width in zip(self.names, self.widths, strict=True):
            if not name or width < 1:
                raise BadRequest(f"layer {name!r} of width {width}: a layer needs a name and at least one feature")
        offsets = np.concatenate([[0], np.cumsum(self.widths, dtype=np.int64)]).astype(np.int64)
        offsets.flags.writeable = False
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "n_features", int(offsets[-1]))

    def __len__(self) -> int:
        return len(self.names)

    def columns(self, name: str) -> slice:
        """Return the columns of a layer. Raises `BadRequest` for a name that isn't there."""
        if name not in self.names:
            raise BadRequest(f"no layer {name!r}; there are {', '.join(self.names)}")
        i = self.names.index(name)
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def layer_of(self, columns: np.ndarray) -> np.ndarray:
        """Return the index of every given column's layer, int64 in the shape of `columns`."""
        return np.searchsorted(self.offsets, np.asarray(columns), side="right").astype(np.int64) - 1

    def counts(self, columns: np.ndarray) -> np.ndarray:
        """Count how many of the given columns lie in each layer; returns (L,) int64."""
        return np.bincount(self.layer_of(columns).ravel(), minlength=len(self.names))

    @classmethod
    def concat(cls, parts: Sequence["LayerIndex"], prefixes: Sequence[str]) -> "LayerIndex":
        """Put several indexes side by side; the prefixes, one for each, keep their layers' names apart."""
        names = [prefix + name for part, prefix in zip(parts, prefixes, strict=True) for name in part.names]
        return cls(tuple(names), tuple(width for part in parts for width in part.widths))


def _first_repeated(names: Sequence[str]) -> str:
    return next(name for i, name in enumerate(names) if name in names[:i])
