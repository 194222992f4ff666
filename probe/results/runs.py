"""Runs found below a folder, and the long-format table across them: a row for each run and method."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2toe.probe.results import record as results
from head2toe.probe.results import summary
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.files import explained
from head2toe.store.common.text import table

RUN_KEYS = ("argument", "command", "counts", "folds", "group", "metric", "options", "seed", "source", "versions")
METHOD_KEYS = ("calibration", "cost", "cv", "features", "layers", "name", "nested", "settings", "sweep", "test")
COLUMNS = (
    "task", "group", "backbone", "method", "cv_accuracy", "cv_stderr", "nested_accuracy", "nested_stderr",
    "test_accuracy", "test_low", "test_high",
    "features_kept", "features_total", "seconds", "flops", "bytes", "F", "lambda_ratio", "lambda", "run",
)  # fmt: skip
HEADER = (
    "task",
    "group",
    "backbone",
    "method",
    "cv accuracy",
    "test accuracy",
    "95 %",
    "features",
    "seconds",
    "F",
    "λ / λ_max",
)


KEPT_BESIDE = ("outcomes", "selections", "trained")
"""Folders beside those of the runs, with what runs share."""


@dataclass(frozen=True)
class Found:
    """A run: its folder, its document, and when it was written."""

    folder: Path
    record: Mapping[str, Any]
    written: float

    @property
    def backbone(self) -> str:
        """The names of its backbones."""
        return " + ".join(backbone["name"] for backbone in self.record["backbones"])


def load(path: Path) -> Found:
    """A run from its folder or its `result.json`.

    Raises
    ------
    BadRequest
        There is none.
    StoreError
        It is damaged, or another version wrote it.
    """
    file = path / results.RESULT if path.is_dir() else path
    if not file.is_file():
        raise BadRequest(
            f"no run in {path}: expected a run's folder or its {results.RESULT} (`head2toe run` writes it)"
        )
    record = results.read(file)
    with explained(file):
        found = Found(file.parent, record, file.stat().st_mtime)
    try:
        missing = [key for key in RUN_KEYS if key not in record]
        missing += [key for method in record["methods"] for key in METHOD_KEYS if key not in method]
        if missing or not record["methods"]:
            raise ValueError(f"no {missing[0]!r}" if missing else "no methods")
        rows(found)
        summary.best_method(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{file}: damaged ({' '.join(str(error).split())}): run the task again") from error
    return found


def below(folder: Path, complain: Callable[[str], None]) -> list[Found]:
    """All runs below a folder, the newest last; files that are none go to `complain`, a line each."""
    found = []
    for file in sorted(folder.rglob(results.RESULT)):
        try:
            found.append(load(file))
        except StoreError as error:
            complain(str(error))
    return sorted(found, key=lambda run: (run.written, str(run.folder)))


def chosen(paths: Sequence[Path], folder: Path, complain: Callable[[str], None]) -> list[Found]:
    """The runs that were named, or the latest below a folder. Other folders without a run go to `complain`.

    Raises
    ------
    BadRequest
        None was named and there is none, or one that was named is not there.
    StoreError
        One that was named is damaged.
    """
    if paths:
        # `results/*` names the folders of what runs share, too, of which there is nothing to say.
        none = [path for path in dict.fromkeys(paths) if path.is_dir() and not (path / results.RESULT).is_file()]
        runs = [path for path in dict.fromkeys(paths) if path not in none]
        for path in (path for path in none if runs and path.name not in KEPT_BESIDE):
            complain(f"{path} holds no {results.RESULT}")
        return [load(path) for path in runs or none]
    latest = below(folder, complain)[-1:]
    if not latest:
        raise BadRequest(f"no runs below {folder}: run a task first (head2toe run TASK), or name a run's folder")
    return latest


def rows(run: Found) -> list[dict[str, Any]]:
    """A row under `COLUMNS` for each method; None where there is nothing to say."""
    listed = []
    for method in run.record["methods"]:
        over, test, settings = method["cv"]["accuracy"], method["test"], method["settings"]
        nested = (method["nested"] or {}).get("accuracy", {})
        low, high = (test["accuracy"]["interval"] or (None, None)) if test else (None, None)
        values = (
            run.record["task"],
            run.record["group"],
            run.backbone,
            method["name"],
            over["mean"],
            over["stderr"],
            nested.get("mean"),
            nested.get("stderr"),
            test["accuracy"]["value"] if test else None,
            low,
            high,
            method["features"]["kept"],
            method["features"]["total"],
            method["cost"]["seconds"],
            method["cost"]["flops"] + method["cost"].get("extraction_flops", 0),
            method["cost"]["bytes"],
            _fraction(method),
            settings.get("lambda_ratio"),
            settings.get("lambda"),
            str(run.folder),
        )
        listed.append(dict(zip(COLUMNS, values, strict=True)))
    return listed


def _fraction(method: Mapping[str, Any]) -> float | None:
    """The share of features that was asked for, F: named, or from their number."""
    settings, total = method["settings"], method["features"]["total"]
    if "fraction" in settings or "features" not in settings:
        return settings.get("fraction")
    return float(f"{settings['features'] / total:.6g}")


def as_text(listed: Sequence[Mapping[str, Any]]) -> str:
    """For a terminal; which folder a run is in is left to JSON and CSV."""
    shown = [
        (
            row["task"],
            row["group"] or "–",
            row["backbone"],
            row["method"],
            summary.plus_minus({"mean": row["cv_accuracy"], "stderr": row["cv_stderr"]}),
            summary.decimal(row["test_accuracy"]),
            summary.interval(None if row["test_low"] is None else [row["test_low"], row["test_high"]]),
            f"{row['features_kept']:,}" if row["features_total"] else "–",
            f"{row['seconds']:.1f}",
            "–" if row["F"] is None else f"{row['F']:.2g}",
            "–" if row["lambda_ratio"] is None else summary.setting(row["lambda_ratio"]),
        )
        for row in listed
    ]
    return table(HEADER, shown)


def as_csv(listed: Sequence[Mapping[str, Any]]) -> str:
    """With `COLUMNS` as the header; empty where there is nothing to say."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue().rstrip("\n")
