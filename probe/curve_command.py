"""The command `curve`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.store.common.errors import BadRequest
from head2toe.store.console.cli import echo, json_option, setting_options, show

if TYPE_CHECKING:
    from head2toe.probe.planning.learning_curve import LearningCurve

REPEATS = 2
"""Three promise hardly more than two (docs/results.md)."""
Makes = Callable[[str, Any], Any]
"""Takes a task and options and returns an `Experiment` on all its rows."""


def curve_command(makes: Makes, options: type) -> click.Command:
    """Make the command `curve`; what extracts is handed in, for this room does not."""

    @click.command("curve")
    @click.argument("task")
    @setting_options(options)
    @click.option(
        "--sizes",
        help="Numbers of labels, with commas.  [default: six, from all of them down by factors of 1.4]",
    )
    @click.option(
        "--repeats",
        type=click.IntRange(min=1),
        default=REPEATS,
        show_default=True,
        help="How often the labels of a size are drawn: what a curve promises is the surer, the more.",
    )
    @click.option("-o", "file", type=click.Path(path_type=Path, dir_okay=False), help="Draw the curves: an SVG file.")
    @json_option
    def curve(task: str, sizes: str | None, repeats: int, file: Path | None, as_json: bool, **given: Any) -> None:
        """Say what more labels would bring: accuracy at fewer labels, and a power law beyond.

        All work is done again on parts of the training rows, nothing is extracted. What was done before is recalled.

        Example: head2toe curve my_task --methods linear -o curve.svg
        """
        chosen = options(**given)
        if chosen.costly:
            raise BadRequest(f"a curve trains no backbones again and again: leave {chosen.costly[0]} out")
        if file is not None and file.suffix.lower() != ".svg":
            raise BadRequest(f"-o {file}: the curve is drawn as SVG: give its file the suffix .svg")
        experiment = makes(task, chosen)
        curves, failures = _curves(experiment, sizes, repeats, chosen)
        if file is not None:
            _draw(experiment.task.name, curves, file)
        if as_json:
            made = [one.document() for one in curves]
            document = {"task": experiment.task.name, "repeats": repeats, "curves": made}
            show(document | ({"failures": failures} if failures else {}) | ({"picture": str(file)} if file else {}))
        else:
            _echo(curves, file)
        if failures:
            sys.exit(1)

    return curve


def _curves(
    experiment: Any, sizes: str | None, repeats: int, options: Any
) -> "tuple[list[LearningCurve], dict[str, str]]":
    """Make the curves of all methods, and name those that failed."""
    from head2toe.probe.commands import echo_failures
    from head2toe.probe.planning.learning_curve import learning_curves
    from head2toe.probe.planning.subsets import subsets, usual_sizes

    task = experiment.task
    n = task.n_train
    numbers = usual_sizes(n, len(task.classes)) if sizes is None else _numbers(sizes, n)
    splits = subsets(task.labels[:n], task.folds, numbers, options.seed, repeats)
    curves = learning_curves(experiment, numbers, splits, options.seed)
    failures = dict(experiment.failures.errors)
    echo_failures(failures)
    if not curves:
        raise experiment.failures.none_left()
    return curves, failures


def _numbers(text: str, n: int) -> tuple[int, ...]:
    """Read `--sizes`."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise BadRequest(f"--sizes {text!r}: whole numbers with commas, such as 100,200,400")
    numbers = tuple(sorted({int(word) for word in words}))
    if len(numbers) < 3 or numbers[0] < 1 or numbers[-1] > n:
        raise BadRequest(f"--sizes {text!r}: three numbers or more, from 1 to the {n} training rows that there are")
    return numbers


def _draw(task: str, curves: "Sequence[LearningCurve]", file: Path) -> None:
    from head2toe.probe.planning import curve_chart
    from head2toe.store.common.outputs import write_text_output

    picture = curve_chart.standing_alone(curve_chart.draw(task, curves))
    write_text_output(file, picture, "choose another file with -o FILE")


def _echo(curves: "Sequence[LearningCurve]", file: Path | None) -> None:
    """Show a table of the points, what the laws promise, and where the picture is."""
    from head2toe.store.console.text import table

    documents = [curve.document() for curve in curves]
    rows = []
    for place, point in enumerate(documents[0]["points"]):
        cells = [_measured(one["points"][place]) for one in documents]
        rows.append((f"{point['labels']:,}", *cells))
    for place, promise in enumerate(documents[0]["promises"]):
        rows.append((f"{promise['labels']:,}", *(_promised(one["promises"][place]) for one in documents)))
    echo(table(("labels", *(one["method"] for one in documents)), rows))
    for one in curves:
        last = one.points[-1].labels
        gain = 100 * (float(one.law(2 * last)) - float(one.law(last)))
        echo(f"{one.method}: twice the labels would bring {gain:+.1f} points, as a power law through these has it")
    if file:
        echo(f"curve      {file}")


def _measured(point: Mapping[str, Any]) -> str:
    return f"{100 * point['accuracy']:.1f} ± {100 * point['stderr']:.1f}"


def _promised(promise: Mapping[str, Any]) -> str:
    low, high = promise["interval"]
    return f"{100 * promise['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}] promised"
