"""The way through: images -> extract -> store -> select -> probe -> result. Functions, and the command `head2toe`.

    from head2toe.pipeline import run
    run("digits", input_size=96).methods[1].test_accuracy

Torch, timm and scikit-learn are imported inside the functions that need them: `head2toe --help` answers at once.
"""

from head2toe.store.console import interrupts  # isort: skip  # noqa: F401 - first: it takes Ctrl-C during the imports

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.extract import commands as stage_one
from head2toe.extract.deploy.commands import MODEL_COMMANDS, MODELS, copy_model, require_model_target
from head2toe.extract.options import ExtractOptions
from head2toe.extract.suggest_command import suggest
from head2toe.probe.audit_command import audit_command
from head2toe.probe.commands import echo_failures, echo_result, report_command, results_command, save_model_option
from head2toe.probe.curve_command import curve_command
from head2toe.probe.forget_command import forget_command
from head2toe.probe.options import COSTLY, ProbeOptions
from head2toe.probe.stage_results import RunResult, SelectResult
from head2toe.probe.try_command import try_command
from head2toe.select.commands import echo_selection, recipe_option
from head2toe.select.options import SelectOptions
from head2toe.store.commands import root_option, store
from head2toe.store.common.errors import BadRequest
from head2toe.store.common.files import printable, require_writable
from head2toe.store.common.fingerprint import code_fingerprint, versions
from head2toe.store.common.outputs import ANOTHER_OUTPUT
from head2toe.store.console.cli import Commands, echo, echo_checks, json_option, setting_options, show

if TYPE_CHECKING:
    from head2toe.extract.deploy.estimator import ImageClassifier as Head2Toe  # what `__getattr__` derives from it
    from head2toe.extract.features.extraction import Extraction
    from head2toe.extract.tasks.task import Task
    from head2toe.probe.experiment import Experiment
    from head2toe.probe.methods.outcome import Outcome

__all__ = ["Head2Toe", "Options", "RunResult", "SelectResult", "extract", "main", "probe", "run", "select"]


@dataclass(frozen=True)
class Options(ProbeOptions, SelectOptions, ExtractOptions):
    """The settings of every stage: the fields of `ExtractOptions`, `SelectOptions` and `ProbeOptions`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nested and self.folds in ("800/200", "holdout", "2"):
            what = "two" if self.folds == "2" else "one held-out part"
            raise BadRequest(f"--nested needs three folds or more, and --folds {self.folds} is {what}")
        if self.costly and len(self.backbones) > 1:
            method, backbones = self.costly[0], " and ".join(self.backbones)
            raise BadRequest(f"{method} trains one backbone, not {backbones}: name one, or leave {method} out")

    def command(self, task: str) -> str:
        """Return the command line that runs a task with these settings again, but for those that change no number."""
        elsewhere = ("fresh", "output", "store", "device", "device_memory", "batch_size", "compile", "cluster")
        return shlex.join(["head2toe", "run", task, *self.words(leave_out=elsewhere)])


# ---------------------------------------------------------------------------------------------------------- the stages


def extract(
    task: "str | Task", options: ExtractOptions | None = None, *, splits: str = "all", **changes: Any
) -> "Extraction":
    """Put a task's images through the backbone, once (stage one); what a store already holds is not extracted again.

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

    o = replace(options or Options(), **changes)
    if splits not in ("all", "train"):
        raise BadRequest(f"unknown splits {splits!r}: all or train")
    task = stage_one.load_for(task, o) if isinstance(task, str) else task
    return extract_task(task, o, splits=splits, versions=versions())


def select(
    task: "str | Task", options: Options | None = None, *, recipe: str = "exact", **changes: Any
) -> "SelectResult[Extraction]":
    """Rank all features by relevance for every fold and λ (stage two, first half); extract first if need be.

    A selection is kept beside the results under a name made of everything it depends on (this code included), and
    recalled the next time. Other parameters and errors are those of `extract`.

    Parameters
    ----------
    recipe : {"exact", "paper"}
        Solve the convex problem to a certificate, or train heads as the paper does.
    """
    experiment = experiment_on(task, replace(options or Options(), **changes))
    return SelectResult(experiment.extractions, experiment.select(recipe))


