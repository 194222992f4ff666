"""The reader of an ImageFolder: one folder for each class, with or without a level of folders for splits above."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from head2toe.extract.images.file_formats import is_image
from head2toe.extract.images.folder_contents import folder_contents, is_helper_folder, left_out_note
from head2toe.extract.images.sources import ImageFile
from head2toe.extract.readers.listing import (
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    Listing,
    Row,
    by_split,
    composed,
    in_class_order,
    split_of,
)
from head2toe.store.common.errors import DataError

ClassFolders = Mapping[str, list[Path]]
"""Class name to its folders: more than one where their names differ in how an accent is written."""

_DEEPEST = 4
"""So many levels below a folder that is no task, class folders are looked for."""
_MOST_FOLDERS = 1000
"""So many folders of a level are looked into."""


def has_splits(folder: Path) -> bool:
    """Return whether a folder holds class folders in a training split's folder (`train/<class>/`)."""
    return any(split_of(path.name) == TRAIN and _class_folders(path) for path in _subfolders(folder))


def is_flat(folder: Path) -> bool:
    """Return whether a folder holds two or more class folders with images right in them (`<class>/*.jpg`)."""
    return sum(map(_has_images, _subfolders(folder))) >= 2


def hint(folder: Path) -> str:
    """Say what lies in a folder that is no task, and what to do; the empty string where nothing tells.

    Class folders may lie deeper, as archives leave them, or below names that are none of splits.
    """
    for part in (folder, *(path for path in _subfolders(folder) if split_of(path.name) == TRAIN)):
        if _has_images(part):
            return f"the images in {part} are in no class folders: make one for each class, or a manifest (path,label)"
    tasks = _tasks_below(folder)
    if len(tasks) == 1:
        return f"the class folders are in {tasks[0]}: pass its path"
    if tasks:
        listed = ", ".join(map(str, tasks[:3])) + (f" and {len(tasks) - 3} more" if len(tasks) > 3 else "")
        usual = f"; or name the one to train on {folder / TRAIN}, and the one to judge by {folder / TEST}"
        return f"class folders are in {listed}: pass the path of one{'' if any(map(has_splits, tasks)) else usual}"
    filled = [path for path in _subfolders(folder) if _has_images(path)]
    return f"{filled[0]} is the only folder of images, and a task has two classes or more" if filled else ""


def _tasks_below(folder: Path) -> list[Path]:
    """The uppermost folders below a folder that hold class folders, `_DEEPEST` levels down."""
    level = [folder]
    for _ in range(_DEEPEST):
        level = [path for above in level for path in _subfolders(above)][:_MOST_FOLDERS]
        if tasks := [path for path in level if has_splits(path) or is_flat(path)]:
            return tasks
    return []


def _has_images(folder: Path) -> bool:
    return any(map(is_image, folder.iterdir()))


def read(folder: Path) -> Listing:
    """Read `train/<class>/*`, with or without `val/` and `test/`, or `<class>/*` alone.

    Classes are in the order of `in_class_order`, images in that of their paths. Notes say which folder is read as which
    split where its name is not the usual one, and which folders beside them are not read.

    Raises
    ------
    DataError
        A class of another split has no training folder, a class can't be learned, two folders are the same split, the
        class folders lie deeper, or a folder of another name holds the classes, too, while there is no test; the
        message names it.
    """
    parts = _splits(folder) if has_splits(folder) else {TRAIN: folder}
    class_folders = {split: _class_folders(part) for split, part in parts.items()}
    classes = in_class_order(class_folders[TRAIN])
    if len(classes) == 1 and is_flat(only := class_folders[TRAIN][classes[0]][0]):
        raise DataError(f"{only} is the only class folder, and holds folders of images: move them up to {only.parent}")
    rows, left_out = [], Counter[str]()
    for split, part in parts.items():
        if strange := [name for name in in_class_order(class_folders[split]) if name not in class_folders[TRAIN]]:
            name = strange[0]
            raise DataError(
                f"class {name!r} in {part} has no folder in {parts[TRAIN]}: add one with training images, or move "
                f"{class_folders[split][name][0]} away (head2toe predict takes images without labels)"
            )
        rows_of_part = [
            (split, ImageFile(path), label)
            for path, label in _images_by_class(part, class_folders[split], classes, left_out)
        ]
        if not rows_of_part and split == TEST:
            raise DataError(f"no test images in {part}: expected {part}/<class>/<image>, or no folder {part.name}")
        rows += rows_of_part
    fields = by_split(rows)
    note = left_out_note(left_out, str(folder))
    _check_counts(classes, fields["train"], class_folders[TRAIN], note)
    notes = [f"{part} is read as the {split} split" for split, part in parts.items() if _is_unusual(part, folder)]
    if parts[TRAIN] != folder:
        notes += _notes_on_others(folder, parts, class_folders[TRAIN])
    else:
        notes += _notes_on_class_names(folder, class_folders[TRAIN])
    return Listing(
        layout="ImageFolder",
        source=f"ImageFolder {folder.resolve()}",
        classes=classes,
        notes=(*([note] if note else []), *notes),
        **fields,
    )


