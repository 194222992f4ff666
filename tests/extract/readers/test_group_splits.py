"""Whole groups in a test and in folds: as even as trying every assignment finds, and never a class without need."""

from itertools import product

import numpy as np
import pytest
from head2toe.extract.readers import group_splits
from head2toe.extract.readers.group_splits import group_folds, held_out_groups
from head2toe.extract.readers.splits import hold_out

SEEDS = range(6)


def drawn(seed: int, n_groups: int, n_classes: int) -> tuple[np.ndarray, list[str]]:
    """Labels and groups of some rows: groups of other sizes, most of them of one class or two."""
    rng = np.random.default_rng(seed)
    labels, groups = [], []
    for group in range(n_groups):
        classes = rng.choice(n_classes, size=rng.integers(1, 3))
        size = int(rng.integers(1, 9))
        labels += rng.choice(classes, size=size).tolist()
        groups += [f"group {group}"] * size
    return np.unique(labels, return_inverse=True)[1], groups


def unevenness(labels: np.ndarray, held: np.ndarray, share: float) -> float:
    sizes = np.bincount(labels)
    return float((((np.bincount(labels[held], minlength=len(sizes)) - share * sizes) ** 2) / sizes).sum())


def one_sided(labels: np.ndarray, groups: list[str], held: np.ndarray) -> int:
    """Number of classes of two groups or more that are on one side alone."""
    names = np.asarray(groups)
    return sum(
        held[labels == label].all() or not held[labels == label].any()
        for label in np.unique(labels)
        if len(set(names[labels == label])) > 1
    )


def few_left(labels: np.ndarray, groups: list[str], held: np.ndarray) -> int:
    """Number of classes of three groups or more that leave fewer than two, the groups altogether being one of them."""
    names = np.asarray(groups)
    rows = [labels == label for label in np.unique(labels)]
    short = sum(len(set(names[row])) > 2 and len(set(names[row & ~held])) < 2 for row in rows)
    return short + (len(set(names[~held])) < 2)


def rank(labels: np.ndarray, groups: list[str], held: np.ndarray) -> tuple[float, ...]:
    return one_sided(labels, groups, held), few_left(labels, groups, held), round(unevenness(labels, held, 0.2), 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_test_is_the_best_of_all_assignments(seed: int) -> None:
    labels, groups = drawn(seed, 3 + seed, 3)
    names, of_row = np.unique(groups, return_inverse=True)
    every = [np.array(out, dtype=bool)[of_row] for out in product((0, 1), repeat=len(names)) if any(out)]
    best = min(rank(labels, groups, held) for held in every)
    assert rank(labels, groups, held_out_groups(labels, groups, 0.2, seed)) == best


@pytest.mark.parametrize("seed", SEEDS)
def test_descent_comes_as_near_as_trying_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, groups = drawn(seed, 9, 3)
    tried = rank(labels, groups, held_out_groups(labels, groups, 0.2, seed))
    monkeypatch.setattr(group_splits, "_MOST_TRIED", 0)
    assert rank(labels, groups, held_out_groups(labels, groups, 0.2, seed)) == tried


def fold_rank(labels: np.ndarray, groups: list[str], folds: np.ndarray, n_folds: int) -> tuple[float, ...]:
    held = [folds == fold for fold in range(n_folds)]
    names = np.asarray(groups)
    empty = sum(not part.any() for part in held)
    spread = [label for label in np.unique(labels) if len(set(names[labels == label])) > 1]
    whole = sum(part[labels == label].all() for part in held for label in spread)
    lacking = sum(not part[labels == label].any() for part in held for label in np.unique(labels))
    return empty, whole, lacking, round(sum(unevenness(labels, part, 1 / n_folds) for part in held), 6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_folds", [2, 3])
def test_folds_are_the_best_of_all_assignments(seed: int, n_folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, groups = drawn(seed, 6, 2)
    names, of_row = np.unique(groups, return_inverse=True)
    every = [np.array(parts)[of_row] for parts in product(range(n_folds), repeat=len(names))]
    best = min(fold_rank(labels, groups, folds, n_folds) for folds in every)
    assert fold_rank(labels, groups, group_folds(labels, groups, n_folds, seed), n_folds) == best
    monkeypatch.setattr(group_splits, "_MOST_TRIED", 0)
    assert fold_rank(labels, groups, group_folds(labels, groups, n_folds, seed), n_folds) == best, "descent as well"


@pytest.mark.parametrize("seed", SEEDS)
def test_folds_are_no_less_even_than_scikit_learns(seed: int) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = drawn(seed, 40, 4)
    theirs = np.empty(len(labels), dtype=np.int64)
    for fold, (_, held) in enumerate(
        StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
    ):
        theirs[held] = fold
    mine = group_folds(labels, groups, 5, seed)
    assert fold_rank(labels, groups, mine, 5) <= fold_rank(labels, groups, theirs, 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_large_group_beside_small_ones_leaves_the_test_its_size(seed: int) -> None:
    labels = np.arange(60) % 2
    groups = ["large" if i < 24 else f"{i}" for i in range(60)]
    held = hold_out(labels, groups, seed)
    assert np.bincount(labels[held]).tolist() == [6, 6]
    larger = hold_out(labels, ["large" if i < 50 else f"{i}" for i in range(60)], seed)
    assert 6 <= larger.sum() <= 10
    assert not larger[:50].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rare_class_of_two_groups_is_on_both_sides(seed: int) -> None:
    """Ten patients, two of them positive."""
    groups = [f"patient {i // 4}" for i in range(40)]
    labels = np.array([int(i // 4 in (3, 7)) for i in range(40)])
    held = hold_out(labels, groups, seed)
    assert 0 < labels[held].sum() < labels.sum()
    assert len({group for group, out in zip(groups, held, strict=True) if out}) in (2, 3)


def test_the_seed_draws_among_assignments_that_are_as_good() -> None:
    labels, groups = np.arange(100) % 2, [f"{i // 2}" for i in range(100)]
    draws = {tuple(held_out_groups(labels, groups, 0.2, seed)) for seed in range(5)}
    assert len(draws) > 1
    assert np.array_equal(held_out_groups(labels, groups, 0.2, 3), held_out_groups(labels, groups, 0.2, 3))
    assert {sum(held) for held in draws} == {20}
    assert np.array_equal(group_folds(labels, groups, 5, 3), group_folds(labels, groups, 5, 3))


def test_many_groups_take_no_time_and_are_even() -> None:
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(10, size=3000), [str(group) for group in rng.integers(600, size=3000)]
    held = held_out_groups(labels, groups, 0.2, 0)
    share = np.bincount(labels[held], minlength=10) / np.bincount(labels)
    assert abs(share - 0.2).max() < 0.01
    folds = group_folds(labels, groups, 5, 0)
    assert np.ptp(np.bincount(folds)) < 15
