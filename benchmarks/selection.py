"""`make bench-select`: what the exact l2,1 path costs, beside its peers and the machine's limits.

    OPENBLAS_NUM_THREADS=1 python benchmarks/selection.py
    OPENBLAS_NUM_THREADS=1 python benchmarks/selection.py --features X.npy labels.npy     (features of your own)

CPU seconds of one BLAS thread. Peers are measured in the same run, on the same arrays; those that aren't installed are
named with the reason. (This file can't be called select.py: run from here, it would shadow the standard library's.)
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import sklearn
from head2toe.select.arrays import namespace
from head2toe.select.path import path
from head2toe.select.recipe import Setting, train
from head2toe.store.design import ArrayDesign
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_info, threadpool_limits

ADELIE = """
import json, sys, time, warnings
import adelie as ad, numpy as np
warnings.simplefilter("ignore")
X, y, lambdas, folder = np.load(sys.argv[1]), np.load(sys.argv[2]), np.load(sys.argv[3]), sys.argv[4]
X = np.asfortranarray(X, dtype=np.float64)
start = time.process_time()
state = ad.grpnet(X, ad.glm.multinomial(np.eye(y.max() + 1)[y]), lmda_path=lambdas / (y.max() + 1), early_exit=False,
                  penalty=np.ones(X.shape[1]), tol=float(sys.argv[5]), progress_bar=False, n_threads=1)
