"""The way through: images -> extract -> store -> select -> probe -> result. Functions, and the command `head2toe`.

    from head2toe.pipeline import run
    result = run("digits", input_size=96)
    result.methods[1].test_accuracy

Torch, timm and scikit-learn are imported inside the functions that need them: `head2toe --help` answers at once.
"""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.extract.commands import echo_extraction, layers, tasks
from head2toe.extract.deploy.commands import MODELS, copy_model, export_command, info, predict_command
from head2toe.extract.options import ExtractOptions
from head2toe.probe.commands import echo_result, report_command, results_command, save_model_option
from head2toe.probe.options import COSTLY, ProbeOptions
from head2toe.select.commands import echo_selection, recipe_option
from head2toe.select.options import SelectOptions
from head2toe.store.commands import root_option, store
from head2toe.store.common.cli import Commands, echo_checks, json_option, setting_options, show
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.files import require_writable
from head2toe.store.common.fingerprint import versions

if TYPE_CHECKING:
    import numpy as np
    from head2toe.extract.deploy.estimator import ImageClassifier as Head2Toe  # noqa: F401 (see `__getattr__`)
    from head2toe.extract.features.extraction import Extraction
    from head2toe.extract.tasks.task import Task
    from head2toe.probe.methods.candidates import Problem
    from head2toe.probe.methods.nested import Split
    from head2toe.probe.methods.outcome import Outcome
    from head2toe.probe.results.record import Run
    from head2toe.probe.results.summary import MethodResult
    from head2toe.select.stage import Selected
    from head2toe.store.reading.design_matrix import DesignMatrix


