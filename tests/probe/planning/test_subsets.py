"""Subsets are nested, stratified, the same for the same seed, and judged on rows that they do not hold."""

import itertools

import numpy as np
import pytest
from head2toe.probe.choice.nested import Split, outer_folds
from head2toe.probe.planning.subsets import stratified_order, subsets, usual_sizes
from head2toe.store.common.errors import BadRequest

N, CLASSES, FOLDS = 200, 4, 5


@pytest.fixture
def task() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.choice(CLASSES, N, p=(0.4, 0.3, 0.2, 0.1)), np.arange(N) % FOLDS


def test_a_larger_subset_holds_every_smaller_one(task: tuple[np.ndarray, np.ndarray]) -> None:
    sizes = (40, 100, 200)
    of_size = subsets(*task, sizes, 0, repeats=2)
    assert [len(repeats) for repeats in of_size] == [2, 2, 1]
    for repeat, fold in itertools.product(range(2), range(FOLDS)):
        splits = [repeats[min(repeat, len(repeats) - 1)][fold] for repeats in of_size]
        taken = [set(split.training.tolist()) for split in splits]
        assert taken[0] < taken[1] < taken[2]
        assert [len(one) for one in taken] == [round(size * 160 / 200) for size in sizes]
        for split in splits:
            assert set(split.predicted.tolist()) == set(np.flatnonzero(task[1] == fold).tolist())
            assert not set(split.training.tolist()) & set(split.predicted.tolist())
            assert sorted(set(split.folds.tolist())) == list(range(int(split.folds.max()) + 1))


def test_the_last_size_is_nested_cross_validation(task: tuple[np.ndarray, np.ndarray]) -> None:
    ((splits,),) = subsets(*task, (N,), 3, repeats=2)
    for split, outer in zip(splits, outer_folds(task[1]), strict=True):
        assert np.array_equal(split.rows, outer.rows)
        assert np.array_equal(split.folds, outer.folds)


def test_every_beginning_has_the_shares_of_the_classes(task: tuple[np.ndarray, np.ndarray]) -> None:
    labels, _ = task
    order = stratified_order(labels, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(N))
    shares = np.bincount(labels, minlength=CLASSES) / N
    for size in (20, 50, 120):
        assert np.abs(np.bincount(labels[order[:size]], minlength=CLASSES) - size * shares).max() <= 1


def test_the_same_seed_takes_the_same_rows_and_another_takes_others(task: tuple[np.ndarray, np.ndarray]) -> None:
    first, again, other = (_rows(subsets(*task, (50,), seed, repeats=2)[0]) for seed in (0, 0, 1))
    assert first == again
    assert not any(of_first == of_other for of_first, of_other in zip(first, other, strict=True))


def test_every_repeat_takes_other_rows_and_more_repeats_leave_the_first_as_they_are(
    task: tuple[np.ndarray, np.ndarray],
) -> None:
    ((one,),) = [_rows(repeats) for repeats in subsets(*task, (50,), 0, repeats=1)]
    first, second, third = _rows(subsets(*task, (50,), 0, repeats=3)[0])
    assert first == one
    for k in range(FOLDS):
        assert len({tuple(repeat[k]) for repeat in (first, second, third)}) == 3


def _rows(repeats: list[list[Split]]) -> list[list[list[int]]]:
    return [[split.rows.tolist() for split in of_folds] for of_folds in repeats]


def test_rows_that_always_train_are_in_every_subset(task: tuple[np.ndarray, np.ndarray]) -> None:
    labels, folds = task
    folds = np.where(np.arange(N) < 10, -1, folds)
    for split in subsets(labels, folds, (40,), 0, repeats=1)[0][0]:
        assert set(range(10)) <= set(split.training.tolist())
        assert (split.folds < 0).sum() == 10


def test_usual_sizes_halve_every_other_time_and_too_few_rows_are_refused() -> None:
    assert usual_sizes(1000, 10) == (177, 250, 354, 500, 707, 1000)
    assert usual_sizes(1000, 100) == (354, 500, 707, 1000)
    with pytest.raises(BadRequest, match="15 rows are too few"):
        usual_sizes(15, 3)
    with pytest.raises(BadRequest, match="needs 3 folds"):
        subsets(np.zeros(10, int), np.arange(10) % 2, (10,), 0, repeats=1)
