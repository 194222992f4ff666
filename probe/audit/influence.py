"""How much a head owes of what it says of an image to that image itself; see `leave_one_out`."""

import numpy as np
from head2toe.probe.audit.leave_one_out import LeftOut, logistic_left_out, ridge_left_out
from head2toe.probe.audit.stored_members import stored_members
from head2toe.probe.heads.kinds import ExactHeads, Logistic, Ridge
from head2toe.probe.methods.candidates import HeadOnColumns, Settings
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.select.compute.arrays import numpy_arrays, to_numpy

MOST_ROWS = 4000
"""Training rows up to which influences are computed: they take matrices of rows by rows."""
LARGEST_BOUND = 0.1
"""The relative error of the weights that is not worth a note."""


def influence_of(outcome: Outcome, data: ProbeData, rows: np.ndarray) -> tuple[list[float], str]:
    """Compute the influence of some training rows on what the chosen head says of them.

    Of a mean of heads, the head is the one of largest weight.

    Parameters
    ----------
    outcome : Outcome
        What the method left.
    data : ProbeData
        What it was tried on.
    rows : (m,) int array
        Training rows.

    Returns
    -------
    influences : list of float
        In nats, one for each row; none where there is no such head, or where there are too many rows.
    note : str
        What a reader should know of it; usually empty.
    """
    if not len(rows):
        return [], ""
    if data.n_train > MOST_ROWS:
        return [], f"influences are computed up to {MOST_ROWS} training rows, and there are {data.n_train}"
    head = chosen_head(outcome, data)
    left = None if head is None else left_out(*head, data, rows)
    if left is None:
        return [], f"{outcome.name} chose no head of least squares or logistic loss: influences are theirs alone"
    unsure = int((left.bound > LARGEST_BOUND).sum())
    note = f"the influence of {unsure} of {len(rows)} images is rough: its bound is more than a tenth"
    return [round(float(value), 4) for value in left.influence(data.labels[rows])], note if unsure else ""


def chosen_head(outcome: Outcome, data: ProbeData) -> tuple[HeadOnColumns, Settings] | None:
    """Find the chosen head, or the member of largest weight that is a head on columns, with all its settings."""
    for member in stored_members(outcome, data):
        if isinstance(member.candidate, HeadOnColumns):
            return member.candidate, member.settings
    return None


def left_out(candidate: HeadOnColumns, settings: Settings, data: ProbeData, rows: np.ndarray) -> LeftOut | None:
    """Leave rows out of a head that is refitted on all training rows; None for a kind that this is not known of."""
    kind = candidate.kind_of(data)
    if not isinstance(kind, (Logistic, Ridge, ExactHeads)):
        return None
    host = numpy_arrays()
    design = candidate.training(data)
    train = np.ones(data.n_train, bool)
    Z = to_numpy(candidate.scaling(design, candidate.columns, train, host).values).T.astype(np.float64)
    if isinstance(kind, Ridge) or settings.get("head") == "ridge":
        every = ridge_left_out(Z, data.train_labels, data.n_classes, settings["C"], settings["scale"])
        return LeftOut(every.log_probabilities[rows], every.fitted[rows], every.bound[rows])
    return logistic_left_out(Z, data.train_labels, data.n_classes, settings["C"], rows)
