"""`make bench-select`: what the exact l2,1 path costs, beside its peers and the machine's limits.

    python benchmarks/selection.py                                          peers and growth, on digits
    python benchmarks/selection.py peers --sizes 10000 --adelie PYTHON      one table, fewer features, one more peer
    python benchmarks/selection.py prototype --prototype FILE               beside the solver this one grew out of
    python benchmarks/selection.py task --task path/to/folder               a task's features, extracted if need be
    python benchmarks/selection.py threads | memory

CPU seconds of one BLAS thread (but for `threads`). Peers are measured in the same run, on the same features and λ;
those that aren't installed are named with the reason. (This file can't be called select.py: run from here, it would
shadow the standard library's.)
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is there
os.environ |= {"PREC": "shared", "ETA": ".3", "NF": "6"}  # the prototype's best settings

import features
import memory
import numpy as np
import peers
import sklearn
from head2toe.select.compute.arrays import namespace
from head2toe.select.solver.path import PathPoint, path
from head2toe.store.reading.design_matrix import ArrayDesign, Design
from scipy.special import logsumexp
from threadpoolctl import threadpool_info, threadpool_limits

TABLES = ("peers", "growth", "prototype", "task", "threads", "memory")
SAME = 1e-3  # worst relative suboptimality at which solvers are compared


def cpu(function: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds of this process and of those that it started, and the result of a call."""

    def spent() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    start = spent()
    result = function()
    return spent() - start, result


