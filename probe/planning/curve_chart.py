"""The picture of learning curves: accuracy against labels, with bands, and the power laws beyond."""

from collections.abc import Sequence

import numpy as np
from head2toe.probe.planning.learning_curve import BEYOND, LearningCurve
from head2toe.probe.report.rendering import TEMPLATES
from head2toe.probe.report.svg import LINES, MARKERS, MUTED, drawing, inline

HEIGHT = 300


def draw(task: str, curves: Sequence[LearningCurve]) -> str:
    """Draw learning curves as an `<svg>` element.

    Raises
    ------
    MissingExtra
        Matplotlib is not installed.
    """
    with drawing(HEIGHT) as (figure, ax):
        for number, curve in enumerate(curves):
            colour = LINES[number % len(LINES)]
            n = np.array([point.labels for point in curve.points])
            accuracy = 100 * np.array([point.accuracy for point in curve.points])
            error = 100 * np.array([point.error for point in curve.points])
            ax.fill_between(n, accuracy - 2 * error, accuracy + 2 * error, color=colour, alpha=0.15, linewidth=0)
            marker = MARKERS[number % len(MARKERS)]
            ax.plot(n, accuracy, marker, color=colour, markersize=5, label=curve.method)
            along = np.geomspace(n[0], BEYOND[-1] * n[-1], 60)
            law = 100 * np.asarray(curve.law(along))
            ax.plot(along[along <= n[-1]], law[along <= n[-1]], color=colour, linewidth=1.6)
            ax.plot(along[along >= n[-1]], law[along >= n[-1]], ":", color=colour, linewidth=1.6)
        last = curves[0].points[-1].labels
        ax.axvline(last, color=MUTED, linewidth=0.8)
        ax.set_xscale("log")
        ax.set_xticks([], minor=True)
        ticks = [curves[0].points[0].labels, *(round(times * last) for times in (0.5, 1, *BEYOND[1:]))]
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.set_xlabel("training images with a label")
        ax.set_ylabel("accuracy over the folds, %")
        ax.legend(frameon=False, loc="lower right")
        return inline(figure, "curve", f"Learning curves of {task}", described(curves))


def described(curves: Sequence[LearningCurve]) -> str:
    """Write the numbers of the picture."""
    lines = []
    for curve in curves:
        points = ", ".join(f"{point.labels} {point.accuracy:.1%}" for point in curve.points)
        lines.append(f"{curve.method}: {points}")
    return "; ".join(lines) + "."


def standing_alone(svg: str) -> str:
    """Return a chart as a file of its own, in the colours of the pages, light and dark."""
    colours = (TEMPLATES / "style.css").read_text(encoding="utf-8").partition("* {")[0]  # before all rules of elements
    style = f"<style>{colours}svg {{ font-family: system-ui, sans-serif; background: var(--paper); }}</style>"
    head, _, body = svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{body}\n'
