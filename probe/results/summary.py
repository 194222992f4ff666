"""What a record says in a few lines: the best method, the table of methods, the text of `summary.md`.

A *record* is the document of `result.json`, a *method* an entry of its `methods` (docs/results-format.md).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2toe.store.common.outputs import ANOTHER_OUTPUT, write_text_output
from head2toe.store.console.text import (
    decimal,
    interval,
    markdown_text,
    percent,
    plus_minus,
    readable,
    table,
    without_controls,
)

HEADER = (
    "method", "cv corrected", "cv plain", "test accuracy", "95 %", "log-loss", "ECE", "features", "seconds", "FLOPs",
    "kept",
)  # fmt: skip
NESTED = ("nested cv", "nested 95 %")
"""The columns after those of the cv accuracy where cross-validation was nested."""
ALPHA = 0.05
"""The level of McNemar's test, of each pair of methods for itself."""


@dataclass(frozen=True)
class MethodResult:
    """The figures of a method that everybody asks for; the record has the rest (docs/results-format.md).

    Attributes
    ----------
    name : str
        The method's name.
    settings : dict
        The settings that the folds chose.
    cv_accuracy, cv_stderr : float
        Mean over the folds, from 0 to 1, and its standard error, which is None with one fold.
    test_accuracy : float, optional
        Share of the test images that are right; None if there are no test images.
    features_kept, features_total : int
        Features that are read, and those chosen from; 0 for a method that reads pixels.
    nested_accuracy, nested_stderr : float, optional
        The same as of `cv` from nested cross-validation; None if it was not asked for.
    corrected_accuracy : float, optional
        Over the folds, on rows that had no part in the choice of the settings (bootstrap bias-corrected).
    """

    name: str
    settings: dict[str, Any]
    cv_accuracy: float
    cv_stderr: float | None
    test_accuracy: float | None
    features_kept: int
    features_total: int
    nested_accuracy: float | None = None
    nested_stderr: float | None = None
    corrected_accuracy: float | None = None

    @classmethod
    def of(cls, method: Mapping[str, Any]) -> "MethodResult":
        """Take the figures out of a method's entry in a record."""
        cv, test, features = method["cv"]["accuracy"], method["test"], method["features"]
        nested = (method["nested"] or {}).get("accuracy", {})
        return cls(
            method["name"],
            method["settings"],
            cv["mean"],
            cv["stderr"],
            None if test is None else test["accuracy"]["value"],
            features["kept"],
            features["total"],
            nested.get("mean"),
            nested.get("stderr"),
            corrected_accuracy(method),
        )


def corrected_accuracy(method: Mapping[str, Any]) -> float | None:
    """Return a method's bias-corrected accuracy over the folds; None where a record has none."""
    value: float | None = method.get("corrected", {}).get("accuracy", {}).get("value")
    return value


def has_nested(record: Mapping[str, Any]) -> bool:
    """Tell whether nested cross-validation was asked for."""
    return any(method["nested"] for method in record["methods"])


def header(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the columns of the table of methods."""
    return (*HEADER[:3], *NESTED, *HEADER[3:]) if has_nested(record) else HEADER


def method_rows(record: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Make a row of text for each method, under the columns of `header`."""
    return [
        (
            method["name"],
            decimal(corrected_accuracy(method)),
            _over_folds(method["cv"]["accuracy"]),
            *(_nested(method) if has_nested(record) else ()),
            decimal((method["test"] or {}).get("accuracy", {}).get("value")),
            interval((method["test"] or {}).get("accuracy", {}).get("interval")),
            decimal((method["test"] or {}).get("log_loss", {}).get("value")),
            decimal(method["calibration"]["ece"]),
            features_read(method),
            f"{method['cost']['seconds']:.1f}",
            *flops_and_bytes(method),
        )
        for method in record["methods"]
    ]


def features_read(method: Mapping[str, Any]) -> str:
    """Write how many features a method reads, of how many; a dash for a method that reads pixels."""
    kept, total = method["features"]["kept"], method["features"]["total"]
    return f"{kept:,} of {total:,}" if total else "–"


def flops_and_bytes(method: Mapping[str, Any]) -> tuple[str, str]:
    """Write the FLOPs of training, extraction included, and the bytes kept for the task; a dash where it has none."""
    cost = method["cost"]
    flops, kept = cost["flops"] + cost.get("extraction_flops", 0), cost["bytes"]
    return magnitude(flops) if flops else "–", readable(kept) if kept else "–"


def magnitude(value: float) -> str:
    """Write a large number with three digits and the SI prefix of its size: 3.1e10 is `31 G`."""
    for factor, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value:.3g}"


def method_table(record: Mapping[str, Any]) -> str:
    """Lay the table of methods out in plain columns, for a terminal."""
    return table(header(record), method_rows(record))


def settings_line(method: Mapping[str, Any]) -> str:
    """Write the settings that the folds chose in one line; it is empty if there was nothing to choose.

    Where they chose the null model, which reads no feature, the line says so.
    """
    line = ", ".join(f"{key} {setting(value)}" for key, value in method["settings"].items())
    if members := method.get("members"):
        line += f", the first: {member_line(members[0])}"
    null = method["features"]["total"] and not method["features"]["kept"]
    return f"{line} (no feature is read: it predicts the frequencies of the classes)" if null else line


