"""What `probe` and `run` show, and the commands `report` and `results`: thin lines around the rest."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from head2toe.store.common.cli import json_option, show
from head2toe.store.common.errors import BadRequest

save_model_option = click.option(
    "--save-model",
    type=click.Path(path_type=Path, file_okay=False),
    help="Copy head2toe's model (or the last method's) to this folder, ready for `head2toe predict`.",
)

Thumbnails = Callable[[Mapping[str, Any]], Callable[[str], bytes | None]]
"""From a run's document to what gives small pictures of its images (`page.Thumbnail`)."""

output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder of the results.",
)


def echo_result(record: Mapping[str, Any], file: Path, recalled: bool) -> None:
    """The table of methods, the settings chosen, and where everything is."""
    from head2toe.probe.results.summary import method_table, settings_line

    click.echo(f"\n{method_table(record)}\n")
    width = max(len(method["name"]) for method in record["methods"])
    for method in record["methods"]:
        click.echo(f"chosen     {method['name']:<{width}}  {settings_line(method) or 'nothing to choose'}")
    click.echo(f"result     {file}{'  (recalled: --fresh computes it again)' if recalled else ''}")


def report_command(thumbnails: Thumbnails) -> click.Command:
    """The command `report`; the way to the images is handed in, for this room does not know them."""

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
        from head2toe.probe.report import comparison_page as comparison
        from head2toe.probe.report import run_page as page
        from head2toe.probe.results import runs as gathering
        from head2toe.store.common.files import write_bytes

        found = gathering.chosen(runs, output, _complain)
        if len(found) > 1:
            html = comparison.render(found)
        else:
            html = page.render(found[0].folder, found[0].record, thumbnails(found[0].record))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, html.encode())
        if as_json:
            show({"report": str(file), "runs": [str(run.folder) for run in found]})
        else:
            what = found[0].folder if len(found) == 1 else f"{len(found)} runs"
            click.echo(f"report     {file}  ({what})")

    return report


@click.command("results")
@output_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values on stdout, nothing else.")
def results_command(output: Path, as_json: bool, as_csv: bool) -> None:
    """List all runs below a folder: a row for each run and method, the newest run last.

    Example: head2toe results --csv > results.csv
    """
    from head2toe.probe.results import runs as gathering

    if as_json and as_csv:
        raise BadRequest("--json and --csv exclude each other: choose one")
    listed = [row for run in gathering.below(output, _complain) for row in gathering.rows(run)]
    if as_json:
        show({"output": str(output), "results": listed})
    elif as_csv:
        click.echo(gathering.as_csv(listed))
    else:
        click.echo(gathering.as_text(listed) if listed else f"no runs below {output}")


def _complain(line: str) -> None:
    click.echo(f"passed over: {line}", err=True)