def probe(task: "str | Task", options: Options | None = None, **changes: Any) -> "RunResult[Extraction]":
    """Train linear heads, their settings chosen by cross-validation (stage two, second half); select first if need be.

    A result is kept under a name made of everything it depends on, and recalled the next time; so is what each method
    left (see `head2toe.probe.stage`), for a run that was interrupted or one with more methods. A method that fails is
    one of the result's `failures`, beside the results of the others; only where all fail it is an error. Parameters and
    errors are those of `extract`.
    """
    from head2toe.extract.finetuning.trials import TRAINING_CODE
    from head2toe.probe.choice.nested import outer_folds
    from head2toe.probe.results import predictions
    from head2toe.probe.results.result_files import RESULT, read_result, write_run
    from head2toe.store.console.text import file_name

    o = replace(options or Options(), **changes)
    experiment = experiment_on(task, o)
    splits = outer_folds(experiment.task.folds) if o.nested else []
    key = experiment.key(code_fingerprint(*TRAINING_CODE) if o.costly else "")
    folder = o.output / f"{experiment.task.name}-{file_name('+'.join(o.backbones))}-{key[:8]}"
    file = folder / RESULT
    earlier = read_result(file) if file.is_file() and not o.fresh else {}
    same = earlier.get("key") == key and not earlier.get("failures")  # what failed is tried again
    if same and predictions.whole(folder, earlier.get("predictions")) and stage_one.whole_models(folder / MODELS):
        return RunResult(experiment.extractions, earlier, file, recalled=True)
    outcomes, trainings = experiment.outcomes(splits), {}
    for method in o.costly:
        with experiment.failures.of(method):
            outcome, trainings[method] = train(method, experiment, o)
            outcomes.append(outcome)
    if not outcomes:
        raise experiment.failures.none_left()
    outcomes.sort(key=lambda outcome: o.methods.index(outcome.name))
    save_models(experiment, outcomes, folder)
    argument = printable(task) if isinstance(task, str) else task.name
    record = experiment.record(argument, key, trainings, options=o.document(), command=o.command(argument))
    return RunResult(experiment.extractions, write_run(folder, record, outcomes), file, recalled=False)


def run(task: "str | Task", options: Options | None = None, **changes: Any) -> "RunResult[Extraction]":
    """Go the whole way for a task: extract, select, probe; the result is written to a folder. See `probe`."""
    return probe(task, options, **changes)


def experiment_on(task: "str | Task", options: Options) -> "Experiment[Extraction]":
    """Make what stage two works on, of all rows of a task; what no store holds is extracted."""
    from head2toe.probe.experiment import Experiment
    from head2toe.select.compute.arrays import announced, namespace

    # What would fail in the end is said before the backbone runs, not after.
    arrays = announced(namespace(options.devices[0], options.device_memory))
    arrays = replace(arrays, cluster=stage_one.cluster_of(options.cluster, options.devices))
    require_writable(options.output, ANOTHER_OUTPUT)
    extractions = tuple(extract(task, each) for each in options.of_each_backbone())
    return Experiment.on_all_rows(extractions, options, options, arrays, options.seed)


def train(method: str, experiment: "Experiment[Extraction]", o: Options) -> "tuple[Outcome, list[dict[str, Any]]]":
    """Evaluate a costly method; also return its trainings as JSON, each of which is kept and recalled the next time."""
    from head2toe.extract.finetuning.trials import Trials

    (extraction,), folder = experiment.extractions, o.output / "trained"
    with Trials.of(method, extraction, o, o.finetune_steps, folder=folder, fresh=o.fresh) as trials:
        return experiment.outcome_of(method, trials), trials.kept


