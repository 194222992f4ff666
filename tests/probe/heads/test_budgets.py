"""What heads may ask of a GPU, counted on the stand-in for CuPy: upper bounds, at what it takes today."""

import numpy as np
from head2toe.probe.heads.crossval import Labels, cross_validate
from head2toe.probe.heads.kinds import STRENGTHS
from head2toe.probe.heads.scaling import standardized_rows
from head2toe.select.compute.arrays import namespace
from head2toe.store.reading.design_matrix import ArrayDesign


def test_a_candidate_s_folds_and_strengths(cupy_double, labelled):
    """Five folds in lockstep, six strengths: the columns of each fold go up, and the predictions come down."""
    X, y = labelled(200, 300, 4)
    arrays, folds = namespace("cuda"), np.arange(200) * 5 // 200
    labels = Labels.of(y, folds, 4, arrays)
    columns = [np.sort(np.random.default_rng(f).choice(300, 100, replace=False)) for f in range(5)]
    design = ArrayDesign(X.astype(np.float32))
    with cupy_double._counting.region() as used:
        heads = list(cross_validate(design, columns, labels, STRENGTHS, standardized_rows, arrays))
    assert len(heads) == len(STRENGTHS)
    assert used.calls <= 1_700
    assert used.syncs <= 55
    assert used.bytes_up <= 5 * 100 * 200 * 4 + 20_000  # columns, and which fold holds each row out
    assert used.handles <= 2
