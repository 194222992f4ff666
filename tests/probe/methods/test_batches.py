"""Candidates side by side on a GPU are what they are alone on the CPU, and ask hardly more of it than one does."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from head2toe.probe.heads import crossval
from head2toe.probe.heads.kinds import ExactHeads
from head2toe.probe.heads.logistic import logistic_path
from head2toe.probe.methods import batches
from head2toe.probe.methods.batches import cross_validated_in_batches, refitted_in_batches
from head2toe.probe.methods.candidates import Candidate, HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS
from head2toe.probe.methods.viewed import on_means
from head2toe.select.compute.arrays import namespace
from head2toe.store.reading.design import ArrayDesign

FOLDS = np.where(np.arange(100) == 7, -1, np.arange(100) * 4 // 100)
Posed = Callable[[np.ndarray], ProbeData]


@pytest.fixture
def data(posed: Posed, cupy_double: ModuleType) -> tuple[ProbeData, ProbeData]:
    """The same on a GPU and on the CPU, with a view of every image."""
    cupy_double.cuda.Device(0).use()
    on_cpu = posed(FOLDS)
    design = on_cpu.designs[512]
    flipped = design.columns(np.arange(design.shape[1])).T[:, ::-1]
    on_cpu = replace(on_cpu, views={"flip": {512: ArrayDesign(flipped, design.layers)}})
    return replace(on_cpu, arrays=namespace("cuda")), on_cpu


def grid_of(data: ProbeData) -> list[Candidate]:
    return list(METHODS["head2toe"].candidates(data))


def probabilities(tried: list[tuple[dict[str, object], np.ndarray]]) -> np.ndarray:
    return np.exp(np.stack([logp for _, logp in tried]))


@pytest.mark.parametrize("most", [batches.BATCH_BYTES, 400_000, 1])
def test_every_candidate_is_what_it_is_alone(
    data: tuple[ProbeData, ProbeData], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", most)
    on_gpu, on_cpu = data
    grid = grid_of(on_cpu)
    found = dict(cross_validated_in_batches(grid, on_gpu))
    assert sorted(found) == list(range(len(grid)))
    # What Newton steps leave at the tolerance of the folds is less than half of what L-BFGS leaves there, up to .18.
    monkeypatch.setattr(crossval, "logistic_path", lambda *args, tol: logistic_path(*args, tol=tol / 100))
    for k, candidate in enumerate(grid):
        alone = list(candidate.cross_validate(on_cpu))
        assert [{**one, "scale": 0} for one, _ in found[k]] == [{**one, "scale": 0} for one, _ in alone]
        np.testing.assert_allclose(probabilities(found[k]), probabilities(alone), atol=0.1)
        assert np.nanmean(np.abs(probabilities(found[k]) - probabilities(alone))) < 2e-3
        assert np.isnan(found[k][0][1][7]).all(), "a row that always trains has no prediction"


def test_batches_hold_every_head_once_and_no_more_than_there_is_room_for(posed: Posed) -> None:
    data = posed(FOLDS)
    heads = {k: one for k, one in enumerate(grid_of(data)) if isinstance(one, HeadOnColumns)}
    parts = list(batches.batches(heads, data, 400_000))
    assert sorted(k for part in parts for k in part) == sorted(heads)
    assert len(parts) > 1
    for part in parts:
        ranks = [min(data.n_train, len(heads[k].columns)) for k in part]
        assert ranks == sorted(ranks)
        assert len(part) == 1 or 4 * len(part) * data.n_folds * data.n_train * ranks[-1] <= 400_000


def test_many_candidates_ask_little_more_than_one(data: tuple[ProbeData, ProbeData], cupy_double: ModuleType) -> None:
    """What each adds is its basis, but no steps of its own."""
    on_gpu, _ = data
    heads = [one for one in grid_of(on_gpu) if isinstance(one, HeadOnColumns)]
    calls = []
    for some in (heads[:1], heads):
        with cupy_double._counting.region() as used:
            assert len(dict(cross_validated_in_batches(some, on_gpu))) == len(some)
        calls.append(used.calls)
    assert calls[1] <= len(heads) * calls[0] / 2


def test_heads_on_means_of_views_are_what_they_are_alone(
    data: tuple[ProbeData, ProbeData], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu, on_cpu = data
    monkeypatch.setattr(crossval, "logistic_path", lambda *args, tol: logistic_path(*args, tol=tol / 100))
    whole = [one for one in grid_of(on_cpu) if isinstance(one, HeadOnColumns)][:2]
    viewed = on_means(whole, on_cpu)
    for k, tried in cross_validated_in_batches([*whole, *viewed], on_gpu):
        alone = list([*whole, *viewed][k].cross_validate(on_cpu))
        assert np.nanmean(np.abs(probabilities(tried) - probabilities(alone))) < 2e-3
    settings = {"C": 100.0}
    refits = dict(refitted_in_batches([(one, settings) for one in (*whole, *viewed)], on_gpu))
    for k, (logp, model) in refits.items():
        expected, _ = [*whole, *viewed][k].refit(on_cpu, settings)
        np.testing.assert_allclose(np.exp(logp), np.exp(expected), atol=1e-3)
        assert model.views == (("flip",) if k >= len(whole) else ())
    assert np.abs(np.exp(refits[0][0]) - np.exp(refits[len(whole)][0])).max() > 0.01, "they are other heads"


def test_members_are_refitted_as_they_are_alone(data: tuple[ProbeData, ProbeData]) -> None:
    on_gpu, on_cpu = data
    heads = [one for one in grid_of(on_cpu) if isinstance(one, HeadOnColumns) and isinstance(one.kind, ExactHeads)]
    settings = [{"C": 0.1}, {"C": 100.0}, {"head": "ridge", "C": 10.0, "scale": 3.0}]
    others = [(one, {}) for one in grid_of(on_cpu) if not isinstance(one, HeadOnColumns)][:1]
    chosen = others + [(head, one) for head in heads[:3] for one in settings]
    refits = dict(refitted_in_batches(chosen, on_gpu))
    assert sorted(refits) == list(range(len(others), len(chosen)))
    for k, (logp, model) in refits.items():
        head, one = chosen[k]
        expected, reference = head.refit(on_cpu, one)
        np.testing.assert_allclose(np.exp(logp), np.exp(expected), atol=1e-3)
        assert reference is not None
        np.testing.assert_array_equal(model.columns, reference.columns)
        np.testing.assert_allclose(model.mean, reference.mean, atol=1e-5)
        assert np.abs(model.coef - reference.coef).max() <= 0.01 * np.abs(reference.coef).max()


def test_nothing_to_refit_is_nothing(data: tuple[ProbeData, ProbeData]) -> None:
    assert list(refitted_in_batches([], data[0])) == []