def save_models(experiment: "Experiment[Extraction]", outcomes: Sequence["Outcome"], folder: Path) -> None:
    """Write a bundle for each method whose refit is a linear model of one backbone: what predict and export read."""
    from head2toe.probe.methods.held_out import held_out_rows

    for outcome, model, metrics in experiment.deployable(outcomes):
        known: dict[str, Any] = {"method": outcome.name, "settings": outcome.settings, "metrics": metrics}
        with experiment.failures.of(outcome.name):
            known["held_out"] = held_out_rows(experiment.data, outcome)
            target = folder / MODELS / outcome.name
            stage_one.save_bundle(experiment.extractions[0], model, target, ANOTHER_OUTPUT, **known)


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


# --------------------------------------------------------------------------------------------------- the command line


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
    options = Options(**given)
    extractions = [extract(task, each, splits=splits) for each in options.of_each_backbone()]
    if as_json:
        documents = [extraction.document() for extraction in extractions]
        show(documents[0] if len(documents) == 1 else {"extractions": documents})
        return
    for extraction in extractions:
        stage_one.echo_extraction(extraction)


@main.command("select")
@click.argument("task")
@setting_options(ExtractOptions, SelectOptions)
@recipe_option
@json_option
def select_command(task: str, recipe: str, as_json: bool, **given: Any) -> None:
    """Rank TASK's features by l2,1 relevance, for every fold and λ (extracts first if there is no store).

    Example: head2toe select digits --input-size 96
    """
    result = select(task, Options(**given), recipe=recipe)
    if as_json:
        show(result.document())
        return
    for extraction in result.extractions:
        stage_one.echo_extraction(extraction)
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
    probe_and_show(task, **given)


@main.command("run")
@click.argument("task")
@setting_options(Options)
@save_model_option
@json_option
def run_command(task: str, **given: Any) -> None:
    """Extract, select and probe TASK; write result, predictions, summary and models to a folder.

    Example: head2toe run path/to/folder --backbone resnet50 --save-model my_model
    """
    probe_and_show(task, **given)


def probe_and_show(task: str, *, as_json: bool, save_model: Path | None, **given: Any) -> None:
    """Go the whole way, keep the model if asked for, and show the result. Exit code 1 if a method failed."""
    require_model_target(save_model)
    result = run(task, Options(**given))
    echo_failures(result.failures)
    methods = [method.name for method in result.methods]
    saved = copy_model(result.file.parent, methods, save_model) if save_model else None
    if as_json:
        show(result.document())
    else:
        for extraction in result.extractions:
            stage_one.echo_extraction(extraction)
        echo_result(result.record, result.file, result.recalled)
        if saved:
            echo(f"model      {save_model}  ({saved})")
    if result.failures:
        sys.exit(1)


@main.command()
@root_option
def doctor(root: Path | str | None, as_json: bool) -> None:
    """Look at Python, torch, CUDA, CuPy, BLAS, memory, store root, data and weights. Exit code 1 if something is wrong.

    Example: head2toe doctor --store /data/stores
    """
    from head2toe.extract.doctor import stage_one_checks
    from head2toe.select.doctor import array_checks
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.doctor import machine_checks, root_checks

    checks = [*machine_checks(), *stage_one_checks(), *array_checks(), *root_checks(catalogue_of(root).root)]
    if not echo_checks(checks, versions(), as_json):
        sys.exit(1)


plans = (curve_command(experiment_on, Options), try_command(stage_one.load_for, experiment_on, Options))
audit = audit_command(run, Options, stage_one.thumbnails, stage_one.grey_versions, stage_one.correct_task)
models = (stage_one.model_origin, require_model_target, stage_one.save_bundle)
forget = forget_command(experiment_on, Options, *models)
shown = (report_command(stage_one.thumbnails), results_command, audit, *plans, forget)
for command in (stage_one.tasks, stage_one.layers, *MODEL_COMMANDS, suggest, store, *shown):
    main.add_command(command)


if __name__ == "__main__":
    main()
