"""The kinds of chart: each takes plain numbers and returns an inline SVG.

All take a `name`, which is unique on the page, and a `title`, which says in a line what is shown: title and numbers are
the text for those who can't see the chart. All raise `MissingExtra` where matplotlib is not installed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from head2toe.probe.report.svg import ACCENT, INK, LINES, MARKERS, MUTED, drawing, inline, short, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEFT_OUT = 0.1
"""The share of a chart's points that may fall below it, where they would flatten all others."""
FEWEST = 5
"""With fewer images in a bin, the share of right ones says nothing."""


@dataclass(frozen=True)
class Dot:
    """A method's line in a chart of `dots`.

    Attributes
    ----------
    name : str
        The method's name.
    value : float
        Where the dot is.
    interval : sequence of two floats, optional
        The ends of the line through the dot.
    folds : float, optional
        Where the tick is: the mean over the folds.
    best : bool
        Whether the line stands out.
    """

    name: str
    value: float
    interval: Sequence[float] | None
    folds: float | None
    best: bool


@dataclass(frozen=True)
class Curve:
    """A method's curve in a chart of `curves`.

    Attributes
    ----------
    name : str
        The method's name.
    colour : int
        Which of the colours of lines (`svg.LINES`) it has; they are used again after the last.
    points : sequence of (float, float, float)
        Value of the setting, accuracy and its standard error, values ascending.
    chosen : float, optional
        The value that was chosen, if it was.
    """

    name: str
    colour: int
    points: Sequence[tuple[float, float, float]]
    chosen: float | None


def dots(name: str, title: str, rows: Sequence[Dot], axis: str) -> str:
    """Draw a line for each method: a dot, the line of its interval, and a tick for the mean over the folds."""
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
        numbers = "; ".join(f"{row.name} {row.value:.3f}{_range(row.interval)}" for row in rows)
        return inline(figure, name, title, f"{numbers}.")


def folds(name: str, title: str, rows: Mapping[str, Sequence[float]], best: str, axis: str) -> str:
    """Draw a line for each method: a dot for each of its folds, and a tick for their mean."""
    with drawing(46 + 21 * len(rows)) as (figure, ax):
        for y, (method, values) in enumerate(rows.items()):
            colour = ACCENT if method == best else INK
            ax.plot(values, [y] * len(values), "o", color=colour, markersize=6, alpha=0.45, markeredgewidth=0)
            ax.plot((np.mean(values),), (y,), "|", color=colour, markersize=13, markeredgewidth=1.8)
        _rows(ax, list(rows), [method == best for method in rows])
        ax.set_xlabel(axis)
        numbers = "; ".join(f"{method} {', '.join(f'{v:.3f}' for v in values)}" for method, values in rows.items())
        return inline(figure, name, title, f"Accuracy of each fold: {numbers}.")


def curves(name: str, title: str, lines: Sequence[Curve], axis: str) -> str:
    """Draw accuracy against a setting on a logarithmic axis, ± a standard error, and a ring round what was chosen."""
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
        accuracies = np.array([accuracy for line in lines for _, accuracy, _ in line.points])
        low = float(np.quantile(accuracies, LEFT_OUT))
        if low - accuracies.min() > accuracies.max() - low:
            ax.set_ylim(bottom=low - 0.05 * (accuracies.max() - low))
        ax.set_xscale("log")
        ticks = sorted({point[0] for line in lines for point in line.points})
        ax.set_xticks([ticks[i] for i in _apart(ticks)])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"{value:.2g}"))
        ax.set_xlabel(axis)
        ax.grid(visible=False, axis="x")
        ax.tick_params(axis="y", colors=MUTED)
        numbers = "; ".join(f"{c.name}: {', '.join(f'{a:.3f} at {v:g}' for v, a, _ in c.points)}" for c in lines)
        return inline(figure, name, title, f"{numbers}.")


def shares(name: str, title: str, layers: Sequence[tuple[str, float]], *, best: bool) -> str:
    """Draw a bar for each layer, from first to last: the share of its features that is kept."""
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
        numbers = ", ".join(f"{layer} {share:.1%}" for layer, share in most)
        return inline(figure, name, title, f"{n} layers. The largest shares: {numbers}.")


def depth(name: str, title: str, layers: Sequence[tuple[str, float]], *, best: bool) -> str:
    """Draw the accuracy of each layer alone, from first to last."""
    with drawing(170) as (figure, ax):
        accuracies = [accuracy for _, accuracy in layers]
        ax.plot(accuracies, color=ACCENT if best else MUTED, linewidth=1.4, marker="o", markersize=3.5)
        ax.tick_params(axis="y", colors=MUTED)
        ax.grid(visible=False, axis="x")
        _columns(ax, [layer for layer, _ in layers])
        most = sorted(layers, key=lambda layer: -layer[1])[:5]
        numbers = ", ".join(f"{layer} {accuracy:.3f}" for layer, accuracy in most)
        return inline(figure, name, title, f"{len(layers)} layers. The best: {numbers}.")


def reliability(name: str, title: str, bins: Mapping[str, Sequence[float | None]]) -> str:
    """Draw accuracy against confidence, a dot for each bin, sized by its images; on the diagonal the two agree.

    Parameters
    ----------
    bins : mapping
        `counts` (images), `confidence` (mean) and `accuracy` of each bin; the latter two are None for an empty one.
    """
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
        numbers = "; ".join(f"{a:.2f} at {c:.2f} ({n:.0f} images)" for c, a, n in rows)
        return inline(figure, name, title, f"Share that is right, at confidence: {numbers}.")


def _rows(ax: "Axes", names: Sequence[str], best: Sequence[bool]) -> None:
    """Put the methods' names beside their lines, the first on top, and the best one's in bold."""
    from matplotlib.ticker import MaxNLocator

    ax.set_yticks(range(len(names)), [short(n, 22) for n in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.margins(x=0.05)
    for label, bold in zip(ax.get_yticklabels(), best, strict=True):
        label.set_fontweight("bold" if bold else "normal")


def _columns(ax: "Axes", layers: Sequence[str]) -> None:
    """Name the first, the middle and the last layer below the chart: there is no room for more."""
    at = spread(len(layers), 3)
    ax.set_xticks(at, [short(layers[i], 18) for i in at], fontsize=9.5)
    labels = ax.get_xticklabels()
    if len(at) > 2:
        labels[0].set_horizontalalignment("left")
        labels[-1].set_horizontalalignment("right")


def _apart(ticks: Sequence[float]) -> list[int]:
    """The positions of ticks that are far enough from each other on a logarithmic axis for their labels."""
    span = np.log(ticks[-1] / ticks[0])
    kept = [0]
    for i in range(1, len(ticks)):
        if np.log(ticks[i] / ticks[kept[-1]]) > span / 8:
            kept.append(i)
    return kept


def _range(interval: Sequence[float] | None) -> str:
    """An interval in brackets, for a description."""
    return "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
