"""The download of VTAB-1k's nineteen tasks from TensorFlow Datasets into the VTAB-1k folder layout.

This is the one way to the rows and the pixels of the paper; the folders that circulate are JPEG copies. TensorFlow is
needed once, to write the folder.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from head2toe.extract.vtab.recipes import VTAB_RECIPES, Recipe
from head2toe.extract.vtab.tasks import VtabTask
from head2toe.extract.vtab.writer import LabelledImage, SplitRows, write_task
from head2toe.store.common.errors import DataError, MissingExtra


def materialise(task: VtabTask, root: Path, *, data_dir: Path | None = None) -> Path:
    """Write a task from TensorFlow Datasets into `<root>/vtab-1k/<folder>`, once, and return that folder.

    Parameters
    ----------
    task : VtabTask
        The task.
    root : Path
        The data root (`head2toe.extract.options.data_root`).
    data_dir : Path, optional
        Where TensorFlow Datasets keeps its own files; without it, where it does by default
        (`$TFDS_DATA_DIR`, `~/tensorflow_datasets`). What is not there is downloaded and prepared.

    Returns
    -------
    Path
        The folder. One that was there already is left as it is.

    Raises
    ------
    MissingExtra
        TensorFlow Datasets or TensorFlow is not installed.
    DataError
        The dataset can't be had (no network, files to be fetched by hand) or is not what VTAB-1k was made of; or the
        folder can't be written.
    """
    folder = root / "vtab-1k" / task.folder
    if folder.is_dir():
        return folder
    tfds = _tensorflow_datasets(task)
    recipe = VTAB_RECIPES[task.folder]
    builder, name = _prepared_builder(tfds, recipe, task, data_dir)
    sizes = {split: int(info.num_examples) for split, info in builder.info.splits.items()}
    try:
        specs = {split: cut.spec(sizes) for split, cut in recipe.cuts.items()}
    except DataError as error:
        raise DataError(f"task {task.name}, {name}: {error}") from error
    classes = _class_names(builder, name, recipe, task)
    splits = {}
    for split, cut in recipe.cuts.items():
        first, end = cut.bounds(sizes)
        splits[split] = SplitRows(end - first, _rows(tfds, builder, specs[split], recipe))
    return write_task(folder, classes, splits, _provenance(tfds, builder, name, recipe, specs))


def _tensorflow_datasets(task: VtabTask) -> Any:
    try:
        import tensorflow  # noqa: F401 (tensorflow_datasets itself comes without it, and asks for it later)
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingExtra(
            f"task {task.name} from TensorFlow Datasets needs TensorFlow ({error}): pip install 'head2toe[tfds]'"
        ) from error
    return tfds


def _prepared_builder(tfds: Any, recipe: Recipe, task: VtabTask, data_dir: Path | None) -> tuple[Any, str]:
    """The builder with its data on disk, and its name with the version that is there."""
    name = recipe.builder
    where = None if data_dir is None else str(data_dir)
    try:
        try:
            builder = tfds.builder(name, data_dir=where)
        except AssertionError:  # there is no such version any more
            if recipe.later is None:
                raise
            name = recipe.later
            builder = tfds.builder(name, data_dir=where)
        builder.download_and_prepare()
    except ImportError as error:  # the packages that single datasets need are imported when first used
        raise MissingExtra(
            f"task {task.name}: TensorFlow Datasets needs another package to prepare {name} ({error}): "
            "install it with pip"
        ) from error
    except Exception as error:  # it lets through what its downloaders raise, of many kinds, and AssertionErrors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"task {task.name}: TensorFlow Datasets can't prepare {name}: {reason[:500]}; "
            "docs/vtab.md names the other ways to get the task"
        ) from error
    return builder, name


def _class_names(builder: Any, name: str, recipe: Recipe, task: VtabTask) -> tuple[str, ...]:
    feature = recipe.classes
    classes = tuple(builder.info.features[feature].names) if isinstance(feature, str) else feature
    if len(classes) != task.n_classes:
        raise DataError(f"task {task.name} has {task.n_classes} classes, but {name} names {len(classes)}")
    return classes


def _rows(tfds: Any, builder: Any, spec: str, recipe: Recipe) -> Iterator[LabelledImage]:
    """The rows of a slice in the order of their index; images as the files they were stored as."""
    dataset = builder.as_dataset(
        split=spec,
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        # By default 16 files are read in turns, which mixes the order; and small datasets are kept in memory.
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    for example in tfds.as_numpy(dataset):
        yield LabelledImage(recipe.image(bytes(example["image"])), recipe.label(example))


def _provenance(tfds: Any, builder: Any, name: str, recipe: Recipe, specs: Mapping[str, str]) -> dict[str, Any]:
    original = "VTAB-1k's own"
    return {
        "source": "TensorFlow Datasets",
        "rows": original if name == recipe.builder else f"{original} if {name} orders rows as {recipe.builder} did",
        "lossless": True,
        "builder": name,
        "version": str(builder.version),
        "tensorflow_datasets": str(tfds.__version__),
        "splits": dict(specs),
        "label": recipe.definition,
        "definitions": "google-research/task_adaptation, task_adaptation/data",
    }
