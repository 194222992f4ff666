"""Task files: a few lines of YAML each, which give a task of one's own a name (`TASK=my_task`).

# tasks/my_task.yaml
path: ../photos/manifest.csv     # any format that a path may have, relative to this file; or a URL (s3://…)
classes: [cat, dog, neither]     # optional: names in label order
path_column: photo               # optional: the columns of a table that have none of the usual names
label_column: kind
folds: stratified                # optional: auto, vtab5, stratified, 800/200, holdout, or a number
group: natural                   # optional: shown by `head2toe tasks`
seed: 3                          # optional: draws folds and hold-out, instead of --seed
name: cats                       # optional: instead of the file's own
"""

import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2toe.extract.options import FOLDS, SEEDS, data_root, is_folds
from head2toe.extract.readers import formats
from head2toe.extract.readers.listing import Listing
from head2toe.extract.readers.tables import Columns
from head2toe.extract.tasks import bucket_tasks
from head2toe.store.cloud.objects import is_url
from head2toe.store.common.errors import DataError
from head2toe.store.common.files import expanded
from head2toe.store.console.text import parse_yaml

_SUFFIXES = (".yaml", ".yml")
FIELDS = ("path", "classes", "path_column", "label_column", "folds", "group", "seed", "name")


@dataclass(frozen=True)
class TaskFile:
    """What a task file says.

    Attributes
    ----------
    file : Path
        The task file.
    path : Path or str
        Where the images are; a string is a URL.
    name : str
        The task's name.
    classes : tuple of str, optional
        Names in label order.
    folds : str, optional
        As for `head2toe.extract.readers.splits.choose_folds`.
    columns : Columns
        The columns of a table that it names.
    group : str, optional
        A word that `head2toe tasks` shows.
    seed : int, optional
        Draws folds and hold-outs.
    """

    file: Path
    path: Path | str
    name: str
    classes: tuple[str, ...] | None
    folds: str | None
    columns: Columns
    group: str | None
    seed: int | None

    def read(self, columns: Columns | None = None) -> Listing:
        """Read the images and labels that it points to; errors are those of `head2toe.extract.readers.formats.read`.

        Columns that are given go before those of the file.
        """
        given = columns or Columns()
        merged = Columns(given.path or self.columns.path, given.label or self.columns.label)
        if isinstance(self.path, str):
            listing = bucket_tasks.read(self.path, merged)
        elif self.path.exists():
            listing = formats.read(self.path, merged)
        else:
            raise DataError(f"the task file {self.file} points to {self.path}, which does not exist")
        return listing if self.classes is None else listing.with_classes(self.classes, str(self.file))


def is_task_file(path: Path) -> bool:
    """Return whether a path is a file that is named like a task file."""
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def folders() -> list[Path]:
    """Return the folders in which task files are looked for: ./tasks, then $HEAD2TOE_DATA (else ./data)."""
    return [Path("tasks"), data_root()]


def find(name: str) -> Path | None:
    """Return the task file `<name>.yaml` (or .yml) in the folders, or the path of one; None where there is none."""
    if is_task_file(path := expanded(name)):
        return path
    if path.name != name:
        return None
    candidates = (folder / f"{name}{suffix}" for folder in folders() for suffix in _SUFFIXES)
    return next((file for file in candidates if file.is_file()), None)


def all_files() -> list[Path]:
    """Return all task files in the folders by name; of two with one name the first one counts."""
    files = [file for folder in folders() if folder.is_dir() for file in folder.iterdir() if is_task_file(file)]
    return sorted({file.stem: file for file in reversed(files)}.values())


def load(file: Path) -> TaskFile:
    """Read a task file.

    Raises
    ------
    DataError
        It is no YAML, has a field that is none of `FIELDS`, or a value of another kind.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read the task file {file}: {' '.join(str(error).split())}") from error
    content = parse_yaml(text, f"the task file {file}")
    if not isinstance(content, dict):
        raise DataError(f"the task file {file} is no mapping: expected lines like 'path: my_images'")
    if unknown := [field for field in content if field not in FIELDS]:
        raise DataError(
            f"the task file {file} has an unknown field {_short(unknown[0])}: known are {', '.join(FIELDS)}"
        )
    for field, (fits, expected) in _EXPECTED.items():
        if content.get(field) is not None and not fits(content[field]):
            raise DataError(f"{field} in the task file {file} is {_short(content[field])}: expected {expected}")
    if content.get("path") is None:
        raise DataError(f"the task file {file} has no path: expected a line like 'path: my_images'")
    classes = content.get("classes")
    return TaskFile(
        file=file,
        path=content["path"] if is_url(content["path"]) else file.parent / expanded(content["path"]),
        name=content.get("name") or file.stem,
        classes=None if classes is None else tuple(map(str, classes)),
        folds=None if content.get("folds") is None else str(content["folds"]),
        columns=Columns(content.get("path_column"), content.get("label_column")),
        group=content.get("group"),
        seed=content.get("seed"),
    )


def _short(value: Any) -> str:
    """A value as a message shows it, however long it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    short.maxlevel = 2
    return short.repr(value)


def _is_classes(value: Any) -> bool:
    # YAML reads an unquoted no or off as false: a class of that name would be called False.
    plain = isinstance(value, list) and all(
        isinstance(name, str | int) and not isinstance(name, bool) for name in value
    )
    return plain and len(value) > 1


_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "path": (lambda value: isinstance(value, str) and bool(value), "a path relative to the task file, or a URL"),
    "classes": (_is_classes, "a list of names, those that YAML takes for yes or no in quotes"),
    "folds": (
        lambda value: isinstance(value, str | int) and is_folds(str(value)),
        f"one of {', '.join(FOLDS)}, or a number from 2 on",
    ),
    "path_column": (lambda value: isinstance(value, str) and bool(value), "the name of a column"),
    "label_column": (lambda value: isinstance(value, str) and bool(value), "the name of a column"),
    "group": (lambda value: isinstance(value, str), "a word, such as natural, specialised or structured"),
    "seed": (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < SEEDS,
        f"a number from 0 to {SEEDS - 1}",
    ),
    "name": (
        lambda value: isinstance(value, str) and re.fullmatch(r"\w[\w.-]*", value) is not None,
        "letters, digits, dots, dashes",
    ),
}