def _check_counts(classes: tuple[str, ...], train: list[Row], folders: ClassFolders, note: str | None) -> None:
    counts = Counter(label for _, label in train)
    for label, name in enumerate(classes):
        if counts[label] < 2:
            raise DataError(
                f"class {name!r} has {counts[label]} image{'' if counts[label] == 1 else 's'} in {folders[name][0]}: "
                "cross-validation needs two or more; add images or remove the folder" + (f"; {note}" if note else "")
            )


def _splits(folder: Path) -> dict[str, Path]:
    """The folders that are named like splits, training rows first. Raises DataError if two are named like one."""
    folders: dict[str, Path] = {}
    for path in _subfolders(folder):
        if (split := split_of(path.name)) is None:
            continue
        if split in folders:
            raise DataError(
                f"{folders[split]} and {path} are both named like the {split} split: rename or remove one of them"
            )
        folders[split] = path
    return {split: folders[split] for split in (TRAIN, VALIDATION, TEST) if split in folders}


def _is_unusual(part: Path, folder: Path) -> bool:
    """Whether the name of a split's folder is one that a user may not expect to be understood."""
    return part != folder and part.name.lower() not in SPLITS


def _notes_on_others(folder: Path, parts: Mapping[str, Path], classes: ClassFolders) -> list[str]:
    """What lies unread beside the splits' folders. Raises DataError if that may be the test that is missing."""
    notes = []
    for path in _subfolders(folder):
        if path in parts.values() or not (n_images := len(folder_contents(path).images)):
            continue
        shared = [name for name in in_class_order(_class_folders(path)) if name in classes]
        if shared and TEST not in parts:
            raise DataError(
                f"{path} beside {parts[TRAIN].name} holds folders of classes ({', '.join(shared[:3])}), but its name "
                "is none of a split: rename it test (looked at once) or val (to choose settings by), or move it away"
            )
        notes.append(f"{path} holds {n_images} images that are not read: its name is none of train, val, test")
    return notes


def _notes_on_class_names(folder: Path, classes: ClassFolders) -> list[str]:
    """Which classes are named like splits. Raises DataError if one holds the others, as a test does."""
    notes = []
    for name in in_class_order(name for name in classes if split_of(name)):
        if shared := [other for path in classes[name] for other in _class_folders(path) if other in classes]:
            raise DataError(
                f"{classes[name][0]} stands among class folders and holds folders of the same classes "
                f"({', '.join(shared[:3])}): put the class folders beside it into {folder / TRAIN}"
            )
        notes.append(f"{classes[name][0]} is read as a class, for it stands among class folders")
    return notes


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder by name, but for hidden ones, those that systems leave, and links that lead above."""
    above = {folder.resolve(), *folder.resolve().parents}
    inside = (path for path in folder.iterdir() if path.is_dir() and not is_helper_folder(path.name))
    return sorted(path for path in inside if not (path.is_symlink() and path.resolve() in above))


def _class_folders(part: Path) -> ClassFolders:
    """The folders of each class of a split, by the class's name with its accents composed."""
    folders: dict[str, list[Path]] = {}
    for path in _subfolders(part):
        folders.setdefault(composed(path.name), []).append(path)
    return folders


def _images_by_class(
    part: Path, folders: ClassFolders, classes: tuple[str, ...], left_out: Counter[str]
) -> list[tuple[Path, int]]:
    """Images with their labels; what is left out, also of the files beside the class folders, is counted."""
    rows = []
    for label, name in enumerate(classes):
        for folder in folders.get(name, ()):
            contents = folder_contents(folder)
            left_out.update(contents.left_out)
            rows += [(path, label) for path in contents.images]
    left_out.update("beside the class folders" for path in part.iterdir() if is_image(path))
    left_out.update("broken links" for path in part.iterdir() if path.is_symlink() and not path.exists())
    return rows
