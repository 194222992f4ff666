"""The rules of the house that a reader can't see at a glance, and a test can.

Each rule is a function of a house (names and texts of its modules) and yields what breaks it. The tests hold every rule
against the package as it is, and against small houses that break it, so that none passes for looking at nothing.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest

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
    "store/console": {"common"},
    "store/format": {"common", "console"},
    "store/reading": {"common", "console", "format"},
    "store/writing": {"common", "console", "format", "reading"},
    "store/management": {"common", "console", "format", "reading", "writing"},
    "store/cloud": {"common", "console", "format", "reading", "writing", "management"},
    "select/compute": set(),
    "select/objective": {"compute"},
    "select/lockstep": {"compute", "objective"},
    "select/solver": {"compute", "objective", "lockstep"},
    "select/ranking": {"compute", "objective", "solver"},
    "extract/images": set(),
    "extract/readers": {"images"},
    "extract/vtab": {"images", "readers"},
    "extract/tasks": {"images", "readers", "vtab"},
    "extract/weights": set(),
    "extract/backbone": {"images", "weights"},
    "extract/features": {"images", "readers", "vtab", "tasks", "weights", "backbone"},
    "extract/cluster": {"images", "readers", "vtab", "tasks", "weights", "backbone", "features"},
    "extract/finetuning": {"images", "readers", "vtab", "tasks", "weights", "backbone", "features"},
    "extract/uncertainty": set(),
    "extract/deploy": {"images", "readers", "vtab", "tasks", "weights", "backbone", "features", "uncertainty"},
    "probe/metrics": set(),
    "probe/heads": {"metrics"},
    "probe/many_rows": {"metrics", "heads"},
    "probe/methods": {"metrics", "heads", "many_rows"},
    "probe/choice": {"metrics", "heads", "many_rows", "methods"},
    "probe/results": {"metrics", "heads", "methods"},
    "probe/report": {"metrics", "heads", "methods", "results"},
    "probe/planning": {"metrics", "heads", "methods", "choice", "report"},
    "probe/audit": {"metrics", "heads", "methods", "choice", "results", "report"},
    "probe/forgetting": {"metrics", "heads", "methods", "choice", "audit"},
}
HOME = {  # the only places where these may be imported
    "torch": {"extract"},
    "timm": {"extract"},
    "zarr": {"store"},
    "h5py": {"store"},
    "click": {
        "pipeline.py",
        "store/console/cli.py",
        "store/commands.py",
        "extract/commands.py",
        "extract/deploy/commands.py",
        "extract/suggest_command.py",
        "select/commands.py",
        "probe/commands.py",
        "probe/audit_command.py",
        "probe/curve_command.py",
        "probe/forget_command.py",
        "probe/try_command.py",
    },
    "matplotlib": {"probe"},
    "jinja2": {"probe"},
    "pyarrow": {"store/common/parquet.py"},
    "obstore": {"store/cloud/bucket.py"},
    "distributed": {"extract/cluster/scheduler.py"},
    "cupy": {"select"},
    "cupyx": {"select"},
}
MOST_LINES, MOST_LINES_OF_PIPELINE = 320, 349
"""Of every other module, and of `pipeline.py`."""

House = Mapping[str, str]
"""Name of a module, relative to the root, to its text."""


def package() -> House:
    """The modules of the package."""
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))] + [ROOT / "pipeline.py"]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def imports(text: str) -> set[str]:
    """Every module that a text imports, dotted, wherever in it, for type checkers or not; a relative one has dots."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                names.add("." * node.level + (node.module or ""))
            else:
                names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def arrows(house: House) -> dict[str, list[str]]:
    """Every module to those of the house that it imports."""
    return {
        name: sorted(
            path
            for module in imports(text)
            if module.startswith("head2toe.") and (path := "/".join(module.split(".")[1:]) + ".py") in house
        )
        for name, text in house.items()
    }


