"""Decoded images: the same numbers in memory and in a temporary file, which is gone afterwards."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.finetuning.pixels import decoded
from head2toe.extract.tasks.task import Task


def test_decoded_images_are_the_same_in_memory_and_in_a_file(
    backbone: Backbone, striped_task: Callable[..., Task]
) -> None:
    images = striped_task().images
    how = backbone.preprocessing
    with decoded(images, how) as held, decoded(images, how, in_memory=0) as mapped:
        assert isinstance(mapped, np.memmap)
        file = Path(str(mapped.filename))
        assert file.is_file()
        assert np.array_equal(held, mapped)
        resize = how.resizer()
        assert np.array_equal(held[3], resize(images[3].load()).numpy())
    assert not file.exists()
