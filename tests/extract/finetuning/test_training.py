"""Training the whole backbone: all of it learns, from the rows it may see alone; the same seed, the same numbers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.backbone import Backbone, state_sha256
from head2toe.extract.finetuning.training import BATCH, Training, TrainingSetting, fresh_network, row_batches, train

Striped = Callable[..., tuple[np.ndarray, np.ndarray]]
Trained = Callable[..., Training]


@pytest.fixture
def trained(backbone: Backbone, stripes: Striped) -> Trained:
    def make(steps: int, rate: float = 0.025, **changes: Any) -> Training:
        pixels, labels = stripes(24)
        unseen = [torch.from_numpy(pixels)]
        return train(backbone, pixels, labels, np.arange(24), unseen, 3, TrainingSetting(rate, steps), **changes)

    return make


def test_a_small_task_is_learned_by_heart(trained: Trained, stripes: Striped) -> None:
    training = trained(60)
    assert len(training.losses) == 60
    assert training.losses[-5:].mean() < 0.1 * training.losses[:5].mean()
    assert (training.log_probabilities.argmax(1) == stripes(24)[1]).mean() > 0.9
    assert np.allclose(np.exp(training.log_probabilities).sum(1), 1, atol=1e-5)


def test_every_weight_is_trained_and_the_backbone_is_left_alone(
    backbone: Backbone, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, before = [], state_sha256(backbone.model.state_dict())

    def fresh(*args: Any) -> torch.nn.Module:
        made.append(fresh_network(*args))
        return made[0]

    monkeypatch.setattr("head2toe.extract.finetuning.training.fresh_network", fresh)
    trained(3)
    start = fresh_network(backbone, 3, 0).state_dict()
    moved = {name for name, weights in made[0].named_parameters() if not torch.equal(weights, start[name])}
    assert moved == set(dict(made[0].named_parameters()))
    averages = [name for name in start if name.endswith("running_mean")]
    assert averages
    assert all(not torch.equal(made[0].state_dict()[name], start[name]) for name in averages)
    assert state_sha256(backbone.model.state_dict()) == before
    assert not any(weights.requires_grad for weights in backbone.model.parameters())


def test_the_same_seed_gives_the_same_numbers(trained: Trained) -> None:
    state = torch.get_rng_state()
    first, again, other = (trained(3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.losses, again.losses)
    assert np.array_equal(first.log_probabilities, again.log_probabilities)
    assert not np.array_equal(first.losses, other.losses)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers are left alone"


def test_other_rows_are_not_looked_at(backbone: Backbone, stripes: Striped) -> None:
    pixels, labels = stripes(24)
    rows, unseen = np.arange(0, 24, 2), torch.from_numpy(stripes(3)[0])
    first = train(backbone, pixels, labels, rows, [unseen], 3, TrainingSetting(0.01, 3))
    pixels[1::2], labels[1::2] = 0, 2
    again = train(backbone, pixels, labels, rows, [unseen], 3, TrainingSetting(0.01, 3))
    assert np.array_equal(first.log_probabilities, again.log_probabilities)


def test_a_training_that_diverges_knows_nothing(trained: Trained) -> None:
    training = trained(10, rate=1e12)
    assert len(training.losses) < 10
    assert np.isfinite(training.losses).all()
    assert np.allclose(training.log_probabilities, -math.log(3))


def test_half_precision_learns_too(trained: Trained) -> None:
    plain, half = (trained(3, amp=amp) for amp in (False, True))
    assert not np.array_equal(plain.losses, half.losses)
    assert np.allclose(plain.losses, half.losses, atol=0.1)


@pytest.mark.parametrize("n", [5, BATCH, 3 * BATCH + 7])
def test_batches_are_full_and_every_row_comes_before_one_comes_again(n: int) -> None:
    batches = list(row_batches(n, 20, seed=0))
    assert {len(batch) for batch in batches} == {min(n, BATCH)}
    drawn = np.concatenate(batches)
    assert len(drawn) >= 2 * n
    for start in range(0, len(drawn) - n, n):
        assert sorted(drawn[start : start + n]) == list(range(n))
