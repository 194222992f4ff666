"""The influence of an image on a chosen head is that on what the head reads."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from head2toe.probe.audit.influence import left_out
from head2toe.probe.heads.kinds import Logistic
from head2toe.probe.heads.scaling import standardized_rows
from head2toe.probe.methods.candidates import HeadOnColumns
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.viewed import on_means
from head2toe.store.reading.design_matrix import ArrayDesign

FOLDS = np.arange(100) * 5 // 100
ALL = np.arange(160)


def test_a_head_on_means_of_views_leaves_out_means(posed: Callable[[np.ndarray], ProbeData]) -> None:
    """It is that of the same head on data whose features are the means; the whole images have another."""
    whole = posed(FOLDS)
    design = whole.designs[512]
    X = design.columns(ALL).T
    flipped = np.random.default_rng(0).standard_normal(X.shape).astype(np.float32)
    data = replace(whole, views={"flip": {512: ArrayDesign(flipped, design.layers)}})
    means = replace(whole, designs={512: ArrayDesign((X + flipped) / 2, design.layers)})
    head = HeadOnColumns({}, 512, [ALL] * 5, ALL, standardized_rows, Logistic())
    (viewed,) = on_means([head], data)
    rows, settings = np.arange(0, 100, 9), {"C": 10.0}
    of_views, of_means, of_whole = (
        left_out(*of, rows) for of in ((viewed, settings, data), (head, settings, means), (head, settings, data))
    )
    assert of_views is not None
    assert of_means is not None
    assert of_whole is not None
    np.testing.assert_allclose(of_views.log_probabilities, of_means.log_probabilities, atol=1e-4)
    assert np.abs(of_views.log_probabilities - of_whole.log_probabilities).max() > 0.1