def room_rule(house: House) -> Iterator[str]:
    """Rooms import one way."""
    for name, others in arrows(house).items():
        room = name.split("/")[0]
        for other in others:
            if room != "pipeline.py" and other.split("/")[0] not in MAY_IMPORT[room]:
                yield f"{name} imports {other}, of another room"


def wing_rule(house: House) -> Iterator[str]:
    """Wings import one way; of its room's door a wing imports the options alone, and these import the ground floor."""
    for name, others in arrows(house).items():
        room, *inner = name.split("/")
        for other in others:
            its_room, *its_inner = other.split("/")
            if inner == ["options.py"] and not other.startswith("store/common/"):
                yield f"{name} imports {other}: options import store/common alone"
            elif len(inner) > 1 and its_room == room and not allowed(room, inner[0], its_inner):
                yield f"{name} imports {other}, of another wing or the door"


def allowed(room: str, wing: str, inner: list[str]) -> bool:
    """Whether a wing may import a file of its room."""
    others = WINGS.get(f"{room}/{wing}", set())
    return inner[0] in {wing, *others} if len(inner) > 1 else inner == ["options.py"]


def circle_rule(house: House) -> Iterator[str]:
    """No import leads back: not a late one, and not one for type checkers."""
    ways, done = arrows(house), set()

    def visit(name: str, way: tuple[str, ...]) -> Iterator[str]:
        if name in way:
            yield f"a circle: {' -> '.join([*way[way.index(name) :], name])}"
        elif name not in done:
            for other in ways[name]:
                yield from visit(other, (*way, name))
            done.add(name)

    for name in ways:
        yield from visit(name, ())


def home_rule(house: House) -> Iterator[str]:
    """Heavy packages are imported at home alone."""
    for name, text in house.items():
        for package in sorted({module.split(".")[0] for module in imports(text)} & set(HOME)):
            if not HOME[package] & {name.split("/")[0], name}:
                yield f"{name} imports {package}, which belongs to {', '.join(sorted(HOME[package]))}"


def absolute_rule(house: House) -> Iterator[str]:
    """Imports are absolute."""
    for name, text in house.items():
        yield from (f"{name} imports {module}" for module in sorted(imports(text)) if module.startswith("."))


def name_rule(house: House) -> Iterator[str]:
    """No module is named like one of the standard library's."""
    for name in house:
        if PurePosixPath(name).stem in sys.stdlib_module_names:
            yield f"{name} is named like a module of Python's"


def docstring_rule(house: House) -> Iterator[str]:
    """Every module says what it is."""
    yield from (f"{name} has no docstring" for name, text in house.items() if not ast.get_docstring(ast.parse(text)))


def size_rule(house: House) -> Iterator[str]:
    """No module is long."""
    for name, text in house.items():
        lines = text.count("\n")
        most = MOST_LINES_OF_PIPELINE if name == "pipeline.py" else MOST_LINES
        if lines > most:
            yield f"{name} has {lines} lines, {most} at most"


def wings_rule(house: House) -> Iterator[str]:
    """The wings are those of `WINGS`."""
    wings = {str(PurePosixPath(*PurePosixPath(name).parts[:-1])) for name in house if name.count("/") > 1}
    yield from (f"{wing} is in WINGS or on disk alone" for wing in sorted(wings ^ set(WINGS)))


RULES = (
    *(room_rule, wing_rule, circle_rule, home_rule, absolute_rule),
    *(name_rule, docstring_rule, size_rule, wings_rule),
)
HOUSE = package()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Callable[[House], Iterator[str]]) -> None:
    assert list(rule(HOUSE)) == []


