"""The names that a run is told: methods, metrics, rules. Here, for `--help` must not import what they need."""

METHODS = ("linear", "knn", "layerwise", "random", "all-l2", "l21", "head2toe", "head2toe-paper")
COSTLY = ("finetune", "scratch")
"""Methods that train the whole backbone: `all` does not mean them."""
DEFAULT_METHODS = ("linear", "l21", "head2toe")
METRICS = ("accuracy", "balanced_accuracy", "log_loss", "auroc")
RULES = ("best", "simplest")
