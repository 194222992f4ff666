"""The report of one run: what its record and its predictions say, in the order in which the page says it."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.probe.report import figures
from head2toe.probe.report.rendering import fill
from head2toe.probe.report.svg import LINES
from head2toe.probe.results import predictions, summary

Thumbnail = Callable[[str], bytes | None]
"""A small JPEG of the image of this name, or None if it can't be had."""
MISTAKES = 12
CONFUSIONS = 10
HOW_FITTED = {"head", "C", "scale", "learning_rate", "average_of"}
CURVES = {
    "fraction": ("F", "share of features kept, F"),
    "features": ("F", "number of features kept, F"),
    "lambda_ratio": ("λ / λ_max", "strength of the group lasso, λ / λ_max"),
    "lambda": ("λ", "strength of the group lasso, λ"),
}


def render(folder: Path, record: Mapping[str, Any], thumbnail: Thumbnail) -> str:
    """The page of the run in a folder, as HTML that needs nothing else.

    Parameters
    ----------
    record : dict
        Its document (`results.read`).
    thumbnail : callable
        Image name to the bytes of a small JPEG; None where the image can't be had.

    Raises
    ------
    MissingExtra
        Matplotlib or Jinja is not installed.
    StoreError
        The predictions are damaged.
    """
    best = summary.best_method(record)
    predicted = predictions.read(folder).get(best["name"])
    return fill(
        "run",
        title=f"{record['task']}: Head2Toe report",
        record=record,
        best=best,
        on="test" if best["test"] else "cv",
        lead=lead(record, best),
        level=summary.level_with_best(record),
        nested=summary.has_nested(record),
        pairs=against_best(record, best["name"]),
        dots=accuracy_dots("methods", record),
        layers=layer_charts(record, best["name"]),
        depth=depth_charts(record, best["name"]),
        curves=setting_charts(record),
        judges=summary.judges(record),
        folds=fold_chart(record, best["name"]) if len(record["folds"]) > 1 else None,
        reliability=figures.reliability("reliability", f"Reliability of {best['name']}", best["calibration"]["bins"]),
        confusion=None if predicted is None else confusion(record["classes"], predicted, best["name"]),
        mistakes=None if predicted is None else mistakes(record["classes"], predicted, thumbnail),
        cost=cost_rows(record),
    )


