"""Training the whole backbone: all of it learns, from the rows it may see alone; the same seed, the same numbers."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone, state_sha256
from head2toe.extract.backbone.cost import forward_flops, nbytes
from head2toe.extract.finetuning import training as finetuning
from head2toe.extract.finetuning.pixels import decoded
from head2toe.extract.finetuning.training import BATCH, Setting, Training, fresh_network, row_batches, train
from head2toe.extract.finetuning.trials import Trials, load
from head2toe.extract.images.sources import ImageArray
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import DataError

SIZE = 32


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("test_efficientnet", weights="random", input_size=SIZE, device="cpu")


def stripes(n: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3, s, s) uint8 of stripes whose direction is the class, and the classes (n,)."""
    rng, labels = np.random.default_rng(0), np.arange(n) % classes
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = [np.sin((x, y, x + y)[label] * 0.9 + rng.uniform(0, 6)) * 60 for label in labels]
    noise = rng.normal(0, 20, (n, 3, SIZE, SIZE))
    return np.clip(128 + np.stack(waves)[:, None] + noise, 0, 255).astype(np.uint8), labels


def striped_task(n_train: int = 20, n_test: int = 6) -> Task:
    pixels, labels = stripes(n_train + n_test)
    images = tuple(ImageArray(f"{i}", image.transpose(1, 2, 0)) for i, image in enumerate(pixels))
    return Task("stripes", ("across", "down", "slant"), images, labels, np.arange(n_train) * 2 // n_train, "made up")


@pytest.fixture
def trials(backbone: Backbone, tmp_path: Path) -> Callable[..., Trials]:
    def make(task: Task | None = None, **changes: Any) -> Trials:
        task = task or striped_task()
        settings = (Setting(0.01, 2), Setting(0.01, 4))
        digests = tuple(image.digest() for image in task.images)
        given = {"method": "finetune", "backbone": backbone, "task": task, "digests": digests, "settings": settings}
        return Trials(**given | {"folder": tmp_path / "trained"} | changes)

    return make


def trained(backbone: Backbone, steps: int, rate: float = 0.025, **changes: Any) -> Training:
    pixels, labels = stripes(24)
    unseen = [torch.from_numpy(pixels)]
    return train(backbone, pixels, labels, np.arange(24), unseen, 3, Setting(rate, steps), **changes)


def test_a_small_task_is_learned_by_heart(backbone: Backbone) -> None:
    training = trained(backbone, 60)
    assert len(training.losses) == 60
    assert training.losses[-5:].mean() < 0.1 * training.losses[:5].mean()
    assert (training.log_probabilities.argmax(1) == stripes(24)[1]).mean() > 0.9
    assert np.allclose(np.exp(training.log_probabilities).sum(1), 1, atol=1e-5)


def test_every_weight_is_trained_and_the_backbone_is_left_alone(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, before = [], state_sha256(backbone.model.state_dict())

    def fresh(*args: Any) -> torch.nn.Module:
        made.append(fresh_network(*args))
        return made[0]

    monkeypatch.setattr(finetuning, "fresh_network", fresh)
    trained(backbone, 3)
    start = fresh_network(backbone, 3, 0).state_dict()
    moved = {name for name, weights in made[0].named_parameters() if not torch.equal(weights, start[name])}
    assert moved == set(dict(made[0].named_parameters()))
    averages = [name for name in start if name.endswith("running_mean")]
    assert averages
    assert all(not torch.equal(made[0].state_dict()[name], start[name]) for name in averages)
    assert state_sha256(backbone.model.state_dict()) == before
    assert not any(weights.requires_grad for weights in backbone.model.parameters())


def test_the_same_seed_gives_the_same_numbers(backbone: Backbone) -> None:
    state = torch.get_rng_state()
    first, again, other = (trained(backbone, 3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.losses, again.losses)
    assert np.array_equal(first.log_probabilities, again.log_probabilities)
    assert not np.array_equal(first.losses, other.losses)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers are left alone"


def test_other_rows_are_not_looked_at(backbone: Backbone) -> None:
    pixels, labels = stripes(24)
    rows, unseen = np.arange(0, 24, 2), torch.from_numpy(stripes(3)[0])
    first = train(backbone, pixels, labels, rows, [unseen], 3, Setting(0.01, 3))
    pixels[1::2], labels[1::2] = 0, 2
    again = train(backbone, pixels, labels, rows, [unseen], 3, Setting(0.01, 3))
    assert np.array_equal(first.log_probabilities, again.log_probabilities)


def test_a_training_that_diverges_knows_nothing(backbone: Backbone) -> None:
    training = trained(backbone, 10, rate=1e12)
    assert len(training.losses) < 10
    assert np.isfinite(training.losses).all()
    assert np.allclose(training.log_probabilities, -math.log(3))


def test_half_precision_learns_too(backbone: Backbone) -> None:
    plain, half = (trained(backbone, 3, amp=amp) for amp in (False, True))
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


def test_flops_grow_with_the_image_and_attention_is_counted(backbone: Backbone) -> None:
    small, large = (forward_flops(backbone.model, size, backbone.device) for size in (32, 64))
    assert 3.5 < large / small < 4.1
    vit = load_backbone("test_vit", weights="random", device="cpu").model
    weights = [w for name, w in vit.named_parameters() if "blocks" in name and w.ndim == 2]
    tokens, depth, width = vit.pos_embed.shape[1], len(vit.blocks), vit.embed_dim
    blocks = 2 * tokens * sum(w.numel() for w in weights) + 4 * depth * tokens**2 * width
    assert blocks < forward_flops(vit, 160, torch.device("cpu")) < 1.3 * blocks, "products with weights, and attention"
    assert nbytes(backbone.model) > 4 * sum(weights.numel() for weights in backbone.model.parameters())


def test_decoded_images_are_the_same_in_memory_and_in_a_file(backbone: Backbone) -> None:
    images = striped_task().images
    how = backbone.preprocessing
    with decoded(images, how) as held, decoded(images, how, in_memory=0) as mapped:
        assert isinstance(mapped, np.memmap)
        file = Path(str(mapped.filename))
        assert file.is_file()
        assert np.array_equal(held, mapped)
        resize = how.resizer()
        assert np.array_equal(held[3], resize(images[3].load()).numpy())
    assert not file.exists()


def test_folds_hold_out_their_rows(trials: Callable[..., Trials], tmp_path: Path) -> None:
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


def test_a_row_that_always_trains_is_not_predicted(trials: Callable[..., Trials]) -> None:
    task = striped_task()
    task.folds[:5] = -1
    with trials(task) as made:
        for _, logp in made.over_folds():
            assert np.isnan(logp[:5]).all()
            assert np.isfinite(logp[5:]).all()


def test_what_was_trained_is_recalled_after_an_interruption(
    trials: Callable[..., Trials], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interrupted(*args: Any, **named: Any) -> Training:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*args, **named)

    monkeypatch.setattr(finetuning, "train", interrupted)
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


@pytest.mark.parametrize("change", [{"seed": 1}, {"settings": (Setting(0.02, 2),)}, {"amp": True}])
def test_another_training_is_not_recalled(trials: Callable[..., Trials], change: dict[str, Any]) -> None:
    with trials() as first, trials(**change) as second:
        next(first.over_folds())
        next(second.over_folds())
        assert not any(one["recalled"] for one in second.kept)


def test_what_trials_cost(trials: Callable[..., Trials], backbone: Backbone) -> None:
    with trials() as made:
        list(made.over_folds())
        folds, forward = made.flops, forward_flops(fresh_network(backbone, 3, 0), SIZE, backbone.device)
        made.refit({"learning_rate": 0.01, "steps": 4})
        # Two folds, ten rows a batch: 2 and 4 steps forward and backward, and ten rows held out.
        assert folds == pytest.approx(2 * (3 * 10 * (2 + 4) + 2 * 10) * forward)
        assert made.flops - folds == pytest.approx(3 * 20 * 4 * forward)
        assert made.nbytes == nbytes(fresh_network(backbone, 3, 0))


def test_without_test_rows_nothing_is_trained_for_them(trials: Callable[..., Trials]) -> None:
    with trials(striped_task(n_test=0)) as made:
        assert made.refit({"learning_rate": 0.01, "steps": 2}).shape == (0, 3)
        assert not made.kept


def test_a_damaged_file_is_named(trials: Callable[..., Trials], tmp_path: Path) -> None:
    with trials() as made:
        next(made.over_folds())
    file = next((tmp_path / "trained").iterdir())
    assert len(load(file).losses) == 2
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="is not a training") as error:
        load(file)
    assert "\n" not in str(error.value)
