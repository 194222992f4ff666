"""The paper's recipe trains what it says it trains."""

import math

import numpy as np
import pytest
import torch
from head2toe.select.solver.paper_recipe import RecipeSetting, train
from head2toe.store.common.errors import BadRequest


def objective(X, y, W, b, lam, softmax_loss):
    return softmax_loss(X.astype(float), y, W, b)[0] + lam * np.linalg.norm(W, axis=1).sum()


def test_it_comes_near_the_optimum_when_it_has_time(cpu, make_data, softmax_loss, slow_solution):
    X, y = make_data(n=100, d=30)
    X -= X.mean(axis=0)
    lam, rows = 0.02, np.arange(100)
    heads = train(X, y, [rows], [RecipeSetting(lam, 0.02)], n_classes=3, steps=3000, seed=0, arrays=cpu)

    def shrink(V, t):
        length = np.linalg.norm(V, axis=1, keepdims=True)
        return V * np.maximum(1 - t / np.maximum(length, 1e-300), 0)

    best, _ = slow_solution(X, y, lam, 3, shrink, lambda W: np.linalg.norm(W, axis=1).sum())
    reached = objective(X, y, heads.W[0, 0], heads.b[0, 0], lam, softmax_loss)
    assert best - 1e-6 <= reached < 1.03 * best


