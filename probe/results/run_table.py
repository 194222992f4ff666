"""The table across runs, in long format: a row for each run and method, as JSON, as CSV and for a terminal."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from head2toe.probe.results import summary
from head2toe.store.console.text import decimal, interval, plus_minus, table

COLUMNS = (
    "task", "group", "backbone", "method", "corrected_accuracy", "corrected_low", "corrected_high",
    "cv_accuracy", "cv_stderr", "nested_accuracy", "nested_stderr",
    "test_accuracy", "test_low", "test_high",
    "features_kept", "features_total", "seconds", "flops", "bytes", "F", "lambda_ratio", "lambda", "run",
)  # fmt: skip
HEADER = (
    "task", "group", "backbone", "method", "cv corrected", "cv plain", "test accuracy", "95 %", "features", "seconds",
    "F", "λ / λ_max",
)  # fmt: skip


def backbone_of(record: Mapping[str, Any]) -> str:
    """Name the backbones of a run, with plus signs between them."""
    return " + ".join(backbone["name"] for backbone in record["backbones"])


def rows(record: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Make a row for each method of a run.

    Parameters
    ----------
    record : mapping
        The document of `result.json`.
    folder : Path
        The run's folder, which is the column `run`.

    Returns
    -------
    list of dict
        The keys are `COLUMNS`; a value is None where a method has no such number.
    """
    run = {"task": record["task"], "group": record["group"], "backbone": backbone_of(record)}
    return [run | _of_method(method) | {"run": str(folder)} for method in record["methods"]]


def _of_method(method: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are about the method, from its part of a record."""
    over, test, settings, cost = method["cv"]["accuracy"], method["test"], method["settings"], method["cost"]
    nested = (method["nested"] or {}).get("accuracy", {})
    corrected = method.get("corrected", {}).get("accuracy", {})
    lowest, highest = corrected.get("interval") or (None, None)
    low, high = (test["accuracy"]["interval"] or (None, None)) if test else (None, None)
    return {
        "method": method["name"],
        "corrected_accuracy": corrected.get("value"),
        "corrected_low": lowest,
        "corrected_high": highest,
        "cv_accuracy": over["mean"],
        "cv_stderr": over["stderr"],
        "nested_accuracy": nested.get("mean"),
        "nested_stderr": nested.get("stderr"),
        "test_accuracy": test["accuracy"]["value"] if test else None,
        "test_low": low,
        "test_high": high,
        "features_kept": method["features"]["kept"],
        "features_total": method["features"]["total"],
        "seconds": cost["seconds"],
        "flops": cost["flops"] + cost.get("extraction_flops", 0),
        "bytes": cost["bytes"],
        "F": _fraction(method),
        "lambda_ratio": settings.get("lambda_ratio"),
        "lambda": settings.get("lambda"),
    }


def _fraction(method: Mapping[str, Any]) -> float | None:
    """The share F of the features that was asked for, as a share or as a number of features."""
    settings = method["settings"]
    if "fraction" not in settings and "features" in settings:
        return float(f"{settings['features'] / method['features']['total']:.6g}")
    share: float | None = settings.get("fraction")
    return share


def as_text(listed: Sequence[Mapping[str, Any]]) -> str:
    """Lay rows (see `rows`) out in columns for a terminal; the run's folder is left to JSON and CSV."""
    lines = [
        (
            row["task"],
            row["group"] or "–",
            row["backbone"],
            row["method"],
            decimal(row["corrected_accuracy"]),
            plus_minus(row["cv_accuracy"], row["cv_stderr"]),
            decimal(row["test_accuracy"]),
            interval(None if row["test_low"] is None else [row["test_low"], row["test_high"]]),
            f"{row['features_kept']:,}" if row["features_total"] else "–",
            f"{row['seconds']:.1f}",
            "–" if row["F"] is None else f"{row['F']:.2g}",
            "–" if row["lambda_ratio"] is None else summary.setting(row["lambda_ratio"]),
        )
        for row in listed
    ]
    return table(HEADER, lines)


def as_csv(listed: Sequence[Mapping[str, Any]]) -> str:
    """Write rows (see `rows`) as comma-separated values under `COLUMNS`; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue().rstrip("\n")
