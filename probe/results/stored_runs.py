"""Runs in folders, read again for a page or a table: by name, or all that lie below a folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2toe.probe.results import run_table, summary
from head2toe.probe.results.result_files import MISFITS, REMEDY, RESULT, misfit, read_result
from head2toe.store.common.errors import BadRequest, Damaged, StoreError
from head2toe.store.common.files import explained
from head2toe.store.common.fingerprint import SEAL

RUN_KEYS = ("argument", "command", "counts", "folds", "group", "metric", "options", "seed", "source", "versions")
METHOD_KEYS = ("calibration", "cost", "cv", "features", "layers", "name", "nested", "settings", "sweep", "test")
TEXTS = ("task", "argument", "command", "metric", "source", "store")
"""The entries of a record that are text."""
SHARED_FOLDERS = ("outcomes", "selections", "trained")
"""The folders beside those of the runs, which hold what runs share."""


@dataclass(frozen=True)
class StoredRun:
    """A run that was written to a folder.

    Attributes
    ----------
    folder : Path
    record : mapping
        The document of its `result.json` (docs/results-format.md).
    written : float
        When `result.json` was written, in seconds since the epoch.
    """

    folder: Path
    record: Mapping[str, Any]
    written: float

    @property
    def sealed(self) -> bool:
        """Whether its record is known to be what was written; those of earlier versions are not."""
        return SEAL in self.record

    @property
    def backbone(self) -> str:
        """The names of its backbones, with plus signs between them."""
        return run_table.backbone_of(self.record)


def load(path: Path) -> StoredRun:
    """Read a run from its folder or its `result.json`, and check that pages and tables can be made of it.

    Raises
    ------
    BadRequest
        There is no run.
    StoreError
        The run is damaged, or another version wrote it.
    """
    file = path / RESULT if path.is_dir() else path
    if not file.is_file():
        raise BadRequest(f"no run in {path}: expected a run's folder or its {RESULT} (`head2toe run` writes it)")
    record = read_result(file)
    with explained(file):
        run = StoredRun(file.parent, record, file.stat().st_mtime)
    try:
        missing = [key for key in RUN_KEYS if key not in record]
        missing += [key for method in record["methods"] for key in METHOD_KEYS if key not in method]
        if missing or not record["methods"]:
            raise ValueError(f"no {missing[0]!r}" if missing else "no methods")
        if wrong := [key for key in TEXTS if not isinstance(record.get(key, ""), str)]:
            raise ValueError(f"{wrong[0]!r} is no text")
        run_table.rows(record, run.folder)
        summary.best_method(record)
    except MISFITS as error:
        raise Damaged(file, f"damaged ({' '.join(str(error).split())})", REMEDY) from error
    return run


def options_of(run: StoredRun, options: type) -> Any:
    """Return the settings of a run as it was given them, with its results' folder and the root of its store.

    Parameters
    ----------
    run : StoredRun
    options : type
        The settings of every stage, with `from_document`.

    Raises
    ------
    BadRequest
        The store of its features is gone.
    Damaged
        The record's entries are no settings.
    """
    try:
        store = Path(run.record["store"])
        if not store.exists():
            raise BadRequest(
                f"the store of {run.folder} is gone ({store}): {run.record['command']} extracts them again"
            )
        places = {"output": run.folder.parent, "store": store.parents[1]}
        return options.from_document({**run.record["options"], **places})  # type: ignore[attr-defined]
    except MISFITS as error:
        raise misfit(run.folder / RESULT, error) from error


@contextmanager
def task_of(run: StoredRun) -> Iterator[str]:
    """Give the task of a run, as it was named, to go that way again; if it is a path that is not here, errors say so.

    Raises
    ------
    BadRequest
        What is done with the task raises it.
    """
    argument = run.record["argument"]
    try:
        yield argument
    except BadRequest as error:
        path = Path(argument)
        if path.exists() or path.is_absolute() or len(run.record["source"].rpartition(str(path))[0]) < 2:
            raise
        where = f"{run.folder} is of {run.record['source']}, and a relative path counts from the current folder"
        raise BadRequest(f"no task {argument} here: {where}") from error


def page_of(runs: Sequence[StoredRun], render: Callable[[Sequence[StoredRun]], str]) -> str:
    """Make a page of runs; where that fails, name the run of whose record it can't be made.

    Raises
    ------
    Damaged
        The entries of a run are not what the page is made of, whatever hash it has.
    """
    try:
        return render(runs)
    except MISFITS as error:
        for run in runs if len(runs) > 1 else ():
            page_of([run], render)
        raise misfit(runs[0].folder / RESULT, error) from error


def below(folder: Path, complain: Callable[[str], None]) -> list[StoredRun]:
    """Read all runs below a folder, the newest last.

    Parameters
    ----------
    folder : Path
    complain : callable
        Called with one line about each `result.json` that is damaged or of another version; these are passed over.
    """
    runs = []
    for file in sorted(folder.rglob(RESULT)):
        try:
            runs.append(load(file))
        except (BadRequest, StoreError) as error:  # a folder of that name is no run, and in nobody's way
            complain(str(error))
    return sorted(runs, key=lambda run: (run.written, str(run.folder)))


def chosen(paths: Sequence[Path], folder: Path, complain: Callable[[str], None]) -> list[StoredRun]:
    """Read the runs that were named or, if none was, the newest below a folder.

    Parameters
    ----------
    paths : sequence of Path
        Runs' folders or their `result.json`.
    folder : Path
        The folder of the results.
    complain : callable
        Called with one line about each named folder without a run that is passed over, for others have one.

    Raises
    ------
    BadRequest
        No run was named and there is none, or one that was named does not exist.
    StoreError
        A run that was named is damaged.
    """
    if paths:
        # `results/*` names the folders of what runs share, too, of which there is nothing to say.
        without = [path for path in dict.fromkeys(paths) if path.is_dir() and not (path / RESULT).is_file()]
        named = [path for path in dict.fromkeys(paths) if path not in without]
        for path in without:
            if named and path.name not in SHARED_FOLDERS:
                complain(f"{path} holds no {RESULT}")
        return [load(path) for path in named or without]
    newest = below(folder, complain)[-1:]
    if not newest:
        raise BadRequest(f"no runs below {folder}: run a task first (head2toe run TASK), or name a run's folder")
    return newest