def reference(X, y, batches, W, lam, optimizer, rate, steps):
    """One head, in a plain loop of torch with torch's optimisers."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    W = torch.from_numpy(W).requires_grad_()
    b = torch.zeros(W.shape[1], requires_grad=True)
    if optimizer == "adam":
        update = torch.optim.Adam([W, b], eps=1e-7)
    else:  # TensorFlow has the rate inside the velocity, torch outside: it goes into the loss here
        update = torch.optim.SGD([W, b], lr=1.0, momentum=0.9)
    for step in range(steps):
        cosine = rate * (1 + math.cos(math.pi * step / steps)) / 2
        batch = next(batches)
        loss = torch.nn.functional.cross_entropy(X[batch] @ W + b, y[batch])
        loss = loss + lam * torch.linalg.vector_norm(W, dim=1).sum()
        if optimizer == "adam":
            update.param_groups[0]["lr"] = cosine
        else:
            loss = cosine * loss
        update.zero_grad()
        loss.backward()
        update.step()
    return W.detach().numpy(), b.detach().numpy()


def torch_batches(rows, random):
    """Rows of every epoch shuffled anew; what is left at its end begins the next batch."""
    queue = torch.empty(0, dtype=torch.int64)
    while True:
        if len(queue) < 128:
            queue = torch.cat([queue, torch.from_numpy(rows)[torch.randperm(len(rows), generator=random)]])
        yield queue[:128]
        queue = queue[128:]


OPTIMIZERS = [("adam", 0.01), ("sgd", 0.03)]


@pytest.mark.parametrize(("optimizer", "rate"), OPTIMIZERS)
def test_every_head_takes_the_steps_of_a_plain_loop(optimizer, rate, cpu, make_data, monkeypatch):
    """From the same start and with the same batches, in pieces of a few features."""
    monkeypatch.setattr("head2toe.select.solver.paper_recipe.PIECE", 100)
    X, y = make_data(n=200, d=40)
    row_sets, lams, seed = [np.arange(150), np.arange(30, 200)], [1e-2, 1e-1], 5
    settings = [RecipeSetting(lams[0], rate), RecipeSetting(lams[1], 2 * rate)]
    kwargs = {"n_classes": 3, "seed": seed, "arrays": cpu, "optimizer": optimizer}
    heads = train(X, y, row_sets, settings, steps=30, **kwargs)
    start = train(X, y, row_sets, [RecipeSetting(lam, 0.0) for lam in lams], steps=1, **kwargs)
    rng = np.random.default_rng(seed)
    rng.random(start.W.shape, dtype=np.float32)  # the start's share of the random numbers
    assert np.abs(start.W).max() <= np.sqrt(6 / 43)
    assert start.W.std() == pytest.approx(np.sqrt(2 / 43), rel=0.1)
    orders = [[], []]
    for step in range(1, 31):  # an epoch of every row set when it is needed
        for rows, order in zip(row_sets, orders, strict=True):
            if sum(map(len, order)) < 128 * step:
                order.append(rng.permutation(rows))
    for k, order in enumerate(orders):
        flat = np.concatenate(order)
        for i, (lam, faster) in enumerate(zip(lams, (1, 2), strict=True)):
            batches = (flat[128 * s : 128 * (s + 1)] for s in range(30))
            W, b = reference(X, y, batches, start.W[k, i].copy(), lam, optimizer, faster * rate, 30)
            np.testing.assert_allclose(heads.W[k, i], W, atol=2e-4)
            np.testing.assert_allclose(heads.b[k, i], b, atol=2e-4)


@pytest.mark.parametrize(("optimizer", "rate"), OPTIMIZERS)
def test_accuracy_is_that_of_a_plain_loop(optimizer, rate, cpu, make_data):
    """The mean over 10 seeds, within one standard error; from the same starts, whose noise would drown a difference."""
    X, y = make_data(n=1000, d=100, C=4)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    rows, test, lam, steps, seeds = np.arange(150), np.arange(150, 1000), 1e-2, 100, 10

    def accuracy(W, b):
        return ((X[test] @ W + b).argmax(axis=1) == y[test]).mean()

    settings = [RecipeSetting(0.1, rate), RecipeSetting(lam, rate)]
    kwargs = {"n_classes": 4, "seed": 0, "arrays": cpu, "optimizer": optimizer}
    heads = train(X, y, [rows] * seeds, settings, steps=steps, **kwargs)
    starts = train(X, y, [rows] * seeds, [RecipeSetting(0.1, 0.0)] * 2, steps=1, **kwargs).W[:, 1]
    ours = [accuracy(W[1], b[1]) for W, b in zip(heads.W, heads.b, strict=True)]
    theirs = []
    for seed in range(seeds):
        batches = torch_batches(rows, torch.Generator().manual_seed(seed))
        theirs.append(accuracy(*reference(X, y, batches, starts[seed].copy(), lam, optimizer, rate, steps)))
    error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 10)
    assert np.mean(ours) > 0.6
    assert 0 < error < 0.02
    assert abs(np.mean(ours) - np.mean(theirs)) <= error


def test_an_unknown_optimizer(cpu, make_data):
    X, y = make_data()
    with pytest.raises(BadRequest, match="no optimiser 'lbfgs': there are adam, sgd"):
        train(X, y, [np.arange(60)], [RecipeSetting(1)], n_classes=3, steps=1, seed=0, arrays=cpu, optimizer="lbfgs")


def test_heads_trained_together_use_their_own_rows_only(cpu, make_data):
    """Rows outside a set don't move its head, whatever they hold."""
    X, y = make_data()
    row_sets, settings = [np.arange(0, 40), np.arange(10, 60)], [RecipeSetting(1e-3), RecipeSetting(1e-2, 0.1)]
    first = train(X, y, row_sets, settings, n_classes=3, steps=20, seed=1, arrays=cpu)
    X[45:] = 7.0
    second = train(X, y, row_sets, settings, n_classes=3, steps=20, seed=1, arrays=cpu)
    np.testing.assert_allclose(first.W[0], second.W[0], atol=1e-5)
    assert np.abs(first.W[1] - second.W[1]).max() > 1e-2
    assert first.scores.shape == (2, 2, X.shape[1])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_namespaces_agree(optimizer, arrays, cpu, make_data):
    X, y = make_data(d=20)
    sets, settings = [np.arange(60), np.arange(30)], [RecipeSetting(1e-2), RecipeSetting(1e-3)]
    ours = train(X, y, sets, settings, n_classes=3, steps=10, seed=0, arrays=arrays, optimizer=optimizer)
    theirs = train(X, y, sets, settings, n_classes=3, steps=10, seed=0, arrays=cpu, optimizer=optimizer)
    np.testing.assert_allclose(ours.W, theirs.W, atol=1e-4)


def test_a_seed_gives_the_same_bits(cpu, make_data):
    X, y = make_data()
    first, second = (
        train(X, y, [np.arange(60)], [RecipeSetting(1e-3)], n_classes=3, steps=5, seed=3, arrays=cpu) for _ in range(2)
    )
    assert np.array_equal(first.W, second.W)


def test_nothing_to_train(cpu, make_data):
    X, y = make_data()
    with pytest.raises(BadRequest, match="at least one step"):
        train(X, y, [np.arange(60)], [RecipeSetting(1e-3)], n_classes=3, steps=0, seed=3, arrays=cpu)
