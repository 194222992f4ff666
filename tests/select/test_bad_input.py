"""What a user can get wrong, or data can do, ends in one line that says so, or is handled."""

import numpy as np
import pytest
from head2toe.select.compute.normalize import UnitRows
from head2toe.select.solver.path import path
from head2toe.store.common.errors import BadRequest, DataError, Head2ToeError
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign


def solve(X, y, masks=None, *, C=None, layers=None, ratios=(1.0, 0.3, 0.1), arrays, **settings):
    masks = np.ones((1, len(y)), bool) if masks is None else masks
    C = int(y.max()) + 1 if C is None else C
    return list(path(ArrayDesign(X, layers), y, masks, n_classes=C, ratios=ratios, arrays=arrays, **settings))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_name_their_layer(bad, cpu, make_data):
    X, y = make_data()
    X[7, 100] = bad
    design = ArrayDesign(X, LayerIndex(("early", "deep"), (50, 70)))
    for features in (design, UnitRows.of(design)):
        with pytest.raises(DataError, match="layer deep holds NaN or inf") as caught:
            list(path(features, y, np.ones((1, len(y)), bool), n_classes=3, ratios=(1.0,), arrays=cpu))
        assert "\n" not in str(caught.value)


def test_one_class_is_refused(cpu, make_data):
    X, y = make_data()
    with pytest.raises(DataError, match="1 class only on row set 0"):
        solve(X, np.zeros_like(y), C=3, arrays=cpu)


def test_constant_features_only(cpu, make_data):
    _, y = make_data()
    with pytest.raises(DataError, match="constant"):
        solve(np.full((len(y), 4), 0.1, np.float32), y, arrays=cpu)


def test_constant_features_are_never_selected(cpu, make_data):
    X, y = make_data()
    X[:, ::2] = np.linspace(0, 1e4, X[:, ::2].shape[1], dtype=np.float32)
    for point in solve(X, y, arrays=cpu, standardize=True):
        assert (point.solutions[0].columns % 2 == 1).all()
        assert (point.scores[0][::2] == 0).all()


def test_a_class_missing_from_a_fold_is_left_out_there_and_only_there(cpu, make_data):
    X, y = make_data(C=4)
    masks = np.stack([y != 2, np.ones(len(y), bool)])
    for point in solve(X, y, masks, arrays=cpu, tol=1e-4):
        without, everything = point.solutions
        assert without.converged
        assert everything.converged
        assert (without.coef[:, 2] == 0).all()
        assert without.intercept[2] <= np.delete(without.intercept, 2).min() - 20
        assert np.abs(everything.intercept).max() < 20


def test_more_classes_than_rows(cpu):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 40)).astype(np.float32), np.arange(12)
    for point in solve(X, y, C=30, arrays=cpu, tol=1e-4):
        assert point.solutions[0].converged


def test_classes_that_separate_end_the_path_and_say_so(cpu, make_data):
    X, y = make_data(noise=0.01)
    points = solve(X, y, ratios=np.geomspace(1, 1e-6, 30), arrays=cpu)
    assert len(points) < 30
    assert "separate" in points[-1].stopped
    assert points[-1].note == points[-1].stopped
    assert all(point.solutions[0].converged for point in points)


def test_above_lambda_max_no_feature_is_left_and_it_is_said(cpu, make_data):
    X, y = make_data()
    above, below = solve(X, y, ratios=(3.0, 0.5), arrays=cpu)
    assert "no feature is left" in above.note
    assert below.note == ""


def test_one_feature(cpu, make_data):
    X, y = make_data(d=1)
    for point in solve(X, y, arrays=cpu, tol=1e-5):
        assert point.solutions[0].converged


def test_one_row(cpu):
    with pytest.raises(DataError, match="1 class"):
        solve(np.ones((1, 5), np.float32), np.zeros(1, int), C=2, arrays=cpu)


def test_two_rows(cpu):
    X = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
    for point in solve(X, np.arange(2), arrays=cpu):
        assert point.solutions[0].converged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratios": (0.1, 0.5)}, "not rise"),
        ({"ratios": ()}, "positive"),
        ({"ratios": (0.0,)}, "positive"),
        ({"tol": 0}, "between 0 and 1"),
        ({"C": 2}, "labels must be integers"),
        ({"masks": np.zeros((1, 60), bool)}, "row set 0 is empty"),
        ({"masks": np.ones((1, 59), bool)}, "boolean masks"),
    ],
)
def test_settings_that_make_no_sense(change, message, cpu, make_data):
    X, y = make_data()
    with pytest.raises(BadRequest, match=message):
        solve(X, y, arrays=cpu, **change)


def test_not_converged_is_said(cpu, monkeypatch, make_data):
    monkeypatch.setattr("head2toe.select.solver.schedule.MAX_ROUNDS", 1)
    monkeypatch.setattr("head2toe.select.solver.row_set.SMALLEST_WORKING_SET", 1)
    X, y = make_data(d=400, C=5)
    (point,) = solve(X, y, ratios=(0.05,), arrays=cpu, tol=1e-4)
    assert not point.solutions[0].converged
    assert point.solutions[0].gap > 1e-4
    assert "not converged on row sets 0" in point.note


def test_errors_are_the_library_s_own():
    assert issubclass(DataError, Head2ToeError)


def test_masks_of_folds(cpu, make_data, split_masks):
    X, y = make_data()
    assert len(solve(X, y, split_masks(len(y), 5), arrays=cpu)[0].solutions) == 6
