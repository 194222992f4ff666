"""The settings of selection, and the names of scores and recipes, which `--help` must not import computations for."""

from dataclasses import dataclass
from pathlib import Path

from head2toe.store.common.errors import BadRequest
from head2toe.store.common.settings import Settings, setting

RECIPES = ("exact", "paper")
OF_WEIGHTS = ("l21", "l1", "linf", "layer")
OF_FEATURES = ("variance", "f_classif", "mutual_info")
BY_CHANCE = ("random", "trees")  # other seeds give other scores, so that a mean over runs makes sense
STANDARDIZE = ("none", "unit", "feature", "unit+feature")
SCORES = (*OF_WEIGHTS, *OF_FEATURES, *BY_CHANCE)


@dataclass(frozen=True)
class SelectOptions(Settings):
    """The settings of selection; the defaults work.

    Scores rank features for `head2toe` and `head2toe-paper`; the penalised models don't depend on them.

    Attributes
    ----------
    output : Path
        Where results go, selections among them.
    standardize : str or tuple of str
        How features are normalised before selection: `feature` (unit variance over the fold's training rows), `unit`
        (every layer of every example at unit norm, as the paper does), `unit+feature` or `none`; of several, the folds
        choose.
    device_memory : float
        The share of a GPU's free memory that features may take, from 0 to 1. What does not fit is read from the host on
        every pass; it changes no number, and nothing on a CPU.
    fresh : bool
        Select and probe again, even if an earlier run with the same settings left its result. Stores are always reused.
    score : str
        `l21`, `l1`, `linf` (the norm of a feature's weights) or `layer` (its mean over the feature's layer); or of
        features by themselves `variance`, `f_classif`, `mutual_info`, `random` or `trees`, the same for every λ.
    score_offset : int
        How many of the best features a ranking leaves out.
    score_runs : int
        Number of runs with different seeds of whose scores the mean is taken: for `random`, `trees`, and the paper's
        recipe.
    score_layer_share : float
        Interpolation toward the mean score of each feature's layer, from 0 to 1.
    """

    output: Path = setting(Path("results"), "Folder for results.")
    standardize: str | tuple[str, ...] = setting(
        ("feature",),
        "Features before selection: none, unit, feature or unit+feature; name several (a,b) and the folds choose.",
        choices=STANDARDIZE,
        listed=True,
    )
    device_memory: float = setting(0.8, "Share of a GPU's free memory that features may take; the rest streams.")
    fresh: bool = setting(False, "Select and probe again what an earlier run left; stores are reused.")
    score: str = setting("l21", "By what features are ranked.", choices=SCORES)
    score_offset: int = setting(0, "How many of the best features rankings leave out.")
    score_runs: int = setting(1, "Mean score of so many seeds (random, trees, the paper's recipe).")
    score_layer_share: float = setting(0.0, "Interpolate scores toward their layer's mean, from 0 to 1.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "standardize", self.standardizations)
        object.__setattr__(self, "output", Path(self.output).expanduser())
        super().__post_init__()
        if not self.standardizations:
            raise BadRequest("standardize names one thing or more")
        if not 0 <= self.device_memory <= 1:
            raise BadRequest(f"the share of a GPU's memory is from 0 to 1, not {self.device_memory}")
        if self.score_offset < 0 or self.score_runs < 1 or not 0 <= self.score_layer_share <= 1:
            raise BadRequest(
                "a score's offset is 0 or more, its runs 1 or more, and its layer share from 0 to 1, not "
                f"{self.score_offset}, {self.score_runs} and {self.score_layer_share}"
            )

    @property
    def standardizations(self) -> tuple[str, ...]:
        """All ways in which features are normalised before selection, without repetitions."""
        return tuple(dict.fromkeys((self.standardize,) if isinstance(self.standardize, str) else self.standardize))
