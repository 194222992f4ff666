"""Pages out of the templates in `templates/`: Jinja's environment, and how values are written."""

from pathlib import Path
from typing import Any

from head2toe.probe.results import summary
from head2toe.store.common.errors import MissingExtra
from head2toe.store.console.text import decimal, interval, percent, plus_minus

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, **values: Any) -> str:
    """Fill a template with values.

    Everything is escaped but what a template marks as safe: the charts.

    Parameters
    ----------
    template : str
        A file in `templates/`.
    **values
        What the template names; nothing may be missing.

    Returns
    -------
    str
        One HTML file that needs nothing else.

    Raises
    ------
    MissingExtra
        Jinja is not installed.
    LookupError
        Something that the template names is missing.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
    except ImportError as error:
        raise MissingExtra("the report needs jinja2: pip install 'head2toe[report]'") from error
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "decimal": decimal,
        "interval": interval,
        "percent": percent,
        "plain": plain,
        "plus_minus": plus_minus,
        "thousands": thousands,
    }
    try:
        return environment.get_template(template).render(values)
    except UndefinedError as error:
        raise LookupError(f"{template}: {error}") from error


def plain(value: Any) -> str:
    """Write a setting or an option as people do: lists with commas, yes and no, a dash for None."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    if value is None or isinstance(value, bool):
        return "–" if value is None else "yes" if value else "no"
    return summary.setting(value)


def thousands(number: int) -> str:
    """Write a number with a comma after every three digits: 12345 is `12,345`."""
    return f"{number:,}"
