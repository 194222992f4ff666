"""An experiment names its result by all it depends on, and knows which refits can be deployed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from head2toe.extract.features.extraction import Extraction
from head2toe.pipeline import Options, experiment_on
from head2toe.probe.experiment import Experiment
from head2toe.probe.metrics.classification import accuracy


@pytest.fixture
def experiment(image_folder: Path, smaller: dict[str, Any]) -> Experiment[Extraction]:
    """Of methods that need no selection."""
    return experiment_on(str(image_folder), Options(**smaller, methods=("linear", "knn")))


def test_a_result_is_named_by_all_that_it_depends_on(experiment: Experiment[Extraction]) -> None:
    usual = experiment.probe_options
    changes: list[dict[str, Any]] = [
        {"probe_options": replace(usual, **change)}
        for change in (
            {"methods": ("linear",)},
            {"head": "ridge"},
            {"metric": "log_loss"},
            {"rule": "simplest"},
            {"nested": True},
            {"methods": ("linear", "knn", "finetune")},
        )
    ]
    first, task = experiment.extractions[0], experiment.extractions[0].task
    renamed = replace(task.images[0], path=task.images[0].path.with_name("renamed.png"))
    changes += [
        {"seed": 1},
        {"extractions": (replace(first, task=replace(task, classes=("a", "b", "c"))),)},
        {"extractions": (replace(first, task=replace(task, images=(renamed, *task.images[1:]))),)},
        {
            "arrays": replace(experiment.arrays, name="cuda:0")
        },  # which adds up in another order, and may choose otherwise
        {"split": replace(experiment.split, folds=(experiment.split.folds + 1) % 5)},
    ]
    keys = {experiment.key(), *(replace(experiment, **change).key() for change in changes)}
    assert len(keys) == 1 + len(changes)
    first_gpu, second_gpu = (replace(experiment.arrays, name=f"cuda:{i}") for i in range(2))
    assert replace(experiment, arrays=first_gpu).key() == replace(experiment, arrays=second_gpu).key()
    assert replace(experiment, where="elsewhere").key() == experiment.key()
    assert experiment.key("other training code") == experiment.key(), "no method trains the backbone"
    costly = replace(experiment, probe_options=replace(usual, methods=("finetune",)))
    assert costly.key("a") != costly.key("b")


def test_what_can_be_deployed_is_a_linear_model_of_one_backbone(experiment: Experiment[Extraction]) -> None:
    linear, knn = outcomes = experiment.outcomes()
    ((outcome, model, accuracies),) = experiment.deployable(outcomes)
    assert (outcome, model, knn.model) == (linear, linear.model, None)
    assert accuracies == {
        "cv_accuracy": linear.chosen.accuracy,
        "test_accuracy": accuracy(linear.test_log_probabilities, experiment.task.test_labels),
    }
    assert replace(experiment, extractions=experiment.extractions * 2).deployable(outcomes) == []
