"""What probing can be told; and names of methods, heads, metrics, for `--help` must not import what computes them."""

from dataclasses import dataclass
from typing import Any

from head2toe.store.common.errors import BadRequest
from head2toe.store.common.settings import Settings, setting

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


@dataclass(frozen=True)
class ProbeOptions(Settings):
    """What probing can be told; the defaults work.

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
    nested : bool
        Nested cross-validation as well: an estimate without a test that no choice of settings has flattered. It does
        all the work once more for every fold, on the other folds: of five, two to three times as much again.
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
        if self.nested and self.costly:
            raise BadRequest(f"--nested trains no backbones again and again: leave {self.costly[0]} out")
        if not self.finetune_steps or min(self.finetune_steps) < 1:
            raise BadRequest("steps of fine-tuning must be 1 or more")

    @property
    def costly(self) -> tuple[str, ...]:
        """Those of the methods that train the backbone."""
        return tuple(method for method in self.methods if method in COSTLY)

    def notes(self, folds: Any) -> list[str]:
        """What a user should hear of these settings, given the fold (n_train,) of every training row."""
        if self.rule != "simplest" or folds.max() > 0:
            return []
        return ["one held-out part has no standard error: --rule simplest only settles ties, the fewest features first"]
