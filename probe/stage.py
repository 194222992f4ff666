"""Stage two, second half, as a whole: an outcome for each method, computed or recalled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.methods.failures import Failures
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.store.common.fingerprint import code_fingerprint, fingerprint
from head2toe.store.console.progress import progress

CODE = (
    "select",
    "store/reading",
    "probe/metrics",
    "probe/heads",
    "probe/many_rows",
    "probe/methods",
    "probe/choice",
    "probe/results/record.py",
    "probe/stage.py",
    "probe/experiment.py",
)
"""What results depend on: they are recalled only by the code that made them."""


def evaluate_all(
    methods: Sequence[str],
    data: ProbeData,
    depends_on: Mapping[str, Any],
    *,
    metric: str,
    rule: str,
    folder: Path,
    task: str,
    failures: Failures,
    fresh: bool = False,
    where: str = "",
) -> list[Outcome]:
    """Evaluate methods (see `sweep.evaluate`), each kept in a file of its own as soon as it is done.

    So a run that was interrupted goes on where it was, and one with more methods computes those alone. A method that
    fails has no outcome; the others have theirs.

    Parameters
    ----------
    methods : sequence of str
        Those of `METHODS` to be tried.
    data : ProbeData
    depends_on : dict
        What the data are made of, as JSON; the names of selections, under `exact` and `paper`, count where needed.
    metric, rule : str
        As of `sweep.evaluate`.
    folder : Path
        Where outcomes are kept, under names made of all they depend on; `fresh` computes them again all the same.
    task, where : str
        The task's name, for the files' names; which part of the work this is, for the progress.
    failures : Failures
        Takes the methods that fail: they predicted NaN, the store lacks a layer that they read, the file that was kept
        of them is damaged, memory ran out.

    Raises
    ------
    BadRequest, StoreError
        A method, the metric or the rule is unknown; the store is damaged, or a file can't be written.
    """
    outcomes = []
    for method in methods:
        file = folder / f"{task}-{method}-{outcome_key(method, data, depends_on, metric, rule)[:16]}.npz"
        with failures.of(method):
            if file.is_file() and not fresh:
                outcome = Outcome.load(file, method)
            else:
                with progress(f"probing {method}{where}", unit="setting") as report:
                    outcome = evaluate(method, data, metric=metric, rule=rule, progress=report)
                outcome.save(file)
            outcomes.append(outcome)
    return outcomes


def outcome_key(method: str, data: ProbeData, depends_on: Mapping[str, Any], metric: str, rule: str) -> str:
    """Hash everything that a method's outcome depends on, this code included; parameters as of `evaluate_all`."""
    unused = {"exact", "paper"} - set(METHODS[method].needs)
    dependencies = {name: value for name, value in depends_on.items() if name not in unused}
    settings = {
        "method": method,
        "metric": metric,
        "rule": rule,
        "seed": data.seed,
        "standardize": [data.standardize, *data.further],
        "classes": data.n_classes,
        "head": data.head,
        "members": data.members if METHODS[method].averages else 1,
        "code": code_fingerprint(*CODE),
    }
    return fingerprint(dependencies | settings)
