"""`make bench-growth`: how selection and heads grow with the number of rows: CPU seconds, memory, and their exponents.

    OPENBLAS_NUM_THREADS=1 python benchmarks/rows/growth.py --rows 1000 2000 4000 8000
    OPENBLAS_NUM_THREADS=1 python benchmarks/rows/growth.py --rows 32000 --peers-up-to 0

Made features of 51 layers, 28,000 in all: a low-rank signal with three clusters a class, mixed anew for every layer,
with noise, through a ReLU, at sizes that differ by orders of magnitude. They are written by the store's own writer, 512
images at a time. Ten classes, five folds. Every number of rows has a process of its own: CPU seconds (user and system)
and the peak of anonymous memory of the exact selection and of each method after it, workers included.

Beside them scikit-learn's LogisticRegression and glmnet (python-glmnet, which is no dependency: pip install it) on the
thousand columns that the selection ranks first, at the six strengths of the heads and on the five folds, along a path
of strengths, with ours on the same columns.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from head2toe.probe.choice.sweep import evaluate
from head2toe.probe.heads.crossval import Labels, cross_validate
from head2toe.probe.heads.kinds import STRENGTHS
from head2toe.probe.heads.scaling import standardized_rows
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.select.compute.arrays import namespace
from head2toe.select.ranking.rank import rank_features
from head2toe.select.stage import LAMBDA_RATIOS, TOLERANCE, TOP
from head2toe.store.format.layer_index import LAST_LAYER, LayerIndex
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

sys.path.append(str(Path(__file__).parents[1]))
from memory import anonymous, highest, images, write_batches

LAYERS, RANK, CLASSES, FOLDS, CLUSTERS, BATCH, TEST = 51, 96, 10, 5, 3, 512, 500
PEER_COLUMNS = 1000
Row = dict[str, float]


def labels(n: int) -> np.ndarray:
    """Classes of n images."""
    return np.random.default_rng(1).integers(0, CLASSES, n)


def layer_index(d: int) -> LayerIndex:
    """Layers that widen toward the last, d features in all."""
    share = np.linspace(0.5, 1.5, LAYERS)
    ends = np.round(np.cumsum(share) / share.sum() * d).astype(int)
    widths = np.diff([0, *ends]).tolist()
    return LayerIndex((*(f"layer{i:02d}" for i in range(LAYERS - 1)), LAST_LAYER), tuple(widths))


def features(rows: np.ndarray, y: np.ndarray, layers: LayerIndex) -> dict[str, np.ndarray]:
    """Features (rows, width) of each layer, float32; an image's are the same whatever stands beside it."""
    fixed = np.random.default_rng(2)
    centres = 0.55 * fixed.standard_normal((CLASSES, CLUSTERS, RANK))
    drawn = np.random.default_rng([3, int(rows[0])])
    latent = centres[y[rows], drawn.integers(0, CLUSTERS, len(rows))] + drawn.standard_normal((len(rows), RANK))
    out = {}
    for depth, (name, width) in enumerate(zip(layers.names, layers.widths, strict=True)):
        kept = RANK * (depth + 8) // (LAYERS + 7)  # deeper layers see more of the signal
        mixing = fixed.standard_normal((kept, width)) / np.sqrt(kept)
        bias, size = 0.4 * fixed.standard_normal(width), fixed.lognormal(0, 1, width)
        noise = drawn.standard_normal((len(rows), width), dtype=np.float32)
        out[name] = (size * np.maximum(latent[:, :kept] @ mixing + 0.7 * noise - bias, 0)).astype(np.float32)
    return out


def write_store(root: str, n: int, d: int) -> None:
    """Write the features as extraction does, batch by batch."""
    layers, y = layer_index(d), labels(n)
    write_batches(root, n, layers, partial(features, y=y, layers=layers), BATCH)


def of_tree(pid: int) -> int:
    """Anonymous memory of a process and its descendants in bytes (Linux's RssAnon)."""
    total = 0
    try:
        total = anonymous(pid)
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(of_tree(int(child)) for child in (task / "children").read_text().split())
    except OSError:  # it has just ended
        pass
    return total


