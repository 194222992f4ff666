"""What the rows that the folds held out say of a model: how probable true classes are, and what to compare with."""

from dataclasses import dataclass

import numpy as np
from head2toe.probe.methods.novelty import TrainingImages, some_features, training_images
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.metrics.calibration import at_temperature, true_class_probabilities


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """What the held-out rows say of a method's model.

    Attributes
    ----------
    probabilities : (n,) float64 array
        Those that they gave their true classes at the model's temperature, ascending.
    images : TrainingImages, optional
        What new images are compared with; None where there are too few, or no feature is read.
    """

    probabilities: np.ndarray
    images: TrainingImages | None


def held_out_rows(data: ProbeData, outcome: Outcome) -> HeldOutRows | None:
    """Gather what the held-out rows say; None where no row was predicted without a part in the choice.

    Parameters
    ----------
    data : ProbeData
        With the training rows.
    outcome : Outcome
        Of a method that leaves a linear model.
    """
    model, logp = outcome.model, outcome.unchosen_log_probabilities
    if model is None or logp is None:
        return None
    logp = at_temperature(logp, outcome.temperature / outcome.fold_temperature)
    probabilities = true_class_probabilities(logp, data.train_labels)
    if not len(probabilities):
        return None
    positions, features = some_features(model, data.designs, data.n_train)
    return HeldOutRows(probabilities, training_images(features, data.folds, positions))
