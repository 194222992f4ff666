"""What a choice is worth on all rows: its refit sees more of them than the heads did that the folds judged.

Of K folds the heads see (K - 1) / K of the rows. So the same heads are trained once more with two folds left out, on
(K - 2) / K, and judged on the same rows. Errors fall with the number of rows as a power law, error(n) = b n^-c
(Hestness et al. 2017, arXiv 1712.00409; Cortes et al. 1994, NIPS 6, 327-334): two points give c, and c the error of the
refit. How uncertain c is widens the interval.

The temperature is continued in the same way, by a power law through its values at the two sizes: a head that sees more
rows has earned more certainty, or less, than those that the folds judged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from head2toe.probe.choice.bias_corrected import bootstrap
from head2toe.probe.choice.ensemble import weighted_mean
from head2toe.probe.choice.trials import Trial, tried_each
from head2toe.probe.heads.kinds import Logistic, RecipeHead
from head2toe.probe.heads.scaling import standardized_rows
from head2toe.probe.many_rows.heads import MANY
from head2toe.probe.methods.candidates import Choice, HeadOnColumns, NearestNeighbours, PenalisedModel
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.viewed import HeadOnViews
from head2toe.probe.metrics.calibration import temperature_of
from head2toe.probe.metrics.classification import LESS_IS_BETTER
from head2toe.probe.metrics.on_draws import on_draws
from head2toe.probe.metrics.uncertainty import LEVEL, Estimate, Interval
from scipy.stats import norm

Figure = TypeVar("Figure", float, np.ndarray)

FEWEST_FOLDS = 3
"""How many folds there must be: two can be left out, and one is left."""
STEEPEST = 1.5
"""The largest exponent: errors of real tasks fall with one of a tenth to one (Hestness et al. 2017)."""
MOST_AGAIN = 8
"""How many candidates are trained once more: those of most weight, for the others cost as much and say the same."""
MOST_WARMER = 1.5
"""By what factor the refit's temperature is at most above or below the folds'."""
DRAWS = 200
"""How often rows are drawn to tell how uncertain the exponent is."""


@dataclass(frozen=True, eq=False)
class TwoSizes:
    """What the same heads predict of the same rows when they are trained on many of the others and on fewer.

    Attributes
    ----------
    many, fewer : (n, classes) float array
        Log-probabilities in nats, of heads that saw (K - 1) / K and (K - 2) / K of the rows.
    labels : (n,) int array
    n_folds : int
        K.
    """

    many: np.ndarray
    fewer: np.ndarray
    labels: np.ndarray
    n_folds: int

    def factor(self, metric: str) -> float:
        """Return by what the error is to be multiplied for heads that see all rows: see `factors`."""
        return float(self.factors(metric, np.ones((1, len(self.labels)), np.int64))[0])

    def factors(self, metric: str, draws: np.ndarray) -> np.ndarray:
        """Return the same, judged by drawn rows.

        Parameters
        ----------
        metric : str
            One of `METRICS`.
        draws : (draws, n) int array
            How often each row counts.

        Returns
        -------
        (draws,) float64 array
            NaN where no error is defined.
        """
        many, fewer = (error(on_draws(metric, logp, self.labels, draws), metric) for logp in (self.many, self.fewer))
        erring = many > 0
        ratios = np.maximum(np.divide(fewer, many, out=np.ones(len(draws)), where=erring), 1.0)
        factors = self._continued(np.minimum(self._exponent(ratios), STEEPEST))
        return np.where(np.isfinite(many) & np.isfinite(fewer), np.where(erring, factors, 1.0), np.nan)

    def temperature_factor(self) -> float:
        """Return by what the folds' temperature is to be multiplied for heads that see all rows."""
        many, fewer = (temperature_of(logp, self.labels) for logp in (self.many, self.fewer))
        return float(np.clip(self._continued(self._exponent(fewer / many)), 1 / MOST_WARMER, MOST_WARMER))

    def _exponent(self, ratio: Figure) -> Figure:
        """Return the c of n^-c that makes a figure so many times as large on the fewer rows as on the many."""
        exponent: Figure = np.log(ratio) / math.log((self.n_folds - 1) / (self.n_folds - 2))
        return exponent

    def _continued(self, exponent: Figure) -> Figure:
        """Return by what a figure of n^-c changes from the many rows to all."""
        change: Figure = ((self.n_folds - 1) / self.n_folds) ** exponent
        return change


def error(value: Figure, metric: str) -> Figure:
    """Return a metric as an error, which is 0 at best."""
    return value if metric in LESS_IS_BETTER else 1 - value


