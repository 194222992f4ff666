"""The charts that are made of a run's record: accuracies, folds, layers, and the settings that were tried."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from head2toe.probe.report import figures
from head2toe.probe.report.svg import LINES
from head2toe.probe.results import summary

HOW_FITTED = {"head", "C", "scale", "learning_rate"}
"""The settings that say how heads are fitted, and not what they are fitted on."""
CURVES = {
    "fraction": ("F", "share of features kept, F"),
    "features": ("F", "number of features kept, F"),
    "lambda_ratio": ("λ / λ_max", "strength of the group lasso, λ / λ_max"),
    "lambda": ("λ", "strength of the group lasso, λ"),
}
"""The settings that accuracy is drawn against, each with its symbol and the words at its axis."""


def accuracy_chart(name: str, record: Mapping[str, Any]) -> str:
    """Draw the accuracy of every method, its interval and its mean over the folds; `name` is unique on the page."""
    best = summary.best_method(record)["name"]
    rows = [
        figures.Dot(
            name=method["name"],
            value=summary.accuracy_of(method),
            interval=(method["test"] or method["nested"] or method.get("corrected") or {})
            .get("accuracy", {})
            .get("interval"),
            folds=summary.over_folds(method) if method["test"] else None,
            best=method["name"] == best,
        )
        for method in record["methods"]
    ]
    axis = "test accuracy" if record["methods"][0]["test"] else _held_out_accuracy(record)
    return figures.dots(name, f"{axis.capitalize()} of each method on {record['task']}", rows, axis)


def _held_out_accuracy(record: Mapping[str, Any]) -> str:
    """The words for the accuracy of methods where there is no test."""
    if summary.has_nested(record):
        return "accuracy in nested cross-validation"
    if any(summary.corrected_accuracy(method) is not None for method in record["methods"]):
        return (
            "corrected accuracy over the folds" if len(record["folds"]) > 1 else "corrected accuracy, held-out images"
        )
    return "accuracy over the folds" if len(record["folds"]) > 1 else "accuracy on held-out images"


def fold_chart(record: Mapping[str, Any], best: str) -> str:
    """Draw each method's accuracy on each fold."""
    rows = {
        method["name"]: [value for value in method["cv"]["accuracy"]["folds"] if value is not None]
        for method in record["methods"]
    }
    return figures.folds("folds", "Spread over the folds", rows, best, "accuracy on the fold's held-out images")


def layer_charts(record: Mapping[str, Any], best: str) -> list[dict[str, Any]]:
    """Draw the share that is kept of each layer, for every method that chose among the features of several.

    Returns
    -------
    list of dict
        For each: the name of the `method`, its `layers` with their shares (0 to 1), and the `svg`.
    """
    charts: list[dict[str, Any]] = []
    for method in record["methods"]:
        known = [layer for layer in method["layers"] if layer["width"]]
        shares = [(layer["name"], layer["kept"] / layer["width"]) for layer in known]
        several = sum(share > 0 for _, share in shares) > 1
        if several and any(share < 1 for _, share in shares):
            name, title = f"layers{len(charts)}", f"Share kept of each layer, {method['name']}"
            svg = figures.shares(name, title, shares, best=method["name"] == best)
            charts.append({"method": method["name"], "layers": shares, "svg": svg})
    return charts


def depth_charts(record: Mapping[str, Any], best: str) -> list[dict[str, Any]]:
    """Draw the accuracy of each layer alone, for every method that tried one layer at a time.

    Returns
    -------
    list of dict
        For each: the name of the `method`, its `layers` with their accuracies (0 to 1), and the `svg`.
    """
    charts = []
    for i, method in enumerate(record["methods"]):
        alone: dict[str, float] = {}
        for point in method["sweep"]:
            layer, accuracies = point["settings"].get("layer"), point["accuracies"]
            if layer is not None and None not in accuracies:
                alone[layer] = max(alone.get(layer, 0.0), float(np.mean(accuracies)))
        if len(alone) > 1:
            order = [layer["name"] for layer in method["layers"] if layer["name"] in alone]
            accuracy_of = [(layer, alone[layer]) for layer in order or alone]
            svg = figures.depth(f"depth{i}", "Accuracy of each layer alone", accuracy_of, best=method["name"] == best)
            charts.append({"method": method["name"], "layers": accuracy_of, "svg": svg})
    return charts


def setting_charts(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Draw accuracy against F and λ, for the methods whose sweep tried several; a method has one colour in all charts.

    Returns
    -------
    list of dict
        For each setting: its `symbol`, the `names` of the methods with the numbers of their colours, and the `svg`.
    """
    methods = list(enumerate(record["methods"]))
    drawn = {key: [curve for i, method in methods if (curve := best_of_each(method, key, i))] for key in CURVES}
    colours = sorted({curve.colour for curves in drawn.values() for curve in curves})
    charts = []
    for key, (symbol, axis) in CURVES.items():
        curves = [replace(curve, colour=colours.index(curve.colour)) for curve in drawn[key]]
        if curves:
            svg = figures.curves(f"sweep-{key}", f"Accuracy on held-out images against {symbol}", curves, axis)
            names = [(curve.colour % len(LINES), curve.name) for curve in curves]
            charts.append({"symbol": symbol, "svg": svg, "names": names})
    return charts


def best_of_each(method: Mapping[str, Any], key: str, colour: int) -> figures.Curve | None:
    """For each value of a setting, take the best of all other settings.

    A sweep may hold models of several kinds: those count that have the same settings as the chosen one, apart from
    `HOW_FITTED`. Where heads are averaged that is the one of largest weight that has the setting.

    Parameters
    ----------
    method : mapping
        The method's entry in a record.
    key : str
        The name of the setting.
    colour : int
        The number of the curve's colour.

    Returns
    -------
    Curve, optional
        None where fewer than two values were tried.
    """
    every = [method["settings"], *(member["settings"] for member in method.get("members", ()))]
    kind = next((settings.keys() for settings in every if key in settings), every[0].keys()) - HOW_FITTED
    best: dict[float, tuple[float, float]] = {}
    for point in method["sweep"]:
        value, accuracies = point["settings"].get(key), point["accuracies"]
        alike = point["settings"].keys() - HOW_FITTED == kind
        if alike and isinstance(value, (int, float)) and value > 0 and None not in accuracies:
            error = float(np.std(accuracies, ddof=1) / len(accuracies) ** 0.5) if len(accuracies) > 1 else 0.0
            best[value] = max(best.get(value, (-1.0, 0.0)), (float(np.mean(accuracies)), error))
    if len(best) < 2:
        return None
    points = [(value, *best[value]) for value in sorted(best)]
    return figures.Curve(method["name"], colour, points, method["settings"].get(key))
