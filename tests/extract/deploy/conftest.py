"""What the tests of models share: a task's features at two target sizes, a head on some of them, and its bundle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.deploy.packing import bundle_of
from head2toe.extract.features.extraction import Extraction
from head2toe.pipeline import main
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.heads.scaling import unit_rows
from head2toe.select.compute.arrays import namespace
from head2toe.store.reading.design_matrix import DesignMatrix

SIZES = (64, 256)


@pytest.fixture
def two_sizes(small: dict[str, Any]) -> dict[str, Any]:
    """Features of both target sizes, side by side."""
    return small | {"target_sizes": SIZES}


@pytest.fixture
def head_on() -> Callable[..., tuple[LinearModel, np.ndarray]]:
    """A least-squares head on some columns, and its probabilities computed through the stores in float64."""

    def make(extraction: Extraction, *, unit: bool, layers: str = "", k: int = 300) -> tuple[LinearModel, np.ndarray]:
        design = DesignMatrix.of([extraction.stores[size] for size in SIZES], extraction.digests)
        owners = design.layers.layer_of(np.arange(design.shape[1]))
        allowed = [j for j in range(design.shape[1]) if layers in design.layers.names[owners[j]]]
        columns = np.sort(np.random.default_rng(0).choice(allowed, min(k, len(allowed)), replace=False))
        arrays = namespace("cpu")
        train = np.arange(design.shape[0]) < extraction.task.n_train
        X = (unit_rows(design, columns, train, arrays).values if unit else design.columns(columns)).T
        mean, std = X[train].mean(0), X[train].std(0)
        scale = np.where(std > 1e-6 * np.abs(mean) + 1e-12, 1 / np.where(std > 0, std, 1), 0) / np.sqrt(len(columns))
        Z = (X - mean) * scale.astype(np.float32)
        Y = np.eye(len(extraction.task.classes))[extraction.task.train_labels]
        coef = (3 * np.linalg.lstsq(Z[train], Y, rcond=1e-2)[0]).astype(np.float32)
        model = LinearModel(
            SIZES, columns, unit, mean, scale.astype(np.float32), coef, np.zeros(Y.shape[1], np.float32)
        )
        logits = Z.astype(np.float64) @ coef
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return model, odds / odds.sum(1, keepdims=True)

    return make


@pytest.fixture
def packed() -> Callable[[Extraction, LinearModel], Bundle]:
    """The bundle of a head."""

    def make(extraction: Extraction, model: LinearModel) -> Bundle:
        return bundle_of(
            extraction, model, method="head2toe", settings={"C": 1.0}, metrics={"test_accuracy": 0.5}, versions={}
        )

    return make


@pytest.fixture
def call() -> Callable[..., Result]:
    """Run a command: `call("info", folder)`."""

    def run(*args: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, args, input=stdin)

    return run
