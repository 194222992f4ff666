"""The settings of probing, and the names of methods, heads and metrics.

The names stand apart from what they name (`METHODS` of methods/registry.py, `KINDS` of heads/kinds.py, `METRICS` of
metrics/classification.py), for `--help` must not import what computes them; `require_same_names` holds them together.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from head2toe.store.common.errors import BadRequest
from head2toe.store.common.settings import Settings, setting

if TYPE_CHECKING:
    import numpy as np

METHODS = (
    "linear",
    "knn",
    "ncm",
    "layerwise",
    "random",
    "all-l2",
    "all-l1",
    "all-l21",
    "l21",
    "head2toe",
    "head2toe-paper",
)
COSTLY = ("finetune", "scratch")
"""Methods that train the whole backbone: `all` does not mean them."""
DEFAULT_METHODS = ("linear", "l21", "head2toe")
METRICS = ("accuracy", "balanced_accuracy", "log_loss", "auroc")
RULES = ("best", "simplest")
HEADS = ("logistic", "ridge", "adam", "sgd")
MEMBERS = 80
"""How many heads `head2toe` averages at most, unless told otherwise: more than that are level with fewer."""


def require_same_names(what: str, offered: Collection[str], registered: Collection[str], registry: str) -> None:
    """Check that every name which this file offers is registered, and the other way round.

    Parameters
    ----------
    what : str
        What is named: "method".
    offered : collection of str
        The names in this file.
    registered : collection of str
        The names for which there is code.
    registry : str
        Where these are registered: "METHODS of probe/methods/registry.py".

    Raises
    ------
    LookupError
        A name is in one of the two alone. It is an error of who extends this package, not of a user.
    """
    for name in offered:
        if name not in registered:
            raise LookupError(f"{what} {name!r} is offered by probe/options.py, and missing in {registry}")
    for name in registered:
        if name not in offered:
            raise LookupError(f"{what} {name!r} is in {registry}, and missing in probe/options.py")


@dataclass(frozen=True)
class ProbeOptions(Settings):
    """The settings of probing; the defaults work.

    Attributes
    ----------
    methods : sequence of str
        `linear` (all features of the last layer), `l21` (the group lasso itself), `head2toe` (select, then refit),
        `head2toe-paper` (the paper's optimiser and grid), and baselines: docs/method.md. `finetune` and `scratch`
        train the whole backbone, from its weights and from random ones, which takes hours without a GPU.
    head : str
        What is trained on chosen features: `logistic` (L2-penalised, exact), `ridge` (least squares, exact), `adam` or
        `sgd` (the paper's: 500 steps, no penalty).
    finetune_steps : tuple of int
        Steps of a training of `finetune` and `scratch`; of several, the folds choose.
    metric : str
        What the folds choose by: `accuracy`, `balanced_accuracy`, `log_loss` or `auroc`.
    rule : str
        Which settings win: the `best`, or the `simplest`: fewest features within one standard error of the best.
    members : int
        How many heads `head2toe` averages at most; with 1 it takes the one that the folds like best by `metric`.
    nested : bool
        Nested cross-validation as well: an estimate without a test that no choice of settings has flattered. It does
        all the work once more for every fold, on the other folds: of five, two to three times as much again.

    Raises
    ------
    BadRequest
        A value is none of the choices, or two settings exclude each other.
    """

    methods: tuple[str, ...] = setting(
        DEFAULT_METHODS,
        f"Of {', '.join(METHODS)}; or all of these. And, costly, only if named: {', '.join(COSTLY)}.",
        choices=METHODS + COSTLY,
        listed=True,
        every=METHODS,
    )
    finetune_steps: tuple[int, ...] = setting(
        (500, 2000), "Steps that finetune and scratch train; give several and the folds choose.", kind=int, several=True
    )
    head: str = setting("logistic", "What is trained on chosen features.", choices=HEADS)
    metric: str = setting("accuracy", "What the folds choose by.", choices=METRICS)
    rule: str = setting("best", "`simplest`: the fewest features within one standard error of the best.", choices=RULES)
    members: int = setting(MEMBERS, "How many heads head2toe averages at most; 1: the best one alone.", kind=int)
    nested: bool = setting(
        False,
        "Nested cross-validation, too: an unbiased estimate without a test. With five folds, two to three times the "
        "work again.",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))
        super().__post_init__()
        if not self.methods:
            raise BadRequest("methods names one thing or more")
        if self.members < 1:
            raise BadRequest(f"--members {self.members}: it is the number of heads that are averaged, 1 or more")
        if self.nested and self.costly:
            raise BadRequest(f"--nested trains no backbones again and again: leave {self.costly[0]} out")
        if not self.finetune_steps or min(self.finetune_steps) < 1:
            raise BadRequest("steps of fine-tuning must be 1 or more")

    @property
    def costly(self) -> tuple[str, ...]:
        """Those of the methods that train the whole backbone."""
        return tuple(method for method in self.methods if method in COSTLY)

    @property
    def of_features(self) -> tuple[str, ...]:
        """Those of the methods that only read features of the frozen backbone."""
        return tuple(method for method in self.methods if method not in COSTLY)

    def notes(self, folds: "np.ndarray") -> list[str]:
        """What a user should hear of these settings, given the fold of every training row, (n_train,) int."""
        if self.rule != "simplest" or folds.max() > 0:
            return []
        return ["one held-out part has no standard error: --rule simplest only settles ties, the fewest features first"]
