"""`make gpu-check`: the first minutes on a machine with a GPU: does it compute what the CPU does, and at what cost?

    python benchmarks/gpu/check.py -o gpu-check.json

The tests marked `gpu`; seconds of a launch, a wait, an upload, a product and an eigendecomposition, which `make
bench-gpu-model` takes for granted; a selection on made features, and one on many of them, with features that stay on
the card and with features that go up on every pass ("streamed"), as those must that do not fit; cuML and kvikio beside
what this does, where they are installed; a task from its images to `linear` and `head2toe`, on GPU and CPU. "The first
time" kernels are compiled, unless CuPy's cache on disk has them. Prints a table, and writes the same as JSON while it
goes. It stops where there is no GPU: what it prints was measured on the card that it names.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from head2toe.pipeline import Options, experiment_on, extract
from head2toe.probe.choice.sweep import evaluate
from head2toe.select.compute.arrays import DEVICE_MEMORY, Arrays, namespace
from head2toe.select.compute.linear_algebra import eigh
from head2toe.select.ranking.rank import rank_features
from head2toe.select.ranking.selection import Selection
from head2toe.select.stage import LAMBDA_RATIOS, TOLERANCE
from head2toe.store.common.errors import Head2ToeError
from head2toe.store.reading.design_matrix import ArrayDesign

sys.path.append(str(Path(__file__).parents[1]))
import rapids
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


def costs(arrays: Arrays, repeats: int, side: int) -> dict[str, float]:
    """What calls cost on this card; a product is of two matrices (side, side)."""
    xp, wait = arrays.xp, arrays.device.synchronize
    rng = np.random.default_rng(0)
    small, large = arrays.put(np.ones(8, np.float32)), arrays.put(rng.standard_normal((side, side), np.float32))
    square = large[:800, :] @ large[:800, :].T
    host = np.ones(64 << 20, np.uint8)

    def many() -> None:
        for _ in range(1000):
            _ = small + 1

    def decomposed() -> float:
        """Seconds until the call is back: less than it takes, if the host need not wait for it."""
        start = time.perf_counter()
        _ = eigh(square, xp)
        back = time.perf_counter() - start
        wait()
        return back

    product = seconds(lambda: large @ large, wait, repeats)
    return {
        "launch, µs": 1e3 * seconds(many, wait, repeats),
        "wait, µs": 1e6 * seconds(lambda: float(xp.sum(small)), wait, repeats),
        "upload from pageable memory, GB/s": len(host) / 1e9 / seconds(lambda: arrays.put(host), wait, repeats),
        f"product {side}³ in float32, TFLOP/s": 2 * side**3 / 1e12 / product,
        "eigh 800 x 800 in float32, ms": 1e3 * seconds(lambda: eigh(square, xp), wait, repeats),
        "eigh 800 x 800 in float32, until the call is back, ms": 1e3 * median(decomposed() for _ in range(repeats)),
    }


def selected(d: int, computing: dict[str, Callable[[], Arrays]]) -> tuple[dict[str, Selection], dict[str, float]]:
    """A selection on d made features of the digits, by name of where it is computed; seconds by the same names."""
    X, y = digits(d)
    design, folds = ArrayDesign(X), np.arange(len(y)) * 5 // len(y)
    settings: dict[str, Any] = {"ratios": LAMBDA_RATIOS, "top": 100, "tol": TOLERANCE, "standardize": "feature"}
    found, spent = {}, {}
    for name, where in computing.items():
        arrays = where()
        start = time.perf_counter()
        found[name] = rank_features(design, y, folds, 10, arrays=arrays, **settings)
        spent[name] = time.perf_counter() - start
        del arrays  # with what it keeps on the card
    return found, spent


def streaming(arrays: Arrays, d: int) -> dict[str, float]:
    """A selection on many made features that stay on the GPU, and on the same if nothing may stay there."""
    shares = {"kept": DEVICE_MEMORY, "streamed": 0.0}
    found, spent = selected(d, {name: partial(namespace, arrays.name, share) for name, share in shares.items()})
    seconds_of = {f"selection of {d:,} features, {name}, s": seconds for name, seconds in spent.items()}
    same = bool(np.all(found["kept"].rankings == found["streamed"].rankings))
    return {f"features of {4000 * d / 1e9:.2f} GB on 1000 rows": float(d), **seconds_of, "the same rankings": same}


def agreement(arrays: Arrays, d: int) -> dict[str, float]:
    """A selection on digits on both: seconds, the worst gap, and how many of the first hundred features are alike."""

    def gpu() -> Arrays:
        return arrays

    found, spent = selected(d, {"GPU, the first time": gpu, "GPU": gpu, "CPU": partial(namespace, "cpu")})
    pairs = zip(found["GPU"].rankings.reshape(-1, 100), found["CPU"].rankings.reshape(-1, 100), strict=False)
    same = [len(np.intersect1d(a, b)) / 100 for a, b in pairs]
    worst = max(c.gap for c in found["GPU"].certificates)
    seconds_of = {f"selection, {name}, s": seconds for name, seconds in spent.items()}
    return {**seconds_of, "worst duality gap": worst, "first hundred features alike, mean": float(np.mean(same))}


def whole_way(given: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """A task on both, from its images to its heads: seconds of each stage, and how far predictions are apart."""
    known: dict[str, Any] = {}
    found: dict[str, Any] = {"task": given.task}
    for name, device in {"GPU, the first time": given.device, "GPU": given.device, "CPU": "cpu"}.items():
        options = Options(
            device=device,
            backbone=(given.backbone,),
            weights=(given.weights,) if given.weights else (),
            input_size=given.input_size,
            target_sizes=(given.target_size,),
            methods=tuple(given.methods),
            fresh=True,
            store=folder / name,
            output=folder / name,
        )
        if device == "cpu" or torch.cuda.is_available():  # what CuPy can use, torch need not see
            extraction = extract(given.task, options)
            found[f"extraction, {name}, s"] = extraction.seconds
            found[f"extraction, {name}, images a second"] = extraction.images_extracted / extraction.seconds
        else:
            extract(given.task, replace(options, device="cpu"))
        experiment = experiment_on(given.task, options)
        start = time.perf_counter()
        data = experiment.data  # selects
        found[f"selection of the task, {name}, s"] = time.perf_counter() - start
        for method in given.methods:
            start = time.perf_counter()
            known[name, method] = evaluate(method, data)
            found[f"{method}, {name}, s"] = time.perf_counter() - start
        yield found
    for method in given.methods:
        outcomes = {name: known[name, method] for name in ("GPU", "CPU")}
        labels, test = data.train_labels, data.labels[data.n_train :]
        for name, outcome in outcomes.items():
            found[f"{method}, {name}, accuracy over the folds"] = accuracy(outcome.fold_log_probabilities, labels)
            found[f"{method}, {name}, test accuracy"] = accuracy(outcome.test_log_probabilities, test)
        gap = [np.exp(outcome.test_log_probabilities) for outcome in outcomes.values()]
        found[f"{method}, probabilities of the test apart, mean"] = float(np.abs(gap[0] - gap[1]).mean())
    yield found


def sections(given: argparse.Namespace, arrays: Arrays) -> Iterator[dict[str, Any]]:
    """What is found, part by part."""
    import cupy

    card = cupy.cuda.runtime.getDeviceProperties(arrays.device.id)["name"].decode()
    yield {"card": card, "CuPy": cupy.__version__, "processors": os.cpu_count()}
    if not given.no_tests:
        tests = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu"], cwd=Path(__file__).parents[2])
        yield {"tests marked gpu": "passed" if tests.returncode == 0 else f"FAILED ({tests.returncode})"}
    yield costs(arrays, given.repeats, given.side)
    yield agreement(arrays, given.features)
    yield streaming(arrays, given.many_features)
    yield rapids.reads(arrays)
    with tempfile.TemporaryDirectory() as folder:
        yield from whole_way(given, Path(folder))
    yield rapids.logistic(*digits(given.features), arrays)


def accuracy(logp: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows (n, classes) whose class is the likeliest."""
    return float((logp.argmax(axis=1) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu-check.json"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--features", type=int, default=28_856)
    parser.add_argument("--many-features", type=int, default=500_000, help="how many are kept and streamed")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--backbone", default=Options().backbones[0])
    parser.add_argument("--weights", default="", help="of the backbone; those it usually has by default")
    parser.add_argument("--side", type=int, default=4096, help="of the matrices whose product is timed, 800 or more")
    parser.add_argument("--methods", nargs="+", default=["linear", "head2toe"])
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--target-size", type=int, default=512)
    parser.add_argument("--no-tests", action="store_true", help="leave the tests marked gpu out")
    given = parser.parse_args()
    try:
        arrays = namespace(given.device)
    except Head2ToeError as error:
        sys.exit(f"nothing to check: {error}")
    found: dict[str, Any] = {}
    for section in sections(given, arrays):
        found |= section
        given.output.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n| what | measured |\n|---|---|")
    for what, value in found.items():
        print(f"| {what} | {f'{value:.4g}' if isinstance(value, float) else value} |")
    print(f"\nwritten to {given.output}")


if __name__ == "__main__":
    main()
