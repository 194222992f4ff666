"""A task: images, labels, splits and folds; found by name, by task file, or by the path of its images."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from head2toe.extract.readers import formats
from head2toe.extract.tasks import task_files
from head2toe.extract.tasks.embedded import EMBEDDED
from head2toe.extract.tasks.task import Task, from_listing
from head2toe.extract.vtab import read as vtab
from head2toe.extract.vtab.tasks import NAMES, TASKS, find
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded


def load_task(task: str, *, seed: int = 0, folds: str = "auto", download: str | None = None) -> Task:
    """Find a task by its registered name, by its task file, or by the path of its images.

    A task file comes first: one that is called `dtd.yaml` says where `dtd` is.

    Parameters
    ----------
    task : str
        A name that `head2toe tasks` lists, or a path in any format of `head2toe.extract.readers.formats`.
    seed : int
        Draws (unless a task file names another) the folds where the task brings none, and the test where it has none.
    folds : str
        One of `head2toe.extract.readers.splits.FOLDS`; what is said here comes before what a task file says.
    download : {"tfds", "torchvision"}, optional
        Where a VTAB task is got from if its folder is not there.

    Raises
    ------
    BadRequest
        There is no such task; the message gives the nearest names.
    DataError
        What is there is no usable task.
    MissingExtra
        Its format needs a package that is not installed.
    """
    if (file := task_files.find(task)) is not None:
        said = task_files.load(file)
        seed = seed if said.seed is None else said.seed
        folds = said.folds or folds if folds == "auto" else folds
        return from_listing(said.read(), said.name, group=said.group, seed=seed, folds=folds)
    if (embedded := EMBEDDED.get(task)) is not None:
        return from_listing(embedded.read(), task, group=embedded.group, seed=seed, folds=folds)
    if (entry := find(task)) is not None:
        return from_listing(vtab.read(entry, download), entry.name, group=entry.group, seed=seed, folds=folds)
    path = expanded(task)
    if path.exists():
        whole = path.resolve()
        return from_listing(formats.read(path), whole.stem if path.is_file() else whole.name, seed=seed, folds=folds)
    names = [*EMBEDDED, *NAMES, *(file.stem for file in task_files.every())]
    near = difflib.get_close_matches(task, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`head2toe tasks` lists the names."
    raise BadRequest(f"no task or folder {task!r}: {hint}")


@dataclass(frozen=True)
class Registered:
    """A task that has a name, for `head2toe tasks`; a task file need not say how many classes there are."""

    name: str
    group: str
    n_classes: int | None
    where: str


def registered() -> list[Registered]:
    """All tasks that have a name, and whether their data is there."""
    embedded = [Registered(name, e.group or "embedded", e.n_classes, e.where) for name, e in EMBEDDED.items()]
    named = [_registered(file) for file in task_files.every()]
    taken = {task.name for task in named}
    vtabs = [Registered(t.name, t.group, t.n_classes, vtab.whereabouts(t)) for t in TASKS]
    return named + [task for task in embedded + vtabs if task.name not in taken]


def _registered(file: Path) -> Registered:
    """What a task file says without its images being read; a fault in it is shown and hides no other task."""
    try:
        said = task_files.load(file)
    except DataError as error:
        return Registered(file.stem, "", None, str(error))
    return Registered(file.stem, said.group or "own", len(said.classes) if said.classes else None, str(file))
