"""What the tests of fine-tuning share: a network that is trained in no time, and images of striped patterns."""

from collections.abc import Callable

import numpy as np
import pytest
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.images.sources import ImageArray
from head2toe.extract.tasks.task import Task

SIZE = 32

Striped = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("test_efficientnet", weights="random", input_size=SIZE, device="cpu")


@pytest.fixture(scope="session")
def stripes() -> Striped:
    """Of n images: (n, 3, s, s) uint8 of stripes whose direction is the class, and the classes (n,)."""

    def make(n: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
        rng, labels = np.random.default_rng(0), np.arange(n) % classes
        y, x = np.mgrid[:SIZE, :SIZE]
        waves = [np.sin((x, y, x + y)[label] * 0.9 + rng.uniform(0, 6)) * 60 for label in labels]
        noise = rng.normal(0, 20, (n, 3, SIZE, SIZE))
        return np.clip(128 + np.stack(waves)[:, None] + noise, 0, 255).astype(np.uint8), labels

    return make


@pytest.fixture(scope="session")
def striped_task(stripes: Striped) -> Callable[..., Task]:
    """A task of such images, in two folds."""

    def make(n_train: int = 20, n_test: int = 6) -> Task:
        pixels, labels = stripes(n_train + n_test)
        images = tuple(ImageArray(f"{i}", image.transpose(1, 2, 0)) for i, image in enumerate(pixels))
        return Task(
            "stripes", ("across", "down", "slant"), images, labels, np.arange(n_train) * 2 // n_train, "made up"
        )

    return make
