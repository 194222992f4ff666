"""Forward selection chooses what looking at every head would, with rows that count as often as they were drawn."""

import numpy as np
import pytest
from head2toe.probe.choice import forward_selection as module
from head2toe.probe.choice.forward_selection import GRID, forward_selection
from head2toe.probe.choice.library import Library
from scipy.special import log_softmax


def library(heads: int = 25, n: int = 60, classes: int = 4, seed: int = 0) -> Library:
    """Heads of some skill that err on different rows."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    scores = rng.standard_normal((heads, n, classes)) * rng.uniform(0.5, 3, (heads, 1, 1))
    scores[:, np.arange(n), labels] += rng.uniform(0, 2, (heads, 1))
    folds = np.arange(n) * 5 // n
    return Library.of(list(log_softmax(scores, axis=2)), labels, folds, rng.integers(10, 1000, heads).tolist())


def loss(scores: np.ndarray, labels: np.ndarray, draw: np.ndarray) -> float:
    """Log-loss of scores (n, classes), rows counting as often as they were drawn."""
    logp = log_softmax(scores, axis=1)
    return float(-(draw * logp[np.arange(len(labels)), labels]).sum() / draw.sum())


def by_looking_at_all(heads: Library, draw: np.ndarray, members: int, rounds: int) -> list[int]:
    """The textbook's loop."""
    added: list[int] = []
    best = np.inf
    for _ in range(rounds):
        full = len(set(added)) >= members
        losses = [
            np.inf
            if full and head not in added
            else loss(heads.log_probabilities[[*added, head]].mean(axis=0), heads.labels, draw)
            for head in range(len(heads.sizes))
        ]
        if min(losses) > best - GRID:
            break
        level = [h for h, value in enumerate(losses) if np.round(value / GRID) == np.round(min(losses) / GRID)]
        added.append(min(level, key=lambda h: (heads.sizes[h], h)))
        best = losses[added[-1]]
    return added


@pytest.mark.parametrize("members", [1, 3, 30])
def test_it_chooses_what_looking_at_every_head_chooses(members: int) -> None:
    heads = library()
    rng = np.random.default_rng(1)
    draws = np.concatenate([np.ones((1, 60), np.int64), rng.multinomial(60, np.full(60, 1 / 60), size=4)])
    counts = forward_selection(heads, draws, members=members, rounds=12)
    for count, draw in zip(counts, draws, strict=True):
        expected = by_looking_at_all(heads, draw, members, 12)
        assert np.array_equal(count, np.bincount(expected, minlength=len(heads.sizes)))
        assert 1 <= np.count_nonzero(count) <= members


def test_draws_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, draws = library(), np.random.default_rng(2).multinomial(60, np.full(60, 1 / 60), size=5)
    together = forward_selection(heads, draws, members=30)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    assert np.array_equal(forward_selection(heads, draws, members=30), together)


def test_few_heads_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds leave out most of them: that is what they are for."""
    looked_at = 0
    plain = module._log_losses

    def counted(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        nonlocal looked_at
        looked_at += len(scores)
        return plain(scores, labels)

    monkeypatch.setattr(module, "_log_losses", counted)
    heads = library(heads=300, n=200)
    counts = forward_selection(heads, np.ones((1, 200), np.int64), members=30)
    assert looked_at < 0.5 * 300 * counts.sum()


def test_of_level_heads_the_simpler_is_chosen_whatever_rounding_says() -> None:
    """Every head stands there three times: as it is, a little better by rounding alone, and with fewer features."""
    heads, n = library(), 60
    doubled = Library(
        np.concatenate([heads.log_probabilities, heads.log_probabilities * (1 - 1e-6), heads.log_probabilities]),
        heads.labels,
        heads.folds,
        np.concatenate([heads.sizes, heads.sizes, heads.sizes - 1]),
    )
    counts = forward_selection(doubled, np.ones((1, n), np.int64), members=30)
    assert counts[0, : 2 * len(heads.sizes)].sum() == 0
    assert np.array_equal(
        counts[0, 2 * len(heads.sizes) :], forward_selection(heads, np.ones((1, n), np.int64), members=30)[0]
    )


def test_it_ends_where_nothing_gets_better() -> None:
    labels = np.arange(30) % 3
    logp = np.log(0.1 + 0.7 * np.eye(3)[labels])
    heads = Library.of([logp, logp], labels, np.zeros(30, int), [5, 4])
    assert forward_selection(heads, np.ones((1, 30), np.int64), members=30).tolist() == [[0, 1]]
