"""The chart of a confusion matrix: shades for the shares of a row, and as much text as there is room for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from head2toe.probe.report.svg import ACCENT, INK, MUTED, PAPER, drawing, inline, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED_CLASSES = 24
"""Up to so many classes a confusion matrix has names at its sides; with more, they would be too small to be read."""
CELL_TEXT = 12
"""Up to so many classes the cells of a confusion matrix have room for a number."""
SHADES = 12


def draw(name: str, title: str, counts: np.ndarray, classes: Sequence[str], description: str) -> str:
    """Draw a confusion matrix, every cell shaded by its share of the row.

    Parameters
    ----------
    counts : (n, n) int array
        Images by true class (row) and predicted class (column).
    classes : sequence of str
        The n classes' names in label order.
    description : str
        The text for those who can't see the chart.
    """
    n = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with drawing(400) as (figure, ax):
        _shade_cells(ax, share)
        if n <= CELL_TEXT:
            _number_cells(ax, counts, share)
        ax.set_xlim(-0.5, n - 0.5)
        ax.set_ylim(n - 0.5, -0.5)
        ax.set_aspect("equal")
        ax.set_xlabel("predicted")
        ax.set_ylabel("true")
        for spine in ax.spines.values():
            spine.set_visible(True)
        ax.grid(visible=False)
        _label_classes(ax, classes)
        return inline(figure, name, title, description)


def _shade_cells(ax: "Axes", share: np.ndarray) -> None:
    """Cells of one shade are one path, so that a hundred classes make a small file."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    level = np.ceil(share * SHADES).astype(int)
    for shade in range(1, SHADES + 1):
        cells = [Path(_corners(i, j), closed=True) for i, j in np.argwhere(level == shade)]
        if cells:
            patch = PathPatch(Path.make_compound_path(*cells), facecolor=ACCENT, linewidth=0)
            patch.set_alpha(0.05 + 0.95 * shade / SHADES)
            ax.add_patch(patch)


def _number_cells(ax: "Axes", counts: np.ndarray, share: np.ndarray) -> None:
    """Write the number of images into every cell that has some."""
    size = 9.5 if len(counts) > 6 else 11
    for i, j in np.argwhere(counts > 0):
        ink = PAPER if share[i, j] > 0.5 else INK
        ax.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=ink, fontsize=size)


def _label_classes(ax: "Axes", classes: Sequence[str]) -> None:
    """Name the classes at both sides or, where they are too many, number some of them."""
    n = len(classes)
    if n <= NAMED_CLASSES:
        names = [short(c, 14) for c in classes]
        size = 10 if n <= CELL_TEXT else 8
        ax.set_yticks(range(n), names, fontsize=size)
        ax.set_xticks(range(n), names, fontsize=size, rotation=90)
    else:
        step = next(s for s in (5, 10, 20, 50, 100, 500, n) if n / s <= 7)
        ax.set_yticks(range(0, n, step), map(str, range(0, n, step)), color=MUTED)
        ax.set_xticks(range(0, n, step))


def _corners(i: int, j: int) -> list[tuple[float, float]]:
    """The corners of the cell in row i and column j, the first of them once more at the end."""
    return [(j + dx, i + dy) for dx, dy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5))]
