"""Passes and subproblems shared by workers: the numbers of one process, bit for bit, for any number of workers."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from head2toe.select.compute import arrays as arrays_module
from head2toe.select.compute.arrays import namespace, numpy_arrays
from head2toe.select.compute.normalize import UnitRows, moments
from head2toe.select.compute.stream import parts
from head2toe.select.compute.workers import Cluster, SharedDesign
from head2toe.select.objective.datafits import Quadratic
from head2toe.select.objective.group_penalty import GroupNorm
from head2toe.select.objective.penalties import GroupL21
from head2toe.select.ranking.rank import rank_features
from head2toe.select.solver.dual_norms import dual_norms
from head2toe.select.solver.path import path
from head2toe.store.common.errors import DataError, DeviceError
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign


def _first_gpu(sharing: int) -> tuple[str, int]:
    return "cuda", sharing


class Pretended:
    """Workers of this process: what they are given and give goes through pickle, as it would between processes.

    All of them see the same GPU.
    """

    def __init__(self, count: int) -> None:
        self.count, self.tasks, self.sent, self.settled = count, 0, 0, False
        self.gpu = partial(_first_gpu, count)

    def share(self, value: Any) -> Any:
        return pickle.loads(pickle.dumps(value))

    def map(
        self,
        work: Callable[[Any, Any, Any], Any],
        held: Any,
        news: Any,
        tasks: Sequence[Any],
        *,
        settled: bool = False,
    ) -> list[Any]:
        self.settled = self.settled or settled
        packed = [pickle.dumps((news, task)) for task in tasks]
        self.tasks, self.sent = self.tasks + len(tasks), self.sent + sum(map(len, packed))
        return [pickle.loads(pickle.dumps(work(held, *pickle.loads(one)))) for one in packed]


def cluster(workers: Pretended) -> Cluster:
    @contextmanager
    def connected() -> Iterator[Pretended]:
        yield workers

    return connected


def made(n: int = 60, d: int = 5000) -> tuple[ArrayDesign, np.ndarray, np.ndarray]:
    """A design of two layers, labels of three classes and folds."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    X = rng.standard_normal((n, d)).astype(np.float32) + 2
    X[:, :30] += rng.standard_normal((3, 30))[y].astype(np.float32)
    return ArrayDesign(X, LayerIndex(("a", "b"), (d // 3, d - d // 3))), y, np.arange(n) % 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_parts_are_runs_of_what_one_process_goes_through(count: int) -> None:
    design, _, _ = made()
    found = parts(design, 9, count)
    assert len(found) <= count
    assert [first for first, _ in found] == [0, *(last for _, last in found[:-1])]
    assert found[-1][1] == 5000
    assert {first for first, _ in found} <= {first for first, _ in parts(design, 9, 10**6)}


@pytest.mark.parametrize("standardize", ["feature", "unit+feature", "none"])
def test_a_selection_is_the_same_for_any_number_of_workers(standardize: str) -> None:
    design, y, folds = made()
    known: dict[str, Any] = {"ratios": (1.0, 0.5, 0.2), "top": 100, "tol": 1e-3, "standardize": standardize}
    alone = rank_features(design, y, folds, 3, **known, arrays=numpy_arrays())
    for count in (1, 2, 5):
        workers = Pretended(count)
        arrays = replace(numpy_arrays(), cluster=cluster(workers))
        found = rank_features(design, y, folds, 3, **known, arrays=arrays)
        assert workers.tasks > 10
        np.testing.assert_array_equal(found.rankings, alone.rankings)
        assert [one.gap for one in found.certificates] == [one.gap for one in alone.certificates]
        for ours, theirs in zip(alone.models, found.models, strict=True):
            for model, other in zip(ours, theirs, strict=True):
                for name in ("columns", "coef", "intercept"):
                    np.testing.assert_array_equal(getattr(model, name), getattr(other, name))


def test_groups_of_features_and_other_terms_are_shared_as_well() -> None:
    """A group that lies in two parts is pooled when both have come back."""
    design, y, _ = made()
    groups = np.arange(5000) // 7
    known: dict[str, Any] = {"n_classes": 1, "ratios": (1.0, 0.6), "datafit": Quadratic(), "tol": 1e-3}
    known["penalty"] = GroupNorm(groups)
    masks = np.ones((1, 60), bool)
    alone, shared = (
        list(path(design, y.astype(float), masks, **known, arrays=replace(numpy_arrays(), cluster=of)))
        for of in (None, cluster(Pretended(3)))
    )
    for point, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(point.scores, other.scores)


def test_norms_and_moments_of_parts_are_those_of_the_whole() -> None:
    design, _, folds = made()
    masks = np.stack([folds != fold for fold in range(3)])
    workers = Pretended(4)
    shared = SharedDesign(workers, workers.share(design), numpy_arrays, on_gpus=False)
    whole, of_parts = moments(design, masks, numpy_arrays()), moments(design, masks, numpy_arrays(), None, shared)
    np.testing.assert_array_equal(whole.mean, of_parts.mean)
    np.testing.assert_array_equal(whole.scale, of_parts.scale)
    rng = np.random.default_rng(1)
    residuals = [rng.standard_normal((60, k)).astype(np.float32) for k in (3, 2)]
    scales = [whole.scale[0], whole.scale[1]]
    args = (design, residuals, scales, GroupL21(), numpy_arrays())
    np.testing.assert_array_equal(dual_norms(*args), dual_norms(*args, shared))


def test_the_design_is_sent_once_and_little_after_that() -> None:
    """Residuals go out and norms come back: what is sent does not grow with the number of passes times features."""
    design, y, folds = made(d=40_000)
    workers = Pretended(2)
    arrays = replace(numpy_arrays(), cluster=cluster(workers))
    rank_features(design, y, folds, 3, ratios=(1.0, 0.5), top=10, tol=1e-2, standardize="feature", arrays=arrays)
    of_design = 60 * 40_000 * 4
    assert workers.sent < 3 * of_design


@pytest.fixture
def gpu(cupy_double: ModuleType) -> Iterator[ModuleType]:
    """The stand-in for CuPy, which workers meet for the first time."""
    arrays_module._arrays_of.cache_clear()
    yield cupy_double
    arrays_module._arrays_of.cache_clear()


@pytest.mark.parametrize("standardize", ["feature", "unit+feature"])
def test_on_gpus_a_selection_is_the_same_for_any_number_of_workers(gpu: ModuleType, standardize: str) -> None:
    """Every feature goes up once, to the worker whose part it is in; near enough, the numbers are those of one GPU."""
    design, y, folds = made()
    known: dict[str, Any] = {"ratios": (1.0, 0.5, 0.2), "top": 100, "tol": 1e-3, "standardize": standardize}
    alone = rank_features(design, y, folds, 3, **known, arrays=namespace("cuda"))
    found = []
    for count in (1, 2, 5):
        arrays_module._arrays_of.cache_clear()
        workers = Pretended(count)
        arrays = replace(namespace("cuda"), cluster=cluster(workers))
        with gpu._counting.region() as used:
            found.append(rank_features(design, y, folds, 3, **known, arrays=arrays))
        assert workers.settled
        assert 60 * 5000 * 4 <= used.bytes_up < 2.5 * 60 * 5000 * 4
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].rankings, other.rankings)
        assert [one.gap for one in found[0].certificates] == [one.gap for one in other.certificates]
    assert [one.converged for one in found[0].certificates] == [one.converged for one in alone.certificates]
    top = [np.intersect1d(a, b) for a, b in zip(found[0].rankings[-1], alone.rankings[-1], strict=True)]
    assert min(map(len, top)) >= 90


def test_what_workers_that_share_a_gpu_keep_there_is_their_share(gpu: ModuleType) -> None:
    gpu._device.settings["memory"] = 10**9
    where = pickle.loads(pickle.dumps(partial(arrays_module.arrays_there, partial(_first_gpu, 4), 0.8)))
    assert where().memory.most == pytest.approx(0.2e9, rel=0.01)
    assert where() is where()


def test_a_worker_without_a_gpu_is_one_line(gpu: ModuleType) -> None:
    arrays = replace(namespace("cuda"), cluster=cluster(Pretended(2)))
    gpu._device.settings["devices"] = 0
    design, y, folds = made()
    with pytest.raises(DeviceError, match=r"a worker of the cluster, on .*: .* CuPy sees 0 GPUs; use --device cpu"):
        rank_features(design, y, folds, 3, ratios=(1.0,), top=10, tol=1e-2, standardize="feature", arrays=arrays)


def test_what_a_worker_raises_is_raised_here() -> None:
    design, y, folds = made()
    X = design.columns(np.arange(5000)).T.copy()
    X[3, 4000] = np.nan
    bad = ArrayDesign(X, design.layers)
    arrays = replace(numpy_arrays(), cluster=cluster(Pretended(2)))
    with pytest.raises(DataError, match="layer b holds NaN"):
        rank_features(bad, y, folds, 3, ratios=(1.0,), top=10, tol=1e-2, standardize="feature", arrays=arrays)


def test_unit_rows_can_be_sent() -> None:
    design, _, _ = made()
    unit = UnitRows.of(design)
    sent = pickle.loads(pickle.dumps(unit))
    np.testing.assert_array_equal(sent.columns(np.arange(9)), unit.columns(np.arange(9)))
