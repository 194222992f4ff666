"""The page of one run: what its record and its predictions say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from head2toe.probe.report import figures, mistakes, record_charts
from head2toe.probe.report.mistakes import Thumbnail
from head2toe.probe.report.rendering import fill
from head2toe.probe.results import predictions, summary
from head2toe.store.console.text import percent


def render(folder: Path, record: Mapping[str, Any], thumbnail: Thumbnail) -> str:
    """Make the page of a run: one HTML file that needs nothing else.

    Parameters
    ----------
    folder : Path
        The run's folder, which its predictions are read from.
    record : mapping
        The document of its `result.json`.
    thumbnail : callable
        Image name to the bytes of a small JPEG; None where the image can't be had.

    Raises
    ------
    MissingExtra
        Matplotlib or Jinja is not installed, or pyarrow, and the predictions are Parquet.
    StoreError
        The predictions are damaged.
    """
    best = summary.best_method(record)
    name, bins = best["name"], best["calibration"]["bins"]
    predicted = predictions.read(folder, record.get("predictions")).get(name)
    several_folds = len(record["folds"]) > 1
    return fill(
        "run.html",
        record=record,
        best=best,
        tested=best["test"] is not None,
        several_folds=several_folds,
        nested=summary.has_nested(record),
        lead=lead(record, best),
        judges=summary.judges(record),
        chosen_by=summary.chosen_by(record),
        level=summary.level_with_best(record),
        comparisons=against_best(record, name),
        accuracy_chart=record_charts.accuracy_chart("methods", record),
        layer_charts=record_charts.layer_charts(record, name),
        depth_charts=record_charts.depth_charts(record, name),
        setting_charts=record_charts.setting_charts(record),
        fold_chart=record_charts.fold_chart(record, name) if several_folds else None,
        reliability_chart=figures.reliability("reliability", f"Reliability of {name}", bins),
        confusion=None if predicted is None else mistakes.confusion(record["classes"], predicted, name),
        mistakes=None if predicted is None else mistakes.most_confident(record["classes"], predicted, thumbnail),
        costs=cost_rows(record),
    )


def lead(record: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """Say the result in a sentence: the best method's accuracy, and how far it is ahead of the linear probe."""
    images = "of the test images" if best["test"] else "of the held-out training images"
    sentence = f"{best['name']} gets {percent(summary.accuracy_of(best))} {images} right"
    if best["test"] and (ends := best["test"]["accuracy"]["interval"]):
        sentence += f" (95 % interval {percent(ends[0])} to {percent(ends[1])})"
    for pair in record["comparisons"]:
        if {pair["a"], pair["b"]} == {best["name"], "linear"}:
            points = 100 * pair["difference"] * (1 if pair["a"] == best["name"] else -1)
            doubt = "" if pair["p"] < summary.ALPHA else ", a difference that McNemar's test does not bear out"
            sentence += f", {points:.1f} points more than the linear probe of the last layer{doubt}"
    corrected = summary.corrected_accuracy(best)
    if not best["test"] or corrected is None:
        return f"{sentence}."
    return f"{sentence}. Corrected cross-validation promised {percent(corrected)}."


def against_best(record: Mapping[str, Any], best: str) -> list[dict[str, Any]]:
    """Compare every other method with the best one.

    Returns
    -------
    list of dict
        For each: its name (`other`), by how many percentage points the best is ahead (`points`) with the ends of the
        95 % interval (`ends`), how many images the best alone and the other alone gets right (`wins`), McNemar's `p`.
    """
    comparisons = []
    for pair in record["comparisons"]:
        if best in (pair["a"], pair["b"]):
            sign, other = (1, pair["b"]) if pair["a"] == best else (-1, pair["a"])
            ends = sorted(100 * sign * end for end in pair["interval"])
            wins = (pair["a_only"], pair["b_only"])[::sign]
            points = 100 * sign * pair["difference"]
            comparisons.append({"other": other, "points": points, "ends": ends, "wins": wins, "p": pair["p"]})
    return comparisons


def cost_rows(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Write every method's name, seconds, floating-point operations, bytes and features read as text."""
    return [
        {
            "name": method["name"],
            "seconds": f"{method['cost']['seconds']:,.1f}",
            **dict(zip(("flops", "bytes"), summary.flops_and_bytes(method), strict=True)),
            "kept": f"{method['features']['kept']:,}" if method["features"]["total"] else "–",
        }
        for method in record["methods"]
    ]
