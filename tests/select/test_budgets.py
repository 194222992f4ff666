"""What a selection may ask of a GPU, counted on the stand-in for CuPy: upper bounds, whatever its speed is."""

import numpy as np
import pytest
from head2toe.select.compute.arrays import namespace
from head2toe.select.ranking.rank import rank_features
from head2toe.select.stage import LAMBDA_RATIOS, TOLERANCE
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign
from sklearn.datasets import load_digits

N, D, FOLDS = 300, 1500, 5


@pytest.fixture(scope="module")
def digits():
    """Handwritten digits through a layer of random weights, in layers; labels; folds."""
    data, rng = load_digits(), np.random.default_rng(0)
    X = np.maximum(data.data[:N] / 16 @ rng.standard_normal((64, D)) + rng.standard_normal(D), 0)
    layers = LayerIndex(tuple(f"layer {i}" for i in range(30)), (D // 30,) * 30)
    return ArrayDesign(X.astype(np.float32), layers), data.target[:N], np.arange(N) * FOLDS // N


def select(digits, arrays, **changes):
    design, labels, folds = digits
    settings = {"ratios": LAMBDA_RATIOS, "top": 200, "tol": TOLERANCE, "standardize": "feature"}
    return rank_features(design, labels, folds, 10, arrays=arrays, **settings | changes)


def test_a_selection_of_ten_classes(cupy_double, digits):
    """Passes are on the GPU, subproblems on the host: a product and a reduction for each pass, and one wait."""
    with cupy_double._counting.region() as used:
        ours = select(digits, namespace("cuda"))
    assert used.calls <= 100
    assert used.syncs <= 40
    assert used.bytes_up <= 4 * N * D + 40 * (4 * N * 10 * (FOLDS + 1))  # the features once, and each pass's residuals
    assert used.handles <= 2
    reference = select(digits, namespace("cpu"))
    assert ours.ratios == reference.ratios
    assert [c.converged for c in ours.certificates] == [c.converged for c in reference.certificates]
    for a, b in zip(
        ours.rankings[:, :, :50].reshape(-1, 50), reference.rankings[:, :, :50].reshape(-1, 50), strict=True
    ):
        assert len(np.intersect1d(a, b)) >= 40


def test_streaming_costs_bytes_alone(cupy_double, digits):
    with cupy_double._counting.region() as kept:
        select(digits, namespace("cuda"), ratios=LAMBDA_RATIOS[:4])
    with cupy_double._counting.region() as streamed:
        select(digits, namespace("cuda", memory=0.0), ratios=LAMBDA_RATIOS[:4])
    assert streamed.bytes_up > 3 * kept.bytes_up
    assert streamed.calls == kept.calls


def test_subproblems_on_the_gpu(cupy_double, digits, monkeypatch):
    """With many classes they are solved there; here with ten, to see what a step costs."""
    monkeypatch.setattr("head2toe.select.solver.subproblem.HOST_WORK", 0)
    with cupy_double._counting.region() as used:
        ours = select(digits, namespace("cuda"), ratios=(1.0, 0.6, 0.4))
    reference = select(digits, namespace("cpu"), ratios=(1.0, 0.6, 0.4))
    assert used.calls <= 17_000
    assert used.syncs <= 420
    assert used.handles <= 2
    assert used.bytes_up <= 6e6
    for c in ours.certificates:
        assert c.converged
    for a, b in zip(ours.models[-1], reference.models[-1], strict=True):
        assert len(np.intersect1d(a.columns, b.columns)) >= 0.8 * len(b.columns)