def member_line(member: Mapping[str, Any]) -> str:
    """Write the weight of a member of an ensemble and its settings in one line."""
    settings = ", ".join(f"{key} {setting(value)}" for key, value in member["settings"].items())
    return f"{percent(member['weight'])} {settings}"


def best_method(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the method with the highest accuracy (see `accuracy_of`); of equals, the first."""
    return max(record["methods"], key=accuracy_of)


def chosen_by(record: Mapping[str, Any]) -> str:
    """Say in words what settings were chosen by, and what decides where heads are averaged."""
    metric = str(record["metric"]).replace("_", " ")
    averaging = [method["name"] for method in record["methods"] if method.get("members")]
    if not averaging or metric == "log loss":
        return metric
    return f"{metric}, the heads that {' and '.join(averaging)} averages by log-loss,"


def judges(record: Mapping[str, Any]) -> str:
    """Say in words which images settings were chosen on."""
    folds = record["folds"]
    return f"{len(folds)} folds" if len(folds) > 1 else f"{folds[0]:,} held-out training images"


def accuracy_of(method: Mapping[str, Any]) -> float:
    """Return the accuracy (0 to 1) on the test or, without one, over the folds: nested, else corrected, else plain."""
    if method["test"]:
        return float(method["test"]["accuracy"]["value"])
    return float(method["nested"]["accuracy"]["mean"]) if method["nested"] else over_folds(method)


def over_folds(method: Mapping[str, Any]) -> float:
    """Return the accuracy (0 to 1) over the folds: the corrected one or, in records without it, the plain mean."""
    corrected = corrected_accuracy(method)
    return float(method["cv"]["accuracy"]["mean"]) if corrected is None else corrected


def level_with_best(record: Mapping[str, Any]) -> set[str]:
    """Return the names of the methods that McNemar's exact test can't tell from the best one (p >= `ALPHA`)."""
    best = best_method(record)["name"]
    pairs = [pair for pair in record["comparisons"] if best in (pair["a"], pair["b"]) and pair["p"] >= ALPHA]
    return {pair["b"] if pair["a"] == best else pair["a"] for pair in pairs}


def markdown(record: Mapping[str, Any]) -> str:
    """Return the text of `summary.md`."""
    return "\n".join(_lines(record)) + "\n"


def write(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `summary.md` into a run's folder, atomically."""
    write_text_output(folder / "summary.md", markdown(record), ANOTHER_OUTPUT)


def setting(value: Any) -> str:
    """Write the value of a setting, floating-point numbers with up to six digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _nested(method: Mapping[str, Any]) -> tuple[str, str]:
    """The columns `NESTED`."""
    over = (method["nested"] or {}).get("accuracy")
    return (_over_folds(over), interval(over["interval"])) if over else ("–", "–")


def _over_folds(metric: Mapping[str, Any]) -> str:
    return plus_minus(metric["mean"], metric["stderr"])


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    counts, names = record["counts"], ", ".join(backbone["name"] for backbone in record["backbones"])
    yield f"# {markdown_text(record['task'])}, {markdown_text(names)}"
    yield ""
    yield (
        f"{len(record['classes'])} classes, {counts['train']:,} training and {counts['test']:,} test images. "
        f"Settings were chosen by {chosen_by(record)} over {judges(record)}."
    )
    yield ""
    yield f"| {' | '.join(header(record))} |"
    yield f"|{'---|' * len(header(record))}"
    best, level = best_method(record)["name"], level_with_best(record)
    for row, method in zip(method_rows(record), record["methods"], strict=True):
        mark = "**" if method["name"] == best else "*" if method["name"] in level else ""
        yield f"| {' | '.join([f'{mark}{markdown_text(row[0])}{mark}', *map(markdown_text, row[1:])])} |"
    yield ""
    yield "Bold: the highest accuracy. Italic: not told apart from it by McNemar's test at 0.05."
    yield "Plain cv chose the settings, and is a little hopeful. Corrected cv is not, and of a head that sees all rows."
    if has_nested(record):
        yield "Nested cv has settings chosen, features selected and heads trained without the fold that it judges."
    yield ""
    for method in record["methods"]:
        yield f"- {markdown_text(method['name'])}: {markdown_text(settings_line(method)) or 'nothing to choose'}"
    for name, line in record.get("failures", {}).items():
        yield f"- {markdown_text(name)} failed: {markdown_text(line)}"
    yield ""
    yield (
        "Training FLOPs: one pass of the backbone over the training images, search and training. "
        f"Kept: what this task adds to the backbone, or a network of its own. Seed {record['seed']}. To run it again:"
    )
    yield ""
    command = without_controls(record["command"])
    fence = "`" * (1 + max(map(len, re.findall("`+", f"``{command}"))))  # longer than any in the command
    yield f"{fence}\n{command}\n{fence}"