@dataclass(frozen=True)
class Options(ProbeOptions, SelectOptions, ExtractOptions):
    """What every stage can be told: the fields of `ExtractOptions`, `SelectOptions` and `ProbeOptions`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nested and self.folds in ("800/200", "holdout"):
            raise BadRequest(f"--nested needs three folds or more, and --folds {self.folds} is one held-out part")
        if self.costly and len(self.backbones) > 1:
            raise BadRequest(
                f"{self.costly[0]} trains one backbone, not {' and '.join(self.backbones)}: name one, or leave "
                f"{self.costly[0]} out"
            )

    def command(self, task: str) -> str:
        """The command line that runs a task with these again."""
        elsewhere = ("fresh", "output", "store", "device", "batch_size", "compile")  # what changes no number
        return shlex.join(["head2toe", "run", task, *self.words(leave_out=elsewhere)])


@dataclass(frozen=True, eq=False)
class SelectResult:
    """What `select` leaves: an extraction for each backbone and, for each normalisation, selections by target size."""

    extractions: tuple["Extraction", ...]
    every: tuple["Selected", ...]

    @property
    def selected(self) -> "Selected":
        """Of the first normalisation."""
        return self.every[0]

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
            "selections": [entry for selected in self.every for entry in selected.document()],
            "recalled": all(selected.recalled for selected in self.every),
            "seconds": sum(selected.seconds for selected in self.every),
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
        from head2toe.probe.results.summary import MethodResult

        return tuple(map(MethodResult.of, self.record["methods"]))

    def document(self) -> dict[str, Any]:
        """As JSON: the record, and what happened this time."""
        return self.record | {
            "result": str(self.file),
            "recalled": self.recalled,
            "images_extracted": sum(extraction.images_extracted for extraction in self.extractions),
        }


# ---------------------------------------------------------------------------------------------------------- the stages


def extract(
    task: "str | Task", options: ExtractOptions | None = None, *, splits: str = "all", **changes: Any
) -> "Extraction":
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
    from head2toe.extract.tasks.registry import load_task

    o = replace(options or Options(), **changes)
    if splits not in ("all", "train"):
        raise BadRequest(f"unknown splits {splits!r}: all or train")
    known = load_task(task, seed=o.seed, folds=o.folds, download=o.download) if isinstance(task, str) else task
    return extract_task(known, o, splits=splits, versions=versions())


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
    experiment = Experiment.of(task, replace(options or Options(), **changes))
    return SelectResult(experiment.extractions, experiment.select(recipe))


def probe(task: "str | Task", options: Options | None = None, **changes: Any) -> RunResult:
    """Stage two, second half: linear heads, their settings chosen by cross-validation. Selects first if need be.

    A result is kept under a name made of everything it depends on, and recalled the next time; so is what each method
    left (see `head2toe.probe.stage`), for a run that was interrupted or one with more methods.
    """
    from head2toe.probe.methods.nested import outer_folds, with_nested
    from head2toe.probe.results.result_files import RESULT, read_result, write_run
    from head2toe.store.common.files import printable
    from head2toe.store.common.text import file_name

    o = replace(options or Options(), **changes)
    experiment = Experiment.of(task, o)
    outer = outer_folds(experiment.task.folds) if o.nested else []
    key = experiment.key()
    folder = o.output / f"{experiment.task.name}-{file_name('+'.join(o.backbones))}-{key[:8]}"
    file = folder / RESULT
    if file.is_file() and not o.fresh and (earlier := read_result(file)).get("key") == key:
        return RunResult(experiment.extractions, earlier, file, recalled=True)
    outcomes = experiment.outcomes()
    if outer:
        parts = [
            replace(experiment, split=split, where=f", outer fold {k} of {len(outer)}").outcomes()
            for k, split in enumerate(outer, start=1)
        ]
        outcomes = with_nested(outcomes, outer, parts)
    trained = {method: experiment.train(method) for method in o.costly}
    outcomes += [outcome for outcome, _ in trained.values()]
    outcomes.sort(key=lambda outcome: o.methods.index(outcome.name))
    experiment.save_models(outcomes, folder)
    trainings = {method: kept for method, (_, kept) in trained.items()}
    argument = printable(task) if isinstance(task, str) else task.name
    record = experiment.record(argument, key, trainings)
    return RunResult(experiment.extractions, write_run(folder, record, outcomes), file, recalled=False)


def run(task: "str | Task", options: Options | None = None, **changes: Any) -> RunResult:
    """The whole way for a task: extract, select, probe; the result is written to a folder. See `probe`."""
    return probe(task, options, **changes)


def __getattr__(name: str) -> Any:
    """Define `Head2Toe` when it is first asked for: the command line should not wait for scikit-learn's import."""
    if name != "Head2Toe":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from head2toe.extract.deploy.bundle import Bundle
    from head2toe.extract.deploy.estimator import ImageClassifier

    global Head2Toe  # as a class of this module it is pickled by its name, and defined once

    class Head2Toe(ImageClassifier):
        __doc__ = ImageClassifier.__doc__

        def _train(self, task: "str | Task") -> Bundle:
            if self.method in COSTLY:
                raise BadRequest(f"{self.method} leaves no linear model: choose another method, or run it with probe()")
            known = [field.name for field in fields(Options)]
            if unknown := sorted(set(self.options) - set(known)):
                raise BadRequest(f"unknown option {unknown[0]!r}: choose from {', '.join(known)}")
            options = Options(**self.options, methods=(self.method,), metric=self.metric)
            self.result_ = probe(task, options)
            folder = self.result_.file.parent / MODELS / self.method
            if not folder.is_dir():
                raise BadRequest(f"{self.method} of {', '.join(options.backbones)} leaves no single model")
            return Bundle.load(folder)

    return Head2Toe


# -------------------------------------------------------------------------------------------- what stage two works on


