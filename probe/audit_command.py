"""The command `audit`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from head2toe.probe.commands import ThumbnailSource, require_one_format
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.cli import data_stdout, echo, json_option, setting_options, show

if TYPE_CHECKING:
    from head2toe.probe.audit.audit import Audit

PAGE = "audit.html"
SHOWN = 10
"""Suspected labels that the command shows; the page and the CSV have more."""

Runs = Callable[[str, Any], Any]
"""Takes a task and options and returns the `RunResult` of going the whole way."""
Grey = Callable[[Sequence[Any]], Any]
"""Takes images and returns small grey versions of them."""
Corrects = Callable[[Any, Path, Path], tuple[int, int]]
"""Takes a task, a file of decisions and a manifest to write; returns how many images were relabelled and removed."""


def audit_command(
    runs: Runs, options: type, thumbnails: ThumbnailSource, grey: Grey, corrects: Corrects
) -> click.Command:
    """Make the command `audit`; what knows images and backbones is handed in, for this room does not."""

    @click.command("audit")
    @click.argument("task", metavar="TASK|RUN")
    @setting_options(options)
    @click.option(
        "-o",
        "page",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"The HTML page to write.  [default: {PAGE} in the run's folder]",
    )
    @click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values on stdout, nothing else.")
    @click.option("--csv-safe", is_flag=True, help="In CSV, ' before class names that spreadsheets take for formulas.")
    @click.option(
        "--apply",
        "decisions",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Apply the decisions of this table, as --csv prints it, and write a corrected manifest.",
    )
    @click.option(
        "--manifest",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The manifest that --apply writes.  [default: TASK-corrected.csv]",
    )
    @json_option
    def audit(
        task: str,
        page: Path | None,
        as_csv: bool,
        csv_safe: bool,
        decisions: Path | None,
        manifest: Path | None,
        as_json: bool,
        **given: Any,
    ) -> None:
        """Say which labels are probably wrong, which images are twice there, and which fit no class.

        TASK is run first, unless it was; of a RUN's folder its settings are taken.

        \b
        head2toe audit my_task                        a page, and the worst labels
        head2toe audit my_task --csv > decisions.csv  everything, as a table to edit
        head2toe audit my_task --apply decisions.csv  a corrected manifest; no image is touched
        """  # noqa: D301 (a raw docstring would show click's mark as text)
        require_one_format(as_json, as_csv)
        if manifest and not decisions:
            raise BadRequest("--manifest goes with --apply DECISIONS")
        if decisions and (as_csv or page):
            raise BadRequest(f"--apply writes a manifest alone: leave {'--csv' if as_csv else '-o'} out, or --apply")
        if csv_safe and not as_csv:
            raise BadRequest("--csv-safe goes with --csv")
        target = None if decisions is None else manifest or _corrected_name(task)
        if target is not None and target.suffix.lower() != ".csv":
            raise BadRequest(f"--manifest {target}: a manifest is a table of text: give its file the suffix .csv")
        if target is not None and target.exists():
            raise BadRequest(f"{target} exists, and is not overwritten: choose another file with --manifest FILE")
        result, chosen = _run(task, options, given, runs)
        if decisions is not None and target is not None:
            _apply(result.extractions[0].task, decisions, target, corrects, as_json)
            return
        found = _audit(result, chosen, grey)
        _show(found, result, page, thumbnails, as_csv=as_csv, csv_safe=csv_safe, as_json=as_json)

    return audit


def _corrected_name(task: str) -> Path:
    """Name the corrected manifest after a task, whose folder may have dots in its name, or be the current one."""
    path = Path(task).resolve()
    return Path(f"{path.name if path.is_dir() else path.stem}-corrected.csv")


def _run(task: str, options: type, given: Mapping[str, Any], runs: Runs) -> tuple[Any, Any]:
    """Go the whole way for a task, or once more for a run with its own settings, which recalls it."""
    from head2toe.probe.results import stored_runs
    from head2toe.probe.results.result_files import RESULT

    path = Path(task)
    if not ((path / RESULT).is_file() or path.name == RESULT):
        chosen = options(**given)
        return runs(task, chosen), chosen
    run = stored_runs.load(path)
    chosen = stored_runs.options_of(run, options)
    if flags := _given_flags(given):
        echo(f"note       {', '.join(flags)} left out: the settings of {path} are its own", err=True)
    with stored_runs.task_of(run) as argument:
        result = runs(argument, chosen)
    if result.record["key"] != run.record["key"]:
        echo(f"note       {argument} is no longer what it was in {path}: it was run again", err=True)
    return result, chosen


def _given_flags(given: Mapping[str, Any]) -> list[str]:
    """Name the options of a run that were typed beside it."""
    context = click.get_current_context()
    typed = {name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return [parameter.opts[0] for parameter in context.command.params if parameter.name in typed]


def _audit(result: Any, options: Any, grey: Grey) -> "Audit":
    """Audit a run by the predictions of head2toe or, where it was not run, of the method that the folds like best."""
    from head2toe.probe.audit.audit import Audit
    from head2toe.probe.experiment import Experiment
    from head2toe.probe.results.summary import best_method
    from head2toe.select.compute.arrays import namespace

    names = [method["name"] for method in result.record["methods"] if method["name"] in options.of_features]
    if not names:
        raise BadRequest("an audit takes a method of features: add linear, l21 or head2toe to --methods")
    method = "head2toe" if "head2toe" in names else best_method(result.record)["name"]
    method = method if method in names else names[-1]
    arrays = namespace(options.devices[0], options.device_memory)
    experiment = Experiment.on_all_rows(result.extractions, options, options, arrays, options.seed)
    outcome = experiment.failures.outcome_of(method, experiment.outcomes())
    task = experiment.task
    names, digests = [image.name for image in task.images], result.extractions[0].digests
    of_task = (task.name, method, names, task.classes, experiment.data, outcome)
    return Audit(*of_task, lambda: grey(task.images), [], digests)


def _show(
    found: "Audit",
    result: Any,
    page: Path | None,
    thumbnails: ThumbnailSource,
    *,
    as_csv: bool,
    csv_safe: bool,
    as_json: bool,
) -> None:
    """Write the page, unless a table or JSON is all that was asked for, and show the audit."""
    from head2toe.probe.audit import page as html
    from head2toe.probe.audit.findings import KINDS
    from head2toe.store.common.outputs import write_text_output
    from head2toe.store.console.text import table

    document = found.document()
    file = page or (None if as_csv or as_json else result.file.parent / PAGE)
    if file is not None:
        text = html.render(document, thumbnails(result.record))
        write_text_output(file, text, "choose another file with -o FILE")
    if as_json:
        show(document | {"result": str(result.file), **({"page": str(file)} if file else {})})
        return  # with its notes
    for note in document["notes"]:
        echo(f"note       {note}", err=True)
    if as_csv:
        click.echo(found.as_csv(safe=csv_safe), data_stdout(), nl=False)
    else:
        for kind, count in document["counts"].items():
            echo(f"{count:5}  {KINDS[kind]}")
        worst = [one for one in document["findings"] if one["kind"] == "label"][:SHOWN]
        if worst:
            rows = [(one["images"][0], one["split"], one["labels"][0], one["suggestion"], _score(one)) for one in worst]
            echo("\n" + table(("image", "split", "label", "rather", "score"), rows))
        echo(f"\naudit      {file}")


def _score(finding: Mapping[str, Any]) -> str:
    return f"{finding['score']:.3f}"


def _apply(task: Any, decisions: Path, manifest: Path, corrects: Corrects, as_json: bool) -> None:
    """Write the corrected manifest, and say what it changes."""
    relabelled, removed = corrects(task, decisions, manifest)
    if as_json:
        show({"manifest": str(manifest), "relabelled": relabelled, "removed": removed})
    else:
        echo(f"manifest   {manifest}  ({relabelled} images relabelled, {removed} taken out)")
