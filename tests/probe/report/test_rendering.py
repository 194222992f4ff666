"""Templates: those that are named exist, those that exist are named and come with the wheel; values are written."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from head2toe.probe.report.rendering import TEMPLATES, fill, plain
from jinja2 import Environment, TemplateNotFound
from jinja2.meta import find_referenced_templates

ROOT = Path(__file__).parents[3]
REPORT = ROOT / "probe" / "report"


def named_in_code() -> Iterator[str]:
    """The templates that modules fill: those of the wing, and the audit's page."""
    for file in (*REPORT.glob("*.py"), *(ROOT / "probe" / "audit").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fill":
                yield ast.literal_eval(node.args[0])


def with_its_parts(template: str) -> set[str]:
    """A template, and those it extends, includes or takes macros from."""
    parts = find_referenced_templates(Environment().parse((REPORT / "templates" / template).read_text("utf-8")))
    return {template}.union(*(with_its_parts(part) for part in parts if part is not None))


def test_the_templates_that_are_named_are_those_that_exist() -> None:
    needed = set().union(*map(with_its_parts, named_in_code()))
    assert {"run.html", "comparison.html", "frame.html", "style.css"} < needed
    assert needed == {file.relative_to(TEMPLATES).as_posix() for file in TEMPLATES.rglob("*") if file.is_file()}


def test_every_template_comes_with_the_wheel() -> None:
    """An editable install finds templates that `package-data` leaves out, a wheel does not."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = setuptools["package-data"]["head2toe.probe.report"]
    packaged = {file for pattern in patterns for file in REPORT.glob(pattern)}
    assert packaged == {file for file in (REPORT / "templates").rglob("*") if file.is_file()}


def test_a_template_or_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(TemplateNotFound):
        fill("nothing.html")
    with pytest.raises(LookupError, match=r"run\.html: 'record' is undefined"):
        fill("run.html")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (0.1 + 0.2, "0.3"),
        ([1, (2, None)], "1, 2, –"),
        ({"size": 96, "fit": {"whole": False}}, "size 96, fit whole no"),
    ],
)
def test_settings_are_written_as_people_write_them(value: Any, text: str) -> None:
    assert plain(value) == text