@dataclass(frozen=True, eq=False)
class Experiment:
    """A task's features, the rows to learn from and those to predict, and the settings: what stage two works on.

    Attributes
    ----------
    extractions : tuple of Extraction
        One for each backbone; their features stand side by side.
    options : Options
    split : Split
        The whole task, or the part of it that an outer fold leaves.
    where : str
        Which part that is, for the progress.
    """

    extractions: tuple["Extraction", ...]
    options: Options
    split: "Split"
    where: str = ""

    @classmethod
    def of(cls, task: "str | Task", options: Options) -> "Experiment":
        """With all rows of a task; what no store holds is extracted."""
        from head2toe.probe.methods.nested import Split
        from head2toe.select.compute.arrays import namespace

        # What would fail in the end is said before the backbone runs, not after.
        namespace(options.device)
        require_writable(options.output, "choose another folder with --output DIR")
        extractions = tuple(extract(task, each) for each in options.of_each_backbone())
        known = extractions[0].task
        return cls(extractions, options, Split.whole(len(known.images), known.folds))

    @property
    def task(self) -> "Task":
        """Without the images that were skipped."""
        return self.extractions[0].task

    def select(self, recipe: str) -> tuple["Selected", ...]:
        """A selection for each target size, all backbones side by side, from the rows that are learned from.

        For each normalisation that was asked for; the paper's recipe knows one.
        """
        from head2toe.select.compute.arrays import namespace
        from head2toe.select.stage import select_features

        o, rows = self.options, self.split.training
        standardizations = o.standardizations if recipe == "exact" else ("unit",)
        designs, images = self._designs(rows), self._images(rows)
        return tuple(
            select_features(
                self.task.name,
                designs,
                {size: [extraction.stores[size].key for extraction in self.extractions] for size in designs},
                images,
                self.task.labels[rows],
                self.split.folds,
                len(self.task.classes),
                recipe=recipe,
                standardize=how,
                seed=o.seed,
                folder=o.output / "selections",
                fresh=o.fresh,
                arrays=namespace(o.device),
                score=o,
                where=f", {how}{self.where}" if len(standardizations) > 1 else self.where,
            )
            for how in standardizations
        )

    @cached_property
    def selected(self) -> dict[str, tuple["Selected", ...]]:
        """The selections that the methods asked for need, by recipe."""
        from head2toe.probe.methods.registry import METHODS as REGISTRY

        needs = {need for method in self._thrifty for need in REGISTRY[method].needs}
        return {recipe: self.select(recipe) for recipe in ("exact", "paper") if recipe in needs}

    @cached_property
    def problem(self) -> "Problem":
        """What the methods are tried on."""
        from head2toe.probe.methods.candidates import Problem
        from head2toe.select.compute.arrays import namespace

        o = self.options
        exact = {one.standardize: one.selections for one in self.selected.get("exact", ())}
        usual = o.standardizations[0]
        return Problem(
            designs=self._designs(self.split.rows),
            labels=self.task.labels[self.split.rows],
            folds=self.split.folds,
            n_classes=len(self.task.classes),
            arrays=namespace(o.device),
            exact=exact.get(usual, {}),
            by_recipe=self.selected["paper"][0].selections if "paper" in self.selected else {},
            standardize=usual,
            seed=o.seed,
            head=o.head,
            further={how: found for how, found in exact.items() if how != usual},
        )

    def outcomes(self) -> list["Outcome"]:
        """What each method that trains no backbone leaves."""
        from head2toe.probe.methods.registry import METHODS as REGISTRY
        from head2toe.probe.stage import evaluate_all

        o = self.options
        outcomes = evaluate_all(
            self._thrifty,
            self.problem,
            self._made_of(),
            metric=o.metric,
            rule=o.rule,
            folder=o.output / "outcomes",
            task=self.task.name,
            fresh=o.fresh,
            where=self.where,
        )
        used = [[one for need in REGISTRY[outcome.name].needs for one in self.selected[need]] for outcome in outcomes]
        return [self._with_costs(outcome, uses) for outcome, uses in zip(outcomes, used, strict=True)]

    def train(self, method: str) -> tuple["Outcome", list[dict[str, Any]]]:
        """A costly method, and its trainings: every one is kept beside the results, and recalled the next time."""
        from head2toe.extract.finetuning.trials import Trials
        from head2toe.probe.methods.finetuned import evaluate_trained

        o, (extraction,) = self.options, self.extractions
        folder = o.output / "trained"
        with Trials.of(method, extraction, o, o.finetune_steps, folder=folder, fresh=o.fresh) as trials:
            found = evaluate_trained(
                method, trials.over_folds(), trials.refit, self.problem, metric=o.metric, rule=o.rule
            )
            whole = replace(found, seconds=trials.seconds, flops=trials.flops, bytes_stored=trials.nbytes)
            return whole, trials.kept

    def save_models(self, outcomes: Sequence["Outcome"], folder: Path) -> None:
        """A bundle for each method whose refit is a linear model of one backbone: what predict and export read."""
        from head2toe.extract.deploy.packing import bundle_of
        from head2toe.probe.metrics.classification import accuracy

        if len(self.extractions) > 1:
            return
        for outcome in outcomes:
            if outcome.model is None:
                continue
            judged = {"cv_accuracy": outcome.chosen.accuracy}
            if len(self.task.test_labels):
                judged["test_accuracy"] = accuracy(outcome.test_log_probabilities, self.task.test_labels)
            bundle = bundle_of(
                self.extractions[0],
                outcome.model,
                method=outcome.name,
                settings=outcome.settings,
                metrics=judged,
                versions=versions(),
            )
            bundle.save(folder / MODELS / outcome.name)

    def key(self) -> str:
        """The name of a result: a hash of everything it depends on, this code included."""
        from head2toe.extract.finetuning.trials import TRAINING_CODE
        from head2toe.probe.stage import CODE
        from head2toe.store.common.fingerprint import code_fingerprint, fingerprint

        o = self.options
        told = [list(o.methods), o.head, o.metric, o.rule, o.seed, o.nested, list(self.task.classes)]
        told.append([image.name for image in self.task.images])  # by which predictions are found
        trained = [o.finetune_steps, code_fingerprint(*TRAINING_CODE)] if o.costly else []
        return fingerprint([self._made_of(), told, code_fingerprint(*CODE), *trained])

    def record(self, argument: str, key: str, trainings: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Run":
        """What was run, for `result.json`."""
        from head2toe.probe.results.record import Run

        o, task, first = self.options, self.task, self.extractions[0]
        selections = {recipe: [e for one in chosen for e in one.document()] for recipe, chosen in self.selected.items()}
        notes = {
            "store": str(first.store.path),
            "provenance": dict(task.provenance),
            "skipped": list(first.skipped),
            "notes": [*task.notes, *o.notes(task.folds)],
            "selections": selections,
            **({"trainings": dict(trainings)} if trainings else {}),
        }
        return Run(
            task=task.name,
            argument=argument,
            group=task.group,
            source=task.source,
            classes=task.classes,
            ids=[image.name for image in task.images],
            labels=task.labels,
            folds=task.folds,
            backbones=[extraction.of_network() for extraction in self.extractions],
            options=o.document(),
            command=o.command(argument),
            versions=versions(),
            seed=o.seed,
            metric=o.metric,
            key=key,
            notes=notes,
        )

    @property
    def _thrifty(self) -> list[str]:
        """The methods that train no backbone."""
        return [method for method in self.options.methods if method not in COSTLY]

    def _images(self, rows: "np.ndarray") -> list[str]:
        """Content hashes of their images."""
        return [self.extractions[0].digests[row] for row in rows]

    def _designs(self, rows: "np.ndarray") -> dict[int, "DesignMatrix"]:
        """For each target size the stores of all backbones side by side."""
        from head2toe.store.reading.design_matrix import DesignMatrix

        images, sizes = self._images(rows), self.extractions[0].stores
        return {size: DesignMatrix.of([one.stores[size] for one in self.extractions], images) for size in sizes}

    def _with_costs(self, outcome: "Outcome", used: Sequence["Selected"]) -> "Outcome":
        """With what came before the heads: its selections, and the backbones' passes over the training images."""
        n, C = self.task.n_train, len(self.task.classes)
        return replace(
            outcome,
            seconds=outcome.seconds + sum(selection.cost for selection in used),
            flops=outcome.flops + sum(selection.flops(n, C) for selection in used),
            extraction_flops=n * sum(extraction.network["flops_per_image"] for extraction in self.extractions),
        )

    def _made_of(self) -> dict[str, Any]:
        """What it is made of: rows, labels, folds, features and, by recipe, their selections."""
        from head2toe.store.common.fingerprint import fingerprint

        rows = self.split.rows
        told = [self._images(rows), self.task.labels[rows].tolist(), self.split.folds.tolist()]
        stores = [store.key for extraction in self.extractions for store in extraction.stores.values()]
        ranked = {
            recipe: [file.name for one in chosen for _, file in sorted(one.files.items())]
            for recipe, chosen in self.selected.items()
        }
        return {"rows": fingerprint(told), "stores": stores, **ranked}


def thumbnails(record: Mapping[str, Any]) -> Callable[[str], bytes | None]:
    """For the report of a run: image name to a small JPEG; None where the task or the image can't be read any more."""
    from head2toe.extract.tasks.thumbnails import task_thumbnails

    return task_thumbnails(record["argument"], record["seed"])


# --------------------------------------------------------------------------------------------------- the command line


def options_of(given: Mapping[str, Any]) -> Options:
    """The settings out of a command's parameters."""
    return Options(**given)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="head2toe")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Transfer learning from frozen networks: features of all layers, group-lasso selection, a linear head.

    \b
    head2toe run digits --input-size 96   the whole way on an embedded task
    head2toe run path/to/folder           on your images: train/<class>/*, test/<class>/*
    """  # noqa: D301 (a raw docstring would show click's mark as text)


@main.command("extract")
@click.argument("task")
@setting_options(ExtractOptions)
@json_option
@click.option("--splits", type=click.Choice(["all", "train"]), default="all", help="`train` leaves the test for later.")
def extract_command(task: str, splits: str, as_json: bool, **given: Any) -> None:
    """Run the backbone over TASK's images, once, into the feature store.

    Example: head2toe extract digits --input-size 96 --target-size 512 --target-size 4096
    """
    options = options_of(given)
    extractions = [extract(task, each, splits=splits) for each in options.of_each_backbone()]
    if as_json:
        documents = [extraction.document() for extraction in extractions]
        show(documents[0] if len(documents) == 1 else {"extractions": documents})
        return
    for extraction in extractions:
        echo_extraction(extraction)


@main.command("select")
@click.argument("task")
@setting_options(ExtractOptions, SelectOptions)
@recipe_option
@json_option
def select_command(task: str, recipe: str, as_json: bool, **given: Any) -> None:
    """Rank TASK's features by l2,1 relevance, for every fold and λ (extracts first if there is no store).

    Example: head2toe select digits --input-size 96
    """
    result = select(task, options_of(given), recipe=recipe)
    if as_json:
        show(result.document())
        return
    for extraction in result.extractions:
        echo_extraction(extraction)
    for selected in result.every:
        echo_selection(selected, recipe)


@main.command("probe")
@click.argument("task")
@setting_options(Options)
@save_model_option
@json_option
def probe_command(task: str, **given: Any) -> None:
    """Train linear heads on TASK's features and judge them (extracts and selects first if need be).

    Example: head2toe probe digits --input-size 96 --methods linear,head2toe
    """
    probe_and_show(probe, task, **given)


@main.command("run")
@click.argument("task")
@setting_options(Options)
@save_model_option
@json_option
def run_command(task: str, **given: Any) -> None:
    """Extract, select and probe TASK; write result, predictions, summary and models to a folder.

    Example: head2toe run path/to/folder --backbone resnet50 --save-model my_model
    """
    probe_and_show(run, task, **given)


def probe_and_show(
    stage: Callable[..., RunResult], task: str, *, as_json: bool, save_model: Path | None, **given: Any
) -> None:
    """Run a stage that ends in a result, keep its model if asked for, and show it."""
    result = stage(task, options_of(given))
    if save_model:
        saved = copy_model(result.file.parent, [method.name for method in result.methods], save_model)
    if as_json:
        show(result.document())
        return
    for extraction in result.extractions:
        echo_extraction(extraction)
    echo_result(result.record, result.file, result.recalled)
    if save_model:
        click.echo(f"model      {save_model}  ({saved})")


@main.command()
@root_option
def doctor(root: Path | None, as_json: bool) -> None:
    """Look at Python, torch, CUDA, CuPy, BLAS, memory, store root, data and weights. Exit code 1 if something is wrong.

    Example: head2toe doctor --store /data/stores
    """
    from head2toe.extract.doctor import data_checks, torch_checks, weights_checks
    from head2toe.select.doctor import array_checks
    from head2toe.store.doctor import machine_checks, root_checks
    from head2toe.store.management.catalogue import Catalogue

    stage_one = [*torch_checks(), *weights_checks(), *data_checks()]
    checks = [*machine_checks(), *stage_one, *array_checks(), *root_checks(Catalogue(root).root)]
    if not echo_checks(checks, versions(), as_json):
        sys.exit(1)


for command in (
    tasks,
    layers,
    predict_command,
    info,
    export_command,
    store,
    report_command(thumbnails),
    results_command,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
