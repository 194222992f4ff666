"""The rules of the house that a reader can't see at a glance, and a test can."""

import ast
import re
import sys
import tomllib
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
WINGS = {  # each wing of a room, and the wings of its room that it may import
    "store/common": set(),
    "store/format": {"common"},
    "store/reading": {"common", "format"},
    "store/writing": {"common", "format", "reading"},
    "store/management": {"common", "format", "reading", "writing"},
    "select/compute": set(),
    "select/objective": {"compute"},
    "select/solver": {"compute", "objective"},
    "select/ranking": {"compute", "objective", "solver"},
    "extract/images": set(),
    "extract/readers": {"images"},
    "extract/vtab": {"images", "readers"},
    "extract/tasks": {"images", "readers", "vtab"},
    "extract/backbone": {"images"},
    "extract/features": {"images", "readers", "vtab", "tasks", "backbone"},
    "extract/finetuning": {"images", "readers", "vtab", "tasks", "backbone", "features"},
    "extract/deploy": {"images", "readers", "vtab", "tasks", "backbone", "features"},
    "probe/metrics": set(),
    "probe/heads": {"metrics"},
    "probe/methods": {"metrics", "heads"},
    "probe/results": {"metrics", "heads", "methods"},
    "probe/report": {"metrics", "heads", "methods", "results"},
}
HOME = {  # the only places where these may be imported
    "torch": {"extract"},
    "timm": {"extract"},
    "zarr": {"store"},
    "h5py": {"store"},
    "click": {
        "pipeline.py",
        "store/common/cli.py",
        "store/commands.py",
        "extract/commands.py",
        "extract/deploy/commands.py",
        "select/commands.py",
        "probe/commands.py",
    },
    "matplotlib": {"probe"},
    "jinja2": {"probe"},
    "pyarrow": {"store/common/parquet.py"},
    "cupy": {"select"},
}
SOURCES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))] + [ROOT / "pipeline.py"]
OF_ROOMS = SOURCES[:-1]


def name_of(file: Path) -> str:
    """Relative to the root; the tests' names."""
    return file.relative_to(ROOT).as_posix()


def imports(file: Path) -> set[str]:
    """Every module a file imports, dotted, wherever in the file, for type checkers or not."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def of_the_house(file: Path) -> set[str]:
    """The house's files that a file imports."""
    paths = {"/".join(name.split(".")[1:]) + ".py" for name in imports(file) if name.startswith("head2toe.")}
    return {path for path in paths if (ROOT / path).is_file()}


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_rooms_point_one_way(file: Path) -> None:
    room = name_of(file).split("/")[0]
    for path in of_the_house(file):
        assert room == "pipeline.py" or path.split("/")[0] in MAY_IMPORT[room], f"{room} must not import {path}"


@pytest.mark.parametrize("file", OF_ROOMS, ids=name_of)
def test_wings_point_one_way(file: Path) -> None:
    """A wing imports what WINGS allows, and of its room's door nothing but the options."""
    room, *inner = name_of(file).split("/")
    if len(inner) == 1:
        if inner[0] == "options.py":
            assert all(path.startswith("store/common/") for path in of_the_house(file))
        return
    wing = inner[0]
    for path in of_the_house(file):
        other, *rest = path.split("/")
        if other != room:
            continue
        allowed = WINGS[f"{room}/{wing}"] | {wing} if len(rest) > 1 else {"options.py"}
        assert rest[0] in allowed, f"{room}/{wing} must not import {path}"


def test_no_import_leads_back() -> None:
    """No circle: not by late imports, and not by those for type checkers."""
    arrows = {name_of(file): of_the_house(file) for file in SOURCES}
    done: set[str] = set()

    def visit(file: str, way: tuple[str, ...]) -> None:
        assert file not in way, f"a circle: {' -> '.join([*way[way.index(file) :], file])}"
        if file not in done:
            for other in sorted(arrows[file]):
                visit(other, (*way, file))
            done.add(file)

    for file in arrows:
        visit(file, ())


def test_every_wing_is_known_packaged_and_of_a_size() -> None:
    """A wing that pyproject leaves out is missing in the wheel alone; a folder of many files is no wing."""
    wings = {file.parent.relative_to(ROOT) for file in OF_ROOMS}
    assert {wing.as_posix() for wing in wings if len(wing.parts) > 1} == set(WINGS)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert packages == ["head2toe", *sorted(f"head2toe.{'.'.join(wing.parts)}" for wing in wings)]
    for wing in wings:
        assert len(list((ROOT / wing).glob("*.py"))) <= 10, f"{wing} is too full"


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_heavy_imports_are_at_home(file: Path) -> None:
    room = name_of(file).split("/")[0]
    for package in {module.split(".")[0] for module in imports(file)} & set(HOME):
        assert HOME[package] & {room, name_of(file)}, f"{package} belongs to {HOME[package]}, not to {file}"


def test_no_folder_shadows_the_standard_library() -> None:
    assert not [p for p in ROOT.rglob("__init__.py") if not {".venv", ".cache"} & set(p.parts)]
    for file in SOURCES:
        assert file.stem not in sys.stdlib_module_names or file.stem == "select", (
            f"{file} is named like a stdlib module"
        )


def test_the_pipeline_is_the_only_module_in_the_root() -> None:
    assert [p.name for p in ROOT.glob("*.py")] == ["pipeline.py"]


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
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
    from head2toe.probe import options
    from head2toe.probe.heads import kinds
    from head2toe.probe.methods import registry as methods
    from head2toe.probe.metrics import classification

    assert set(options.METHODS) == set(methods.METHODS)
    assert set(options.METRICS) == set(classification.METRICS)
    assert set(options.HEADS) == set(kinds.KINDS)
