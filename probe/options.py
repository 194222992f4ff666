"""The names that a run is told: methods, metrics, rules, heads. Here, for `--help` must not import what they need."""

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
