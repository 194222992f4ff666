"""The table of bad inputs in docs/faq.md, written from the rows that the tests run: `make faq`."""

from pathlib import Path

from head2toe.tests.bad_inputs import commands, datasets, folders, models, stores, tables, weights
from head2toe.tests.bad_inputs.bad_input import BadInput
from head2toe.tests.store.cloud import bad_inputs as buckets

FAQ = Path(__file__).parents[2] / "docs" / "faq.md"
BEGIN, END = "<!-- bad inputs: `make faq` writes what follows -->\n", "<!-- end of bad inputs -->\n"

SECTIONS = {
    "Commands": commands.ROWS,
    "Folders": folders.FOLDERS,
    "Images": folders.IMAGES,
    "Tables": tables.ROWS,
    "Task files, datasets, shards, lists": datasets.ROWS,
    "Backbones and weights": weights.ROWS,
    "Feature stores": stores.ROWS,
    "Buckets": buckets.ROWS,
    "Models": models.MODELS,
    "Results": models.RESULTS,
}
"""All bad inputs, by what they are."""


def code(text: str) -> str:
    """Return text as code in Markdown, whatever quotes it has."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def row(bad: BadInput) -> str:
    """Return a line of the table."""
    cells = (str(bad.code), bad.what or code(f"head2toe {bad.command}"), code(bad.says))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def section() -> str:
    """Return what stands between `BEGIN` and `END`."""
    lines = [
        f"{sum(map(len, SECTIONS.values()))} inputs; … stands for any text, and in a command for further options.\n"
    ]
    for title, rows in SECTIONS.items():
        lines += [f"### {title}\n| exit code | input | what is said |\n|---|---|---|", *map(row, rows), ""]
    return "\n".join(lines)


def written(page: str) -> str:
    """Return the page with the table as the rows have it."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + section() + END + rest.partition(END)[2]


if __name__ == "__main__":
    FAQ.write_text(written(FAQ.read_text(encoding="utf-8")), encoding="utf-8")
