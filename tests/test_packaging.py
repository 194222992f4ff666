"""What git, the wheel and the hooks must hold: every file is packaged, folders are small, hooks are `make check`."""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

import yaml

ROOT = Path(__file__).parents[1]
ROOMS = ("extract", "select", "probe", "store")
MOST_FILES = 10
"""Of a folder."""
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def files_below(*folders: str) -> list[str]:
    """Names of all files below folders of the root; what Python compiled and what is hidden is none."""
    below = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    return sorted(
        file.relative_to(ROOT).as_posix() for file in below if "__pycache__" not in file.parts and file.name[0] != "."
    )


def full_folders(files: Collection[str]) -> Iterator[str]:
    """Folders of more files than one finds one's way in."""
    folders = [str(PurePosixPath(file).parent) for file in files]
    for folder in sorted(set(folders)):
        if (count := folders.count(folder)) > MOST_FILES:
            yield f"{folder} has {count} files, {MOST_FILES} at most"


def left_out(files: Collection[str], packages: Collection[str], data: Mapping[str, list[str]]) -> Iterator[str]:
    """Files that a wheel would lack and packages that are no folder, which an editable install does without a word."""
    folders = {name: "/".join(name.split(".")[1:]) or "." for name in packages}
    modules = {str(PurePosixPath(file).parent) for file in files if file.endswith(".py")}
    yield from (f"{name} holds no module" for name, folder in folders.items() if folder not in modules)
    patterns = [str(PurePosixPath(folders[name], pattern)) for name, some in data.items() for pattern in some]
    for file in map(PurePosixPath, files):
        if str(file.parent) not in folders.values() if file.suffix == ".py" else not any(map(file.match, patterns)):
            yield f"{file} is in no package"


def test_folders_are_small() -> None:
    assert list(full_folders(files_below(*ROOMS, "tests", "benchmarks"))) == []
    assert list(full_folders([f"store/common/{i}.py" for i in range(MOST_FILES + 1)] + ["store/a.py"])) == [
        "store/common has 11 files, 10 at most"
    ]


def test_every_file_is_packaged() -> None:
    files = ["pipeline.py", "py.typed", *files_below(*ROOMS)]
    assert list(left_out(files, SETUPTOOLS["packages"], SETUPTOOLS["package-data"])) == []
    breaches = left_out(
        ["pipeline.py", "py.typed", "store/a.py", "store/new/b.py", "store/page.html", "store/page.css"],
        ["head2toe", "head2toe.store", "head2toe.gone"],
        {"head2toe": ["py.typed"], "head2toe.store": ["*.html"]},
    )
    assert list(breaches) == [
        "head2toe.gone holds no module",
        "store/new/b.py is in no package",
        "store/page.css is in no package",
    ]


def test_no_folder_shadows_the_standard_library() -> None:
    """`select` is a module of Python's, and everything started in the root finds the folder of that name first."""
    # (The stand-in for CuPy has to be a package, and is found by those alone who put its folder on their path.)
    elsewhere = {".venv", ".cache", "cupy_double"}
    assert not [path for path in ROOT.rglob("__init__.py") if not elsewhere & set(path.parts)]
    assert [path.name for path in ROOT.glob("*.py")] == ["pipeline.py"]


def test_hooks_are_make_check() -> None:
    """The hooks before a commit are the parts of `make check`, so that neither knows what the other lets pass."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    parts = re.search(r"^check: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert parts is not None
    assert [hook["entry"] for hook in hooks] == [f"make {part}" for part in parts[1].split()]
