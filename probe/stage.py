"""Stage two, second half, as a whole: an outcome for each method, computed or recalled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from head2toe.probe.methods import outcome_file
from head2toe.probe.methods.candidates import Problem
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.methods.sweep import evaluate
from head2toe.store.common.fingerprint import code_fingerprint, fingerprint
from head2toe.store.common.progress import progress

CODE = (
    "select",
    "store/reading",
    "probe/metrics",
    "probe/heads",
    "probe/methods",
    "probe/results/record.py",
    "probe/stage.py",
    "pipeline.py",
)
"""What results depend on: they are recalled only by the code that made them."""


def evaluate_all(
    methods: Sequence[str],
    problem: Problem,
    made_of: Mapping[str, Any],
    *,
    metric: str,
    rule: str,
    folder: Path,
    task: str,
    fresh: bool = False,
    where: str = "",
) -> list[Outcome]:
    """Evaluate methods on a problem (see `sweep.evaluate`), each kept in a file of its own as soon as it is done.

    So a run that was interrupted goes on where it was, and one with more methods computes those alone.

    Parameters
    ----------
    made_of : dict
        What the problem is made of, as JSON; under `exact` and `paper`, the names of the selections, which count for
        the methods that need them.
    folder : Path
        Where outcomes are kept, under names made of all they depend on; `fresh` computes them again all the same.
    task : str
        Its name, for the files' names.
    where : str
        Which part of the work this is, for the progress.
    """
    outcomes = []
    for method in methods:
        unused = {"exact", "paper"} - set(METHODS[method].needs)
        depends = {name: value for name, value in made_of.items() if name not in unused}
        how = {"method": method, "metric": metric, "rule": rule, "seed": problem.seed}
        how |= {"standardize": [problem.standardize, *problem.further], "classes": problem.n_classes}
        how |= {"head": problem.head, "code": code_fingerprint(*CODE)}
        file = folder / f"{task}-{method}-{fingerprint(depends | how)[:16]}.npz"
        if file.is_file() and not fresh:
            outcomes.append(outcome_file.load(file))
            continue
        with progress(f"probing {method}{where}", unit="setting") as report:
            outcome = evaluate(method, problem, metric=metric, rule=rule, progress=report)
        outcome_file.save(outcome, file)
        outcomes.append(outcome)
    return outcomes
