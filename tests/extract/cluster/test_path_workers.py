"""Stage two on a cluster: the selection of one process, whatever happens to a worker."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from head2toe.extract.cluster.path_workers import PathWorkers, gpu_there
from head2toe.pipeline import Options, experiment_on, select
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.select.ranking.rank import rank_features
from head2toe.select.ranking.selection import Selection
from head2toe.store.common.errors import BadRequest
from head2toe.store.reading.design_matrix import DesignMatrix

distributed = pytest.importorskip("distributed")

SETTINGS: dict[str, Any] = {"ratios": (1.0, 0.5, 0.2, 0.1), "top": 50, "tol": 1e-3, "standardize": "feature"}


@pytest.fixture
def design(image_folder: Path, small: dict[str, Any]) -> tuple[DesignMatrix, np.ndarray, np.ndarray]:
    """The features of the striped images in a store, labels and folds."""
    data = experiment_on(str(image_folder), Options(**small, methods=("linear",))).data
    (training,) = data.training.values()
    assert isinstance(training, DesignMatrix)
    return training, data.train_labels, data.folds


def assert_same(found: Selection, alone: Selection) -> None:
    np.testing.assert_array_equal(found.rankings, alone.rankings)
    for models, others in zip(found.models, alone.models, strict=True):
        for model, other in zip(models, others, strict=True):
            np.testing.assert_array_equal(model.coef, other.coef)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_selection_is_that_of_one_process(image_folder: Path, small: dict[str, Any], workers: int) -> None:
    alone = select(str(image_folder), Options(**small))
    shared = select(str(image_folder), Options(**small, cluster=f"local:{workers}", fresh=True))
    assert not shared.selected.recalled
    assert shared.selected.files == alone.selected.files
    for size, selection in alone.selected.selections.items():
        assert_same(shared.selected.selections[size], selection)


def who(*_: object) -> str:
    """Say, in a worker, which one it is."""
    return str(distributed.get_worker().address)


def test_a_killed_worker_changes_nothing(design: tuple[DesignMatrix, np.ndarray, np.ndarray]) -> None:
    X, y, folds = design
    alone = rank_features(X, y, folds, 3, **SETTINGS, arrays=numpy_arrays())
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as cluster:

        class Killing(PathWorkers):
            rounds = 0

            def map(self, *args: Any, **how: Any) -> list[Any]:
                self.rounds += 1
                if self.rounds == 4:
                    victim = next(iter(cluster.workers.values()))
                    os.kill(victim.pid, signal.SIGKILL)
                return super().map(*args, **how)

        @contextmanager
        def connected() -> Iterator[Killing]:
            with distributed.Client(cluster, set_as_default=False) as client:
                workers = Killing(client)
                settled = [PathWorkers(client).map(who, None, None, range(6), settled=True) for _ in range(3)]
                assert settled == 3 * [sorted(settled[0])], "each has the same parts, side by side, every time"
                yield workers
                assert workers.rounds > 4

        arrays = replace(numpy_arrays(), cluster=connected)
        assert_same(rank_features(X, y, folds, 3, **SETTINGS, arrays=arrays), alone)


def test_no_scheduler_is_one_line(image_folder: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Found in a store, features need no worker; a selection does."""
    select(str(image_folder), Options(**small))
    monkeypatch.setattr("head2toe.extract.cluster.scheduler.SECONDS_FOR_SCHEDULER", 0.3)
    gone = Options(**small, cluster="tcp://127.0.0.1:9")
    assert select(str(image_folder), gone).selected.recalled
    with pytest.raises(BadRequest, match="no scheduler answers there"):
        select(str(image_folder), replace(gone, fresh=True))
    with pytest.raises(BadRequest, match="none of local:N"):
        select(str(image_folder), Options(**small, cluster="nowhere", fresh=True))


@pytest.mark.slow
def test_on_gpus_a_selection_is_the_same_for_any_number_of_workers(
    image_folder: Path, small: dict[str, Any], cupy_double: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers find the stand-in for CuPy by their path, each with a GPU."""
    monkeypatch.syspath_prepend(Path(str(cupy_double.__file__)).parents[1])
    select(str(image_folder), Options(**small))  # features: torch has no stand-in
    how = {**small, "device": "cuda", "fresh": True}
    two, three = (select(str(image_folder), Options(**how, cluster=f"local:{n}")).selected for n in (2, 3))
    for size, selection in two.selections.items():
        assert_same(three.selections[size], selection)
    alone = select(str(image_folder), Options(**how)).selected
    assert [one.ratios for one in two.selections.values()] == [one.ratios for one in alone.selections.values()]


def test_workers_are_dealt_out_to_the_gpus_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_there(("cuda",), 1) == ("cuda", 1)
    assert gpu_there(("cuda",), 3) == ("cuda", 3)
    monkeypatch.setattr("head2toe.extract.cluster.path_workers.place", lambda: 3)
    assert gpu_there(("cuda:0", "cuda:2"), 5) == ("cuda:2", 3)
