"""What is left of the data of a run when some training images are taken out; the selection stays what it was."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.store.common.errors import BadRequest


def without(data: ProbeData, rows: np.ndarray, classes: Sequence[str]) -> ProbeData:
    """Take some training rows out.

    Parameters
    ----------
    data : ProbeData
    rows : (m,) int array
        Training rows, each once.
    classes : sequence of str
        The classes' names, for messages.

    Raises
    ------
    BadRequest
        A class or a fold would have no row left.
    """
    kept = np.setdiff1d(np.arange(len(data.labels)), rows)
    folds = np.delete(data.folds, rows)
    labels = data.labels[kept]
    if lost := sorted(set(data.train_labels.tolist()) - set(labels[: len(folds)].tolist())):
        raise BadRequest(f"class {classes[lost[0]]!r} would have no training image left: make a task without the class")
    if lost := sorted(set(data.folds.tolist()) - set(folds.tolist())):
        raise BadRequest(f"fold {lost[0]} would have no image left: run the task without these images instead")
    designs = {size: design.take(kept) for size, design in data.designs.items()}
    views = {view: {size: one.take(kept) for size, one in of_view.items()} for view, of_view in data.views.items()}
    return replace(data, designs=designs, views=views, labels=labels, folds=folds)
