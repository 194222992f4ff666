"""A task without some of its rows is still one, or says what it lacks."""

import numpy as np
import pytest
from head2toe.extract.readers.splits import NEVER
from head2toe.extract.tasks.registry import load_task
from head2toe.store.common.errors import DataError


def test_rows_that_are_left_out_leave_the_others_where_they_are() -> None:
    task = load_task("digits", folds="800/200").without([0, 999, 1500])
    assert np.array_equal(task.folds, np.repeat([NEVER, 0], [799, 199]))
    with pytest.raises(DataError, match="no fold holds out a training image"):
        task.without(range(799, 998))
    with pytest.raises(DataError, match="all training images are in one fold"):
        task.without(range(799))