def table(title: str, head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Print a Markdown table, row by row as it comes, and return the rows."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    printed = []
    for row in rows:
        printed.append(row)
        print("| " + " | ".join(f"{x:.3g}" if isinstance(x, float) else str(x) for x in row) + " |", flush=True)
    return printed


def solve(design: Design, y: np.ndarray, masks: np.ndarray, ratios: np.ndarray, tol: float) -> list[PathPoint]:
    """Run the path on standardised features."""
    settings = {"n_classes": int(y.max()) + 1, "ratios": ratios, "tol": tol, "standardize": True}
    return list(path(design, y, masks, arrays=namespace("cpu"), **settings))


def objective(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, lam: float) -> float:
    """The penalised loss in float64."""
    Z = X.astype(np.float64) @ W + b
    loss = (logsumexp(Z, axis=1) - Z[np.arange(len(y)), y]).mean()
    return float(loss + lam * np.linalg.norm(W, axis=1).sum())


class Judge:
    """Turns anybody's weights into worst suboptimality: the references are our own path at gap 1e-6, recomputed."""

    def __init__(self, X: np.ndarray, y: np.ndarray, masks: np.ndarray, ratios: np.ndarray) -> None:
        self.X, self.y, self.masks = X, y, masks
        exact = solve(ArrayDesign(X), y, masks, ratios, 1e-6)
        self.lambdas = np.array([point.lambdas for point in exact])  # (λ, K)
        self.rows = [np.flatnonzero(mask) for mask in masks]
        self.best = self.of_path(exact)

    def standardized(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Features of row set k, standardised, and labels. Made anew every time: all sets' would not fit in memory."""
        return peers.standardized(self.X, self.rows[k])[0], self.y[self.rows[k]]

    def of_path(self, points: list[PathPoint]) -> np.ndarray:
        """(λ, K) objectives of our path, from its coefficients."""
        out = np.empty((len(points), len(self.masks)))
        for i, point in enumerate(points):
            for k, s in enumerate(point.solutions):
                Xs, mean, scale = peers.standardized(self.X[:, s.columns], self.rows[k])
                W = s.coef / np.where(scale > 0, scale, 1)[:, None]
                out[i, k] = objective(Xs, self.y[self.rows[k]], W, s.intercept + mean @ s.coef, point.lambdas[k])
        return out

    def of_fit(self, fit: peers.Fit, k: int) -> np.ndarray:
        """(λ,) objectives of a peer's weights on row set k."""
        X, _, _ = peers.standardized(self.X[:, fit.rows], self.rows[k])
        y, lambdas = self.y[self.rows[k]], self.lambdas[:, k]
        return np.array([objective(X, y, W, b, lam) for W, b, lam in zip(fit.W, fit.b, lambdas, strict=False)])

    def worst(self, objectives: np.ndarray) -> float:
        """Worst relative suboptimality on the path."""
        return float((objectives / self.best[: len(objectives)] - 1).max())


def against_peers(X: np.ndarray, y: np.ndarray, masks: np.ndarray, ratios: np.ndarray) -> Iterator[tuple[object, ...]]:
    """All row sets: CPU seconds and worst relative suboptimality, ours at several gaps, and the peers'."""
    judge = Judge(X, y, masks, ratios)
    for tol in ARGUMENTS.gaps:
        seconds, points = cpu(lambda tol=tol: solve(ArrayDesign(X), y, masks, ratios, tol))
        yield f"path, gap {tol:g}", seconds, judge.worst(judge.of_path(points)), f"{len(masks)} together"
    drivers = [(f"glmnet thresh {tol:g}", peers.glmnet, tol) for tol in ARGUMENTS.glmnet]
    drivers += [(f"adelie tol {tol:g}", partial(peers.adelie, ARGUMENTS.adelie), tol) for tol in (1e-4, 1e-6)]
    for name, driver, tol in drivers:
        yield of_peer(
            name, lambda Xs, y, lambdas, run=driver, tol=tol: run(Xs, y, lambdas, tol, ARGUMENTS.limit), judge
        )
    Xs, labels = judge.standardized(-1)
    for i in (len(judge.lambdas) // 2, len(judge.lambdas) - 1):
        fit = peers.recipe(Xs, labels, float(judge.lambdas[i, -1]), 500)
        worst = objective(Xs, labels, fit.W[0], fit.b[0], judge.lambdas[i, -1]) / judge.best[i, -1] - 1
        yield f"paper's recipe, 500 steps, λ = {ratios[i]:.2g} λ_max alone", fit.cpu, float(worst), "all rows"


def of_peer(name: str, fit: Callable[..., peers.Fit], judge: Judge) -> tuple[object, ...]:
    """A peer on one row set after the other, up to its limit: CPU seconds, worst suboptimality, sets solved."""
    seconds, worst, version, every = 0.0, 0.0, "", len(judge.masks)
    for k in range(every):
        try:
            fitted = fit(*judge.standardized(k), judge.lambdas[:, k])
        except peers.Unavailable as reason:
            return name, f"skipped: {reason}", "", ""
        except peers.TooSlow:
            return (
                name,
                seconds + ARGUMENTS.limit,
                worst if k else "",
                f"{k} of {every}: the next took over {ARGUMENTS.limit} s",
            )
        seconds, version = seconds + fitted.cpu, f" ({fitted.version})"
        worst = max(worst, float((judge.of_fit(fitted, k) / judge.best[: len(fitted.W), k] - 1).max()))
    return name + version, seconds, worst, f"{every} of {every}"


def verdict(rows: list[tuple[object, ...]]) -> None:
    """Who reaches the common accuracy, and at what cost."""
    measured = [(str(row[0]), row[1], row[2], row[3]) for row in rows if isinstance(row[1], float)]
    ours = min((row for row in measured if row[0].startswith("path") and row[2] <= SAME), key=lambda row: row[1])
    for peer in ("glmnet", "adelie"):
        of_peer = [row for row in measured if row[0].startswith(peer)]
        solved = [row for row in of_peer if "took over" not in row[3]]
        reached = [row for row in solved if row[2] <= SAME]
        if reached:
            theirs, still = min(reached, key=lambda row: row[1]), ""
        elif solved:
            theirs = min(solved, key=lambda row: row[2])
            still = f", which still is at {theirs[2]:.1e}: at least"
        elif of_peer:
            theirs = max(of_peer, key=lambda row: row[1])
            still = f" without an end (row sets solved: {theirs[3]}): at least"
        else:
            continue
        ratio = theirs[1] / ours[1]
        print(
            f"\nAt {SAME:g}: {ours[0]} {ours[1]:.1f} s, {theirs[0]} {theirs[1]:.1f} s{still} {ratio:.1f}x", flush=True
        )


def beside_prototype(d: int, ratios: np.ndarray, tol: float = 1e-2) -> Iterator[tuple[object, ...]]:
    """Five folds, 20 λ, without all rows: ours and the prototype, and how good both really are."""
    X, y = features.digits(d)
    masks = features.row_sets(y, 5)[:-1]
    judge = Judge(X, y, masks, ratios)
    for _ in range(ARGUMENTS.repeat):
        seconds, points = cpu(lambda: solve(ArrayDesign(X), y, masks, ratios, tol))
        worst = max(s.gap for point in points for s in point.solutions)
        yield "path", seconds, worst, judge.worst(judge.of_path(points))
        seconds, theirs = cpu(lambda: peers.prototype(ARGUMENTS.prototype, X, y, masks, ratios, tol))
        objectives = np.array([point["P"] for point in theirs])
        yield "prototype", seconds, float(max((p["gap"] / p["P"]).max() for p in theirs)), judge.worst(objectives)


def threads(d: int, C: int, ratios: np.ndarray) -> Iterator[tuple[object, ...]]:
    """Wall time with one and two threads, in turn; the best of several counts where others use the machine, too."""
    X, y = features.digits(d)
    y = y if C == 10 else features.clusters(X, C)
    masks = features.row_sets(y, 5)
    for i in range(2 * ARGUMENTS.repeat):
        with threadpool_limits(1 + i % 2):
            start = time.perf_counter()
            seconds, _ = cpu(lambda: solve(ArrayDesign(X), y, masks, ratios, 1e-2))
            yield 1 + i % 2, time.perf_counter() - start, seconds


def of_task(design: Design, y: np.ndarray, masks: np.ndarray, ratios: np.ndarray) -> Iterator[tuple[object, ...]]:
    """A task's path at two gaps."""
    for tol in ARGUMENTS.gaps:
        seconds, points = cpu(lambda tol=tol: solve(design, y, masks, ratios, tol))
        worst = max(s.gap for point in points for s in point.solutions)
        support = int(np.mean([len(s.columns) for s in points[-1].solutions]))
        yield f"{tol:g}", len(points), seconds, worst, support, points[-1].stopped


def growth(ratios: np.ndarray, tol: float) -> Iterator[tuple[object, ...]]:
    """What a path costs as n, d, C and the number of folds grow, with the limits of the machine beside it."""
    base = {"n": 1000, "d": 10_000, "C": 10, "folds": 5}
    changes = [{}, {"n": 250}, {"n": 500}, {"d": 50_000}, {"d": 200_000}, {"C": 2}, {"C": 30}, {"C": 100}, {"folds": 0}]
    peak, bandwidth = limits()
    for change in changes:
        size = base | change
        X, y = features.digits(size["d"], size["n"])
        y = (y > 4).astype(int) if size["C"] == 2 else y if size["C"] == 10 else features.clusters(X, size["C"])
        masks = features.row_sets(y, size["folds"])
        seconds, points = cpu(lambda X=X, y=y, masks=masks: solve(ArrayDesign(X), y, masks, ratios, tol))
        worst = max(s.gap for point in points for s in point.solutions)
        support = int(np.mean([len(s.columns) for s in points[-1].solutions]))
        gigabytes = 4e-9 * size["d"] * size["n"]
        gflop = 2e-9 * size["d"] * size["n"] * len(masks) * size["C"]
        yield *size.values(), seconds, worst, support, gigabytes, gigabytes / bandwidth, gflop, gflop / peak


def limits() -> tuple[float, float]:
    """GEMM peak in GFLOP/s (float32) and memory bandwidth in GB/s, of one thread, now."""
    A = np.ones((1500, 1500), np.float32)
    B = np.ones(1 << 26, np.float32)
    A @ A
    flops = 2 * 1500**3 / min(cpu(lambda: A @ A)[0] for _ in range(3)) / 1e9
    return flops, 4 * B.size / min(cpu(lambda: B.sum())[0] for _ in range(3)) / 1e9


def main() -> None:
    """Print the tables asked for."""
    peak, bandwidth = limits()
    blas = next((pool["architecture"] for pool in threadpool_info() if pool["user_api"] == "blas"), "?")
    versions = f"NumPy {np.__version__}, scikit-learn {sklearn.__version__}, BLAS kernels {blas}"
    print(f"{date.today()}: one thread, {versions}; GEMM {peak:.0f} GFLOP/s, reading {bandwidth:.1f} GB/s")
    print(f"command: python {' '.join(sys.argv)}")
    ratios = np.geomspace(1, 0.01, ARGUMENTS.ratios)
    for name in ARGUMENTS.tables:
        if name == "peers":
            for d in ARGUMENTS.sizes:
                X, y = features.digits(d)
                masks = features.row_sets(y, 5)[: ARGUMENTS.row_sets]
                title = f"Digits, d = {d}, n = 1000, C = 10, {len(ratios)} λ, {len(masks)} of 5 folds and all rows"
                head = ("solver", "CPU s", "worst relative suboptimality", "row sets")
                verdict(table(title, head, against_peers(X, y, masks, ratios)))
        elif name == "growth":
            head = ("n", "d", "C", "folds (+ all rows)", "CPU s", "worst gap", "support", "GB a pass")
            head += ("s at bandwidth", "GFLOP a pass", "s at GEMM peak")
            table(f"Growth: {len(ratios)} λ, gap 1e-2", head, growth(ratios, 1e-2))
        elif name == "prototype":
            d = max(ARGUMENTS.sizes)
            head = ("solver", "CPU s", "worst gap", "worst relative suboptimality")
            table(f"Digits, d = {d}, 5 folds, {len(ratios)} λ, gap 1e-2", head, beside_prototype(d, ratios))
        elif name == "task":
            sizes = tuple(ARGUMENTS.target_size)
            design, y, masks, title = features.of_task(
                ARGUMENTS.task, input_size=ARGUMENTS.input_size, target_sizes=sizes
            )
            if ARGUMENTS.classes:
                y = features.split_classes(y, ARGUMENTS.classes)
            head = ("gap asked for", "λ", "CPU s", "worst gap", "support", "stopped")
            title += f": n, d = {design.shape}, C = {y.max() + 1}, {len(masks)} row sets"
            table(title, head, of_task(design, y, masks, ratios))
        elif name == "threads":
            d = max(ARGUMENTS.sizes)
            C = ARGUMENTS.classes or 10
            title = f"Threads: digits, d = {d}, C = {C}, {len(ratios)} λ, gap 1e-2"
            table(title, ("threads", "wall s", "CPU s"), threads(d, C, ratios))
        elif name == "memory":
            sizes = [(1000, 500_000, 10), (1000, 30_000, 397)]
            head = ("n", "d", "C", "row sets", "λ", "GB of the store", "anonymous GB at the peak, above the start")
            table(
                "Memory, from a store on disk", head, (memory.measure(*size, np.geomspace(1, 0.3, 5)) for size in sizes)
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], default=["peers", "growth"], help="what to measure")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 50_000, 200_000], help="d of the digits")
    parser.add_argument("--ratios", type=int, default=20, help="number of λ from λ_max to .01 λ_max")
    parser.add_argument("--gaps", type=float, nargs="*", default=[1e-2, 1e-3], help="ours")
    parser.add_argument("--glmnet", type=float, nargs="*", default=[1e-6, 1e-7], help="glmnet's thresh")
    parser.add_argument("--row-sets", type=int, default=6, help="of `peers`: how many of five folds and all rows")
    parser.add_argument("--limit", type=int, default=900, help="CPU seconds of a peer for one row set")
    parser.add_argument("--adelie", help="python of an environment with adelie (it needs NumPy < 2)")
    parser.add_argument("--prototype", type=Path, help="file of the prototype")
    parser.add_argument("--classes", type=int, help="of `threads`: clusters, not digits; of `task`: its classes cut up")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--task", help="a name of `head2toe tasks`, or a folder")
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--target-size", type=int, nargs="*", default=[512])
    ARGUMENTS = parser.parse_args()
    with threadpool_limits(1):
        main()
