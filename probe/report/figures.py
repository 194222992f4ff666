"""The charts of a report: each takes plain numbers and returns an inline SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from head2toe.probe.report.svg import ACCENT, INK, LINES, MARKERS, MUTED, PAPER, drawing, inline, short, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED_CLASSES = 24  # with more, names would be smaller than can be read
CELL_TEXT = 12  # classes up to which a cell has room for a number
SHADES = 12
LEFT_OUT = 0.1  # of the points may fall below a chart, where they would flatten all others
FEWEST = 5  # images in a bin whose share of right ones says something


@dataclass(frozen=True)
class Dot:
    """A method's number: the dot, the line through it, and the tick beside it."""

    name: str
    value: float
    interval: Sequence[float] | None
    folds: float | None
    best: bool


@dataclass(frozen=True)
class Curve:
    """A method's accuracy against a setting: (value, accuracy, standard error), values ascending; and the chosen."""

    name: str
    colour: int
    points: Sequence[tuple[float, float, float]]
    chosen: float | None


def dots(name: str, title: str, rows: Sequence[Dot], axis: str) -> str:
    """A line of the chart for each method: value, its 95 % interval, and the mean over folds as a tick."""
    with drawing(46 + 21 * len(rows)) as (figure, ax):
        for y, row in enumerate(rows):
            colour = ACCENT if row.best else INK
            if row.interval is not None:
                ax.plot(row.interval, (y, y), color=colour, linewidth=2.4, alpha=0.38, solid_capstyle="round")
            if row.folds is not None:
                ax.plot((row.folds,), (y,), "|", color=MUTED, markersize=9, markeredgewidth=1.3)
            ax.plot((row.value,), (y,), "o", color=colour, markersize=7 if row.best else 5.5)
        _rows(ax, [row.name for row in rows], [row.best for row in rows])
        ax.set_xlabel(axis)
        said = "; ".join(f"{r.name} {r.value:.3f}{_range(r.interval)}" for r in rows)
        return inline(figure, name, title, f"{said}.")


def folds(name: str, title: str, rows: Mapping[str, Sequence[float]], best: str, axis: str) -> str:
    """A dot for each fold, a tick for their mean."""
    with drawing(46 + 21 * len(rows)) as (figure, ax):
        for y, (method, values) in enumerate(rows.items()):
            colour = ACCENT if method == best else INK
            ax.plot(values, [y] * len(values), "o", color=colour, markersize=6, alpha=0.45, markeredgewidth=0)
            ax.plot((np.mean(values),), (y,), "|", color=colour, markersize=13, markeredgewidth=1.8)
        _rows(ax, list(rows), [method == best for method in rows])
        ax.set_xlabel(axis)
        said = "; ".join(f"{method} {', '.join(f'{v:.3f}' for v in values)}" for method, values in rows.items())
        return inline(figure, name, title, f"Accuracy of each fold: {said}.")


def curves(name: str, title: str, lines: Sequence[Curve], axis: str) -> str:
    """Accuracy against a setting on a logarithmic axis, ± a standard error; a ring round what the folds chose."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    with drawing(235) as (figure, ax):
        for line in lines:
            colour, marker = LINES[line.colour % len(LINES)], MARKERS[line.colour % len(MARKERS)]
            x, y, error = (np.array(values) for values in zip(*line.points, strict=True))
            ax.fill_between(x, y - error, y + error, color=colour, alpha=0.13, linewidth=0)
            ax.plot(x, y, marker=marker, color=colour, linewidth=1.8, markersize=4.5)
            for value, accuracy, _ in line.points:
                if value == line.chosen:
                    ax.plot((value,), (accuracy,), "o", markersize=11, markerfacecolor="none", markeredgecolor=colour)
        found = np.array([accuracy for line in lines for _, accuracy, _ in line.points])
        low = float(np.quantile(found, LEFT_OUT))
        if low - found.min() > found.max() - low:
            ax.set_ylim(bottom=low - 0.05 * (found.max() - low))
        ax.set_xscale("log")
        ticks = sorted({point[0] for line in lines for point in line.points})
        ax.set_xticks([ticks[i] for i in _apart(ticks)])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"{value:.2g}"))
        ax.set_xlabel(axis)
        ax.grid(visible=False, axis="x")
        ax.tick_params(axis="y", colors=MUTED)
        said = "; ".join(f"{c.name}: {', '.join(f'{a:.3f} at {v:g}' for v, a, _ in c.points)}" for c in lines)
        return inline(figure, name, title, f"{said}.")


def shares(name: str, title: str, layers: Sequence[tuple[str, float]], *, best: bool) -> str:
    """The share of each layer's features that is kept, from first to last."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    n = len(layers)
    with drawing(150) as (figure, ax):
        ax.bar(range(n), [share for _, share in layers], width=0.78, color=ACCENT if best else MUTED, linewidth=0)
        ax.set_xlim(-0.7, n - 0.3)
        top = 1.08 * max(share for _, share in layers)
        ax.set_ylim(0, top)
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.04 else 1))
        ax.tick_params(axis="y", colors=MUTED)
        ax.grid(visible=False, axis="x")
        _columns(ax, [layer for layer, _ in layers])
        most = sorted(layers, key=lambda layer: -layer[1])[:5]
        said = ", ".join(f"{layer} {share:.1%}" for layer, share in most)
        return inline(figure, name, title, f"{n} layers. The largest shares: {said}.")


