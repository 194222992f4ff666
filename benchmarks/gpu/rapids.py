"""What other libraries take for two things that this one does on a GPU, where they are installed (RAPIDS, conda-forge).

- A logistic regression on features that are there: `cuml.linear_model.LogisticRegression`, beside scikit-learn's.
- Reading a file into the GPU's memory: `kvikio.CuFile`.
"""

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.probe.heads.kinds import Logistic
from head2toe.select.compute.arrays import Arrays, to_numpy
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

MOST_STEPS, TOLERANCE = 1000, 1e-4
"""Of the peers' solvers: scikit-learn's own tolerance."""
FILE_BYTES = 256 << 20


def timed(work: Callable[[], Any], wait: Callable[[], None]) -> tuple[Any, float]:
    """What the second of two calls gives, and its seconds: the first one compiles and loads."""
    work()
    wait()
    start = time.perf_counter()
    found = work()
    wait()
    return found, time.perf_counter() - start


def logistic(X: np.ndarray, y: np.ndarray, arrays: Arrays) -> dict[str, Any]:
    """One head at C = 1 on all features (n, d): seconds of each library, and the objective that it reached."""
    found: dict[str, Any] = {}
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6) / np.sqrt(X.shape[1])
    onehot = (y[:, None] == np.arange(int(y.max()) + 1)).astype(np.float32)
    values, Y, train = arrays.put(np.ascontiguousarray(X.T)), arrays.put(onehot), arrays.put(np.ones(len(y), bool))
    wait = arrays.device.synchronize

    def note(name: str, coef: np.ndarray, intercept: np.ndarray, seconds: float) -> None:
        scores = X @ coef + intercept
        top = scores.max(axis=1, keepdims=True)
        losses = (top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True)))[:, 0] - scores[np.arange(len(y)), y]
        found[f"a logistic head on all features, {name}, s"] = seconds
        found[f"its objective, {name}"] = float(losses.sum() + (coef**2).sum() / 2)

    ours, seconds = timed(lambda: Logistic().fit({"C": 1.0})(values, train, Y, arrays), wait)
    note("head2toe on the GPU", to_numpy(ours.coef), to_numpy(ours.intercept), seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs, seconds = timed(lambda: LogisticRegression(max_iter=MOST_STEPS, tol=TOLERANCE).fit(X, y), wait)
    note("scikit-learn on the CPU", theirs.coef_.T, theirs.intercept_, seconds)
    if importlib.util.find_spec("cuml") is None:
        return {**found, "cuML": "is not installed"}
    from cuml.linear_model import LogisticRegression as OfCuml

    there, labels = arrays.put(X), arrays.put(y)
    theirs, seconds = timed(lambda: OfCuml(C=1.0, max_iter=MOST_STEPS, tol=TOLERANCE).fit(there, labels), wait)
    note("cuML on the GPU", to_numpy(theirs.coef_).T, to_numpy(theirs.intercept_), seconds)
    return found


def reads(arrays: Arrays) -> dict[str, Any]:
    """A file of 256 MB into the GPU's memory, in gigabytes a second: mapped and copied, as here, and by kvikio."""
    found: dict[str, Any] = {}
    wait = arrays.device.synchronize
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features"
        file.write_bytes(np.random.default_rng(0).bytes(FILE_BYTES))
        mapped = np.memmap(file, np.float32, "r")
        _, seconds = timed(lambda: arrays.put(mapped), wait)
        found["a mapped file to the GPU, GB/s"] = FILE_BYTES / 1e9 / seconds
        if importlib.util.find_spec("kvikio") is None:
            return {**found, "kvikio": "is not installed"}
        import kvikio

        there = arrays.xp.empty(len(mapped), dtype=arrays.xp.float32)

        def read() -> None:
            with kvikio.CuFile(file, "r") as open_file:
                open_file.read(there)

        _, seconds = timed(read, wait)
        found["the same by kvikio, GB/s"] = FILE_BYTES / 1e9 / seconds
    return found
