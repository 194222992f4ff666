"""What the benchmarks import of the package is there: they run by hand, and would break unseen."""

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py"))


def missing(text: str) -> list[str]:
    """Names that a script imports from head2toe, and that are not there."""
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    pairs = [(str(node.module), alias.name) for node in imports for alias in node.names]
    return [f"{module}.{name}" for module, name in pairs if module.startswith("head2toe") and not there(module, name)]


def there(module: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(module), name) or find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.relative_to(ROOT / "benchmarks").as_posix())
def test_imports_are_there(script: Path) -> None:
    assert missing(script.read_text(encoding="utf-8")) == []


def test_what_is_not_there_is_found() -> None:
    text = "from head2toe.probe.methods import sweep\nfrom head2toe.probe.choice import sweep\n"
    assert missing(text + "from head2toe.pipeline import nothing") == [
        "head2toe.probe.methods.sweep",
        "head2toe.pipeline.nothing",
    ]
