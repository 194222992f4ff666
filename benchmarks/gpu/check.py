"""`make gpu-check`: the first minutes on a machine with a GPU: does it compute what the CPU does, and at what cost?

    python benchmarks/gpu/check.py -o gpu-check.json

The tests marked `gpu`; a selection on digits on GPU and CPU; seconds of a launch, a wait, an upload, a product and an
eigendecomposition, which `make bench-gpu-model` takes for granted. Prints a table and writes the same as JSON. It stops
where there is no GPU: what it prints was measured on the card that it names.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.select.compute.arrays import Arrays, eigh, namespace
from head2toe.select.ranking.rank import rank_features
from head2toe.select.stage import LAMBDA_RATIOS, TOLERANCE
from head2toe.store.common.errors import Head2ToeError
from head2toe.store.reading.design_matrix import ArrayDesign

sys.path.append(str(Path(__file__).parents[1]))
from features import digits


def seconds(work: Callable[[], object], wait: Callable[[], None], repeats: int) -> float:
    """Median seconds of a call, the wait for it included; the first call, which compiles, is not counted."""
    work()
    wait()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        wait()
        spent.append(time.perf_counter() - start)
    return float(np.median(spent))


def costs(arrays: Arrays, repeats: int) -> dict[str, float]:
    """What calls cost on this card."""
    xp, wait = arrays.xp, arrays.device.synchronize
    rng = np.random.default_rng(0)
    small, large = arrays.put(np.ones(8, np.float32)), arrays.put(rng.standard_normal((4096, 4096), np.float32))
    square = large[:800, :] @ large[:800, :].T
    host = np.ones(64 << 20, np.uint8)

    def many() -> None:
        for _ in range(1000):
            _ = small + 1

    product = seconds(lambda: large @ large, wait, repeats)
    return {
        "launch, µs": 1e3 * seconds(many, wait, repeats),
        "wait, µs": 1e6 * seconds(lambda: float(xp.sum(small)), wait, repeats),
        "upload from pageable memory, GB/s": len(host) / 1e9 / seconds(lambda: arrays.put(host), wait, repeats),
        "product 4096³ in float32, TFLOP/s": 2 * 4096**3 / 1e12 / product,
        "eigh 800 x 800 in float32, ms": 1e3 * seconds(lambda: eigh(square, xp), wait, repeats),
    }


def agreement(arrays: Arrays, d: int) -> dict[str, float]:
    """A selection on digits on both: seconds, the worst gap, and how many of the first hundred features are alike."""
    X, y = digits(d)
    design, folds = ArrayDesign(X), np.arange(len(y)) * 5 // len(y)
    settings: dict[str, Any] = {"ratios": LAMBDA_RATIOS, "top": 100, "tol": TOLERANCE, "standardize": "feature"}
    found, spent = {}, {}
    for name, where in {"GPU, the first time": arrays, "GPU": arrays, "CPU": namespace("cpu")}.items():
        start = time.perf_counter()
        found[name] = rank_features(design, y, folds, 10, arrays=where, **settings)
        spent[f"selection, {name}, s"] = time.perf_counter() - start
    pairs = zip(found["GPU"].rankings.reshape(-1, 100), found["CPU"].rankings.reshape(-1, 100), strict=False)
    same = [len(np.intersect1d(a, b)) / 100 for a, b in pairs]
    worst = max(c.gap for c in found["GPU"].certificates)
    return {**spent, "worst duality gap": worst, "first hundred features alike, mean": float(np.mean(same))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu-check.json"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--features", type=int, default=28_856)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--no-tests", action="store_true", help="leave the tests marked gpu out")
    given = parser.parse_args()
    try:
        arrays = namespace(given.device)
    except Head2ToeError as error:
        sys.exit(f"nothing to check: {error}")
    import cupy

    card = cupy.cuda.runtime.getDeviceProperties(arrays.device.id)["name"].decode()
    found: dict[str, Any] = {"card": card, "CuPy": cupy.__version__}
    if not given.no_tests:
        tests = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu"], cwd=Path(__file__).parents[2])
        found["tests marked gpu"] = "passed" if tests.returncode == 0 else f"FAILED ({tests.returncode})"
    found |= costs(arrays, given.repeats) | agreement(arrays, given.features)
    given.output.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n| what | measured |\n|---|---|")
    for what, value in found.items():
        print(f"| {what} | {f'{value:.4g}' if isinstance(value, float) else value} |")
    print(f"\nwritten to {given.output}")


if __name__ == "__main__":
    main()
