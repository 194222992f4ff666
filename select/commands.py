"""The options of the command `select`, and the table that it prints."""

from typing import TYPE_CHECKING

import click
from head2toe.select.options import RECIPES
from head2toe.store.console.cli import echo

if TYPE_CHECKING:
    from head2toe.select.stage import Selected

recipe_option = click.option(
    "--recipe",
    type=click.Choice(RECIPES),
    default="exact",
    show_default=True,
    help="Solve the problem to a certificate, or train heads as the paper does.",
)


def echo_selection(selected: "Selected", recipe: str) -> None:
    """Print a row for every λ of every target size, with its certificate; then notes, and the selections' files."""
    from head2toe.store.console.text import table

    header = (
        "target size",
        "λ / λ_max" if recipe == "exact" else "λ",
        "features with W ≠ 0",
        "duality gap",
        "converged",
    )
    rows = [
        (
            str(size),
            f"{c.ratio:.3g}",
            f"{c.active[-1]:,} of {selection.n_features:,}",
            f"{c.gap:.1e}" if c.gap < float("inf") else "unknown",
            "yes" if c.converged else "NO",
        )
        for size, selection in selected.selections.items()
        for c in selection.certificates
    ]
    echo(table(header, rows))
    for size, selection in selected.selections.items():
        for c in selection.certificates:
            if c.note:
                echo(f"target size {size}, {header[1]} {c.ratio:.3g}: {c.note}")
    for file in selected.files.values():
        echo(f"selection  {file}{'  (recalled)' if selected.recalled else ''}")
