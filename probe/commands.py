"""The commands `report` and `results`, and what `probe` and `run` show of a result."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.cli import data_stdout, echo, json_option, show

if TYPE_CHECKING:
    from head2toe.probe.results.stored_runs import StoredRun

save_model_option = click.option(
    "--save-model",
    type=click.Path(path_type=Path, file_okay=False),
    help="Copy head2toe's model (or the last method's) to this folder, ready for `head2toe predict`.",
)

output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder of the results.",
)

ThumbnailSource = Callable[[Mapping[str, Any]], Callable[[str], bytes | None]]
"""Takes a run's record and returns the function that finds small pictures of its images (`mistakes.Thumbnail`)."""


def require_one_format(as_json: bool, as_csv: bool) -> None:
    """Raise BadRequest where a command is asked for JSON and CSV at once: stdout has room for one."""
    if as_json and as_csv:
        raise BadRequest("--json and --csv exclude each other: choose one")


def echo_failures(failures: Mapping[str, str], others: str = "other methods") -> None:
    """Say on stderr which methods, or what else there are others of, failed, and why."""
    for name, message in failures.items():
        echo(f"Error: {name} failed, the {others} are kept: {message}", err=True)


def echo_result(record: Mapping[str, Any], file: Path, recalled: bool) -> None:
    """Show the table of methods, the settings chosen, and the file that holds the result.

    Parameters
    ----------
    record : mapping
        The document of `result.json`.
    file : Path
        Its file.
    recalled : bool
        Whether an earlier run computed it.
    """
    from head2toe.probe.choice.halving import notes_on
    from head2toe.probe.results.summary import method_table, settings_line

    for note in notes_on(record["counts"]["train"]):
        echo(f"note       {note}", err=True)
    echo(f"\n{method_table(record)}\n")
    width = max(len(method["name"]) for method in record["methods"])
    for method in record["methods"]:
        echo(f"chosen     {method['name']:<{width}}  {settings_line(method) or 'nothing to choose'}")
    echo(f"result     {file}{'  (recalled: --fresh computes it again)' if recalled else ''}")


def report_command(thumbnails: ThumbnailSource) -> click.Command:
    """Make the command `report`; the way to the images is handed in, for this room does not know them."""

    @click.command("report")
    @click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
    @click.option(
        "-o",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("report.html"),
        show_default=True,
        help="The HTML file to write.",
    )
    @output_option
    @json_option
    def report(runs: tuple[Path, ...], file: Path, output: Path, as_json: bool) -> None:
        """Write one self-contained HTML page about a run (the latest, if none is named), or comparing several.

        RUN is a run's folder or its result.json.

        Example: head2toe report -o report.html
        """
        from head2toe.probe.results import stored_runs
        from head2toe.store.common.outputs import write_text_output

        shown = stored_runs.chosen(runs, output, _pass_over)
        html = _page(shown, thumbnails)
        write_text_output(file, html, "choose another file with -o FILE")
        if as_json:
            show({"report": str(file), "runs": [str(run.folder) for run in shown]})
        else:
            subject = shown[0].folder if len(shown) == 1 else f"{len(shown)} runs"
            echo(f"report     {file}  ({subject})")

    return report


def _page(runs: "Sequence[StoredRun]", thumbnails: ThumbnailSource) -> str:
    """The page of one run, or the one that compares several."""
    from head2toe.probe.report import comparison_page, run_page
    from head2toe.probe.results.stored_runs import page_of

    if len(runs) > 1:
        return page_of(runs, comparison_page.render)
    return page_of(runs, lambda only: run_page.render(only[0].folder, only[0].record, thumbnails(only[0].record)))


@click.command("results")
@output_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values on stdout, nothing else.")
def results_command(output: Path, as_json: bool, as_csv: bool) -> None:
    """List all runs below a folder: a row for each run and method, the newest run last.

    Example: head2toe results --csv > results.csv
    """
    from head2toe.probe.results import run_table, stored_runs

    require_one_format(as_json, as_csv)
    runs = stored_runs.below(output, _pass_over)
    rows = [row for run in runs for row in run_table.rows(run.record, run.folder)]
    if as_json:
        show({"output": str(output), "results": rows})
    elif as_csv:
        click.echo(run_table.as_csv(rows), data_stdout())
    else:
        echo(run_table.as_text(rows) if rows else f"no runs below {output}")


def _pass_over(line: str) -> None:
    """Tell of a file or folder that is left out."""
    echo(f"passed over: {line}", err=True)
