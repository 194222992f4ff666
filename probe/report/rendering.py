"""A template of `templates/` and its values become one HTML file. Everything that came from outside is escaped."""

from pathlib import Path
from typing import Any

from head2toe.probe.results import summary
from head2toe.store.common.errors import MissingExtra

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, **values: Any) -> str:
    """A template with its values; charts are the only strings that are taken for markup.

    Raises
    ------
    MissingExtra
        Jinja is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
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
        "decimal": summary.decimal,
        "plus_minus": summary.plus_minus,
        "interval": summary.interval,
        "plain": plain,
        "percent": lambda value: f"{100 * value:.1f} %",
    }
    text = environment.get_template(f"{template}.html").render(values)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def plain(value: Any) -> str:
    """A setting or an option, as people write it: lists with commas, nothing as a dash."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    if value is None or isinstance(value, bool):
        return "–" if value is None else "yes" if value else "no"
    return summary.setting(value)