def on_all_rows(corrected: Mapping[str, Estimate], sizes: TwoSizes, seed: int) -> dict[str, Estimate]:
    """Correct figures of the folds' heads for the rows that the refit sees and they did not.

    Parameters
    ----------
    corrected : dict
        Metric to what the choice is worth, by heads of (K - 1) / K of the rows.
    sizes : TwoSizes
    seed : int
        Draws the rows that widen intervals.

    Returns
    -------
    dict
        The same metrics. An interval is that of before around the new figure, widened by the spread of the factor.
    """
    draws = bootstrap(len(sizes.labels), seed, DRAWS)
    found = {}
    for name, estimate in corrected.items():
        factor = sizes.factor(name)
        if not math.isfinite(factor):
            found[name] = estimate
            continue
        before = error(estimate.value, name)
        value = error(factor * before, name)
        interval = estimate.interval
        if interval is not None:
            spread = before * _spread(sizes.factors(name, draws))
            interval = _widened(interval, factor, name, spread)
        found[name] = Estimate(value, interval)
    return found


def _spread(factors: np.ndarray) -> float:
    """Half the width of an interval of the factor."""
    return float(norm.ppf((1 + LEVEL) / 2) * np.nanstd(factors))


def _widened(interval: Interval, factor: float, metric: str, spread: float) -> Interval:
    """Return an interval of errors times a factor, either side longer by another source of uncertainty."""
    low, high = sorted(factor * error(end, metric) for end in (interval.low, interval.high))
    middle, half = (low + high) / 2, math.hypot((high - low) / 2, spread)
    ends = sorted(error(max(end, 0.0), metric) for end in (middle - half, middle + half))
    return Interval(*ends)


def two_sizes(tried: Sequence[Trial], weights: np.ndarray, data: ProbeData) -> TwoSizes | None:
    """Train the chosen heads of most weight once more, on fewer rows, and take their weighted mean for the choice.

    A penalised model is one of a path that would have to be solved again. Beside others it is left out; where it is
    all that was chosen, a logistic head on the features that it keeps in each fold stands in for it.

    Parameters
    ----------
    tried : sequence of Trial
    weights : (trials,) float64 array
        Of those that were chosen, 0 for all others.
    data : ProbeData

    Returns
    -------
    TwoSizes, optional
        None where there are fewer than three folds; with many rows, of which a fold more or less matters little; and
        for heads that are trained by so many steps, which would cost as much again.
    """
    if data.n_folds < FEWEST_FOLDS or data.n_train > MANY:
        return None
    order = np.argsort(-weights, kind="stable")[: np.count_nonzero(weights)]
    chosen = [(tried[k], float(weights[k])) for k in order if _is_trained_again(tried[k].candidate, data)]
    if not chosen and isinstance(model := tried[order[0]].candidate, PenalisedModel):
        chosen = [(trial, 1.0) for trial in _stand_in(model, data)]
    grid = list({id(trial.candidate): trial.candidate for trial, _ in chosen}.values())[:MOST_AGAIN]
    if not grid:
        return None
    again = tried_each(grid, data.leaving_out(2), None)
    pairs = [(trial, twin, weight) for trial, weight in chosen if (twin := _twin(trial, again)) is not None]
    shares = np.array([weight for *_, weight in pairs])
    held, shares = data.folds >= 0, shares / shares.sum()
    many = weighted_mean([trial.log_probabilities[held] for trial, *_ in pairs], shares.tolist())
    fewer = weighted_mean([twin.log_probabilities[held] for _, twin, _ in pairs], shares.tolist())
    return TwoSizes(many, fewer, data.train_labels[held], data.n_folds)


def _is_trained_again(candidate: Choice, data: ProbeData) -> bool:
    """Whether a candidate can be trained on fewer rows at a small part of what all candidates cost."""
    head = candidate.base if isinstance(candidate, HeadOnViews) else candidate
    if isinstance(head, HeadOnColumns):
        return not isinstance(head.kind_of(data), RecipeHead)
    return isinstance(head, NearestNeighbours)


def _stand_in(model: PenalisedModel, data: ProbeData) -> list[Trial]:
    """Train logistic heads on the features of each fold's penalised model; the best one, none for a null model."""
    if not all(map(len, model.fold_columns)):
        return []
    head = HeadOnColumns(
        model.settings, model.target_size, model.fold_columns, model.columns, standardized_rows, Logistic()
    )
    return [min(tried_each([head], data, None), key=lambda trial: trial.point.log_loss)]


def _twin(trial: Trial, again: Sequence[Trial]) -> Trial | None:
    """Find the same head among those that were trained again, if it was; the scale of scores is chosen anew."""

    def settings(one: Trial) -> dict[str, object]:
        return {name: value for name, value in one.head.items() if name != "scale"}

    return next((o for o in again if o.candidate is trial.candidate and settings(o) == settings(trial)), None)