def depth(name: str, title: str, layers: Sequence[tuple[str, float]], *, best: bool) -> str:
    """The accuracy of each layer alone, from first to last."""
    with drawing(170) as (figure, ax):
        accuracies = [accuracy for _, accuracy in layers]
        ax.plot(accuracies, color=ACCENT if best else MUTED, linewidth=1.4, marker="o", markersize=3.5)
        ax.tick_params(axis="y", colors=MUTED)
        ax.grid(visible=False, axis="x")
        _columns(ax, [layer for layer, _ in layers])
        most = sorted(layers, key=lambda layer: -layer[1])[:5]
        said = ", ".join(f"{layer} {accuracy:.3f}" for layer, accuracy in most)
        return inline(figure, name, title, f"{len(layers)} layers. The best: {said}.")


def confusion(name: str, title: str, counts: np.ndarray, classes: Sequence[str], description: str) -> str:
    """Rows are true classes, columns what was predicted, shaded by the share of the row.

    Cells of one shade are one path, so that a hundred classes make a small file.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    n = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with drawing(400) as (figure, ax):
        level = np.ceil(share * SHADES).astype(int)
        for shade in range(1, SHADES + 1):
            cells = [Path(_corners(i, j), closed=True) for i, j in np.argwhere(level == shade)]
            if cells:
                patch = PathPatch(Path.make_compound_path(*cells), facecolor=ACCENT, linewidth=0)
                patch.set_alpha(0.05 + 0.95 * shade / SHADES)
                ax.add_patch(patch)
        if n <= CELL_TEXT:
            for i, j in np.argwhere(counts > 0):
                ink = PAPER if share[i, j] > 0.5 else INK
                size = 9.5 if n > 6 else 11
                ax.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=ink, fontsize=size)
        ax.set_xlim(-0.5, n - 0.5)
        ax.set_ylim(n - 0.5, -0.5)
        ax.set_aspect("equal")
        ax.set_xlabel("predicted")
        ax.set_ylabel("true")
        for spine in ax.spines.values():
            spine.set_visible(True)
        ax.grid(visible=False)
        if n <= NAMED_CLASSES:
            names = [short(c, 14) for c in classes]
            size = 10 if n <= CELL_TEXT else 8
            ax.set_yticks(range(n), names, fontsize=size)
            ax.set_xticks(range(n), names, fontsize=size, rotation=90)
        else:
            step = next(s for s in (5, 10, 20, 50, 100, 500, n) if n / s <= 7)
            ax.set_yticks(range(0, n, step), map(str, range(0, n, step)), color=MUTED)
            ax.set_xticks(range(0, n, step))
        return inline(figure, name, title, description)


def reliability(name: str, title: str, bins: Mapping[str, Sequence[float | None]]) -> str:
    """Accuracy against confidence in bins, dots sized by how many images are in them; on the diagonal they agree."""
    rows = [
        (c, a, n)
        for c, a, n in zip(bins["confidence"], bins["accuracy"], bins["counts"], strict=True)
        if c is not None and a is not None and (n or 0) >= FEWEST
    ]
    confidence, accuracy, count = np.array(rows, dtype=float).reshape(-1, 3).T
    with drawing(270) as (figure, ax):
        ax.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        ax.plot(confidence, accuracy, color=ACCENT, linewidth=1.2, alpha=0.45)
        ax.scatter(confidence, accuracy, s=8 + 90 * np.sqrt(count / count.max(initial=1)), color=ACCENT, linewidths=0)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.05)
        ax.set_xlabel("confidence: probability of the predicted class")
        ax.set_ylabel("share that is right")
        ax.tick_params(axis="y", colors=MUTED)
        said = "; ".join(f"{a:.2f} at {c:.2f} ({n:.0f} images)" for c, a, n in rows)
        return inline(figure, name, title, f"Share that is right, at confidence: {said}.")


def _rows(ax: "Axes", names: Sequence[str], best: Sequence[bool]) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_yticks(range(len(names)), [short(n, 22) for n in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.margins(x=0.05)
    for label, bold in zip(ax.get_yticklabels(), best, strict=True):
        label.set_fontweight("bold" if bold else "normal")


def _columns(ax: "Axes", layers: Sequence[str]) -> None:
    """Names under the first, the middle and the last layer: there is no room for more."""
    at = spread(len(layers), 3)
    ax.set_xticks(at, [short(layers[i], 18) for i in at], fontsize=9.5)
    labels = ax.get_xticklabels()
    if len(at) > 2:
        labels[0].set_horizontalalignment("left")
        labels[-1].set_horizontalalignment("right")


def _apart(ticks: Sequence[float]) -> list[int]:
    """Ticks that are far enough from each other on a logarithmic axis for their labels."""
    span = np.log(ticks[-1] / ticks[0])
    kept = [0]
    for i in range(1, len(ticks)):
        if np.log(ticks[i] / ticks[kept[-1]]) > span / 8:
            kept.append(i)
    return kept


def _corners(i: int, j: int) -> list[tuple[float, float]]:
    """Of the cell in row i and column j, and back to the first."""
    return [(j + dx, i + dy) for dx, dy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5))]


def _range(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
