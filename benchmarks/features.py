"""Features for the benchmarks of selection: made on the spot, or a task's, through the library's own extraction."""

import numpy as np
from head2toe import pipeline
from head2toe.store.reading.design_matrix import DesignMatrix
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold


def digits(d: int, n: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random convolution features of scikit-learn's digits: (n, d) float32, feature-major as a store is; and labels."""
    rng = np.random.default_rng(seed)
    images, y = load_digits(return_X_y=True)
    chosen = rng.permutation(len(y))[:n]
    images, y = images[chosen].reshape(-1, 8, 8) / 16.0, y[chosen]
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2)).reshape(n, 36, 9)
    kernels = rng.standard_normal((9, -(-d // 36)))
    bias = 0.3 * rng.standard_normal(kernels.shape[1])
    out = np.empty((36, len(bias), n), np.float32)
    for cell in range(36):
        out[cell] = np.maximum(windows[:, cell] @ kernels + bias, 0).T
    out = out.reshape(-1, n)
    return out[:d].T, y


def clusters(X: np.ndarray, C: int) -> np.ndarray:
    """C classes for the same features: k-means of their first thousand columns, every one with at least two rows."""
    y = KMeans(C, n_init=1, random_state=0).fit_predict(X[:, :1000])
    counts = np.bincount(y, minlength=C)
    for c in np.flatnonzero(counts < 2):
        y[np.flatnonzero(y == counts.argmax())[: 2 - counts[c]]] = c
        counts = np.bincount(y, minlength=C)
    return y


def split_classes(y: np.ndarray, C: int) -> np.ndarray:
    """C classes of nearly the same size for the same rows: what there was, cut up at random."""
    order = np.lexsort((np.random.default_rng(0).random(len(y)), y))
    out = np.empty_like(y)
    out[order] = np.arange(len(y)) * C // len(y)
    return out


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


def of_task(
    task: str, *, input_size: int, target_sizes: tuple[int, ...]
) -> tuple[DesignMatrix, np.ndarray, np.ndarray, str]:
    """A task's training rows in its stores, extracted where there are none: design, labels, masks, and their names."""
    extraction = pipeline.extract(task, input_size=input_size, target_sizes=target_sizes)
    n = extraction.task.n_train
    design = DesignMatrix.of(list(extraction.stores.values()), extraction.digests[:n])
    folds = extraction.task.folds
    masks = np.stack([folds != fold for fold in range(int(folds.max()) + 1)] + [np.ones(n, bool)])
    sizes = "+".join(map(str, target_sizes))
    name = f"{extraction.task.name}, {extraction.backbone}, {input_size} px, target size {sizes}"
    return design, extraction.task.train_labels, masks, name
