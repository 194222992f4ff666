"""The rules of the house that a reader can't see at a glance, and a test can."""

import ast
import re
import sys
from pathlib import Path

import pytest
from head2toe.pipeline import main

ROOT = Path(__file__).parents[1]
ROOMS = ("extract", "select", "probe", "store")
MAY_IMPORT = {
    "store": {"store"},
    "select": {"select", "store"},
    "extract": {"extract", "store"},
    "probe": {"probe", "select", "store"},
}
HOME = {  # the only places where these may be imported
    "torch": {"extract"},
    "timm": {"extract"},
    "zarr": {"store"},
    "h5py": {"store"},
    "click": {"pipeline.py", "store/commands.py", "extract/commands.py", "select/commands.py", "probe/commands.py"},
    "matplotlib": {"probe"},
    "jinja2": {"probe"},
    "pyarrow": {"extract", "probe"},
    "cupy": {"select"},
}
SOURCES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))] + [ROOT / "pipeline.py"]


def imports(file: Path) -> set[str]:
    """Every module a file imports, dotted, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_point_one_way(file: Path) -> None:
    name = file.relative_to(ROOT)
    room = name.parts[0]
    for module in imports(file):
        parts = module.split(".")
        if parts[0] == "head2toe" and len(parts) > 1 and room in MAY_IMPORT:
            assert parts[1] in MAY_IMPORT[room], f"{room} must not import {module}"
        if parts[0] in HOME:
            assert HOME[parts[0]] & {room, name.as_posix()}, (
                f"{parts[0]} belongs to {HOME[parts[0]]}, not to {file}"
            )


def test_no_folder_shadows_the_standard_library() -> None:
    assert not [p for p in ROOT.rglob("__init__.py") if not {".venv", ".cache"} & set(p.parts)]
    for file in SOURCES:
        assert file.stem not in sys.stdlib_module_names or file.stem == "select", (
            f"{file} is named like a stdlib module"
        )


def test_the_pipeline_is_the_only_module_in_the_root() -> None:
    assert [p.name for p in ROOT.glob("*.py")] == ["pipeline.py"]


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_every_module_says_what_it_is(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_docs_and_commands_agree() -> None:
    """Every command is shown in the README, and every command the README shows exists."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^(?:\$ )?head2toe ([a-z]+)", text, flags=re.MULTILINE))
    assert shown <= set(main.commands)
    assert set(main.commands) - shown <= {"store"} | shown
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    targets |= {"extract", "select", "probe", "run"}
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets | {"bench-store", "bench-select"}


def test_the_command_line_knows_every_method_metric_and_head() -> None:
    """`head2toe --help` must not import what the methods need, so their names stand apart."""
    from head2toe.probe import kinds, methods, metrics, options

    assert set(options.METHODS) == set(methods.METHODS)
    assert set(options.METRICS) == set(metrics.METRICS)
    assert set(options.HEADS) == set(kinds.KINDS)