BROKEN: dict[str, tuple[Callable[[House], Iterator[str]], dict[str, str], str]] = {
    "a room imports one above it": (
        room_rule,
        {"store/common/a.py": "from head2toe.select.compute import b", "select/compute/b.py": ""},
        "store/common/a.py imports select/compute/b.py",
    ),
    "a late import": (
        room_rule,
        {"select/compute/a.py": "def f():\n    import head2toe.probe.options", "probe/options.py": ""},
        "select/compute/a.py imports probe/options.py",
    ),
    "an import for type checkers": (
        room_rule,
        {"extract/images/a.py": "if TYPE_CHECKING:\n    from head2toe.select import b", "select/b.py": ""},
        "extract/images/a.py imports select/b.py",
    ),
    "a wing imports one above it": (
        wing_rule,
        {"select/objective/a.py": "import head2toe.select.solver.b", "select/solver/b.py": ""},
        "select/objective/a.py imports select/solver/b.py",
    ),
    "a wing imports its door": (
        wing_rule,
        {"probe/heads/a.py": "from head2toe.probe.stage import CODE", "probe/stage.py": ""},
        "probe/heads/a.py imports probe/stage.py",
    ),
    "options import more than the ground floor": (
        wing_rule,
        {"select/options.py": "from head2toe.store.format.key import x", "store/format/key.py": ""},
        "options import store/common alone",
    ),
    "two modules import each other": (
        circle_rule,
        {"store/common/a.py": "import head2toe.store.common.b", "store/common/b.py": "import head2toe.store.common.a"},
        "store/common/a.py -> store/common/b.py -> store/common/a.py",
    ),
    "a heavy package far from home": (home_rule, {"probe/heads/a.py": "import torch.nn"}, "imports torch"),
    "click outside a door": (home_rule, {"probe/heads/a.py": "from click import echo"}, "imports click"),
    "a relative import": (absolute_rule, {"store/common/a.py": "from .b import c"}, "imports .b"),
    "a name of Python's": (name_rule, {"store/common/types.py": ""}, "store/common/types.py"),
    "no docstring": (docstring_rule, {"store/common/a.py": "x = 1"}, "store/common/a.py has no docstring"),
    "too long": (size_rule, {"store/common/a.py": "\n" * (MOST_LINES + 1)}, "store/common/a.py has 321 lines"),
    "an unknown wing": (wings_rule, {"store/else/a.py": ""}, "store/else is in WINGS or on disk alone"),
}


@pytest.mark.parametrize(("rule", "wrong", "message"), BROKEN.values(), ids=BROKEN)
def test_a_rule_can_fail(rule: Callable[[House], Iterator[str]], wrong: House, message: str) -> None:
    assert message in "; ".join(rule(wrong))


def test_every_rule_was_seen_to_fail() -> None:
    assert {rule for rule, _, _ in BROKEN.values()} == set(RULES)


def test_what_may_be_imported_breaks_no_rule() -> None:
    right = {
        "pipeline.py": "import click\nimport head2toe.probe.stage",
        "probe/stage.py": "from head2toe.probe.methods import sweep",
        "probe/choice/sweep.py": "from head2toe.probe import options\nfrom head2toe.select.solver.path import path",
        "probe/options.py": "import head2toe.store.common.settings",
        "select/solver/path.py": "import head2toe.select.objective.penalties",
        "select/objective/penalties.py": "import numpy",
        "store/common/settings.py": "import json",
    }
    for rule in (room_rule, wing_rule, circle_rule, home_rule, absolute_rule):
        assert list(rule(right)) == []


def test_the_page_of_the_architecture_says_the_same() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    stated, room = {}, ""
    for name, others in re.findall(r"^\| (\w+|`\w+/`) \|.*\| (.+) \|$", page, re.MULTILINE):
        if name.startswith("`"):
            room = name.strip("`")
        else:
            stated[room + name] = set(others.split(", ")) - {"none"}
    assert stated == WINGS
    drawn = re.findall(r">([\w./]+)</text>", (ROOT / "docs" / "images" / "house.svg").read_text(encoding="utf-8"))
    boxes = [f"{room}/" for room in ROOMS] + [wing.split("/")[1] for wing in WINGS] + ["pipeline.py"]
    assert sorted(drawn) == sorted(boxes)