print(json.dumps({"cpu": time.process_time() - start, "version": ad.__version__}))
np.savez(folder + "/adelie.npz", W=state.betas.toarray(), b=state.intercepts)
"""


def digits(d: int, n: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random convolution features of scikit-learn's digits: (n, d) float32, and labels."""
    rng = np.random.default_rng(seed)
    images, y = load_digits(return_X_y=True)
    chosen = rng.permutation(len(y))[:n]
    images, y = images[chosen].reshape(-1, 8, 8) / 16.0, y[chosen]
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2)).reshape(n, 36, 9)
    kernels = rng.standard_normal((9, -(-d // 36)))
    features = np.maximum(windows @ kernels + 0.3 * rng.standard_normal(kernels.shape[1]), 0)
    return np.asfortranarray(features.reshape(n, -1)[:, :d], dtype=np.float32), y  # feature-major, as a store is


def clusters(X: np.ndarray, C: int) -> np.ndarray:
    """C classes for the same features: k-means of their first thousand columns, every one with at least two rows."""
    y = KMeans(C, n_init=1, random_state=0).fit_predict(X[:, :1000])
    counts = np.bincount(y, minlength=C)
    for c in np.flatnonzero(counts < 2):
        y[np.flatnonzero(y == counts.argmax())[: 2 - counts[c]]] = c
        counts = np.bincount(y, minlength=C)
    return y


def row_sets(y: np.ndarray, folds: int) -> np.ndarray:
    """Training masks of the folds and, last, all rows."""
    masks = np.ones((folds + 1, len(y)), bool)
    if folds:
        few = np.bincount(y).min() < folds
        splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
        labels = np.arange(len(y)) % folds if few else y
        for k, (_, held_out) in enumerate(splitter.split(labels, labels)):
            masks[k, held_out] = False
    return masks


def cpu(function: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds and the result of a call."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def table(title: str, head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    """Print a Markdown table, row by row as it comes."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print("| " + " | ".join(f"{x:.3g}" if isinstance(x, float) else str(x) for x in row) + " |", flush=True)


def solve(X: np.ndarray, y: np.ndarray, masks: np.ndarray, ratios: np.ndarray, tol: float) -> list:
    """Run the path on standardised features."""
    settings = {"n_classes": int(y.max()) + 1, "ratios": ratios, "tol": tol, "standardize": True}
    return list(path(ArrayDesign(X), y, masks, arrays=namespace("cpu"), **settings))


def objectives(points: list) -> np.ndarray:
    """(λ, K) objectives."""
    return np.array([[s.objective for s in point.solutions] for point in points])


def against_peers(X: np.ndarray, y: np.ndarray, ratios: np.ndarray) -> Iterator[tuple[object, ...]]:
    """One row set: CPU seconds and worst relative suboptimality on the path, ours at several gaps, and the peers'."""
    masks = np.ones((1, len(y)), bool)
    exact = solve(X, y, masks, ratios, 1e-6)
    best = objectives(exact)[:, 0]
    for tol in (1e-2, 3e-3, 1e-3, 1e-4):
        seconds, points = cpu(lambda tol=tol: solve(X, y, masks, ratios, tol))
        yield f"path, gap {tol:g}", seconds, float((objectives(points)[:, 0] / best[: len(points)] - 1).max())
    lambdas = np.array([point.lambdas[0] for point in exact])
    deviation = X.std(axis=0, dtype=float)
    Xs = ((X - X.mean(axis=0, dtype=float)) / np.where(deviation > 1e-6, deviation, np.inf)).astype(np.float32)
    for tol in (1e-4, 1e-6):
        yield from adelie(Xs, y, lambdas, best, tol)
    yield "glmnet", "skipped: " + ("not driven from here yet" if shutil.which("Rscript") else "R is not installed"), ""
    for steps in (500,):
        for i in (len(lambdas) // 2, len(lambdas) - 1):
            yield recipe(Xs, y, lambdas[i], best[i], steps)


def objective(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, lam: float) -> float:
    """The penalised loss in float64."""
    Z = X @ W + b
    top = Z.max(axis=1)
    loss = (top + np.log(np.exp(Z - top[:, None]).sum(axis=1)) - Z[np.arange(len(y)), y]).mean()
    return float(loss + lam * np.linalg.norm(W, axis=1).sum())


def adelie(
    X: np.ndarray, y: np.ndarray, lambdas: np.ndarray, best: np.ndarray, tol: float
) -> Iterator[tuple[object, ...]]:
    """adelie, in the environment of `--adelie` (it needs NumPy < 2, so not in ours)."""
    if not ARGUMENTS.adelie:
        yield f"adelie {tol:g}", "skipped: give --adelie PYTHON, the interpreter of an environment that has it", ""
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("X.npy", "y.npy", "lambdas.npy")]
        for file, array in zip(files, (X, y, lambdas), strict=True):
            np.save(file, array)
        command = [ARGUMENTS.adelie, "-c", ADELIE, *files, folder, str(tol)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"adelie {tol:g}", "failed: " + done.stderr.strip().splitlines()[-1], ""
            return
        report, state = json.loads(done.stdout), np.load(Path(folder) / "adelie.npz")
    C = int(y.max()) + 1
    found = [
        objective(X, y, W.reshape(-1, C), b, lam) for W, b, lam in zip(state["W"], state["b"], lambdas, strict=False)
    ]
    yield f"adelie {report['version']}, {tol:g}", report["cpu"], float((found / best[: len(found)] - 1).max())


def recipe(X: np.ndarray, y: np.ndarray, lam: float, best: float, steps: int) -> tuple[object, ...]:
    """The paper's recipe at one λ."""
    setting, rows = Setting(float(lam)), np.arange(len(y))
    arguments = {"n_classes": int(y.max()) + 1, "steps": steps, "seed": 0, "arrays": namespace("cpu")}
    seconds, heads = cpu(lambda: train(X, y, [rows], [setting], **arguments))
    value = objective(X, y, heads.W[0, 0], heads.b[0, 0], lam)
    return f"paper's recipe, {steps} steps, one λ ({lam:.2g})", seconds, value / best - 1


def growth(ratios: np.ndarray, tol: float) -> Iterator[tuple[object, ...]]:
    """What a path costs as n, d, C and the number of folds grow, with the limits of the machine beside it."""
    base = {"n": 1000, "d": 10_000, "C": 10, "folds": 5}
    changes = [{}, {"n": 250}, {"n": 500}, {"d": 50_000}, {"d": 200_000}, {"C": 2}, {"C": 30}, {"C": 100}, {"folds": 0}]
    for change in changes:
        size = base | change
        X, y = digits(size["d"], size["n"])
        y = (y > 4).astype(int) if size["C"] == 2 else y if size["C"] == 10 else clusters(X, size["C"])
        masks = row_sets(y, size["folds"])
        seconds, points = cpu(lambda X=X, y=y, masks=masks: solve(X, y, masks, ratios, tol))
        worst = max(s.gap for point in points for s in point.solutions)
        support = int(np.mean([len(s.columns) for s in points[-1].solutions]))
        one_pass = 2 * size["d"] * size["n"] * len(masks) * size["C"]
        yield *size.values(), seconds, worst, support, 4e-9 * size["d"] * size["n"], 1e-9 * one_pass


def limits() -> tuple[float, float]:
    """GEMM peak in GFLOP/s (float32) and memory bandwidth in GB/s, of one thread, now."""
    A = np.ones((1500, 1500), np.float32)
    B = np.ones(1 << 26, np.float32)
    A @ A
    flops = 2 * 1500**3 / min(cpu(lambda: A @ A)[0] for _ in range(3)) / 1e9
    return flops, 4 * B.size / min(cpu(lambda: B.sum())[0] for _ in range(3)) / 1e9


def main() -> None:
    """Print all tables."""
    peak, bandwidth = limits()
    blas = next((pool["architecture"] for pool in threadpool_info() if pool["user_api"] == "blas"), "?")
    versions = f"NumPy {np.__version__}, scikit-learn {sklearn.__version__}, BLAS kernels {blas}"
    print(f"{date.today()}: one thread, {versions}; GEMM {peak:.0f} GFLOP/s, reading {bandwidth:.1f} GB/s")
    print(f"command: python {' '.join(sys.argv)}")
    ratios = np.geomspace(1, 0.01, ARGUMENTS.ratios)
    head = ("solver", "CPU s", "worst relative suboptimality")
    if ARGUMENTS.features:
        X, y = np.asfortranarray(np.load(ARGUMENTS.features[0])), np.load(ARGUMENTS.features[1])
        table(f"{ARGUMENTS.features[0]}: n, d = {X.shape}, C = {y.max() + 1}", head, against_peers(X, y, ratios))
        masks = row_sets(y, 5)
        for tol in (1e-2, 1e-3):
            seconds, points = cpu(lambda tol=tol: solve(X, y, masks, ratios, tol))
            worst = max(s.gap for point in points for s in point.solutions)
            print(f"\n5 folds + all rows, {len(points)} λ, gap {tol:g}: {seconds:.1f} CPU s, worst gap {worst:.1e}")
        return
    for d in ARGUMENTS.sizes:
        X, y = digits(d)
        table(f"Digits, d = {d}, n = 1000, C = 10, {len(ratios)} λ, one row set", head, against_peers(X, y, ratios))
    head = ("n", "d", "C", "folds (+ all rows)", "CPU s", "worst gap", "support", "GB a pass", "GFLOP a pass")
    table(f"Growth: {len(ratios)} λ, gap 1e-2", head, growth(ratios, 1e-2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 50_000], help="d of the comparison with peers")
    parser.add_argument("--ratios", type=int, default=20, help="number of λ from λ_max to .01 λ_max")
    parser.add_argument("--adelie", help="python of an environment with adelie")
    parser.add_argument("--features", nargs=2, metavar=("X", "Y"), help=".npy files: (n, d) features, labels")
    ARGUMENTS = parser.parse_args()
    with threadpool_limits(1):
        main()
