"""`make gpu-check` runs where a GPU computes and stops where there is none; its figures on the double mean nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "benchmarks" / "gpu" / "check.py"), "--no-tests"]
COMMAND += ["--features", "300", "--many-features", "400", "--repeats", "1", "--side", "800"]

PEERS = {
    "cuml/__init__.py": "",
    "cuml/linear_model.py": """
from sklearn.linear_model import LogisticRegression as Sklearns

class LogisticRegression:
    def __init__(self, *, C, max_iter, tol):
        self._model = Sklearns(C=C, max_iter=max_iter, tol=tol)

    def fit(self, X, y):
        import cupy
        self._model.fit(X.get(), y.get())
        self.coef_, self.intercept_ = cupy.asarray(self._model.coef_), cupy.asarray(self._model.intercept_)
        return self
""",
    "kvikio.py": """
import contextlib
import numpy as np

@contextlib.contextmanager
def CuFile(file, flags):
    assert flags == "r"
    yield Read(file)

class Read:
    def __init__(self, file):
        self._file = file

    def read(self, there):
        assert there.nbytes == len(np.fromfile(self._file, np.uint8))
""",
}


def run(tmp_path: Path, *words: str, **further: str) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, "-o", str(tmp_path / "found.json"), *words]
    return subprocess.run(command, env=os.environ | further, capture_output=True, text=True)


def test_it_measures_and_compares(tmp_path: Path, image_folder: Path) -> None:
    words = ["--task", str(image_folder), "--backbone", "test_resnet", "--weights", "random"]
    words += ["--input-size", "32", "--target-size", "16", "--methods", "linear"]
    peers(tmp_path)
    said = run(tmp_path, *words, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT / "tests" / "cupy_double")]))
    assert said.returncode == 0, said.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["card"] == "none: a stand-in for CuPy"
    assert found["worst duality gap"] <= 0.01
    assert found["the same rankings"]
    assert found["first hundred features alike, mean"] > 0.8
    for method in ("linear",):
        assert found[f"{method}, GPU, s"] > 0
        assert found[f"{method}, probabilities of the test apart, mean"] < 0.1
        both = [found[f"{method}, {name}, test accuracy"] for name in ("GPU", "CPU")]
        assert abs(both[0] - both[1]) <= 0.2
    assert "| launch, µs |" in said.stdout
    best = found["its objective, scikit-learn on the CPU"]
    assert found["its objective, head2toe on the GPU"] <= best * (1 + 1e-4)
    assert found["its objective, cuML on the GPU"] == pytest.approx(best, rel=1e-14)  # the last bit is rounding
    assert found["the same by kvikio, GB/s"] > 0


def peers(folder: Path) -> None:
    """Stand in for cuML and kvikio, as far as they are asked: the one is scikit-learn, the other reads by NumPy."""
    for name, text in PEERS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def test_it_stops_without_a_gpu(tmp_path: Path) -> None:
    double = tmp_path / "sitecustomize.py"
    double.write_text("import cupy\ncupy._device.settings['devices'] = 0\n")
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "tests" / "cupy_double")])
    said = run(tmp_path, PYTHONPATH=paths)
    assert said.returncode == 1
    assert said.stderr.startswith("nothing to check: device 'cuda:0' does not exist")
    assert not (tmp_path / "found.json").exists()
