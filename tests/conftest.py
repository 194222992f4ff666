"""What all tests share: small tasks made on the spot, stores and results in a folder of the test's own."""

import contextlib
import gc
import importlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import array_api_compat
import numpy as np
import pytest
from head2toe.probe.results.stored_runs import SHARED_FOLDERS
from PIL import Image

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
SMALL: dict[str, Any] = {"backbone": "resnet18", "weights": "random", "input_size": 32, "target_sizes": (64,)}
Fill = Callable[[Path], None]
MadeBefore = Callable[[Fill], None]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAD2TOE_STORE", str(tmp_path / "stores"))
    monkeypatch.setenv("HEAD2TOE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEAD2TOE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def pytest_configure() -> None:
    """Take Ctrl-C where a shell has turned it off (of what runs in the background): commands would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Look for no garbage while everything is imported, and never again among what was: that takes half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs CUDA where there is none, saying so."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError:
        reason = "CuPy is not installed (extra cuda12 or cuda13)"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        reason = f"no CUDA device: {error}"
    else:
        return
    for item in items:
        if item.get_closest_marker("gpu"):  # (`keywords` hold the names of folders as well)
            item.add_marker(pytest.mark.skip(reason=reason))


@lru_cache(maxsize=1)
def _double() -> dict[str, ModuleType]:
    """The modules of the stand-in for CuPy by name, imported once and found by nobody until a test asks for them."""

    def own(name: str) -> bool:
        return name.split(".")[0] in ("cupy", "cupyx") or name.startswith("array_api_compat.cupy")

    others = {name: sys.modules.pop(name) for name in filter(own, list(sys.modules))}
    sys.path.insert(0, str(Path(__file__).parent / "cupy_double"))
    try:
        for name in ("cupy", "cupyx.scipy.linalg", "array_api_compat.cupy"):
            importlib.import_module(name)
        return {name: sys.modules.pop(name) for name in filter(own, list(sys.modules))}
    finally:
        sys.path.pop(0)
        sys.modules.update(others)


@pytest.fixture
def cupy_double(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Let `import cupy` find the stand-in for CuPy (tests/cupy_double), with one GPU of 80 GB; see `_counting`."""
    modules = _double()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(array_api_compat, "cupy", modules["array_api_compat.cupy"], raising=False)
    cupy = modules["cupy"]
    cupy.cuda.Device(0).use()
    for name, value in {"devices": 1, "memory": 80 * 10**9}.items():
        monkeypatch.setitem(cupy._device.settings, name, value)
    return cupy


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real image tasks; not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real tasks in {SHARED_DATA}")
    return SHARED_DATA


def striped(rng: np.random.Generator, label: int, size: int = 24) -> Image.Image:
    """A noisy picture whose class is the direction of its stripes."""
    y, x = np.mgrid[:size, :size]
    wave = np.sin((x, y, x + y)[label % 3] * 0.9 + rng.uniform(0, 6)) * 60
    pixels = 128 + wave[..., None] + rng.normal(0, 20, (size, size, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture
def small() -> dict[str, Any]:
    """Options under which extraction takes no time: a small network at random, and small images."""
    return SMALL.copy()


@pytest.fixture
def smaller(small: dict[str, Any]) -> dict[str, Any]:
    """The same with fewer features, for tests that select again and again."""
    return small | {"taps": "blocks"}


@pytest.fixture
def flags(small: dict[str, Any]) -> list[str]:
    """What `small` says, for the command line."""
    return words_of(small)


def words_of(small: dict[str, Any]) -> list[str]:
    """Options of extraction as words of the command line."""
    words = ["--backbone", small["backbone"], "--weights", small["weights"], "--input-size", str(small["input_size"])]
    return words + [word for size in small["target_sizes"] for word in ("--target-size", str(size))]


FLAGS = tuple(words_of(SMALL))


def stripes(parent: Path) -> Path:
    """An ImageFolder task: 3 classes, 12 training and 5 test images each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 5)):
        for label, name in enumerate(("across", "down", "slant")):
            folder = parent / "stripes" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                striped(rng, label).save(folder / f"{i:02d}.png")
    return parent / "stripes"


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """The task `stripes`, in the test's own folder."""
    return stripes(tmp_path)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Fill], Path]:
    """A folder that a function fills, once for all tests of this process: `once(fill)`. It is read, never changed."""

    @cache
    def filled(fill: Fill) -> Path:
        folder = tmp_path_factory.mktemp(fill.__name__)
        with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
            patch.setenv("HEAD2TOE_STORE", str(folder / "stores"))
            fill(folder)
        return folder

    return filled


@pytest.fixture
def made_before(once: Callable[[Fill], Path], tmp_path: Path) -> MadeBefore:
    """Give the test what `fill` has commands keep: as for who has called them before, in the same place.

    Its stores, selections and outcomes, which are named by their content, are copied; not its task and its results.
    """

    def give(fill: Fill) -> None:
        made = once(fill)
        shutil.copytree(made / "stores", tmp_path / "stores")
        add_shared(made / "results", tmp_path / "results")

    return give


def add_shared(source: Path, target: Path) -> None:
    """Copy what runs of a folder of results share, which is named by its content: selections and outcomes."""
    for name in SHARED_FOLDERS:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)


@pytest.fixture
def vtab_folder(tmp_path: Path, image_folder: Path) -> Callable[[], Path]:
    """The same images with VTAB-1k's lists."""

    def make() -> Path:
        root = tmp_path / "vtab"
        root.mkdir()
        names = sorted(p.name for p in (image_folder / "train").iterdir())
        train, test = [], []
        for label, name in enumerate(names):
            train += [f"../stripes/train/{name}/{i:02d}.png {label}" for i in range(12)]
            test += [f"../stripes/test/{name}/{i:02d}.png {label}" for i in range(5)]
        order = np.random.default_rng(1).permutation(len(train))
        shuffled = [train[i] for i in order]
        (root / "train800.txt").write_text("\n".join(shuffled[:28]) + "\n")
        (root / "val200.txt").write_text("\n".join(shuffled[28:]) + "\n")
        (root / "test.txt").write_text("\n".join(test) + "\n")
        (root / "classes.txt").write_text("\n".join(names) + "\n")
        return root

    return make