def cpu_seconds() -> float:
    """User and system time of this process and of those of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(function: Callable[[], object]) -> tuple[object, Row]:
    """What a call returns, its CPU seconds, and the peak of anonymous memory in GB, looked at every 50 ms."""
    look, start = partial(of_tree, os.getpid()), cpu_seconds()
    result, most = highest(function, look, 0.05)
    return result, {"seconds": cpu_seconds() - start, "peak": max(most, look()) / 1e9}


def scikit_learns(X: np.ndarray, y: np.ndarray, folds: np.ndarray, solver: str) -> int:
    """Fit all strengths on all folds, warm-started; return how many fits of the 30 did not converge."""
    failed = 0
    for fold in range(FOLDS):
        train = folds != fold
        head = LogisticRegression(solver=solver, max_iter=1000 if solver == "lbfgs" else 100, warm_start=True)
        for C in STRENGTHS:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                head.set_params(C=C).fit(X[train], y[train])
            failed += any(issubclass(one.category, ConvergenceWarning) for one in caught)
            head.predict_proba(X[~train])
    return failed


def glmnets(X: np.ndarray, y: np.ndarray, folds: np.ndarray) -> int:
    """Fit the path of all strengths on all folds by glmnet; return how many strengths it left out.

    Its objective is mean loss + λ / 2 ||W||², so that λ = 1 / (C n).
    """
    from glmnet import LogitNet

    missing = 0
    for fold in range(FOLDS):
        train = folds != fold
        path = 1 / (np.sort(STRENGTHS) * train.sum())
        head = LogitNet(alpha=0, n_splits=0, lambda_path=path, standardize=False, max_iter=10**6)
        head.fit(X[train].astype(np.float64), y[train])
        head.predict_proba(X[~train].astype(np.float64), lamb=head.lambda_path_)
        missing += len(path) - len(head.lambda_path_)
    return missing


def peer_name(peer: str) -> str:
    """What a peer is called in the table."""
    return peer if peer == "glmnet" else f"LogisticRegression {peer}"


def measure(pipe: Connection, root: str, n: int, methods: list[str], peers: list[str]) -> None:
    """Measure everything for n training rows; send a dict of name to `Row` for each as soon as it is known."""
    (folder,) = Catalogue(Path(root)).paths()
    design = DesignMatrix.of([FeatureStore.open(folder)], images(n + TEST))
    y, arrays = labels(n + TEST), namespace("cpu")
    folds = np.arange(n) % FOLDS
    settings = {"ratios": LAMBDA_RATIOS, "top": TOP, "tol": TOLERANCE, "standardize": "feature", "arrays": arrays}
    train = design.take(np.arange(n))
    selection, row = measured(lambda: rank_features(train, y[:n], folds, CLASSES, **settings))
    pipe.send(("selection", row))
    data = ProbeData({512: design}, y, folds, CLASSES, arrays, {512: selection}, {})
    for method in methods:
        outcome, row = measured(lambda method=method: evaluate(method, data))
        accuracy = float((outcome.test_log_probabilities.argmax(axis=1) == y[n:]).mean())
        pipe.send((method, {**row, "accuracy": accuracy, "heads": len(outcome.sweep)}))
    if peers:
        columns = selection.top(selection.ratios[-1], FOLDS, PEER_COLUMNS)
        of_labels = Labels.of(y[:n], folds, CLASSES, arrays)
        same = [columns] * FOLDS
        _, row = measured(lambda: list(cross_validate(train, same, of_labels, STRENGTHS, standardized_rows, arrays)))
        pipe.send(("ours, 1000 columns", row))
        every = arrays.xp.ones(n, dtype=bool)
        X = np.ascontiguousarray(standardized_rows(train, columns, every, arrays).values.T)
        for peer in peers:
            fits = glmnets if peer == "glmnet" else partial(scikit_learns, solver=peer)
            try:
                failed, row = measured(lambda fits=fits: fits(X, y[:n], folds))
            except ModuleNotFoundError as error:
                print(f"n = {n}: {peer_name(peer)}: skipped: {error}", flush=True)
                continue
            pipe.send((peer_name(peer), {**row, "not converged": failed}))
    pipe.send(None)


def table(n: int, d: int, methods: list[str], peers: list[str]) -> dict[str, Row]:
    """Write a store of n + `TEST` rows and measure, each in a process of its own; print as it goes."""
    spawn, rows = multiprocessing.get_context("spawn"), {}
    with tempfile.TemporaryDirectory() as root:
        writer = spawn.Process(target=write_store, args=(root, n + TEST, d))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise RuntimeError("the store was not written: see above")
        ours, theirs = spawn.Pipe(duplex=False)
        process = spawn.Process(target=measure, args=(theirs, root, n, methods, peers))
        start = time.perf_counter()
        process.start()
        theirs.close()
        try:
            while (message := ours.recv()) is not None:
                name, rows[message[0]] = message
                notes = "".join(f", {key} {value:g}" for key, value in rows[name].items() if key not in _SHOWN)
                print(
                    f"n = {n}: {name}: {rows[name]['seconds']:.1f} CPU s, {rows[name]['peak']:.2f} GB{notes}",
                    flush=True,
                )
        except EOFError:
            raise RuntimeError(f"the measurement of n = {n} ended early: see above") from None
        process.join()
        print(f"n = {n}: {time.perf_counter() - start:.0f} s by the clock", flush=True)
    return rows


_SHOWN = ("seconds", "peak")


def cell(row: Row) -> str:
    """CPU seconds and peak."""
    return f"{row['seconds']:.1f} s, {row['peak']:.2f} GB"


def exponent(n: list[int], seconds: list[float]) -> float:
    """Slope of log seconds against log n, by least squares."""
    return float(np.polyfit(np.log(n), np.log(seconds), 1)[0])


def show(tables: dict[int, dict[str, Row]]) -> None:
    """Print CPU seconds / peak GB by number of rows, the exponent over all of them and that of the last step."""
    names = list(dict.fromkeys(name for rows in tables.values() for name in rows))
    print(f"\n| CPU s, peak | {' | '.join(f'n = {n}' for n in tables)} | exponent | of the last step |")
    print("|---" * (len(tables) + 3) + "|")
    for name in names:
        known = [n for n, rows in tables.items() if name in rows]
        seconds = [tables[n][name]["seconds"] for n in known]
        cells = [cell(rows[name]) if name in rows else "" for rows in tables.values()]
        slopes = [f"{exponent(known[k:], seconds[k:]):.2f}" for k in (0, -2)] if len(known) > 1 else ["", ""]
        print(f"| {name} | {' | '.join([*cells, *slopes])} |")


def main() -> None:
    """Measure each number of rows in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 2000, 4000, 8000, 16_000, 32_000])
    parser.add_argument("--features", type=int, default=28_000)
    parser.add_argument("--methods", nargs="*", default=["linear", "l21", "head2toe"])
    parser.add_argument(
        "--peers", nargs="+", default=["lbfgs", "saga", "glmnet"], help="glmnet, solvers of scikit-learn"
    )
    parser.add_argument("--peers-up-to", type=int, default=4000, help="rows up to which peers are run, too")
    parser.add_argument("--known", type=Path, help="a JSON file that measurements are read from and added to")
    o = parser.parse_args()
    tables: dict[int, dict[str, Row]] = {}
    if o.known and o.known.is_file():
        tables = {int(n): rows for n, rows in json.loads(o.known.read_text()).items()}
    for n in o.rows:
        tables[n] = table(n, o.features, o.methods, o.peers if n <= o.peers_up_to else [])
        if o.known:
            o.known.write_text(json.dumps(tables))
    show(dict(sorted(tables.items())))


if __name__ == "__main__":
    main()