def lead(record: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """The result in a sentence or two."""
    where = "of the test images" if best["test"] else "of the held-out training images"
    said = f"{best['name']} gets {percent(summary.accuracy_of(best))} {where} right"
    if best["test"] and (ends := best["test"]["accuracy"]["interval"]):
        said += f" (95 % interval {percent(ends[0])} to {percent(ends[1])})"
    for pair in record["comparisons"]:
        if {pair["a"], pair["b"]} == {best["name"], "linear"}:
            points = 100 * pair["difference"] * (1 if pair["a"] == best["name"] else -1)
            clear = "" if pair["p"] < summary.ALPHA else ", a difference that McNemar's test does not bear out"
            return f"{said}, {points:.1f} points more than the linear probe of the last layer{clear}."
    return f"{said}."


def accuracy_dots(name: str, record: Mapping[str, Any]) -> str:
    """Accuracy of every method with its interval."""
    best = summary.best_method(record)["name"]
    rows = [
        figures.Dot(
            name=method["name"],
            value=summary.accuracy_of(method),
            interval=(method["test"] or method["nested"] or {}).get("accuracy", {}).get("interval"),
            folds=method["cv"]["accuracy"]["mean"] if method["test"] else None,
            best=method["name"] == best,
        )
        for method in record["methods"]
    ]
    axis = "test accuracy" if record["methods"][0]["test"] else held_out_accuracy(record)
    return figures.dots(name, f"{axis.capitalize()} of each method on {record['task']}", rows, axis)


def held_out_accuracy(record: Mapping[str, Any]) -> str:
    """What the accuracy of methods is called where there is no test."""
    if summary.has_nested(record):
        return "accuracy in nested cross-validation"
    return "accuracy over the folds" if len(record["folds"]) > 1 else "accuracy on held-out images"


def against_best(record: Mapping[str, Any], best: str) -> list[dict[str, Any]]:
    """Every other method against the best: difference in points, its interval, McNemar's counts and p."""
    found = []
    for pair in record["comparisons"]:
        if best in (pair["a"], pair["b"]):
            sign, other = (1, pair["b"]) if pair["a"] == best else (-1, pair["a"])
            ends = sorted(100 * sign * end for end in pair["interval"])
            wins = (pair["a_only"], pair["b_only"])[::sign]
            points = 100 * sign * pair["difference"]
            found.append({"other": other, "points": points, "ends": ends, "wins": wins, "p": pair["p"]})
    return found


def layer_charts(record: Mapping[str, Any], best: str) -> list[dict[str, Any]]:
    """A chart for every method that chose: one that reads every feature there is, or one layer, has nothing to show."""
    chosen = {}
    for method in record["methods"]:
        known = [layer for layer in method["layers"] if layer["width"]]
        if len(known) > 1 and sum(layer["kept"] > 0 for layer in known) > 1:
            found = [(layer["name"], layer["kept"] / layer["width"]) for layer in known]
            if any(share < 1 for _, share in found):
                chosen[method["name"]] = found
    return [
        {
            "method": name,
            "layers": found,
            "svg": figures.shares(f"layers{i}", f"Share kept of each layer, {name}", found, best=name == best),
        }
        for i, (name, found) in enumerate(chosen.items())
    ]


def depth_charts(record: Mapping[str, Any], best: str) -> list[dict[str, Any]]:
    """Accuracy of each layer on its own, for methods that tried one layer at a time."""
    charts = []
    for i, method in enumerate(record["methods"]):
        alone: dict[str, float] = {}
        for point in method["sweep"]:
            layer, accuracies = point["settings"].get("layer"), point["accuracies"]
            if layer is not None and None not in accuracies:
                alone[layer] = max(alone.get(layer, 0.0), float(np.mean(accuracies)))
        if len(alone) > 1:
            order = [layer["name"] for layer in method["layers"] if layer["name"] in alone]
            found = [(layer, alone[layer]) for layer in order or alone]
            svg = figures.depth(f"depth{i}", "Accuracy of each layer alone", found, best=method["name"] == best)
            charts.append({"method": method["name"], "layers": found, "svg": svg})
    return charts


def setting_charts(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Accuracy against F and λ, each for the methods whose sweep tried several; a method has one colour in all."""
    found = {key: [c for i, m in enumerate(record["methods"]) if (c := best_of_each(m, key, i))] for key in CURVES}
    drawn = sorted({curve.colour for lines in found.values() for curve in lines})
    charts = []
    for key, (symbol, axis) in CURVES.items():
        lines = [replace(curve, colour=drawn.index(curve.colour)) for curve in found[key]]
        if lines:
            svg = figures.curves(f"sweep-{key}", f"Accuracy on held-out images against {symbol}", lines, axis)
            names = [(line.colour % len(LINES), line.name) for line in lines]
            charts.append({"symbol": symbol, "svg": svg, "names": names})
    return charts


def best_of_each(method: Mapping[str, Any], key: str, colour: int) -> figures.Curve | None:
    """For each value of a setting, the best of the other settings; None where fewer than two values were tried.

    A sweep may hold models of several kinds: those count that have the same settings as the chosen one, apart from the
    way in which heads are fitted.
    """
    kind = method["settings"].keys() - HOW_FITTED
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


def fold_chart(record: Mapping[str, Any], best: str) -> str:
    """Each method's accuracy on each fold."""
    rows = {
        method["name"]: [value for value in method["cv"]["accuracy"]["folds"] if value is not None]
        for method in record["methods"]
    }
    return figures.folds("folds", "Spread over the folds", rows, best, "accuracy on the fold's held-out images")


def judged(predicted: predictions.Predictions) -> np.ndarray:
    """The rows that count: the test's, or where there are none, all (each by the head that had not seen it)."""
    return np.flatnonzero(predicted.test if predicted.test.any() else ~predicted.test)


def confusion(classes: Sequence[str], predicted: predictions.Predictions, method: str) -> dict[str, Any]:
    """The matrix and what is confused most often."""
    rows = judged(predicted)
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (predicted.labels[rows], predicted.predicted[rows]), 1)
    of_class = counts.sum(axis=1)
    off = [(int(counts[i, j]), i, j) for i, j in np.argwhere(counts * ~np.eye(len(classes), dtype=bool))]
    listed = [
        {"true": classes[i], "predicted": classes[j], "count": n, "share": n / of_class[i], "of": int(of_class[i])}
        for n, i, j in sorted(off, key=lambda cell: (-cell[0], cell[1], cell[2]))[:CONFUSIONS]
    ]
    said = "; ".join(f"{c['count']} of {c['true']} taken for {c['predicted']}" for c in listed)
    title = f"Confusion matrix of {method}"
    description = f"{len(rows)} images. Most often: {said or 'nothing was confused'}."
    return {
        "svg": figures.confusion("confusion", title, counts, classes, description),
        "top": listed,
        "numbers": len(classes) <= figures.CELL_TEXT,
        "names": len(classes) <= figures.NAMED_CLASSES,
    }


def mistakes(classes: Sequence[str], predicted: predictions.Predictions, thumbnail: Thumbnail) -> dict[str, Any]:
    """The wrong predictions made with the highest probability, with their images."""
    rows = judged(predicted)
    wrong = rows[predicted.labels[rows] != predicted.predicted[rows]]
    confidence = predicted.probabilities.max(axis=1)
    shown = []
    for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]:
        image = thumbnail(predicted.ids[row])
        label, taken = predicted.labels[row], predicted.predicted[row]
        shown.append(
            {
                "id": predicted.ids[row],
                "true": classes[label],
                "predicted": classes[taken],
                "confidence": float(confidence[row]),
                "for_true": float(predicted.probabilities[row, label]),
                "src": None if image is None else f"data:image/jpeg;base64,{base64.b64encode(image).decode()}",
            }
        )
    return {"shown": shown, "wrong": len(wrong), "of": len(rows), "gone": sum(m["src"] is None for m in shown)}


def cost_rows(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Seconds, floating-point operations and bytes of every method, as text."""
    return [
        {
            "name": method["name"],
            "seconds": f"{method['cost']['seconds']:,.1f}",
            **dict(zip(("flops", "bytes"), summary.flops_and_bytes(method), strict=True)),
            "kept": f"{method['features']['kept']:,}" if method["features"]["total"] else "–",
        }
        for method in record["methods"]
    ]


def percent(value: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * value:.1f} %"
