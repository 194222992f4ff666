"""Trials: folds hold out their rows, what was trained is kept and recalled, and all of it is counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.backbone.cost import forward_flops, nbytes
from head2toe.extract.finetuning.training import Training, TrainingSetting, fresh_network, train
from head2toe.extract.finetuning.trials import Trials
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import DataError

MakeTrials = Callable[..., Trials]
StripedTask = Callable[..., Task]


@pytest.fixture
def trials(backbone: Backbone, striped_task: StripedTask, tmp_path: Path) -> MakeTrials:
    def make(task: Task | None = None, **changes: Any) -> Trials:
        task = task or striped_task()
        settings = (TrainingSetting(0.01, 2), TrainingSetting(0.01, 4))
        digests = tuple(image.digest() for image in task.images)
        given = {"method": "finetune", "backbone": backbone, "task": task, "digests": digests, "settings": settings}
        return Trials(**given | {"folder": tmp_path / "trained"} | changes)

    return make


def test_folds_hold_out_their_rows(trials: MakeTrials, striped_task: StripedTask, tmp_path: Path) -> None:
    """The labels of a fold's held-out rows, and of the test, have no say in what it predicts for them."""
    task = striped_task()
    labels = task.labels.copy()
    labels[task.n_train :] = 0
    labels[: task.n_train][task.folds == 0] = 0
    changed = Task(task.name, task.classes, task.images, labels, task.folds, task.source)
    with trials(task) as a, trials(changed, folder=tmp_path / "other") as b:
        for (_, first), (_, second) in zip(a.over_folds(), b.over_folds(), strict=True):
            assert np.array_equal(first[task.folds == 0], second[task.folds == 0])
            assert not np.array_equal(first[task.folds == 1], second[task.folds == 1])


def test_a_row_that_always_trains_is_not_predicted(trials: MakeTrials, striped_task: StripedTask) -> None:
    task = striped_task()
    task.folds[:5] = -1
    with trials(task) as made:
        for _, logp in made.over_folds():
            assert np.isnan(logp[:5]).all()
            assert np.isfinite(logp[5:]).all()


def test_what_was_trained_is_recalled_after_an_interruption(
    trials: MakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interrupted(*args: Any, **named: Any) -> Training:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*args, **named)

    monkeypatch.setattr("head2toe.extract.finetuning.trials.train", interrupted)
    with trials() as first, pytest.raises(KeyboardInterrupt):
        list(first.over_folds())
    assert len(first.kept) == 2
    with trials() as second:
        settings, logp = list(second.over_folds())[-1]
        assert [one["recalled"] for one in second.kept] == [True, True, False, False]
        tested = second.refit(settings)
    assert len(calls) == 2 + 1 + 3
    with trials() as third:
        assert np.array_equal(list(third.over_folds())[-1][1], logp)
        assert np.array_equal(third.refit(settings), tested)
        assert all(one["recalled"] for one in third.kept)
        assert third.seconds == second.seconds > 0
        assert third.flops == second.flops
    assert len(calls) == 6
    with trials(fresh=True) as fourth:
        assert np.array_equal(list(fourth.over_folds())[-1][1], logp)
    assert len(calls) == 10


@pytest.mark.parametrize("change", [{"seed": 1}, {"settings": (TrainingSetting(0.02, 2),)}, {"amp": True}])
def test_another_training_is_not_recalled(trials: MakeTrials, change: dict[str, Any]) -> None:
    with trials() as first, trials(**change) as second:
        next(first.over_folds())
        next(second.over_folds())
        assert not any(one["recalled"] for one in second.kept)


def test_what_trials_cost(trials: MakeTrials, backbone: Backbone) -> None:
    with trials() as made:
        list(made.over_folds())
        folds, forward = made.flops, forward_flops(fresh_network(backbone, 3, 0), backbone.input_size, backbone.device)
        made.refit({"learning_rate": 0.01, "steps": 4})
        # Two folds, ten rows a batch: 2 and 4 steps forward and backward, and ten rows held out.
        assert folds == pytest.approx(2 * (3 * 10 * (2 + 4) + 2 * 10) * forward)
        assert made.flops - folds == pytest.approx(3 * 20 * 4 * forward)
        assert made.nbytes == nbytes(fresh_network(backbone, 3, 0))


def test_without_test_rows_nothing_is_trained_for_them(trials: MakeTrials, striped_task: StripedTask) -> None:
    with trials(striped_task(n_test=0)) as made:
        assert made.refit({"learning_rate": 0.01, "steps": 2}).shape == (0, 3)
        assert not made.kept


def test_a_damaged_file_is_named(trials: MakeTrials, tmp_path: Path) -> None:
    with trials() as made:
        next(made.over_folds())
    file = next((tmp_path / "trained").iterdir())
    assert len(Training.load(file).losses) == 2
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="is not a training") as error:
        Training.load(file)
    assert "\n" not in str(error.value)
