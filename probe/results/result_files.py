"""The files of a run's folder: written together, `result.json` last, and `result.json` read back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.results import predictions, run_table, summary
from head2toe.probe.results.record import SCHEMA_VERSION, Run, document
from head2toe.store.common.errors import Damaged, StoreError
from head2toe.store.common.files import read_json
from head2toe.store.common.fingerprint import SEAL, sealed
from head2toe.store.common.outputs import ANOTHER_OUTPUT, sweep_folder, write_json_output

RESULT = "result.json"
REMEDY = "remove it and run the task again"
MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What is raised where the entries of a record are not what tables and pages are made of."""


def write_run(folder: Path, run: Run, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Write `predictions.*`, `summary.md`, `config.json` and, when all that stands, `result.json`.

    Each file is written atomically: who reads at the same time sees the earlier run's or this one's. The record holds
    the hash of the predictions, and one of itself, by which `read_result` notices what was changed.

    Parameters
    ----------
    folder : Path
        It is made if it is missing.
    run : Run
    outcomes : sequence of Outcome
        One for each method, in the order of the tables.

    Returns
    -------
    dict
        The document that `result.json` holds.

    Raises
    ------
    DataError
        A method predicted NaN, or not for the rows of the run.
    """
    record = document(run, outcomes)
    sweep_folder(folder)
    record["predictions"] = predictions.named(predictions.write(folder, run, outcomes))
    record = sealed(json.loads(json.dumps(record)))  # as it will be read: all names are text
    summary.write(folder, record)
    config = {key: record[key] for key in ("options", "command", "versions", "seed")}
    write_json_output(folder / "config.json", config, ANOTHER_OUTPUT)
    write_json_output(folder / RESULT, record, ANOTHER_OUTPUT)
    return record


def read_result(path: Path) -> dict[str, Any]:
    """Read the document of a run from its folder or its `result.json`.

    One that was written before results were sealed is taken as it is. A seal says that a record is whole and not what
    is in it, for who can write a record can seal it: the tables of every record are made once.

    Raises
    ------
    StoreError
        There is none, it is damaged, it was written by another version, or no tables can be made of it.
    """
    file = path / RESULT if path.is_dir() else path
    record = read_json(file, remedy=REMEDY)
    if record.get("schema_version") != SCHEMA_VERSION:
        raise StoreError(
            f"{file}: not a result of this version (schema {record.get('schema_version')}, not {SCHEMA_VERSION}): "
            f"{REMEDY}"
        )
    if SEAL in record and record != sealed(record):
        raise Damaged(file, "damaged (not what was written)", REMEDY)
    missing = [key for key in ("task", "classes", "counts", "backbones", "methods", "comparisons") if key not in record]
    if missing:
        raise StoreError(f"{file}: damaged (no {missing[0]!r}): {REMEDY}")
    try:
        summary.markdown(record)
        summary.method_table(record)
        for method in record["methods"]:
            summary.MethodResult.of(method)
            summary.settings_line(method)
        run_table.as_text(run_table.rows(record, file.parent))
    except MISFITS as error:
        raise misfit(file, error) from error
    return record


def misfit(file: Path, error: Exception) -> Damaged:
    """Return the error of a record of whose entries nothing can be made; `error` says what went wrong."""
    reason = " ".join(str(error).split())
    return Damaged(file, f"damaged, or of another version ({type(error).__name__}: {reason})", REMEDY)
