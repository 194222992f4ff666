"""The tasks that have a name, and loading a task by its name, by its task file, or by the path of its images."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from head2toe.extract.options import data_root
from head2toe.extract.readers import formats
from head2toe.extract.readers.tables import Columns
from head2toe.extract.tasks import bucket_tasks, task_files
from head2toe.extract.tasks.embedded import EMBEDDED_TASKS
from head2toe.extract.tasks.task import Task
from head2toe.extract.vtab.reader import existing_folder, read_vtab_task
from head2toe.extract.vtab.tasks import VTAB_NAMES, VTAB_TASKS, find_vtab_task
from head2toe.store.cloud.objects import is_url
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import expanded


def load_task(
    task: str,
    *,
    seed: int = 0,
    folds: str = "auto",
    download: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Task:
    """Load a task by its name, by its task file, or by the path of its images.

    A task file comes first: one that is called `dtd.yaml` says where `dtd` is.

    Parameters
    ----------
    task : str
        A name that `head2toe tasks` lists, a path in any format of `head2toe.extract.readers.formats`, or the URL of
        such a file or folder in a bucket (`s3://…`).
    seed : int
        Draws (unless a task file names another) the folds where the task brings none, and the test where it has none.
    folds : str
        As for `head2toe.extract.readers.splits.choose_folds`; any but `auto` comes before what a task file asks for.
    download : {"tfds", "torchvision"}, optional
        Where to get a task of VTAB-1k if its folder is not there.
    path_column, label_column : str, optional
        The columns of a table that have none of the usual names.

    Returns
    -------
    Task
        The task with its folds and, where there are images enough, a test.

    Raises
    ------
    BadRequest
        There is no such task; the message gives the nearest names. Or columns are named for what is no table.
    DataError
        What is there is no usable task.
    BucketError
        The bucket that it is in refuses, or does not answer.
    MissingExtra
        Its format or place needs a package that is not installed.
    """
    columns = Columns(path_column, label_column)
    if is_url(task):
        return Task.from_listing(bucket_tasks.read(task, columns), bucket_tasks.name_of(task), seed=seed, folds=folds)
    if (file := task_files.find(task)) is not None:
        entry = task_files.load(file)
        seed = seed if entry.seed is None else entry.seed
        folds = entry.folds or folds if folds == "auto" else folds
        return Task.from_listing(entry.read(columns), entry.name, group=entry.group, seed=seed, folds=folds)
    known = task in EMBEDDED_TASKS or find_vtab_task(task) is not None
    if known and columns != Columns():
        raise BadRequest(f"--path-column and --label-column are for tables, and {task} is none")
    if (embedded := EMBEDDED_TASKS.get(task)) is not None:
        return Task.from_listing(embedded.read(), task, group=embedded.group, seed=seed, folds=folds)
    if (vtab := find_vtab_task(task)) is not None:
        return Task.from_listing(read_vtab_task(vtab, download), vtab.name, group=vtab.group, seed=seed, folds=folds)
    path = expanded(task)
    if not path.exists():
        raise _unknown_task(task)
    whole = path.resolve()
    name = whole.stem if path.is_file() else whole.name
    return Task.from_listing(formats.read(path, columns), name, seed=seed, folds=folds)


@dataclass(frozen=True)
class NamedTask:
    """What `head2toe tasks` shows of a task that has a name.

    Attributes
    ----------
    name : str
        What `load_task` knows it by.
    group : str
        VTAB's group, `embedded`, or what a task file says.
    n_classes : int, optional
        Number of classes; None where a task file does not name them.
    where : str
        Where its data is, that there is none, or what is wrong with its task file.
    """

    name: str
    group: str
    n_classes: int | None
    where: str


def named_tasks() -> list[NamedTask]:
    """List all tasks that have a name, those of task files first; of two with one name, the one that is loaded."""
    own = [_of_task_file(file) for file in task_files.all_files()]
    taken = {task.name for task in own}
    embedded = [
        NamedTask(name, task.group or "embedded", task.n_classes, task.where) for name, task in EMBEDDED_TASKS.items()
    ]
    vtab = [
        NamedTask(task.name, task.group, task.n_classes, str(existing_folder(task) or f"no data in {data_root()}"))
        for task in VTAB_TASKS
    ]
    return own + [task for task in embedded + vtab if task.name not in taken]


def _of_task_file(file: Path) -> NamedTask:
    """What a task file says, without its images being read; a fault in it is shown and hides no other task."""
    try:
        entry = task_files.load(file)
    except DataError as error:
        return NamedTask(file.stem, "", None, str(error))
    return NamedTask(file.stem, entry.group or "own", len(entry.classes) if entry.classes else None, str(file))


def _unknown_task(task: str) -> BadRequest:
    names = [*EMBEDDED_TASKS, *VTAB_NAMES, *(file.stem for file in task_files.all_files())]
    near = difflib.get_close_matches(task, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`head2toe tasks` lists the names."
    return BadRequest(f"no task or folder {task!r}: {hint}")
