"""The rendered tasks: the same from the same seed, balanced, and with labels that the pixels bear out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from head2toe.extract.readers.listing import Listing
from head2toe.extract.tasks import shapes
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.shapes import DrawnImage
from scipy import ndimage

READERS = (shapes.count, shapes.location, shapes.orientation)


def figure(image: object) -> np.ndarray:
    """Mask (64, 64) of the pixels that differ from the same scene without its shapes."""
    assert isinstance(image, DrawnImage)
    scene = image.scene()
    ground = replace(scene, shapes=()).draw()
    return np.abs(scene.draw().astype(int) - ground).max(axis=2) > 30


@pytest.mark.parametrize("read", READERS)
def test_balanced_and_a_thousand_rows_each(read: Callable[..., Listing]) -> None:
    listing = read()
    for rows in (listing.train, listing.test):
        counts = np.bincount([label for _, label in rows], minlength=len(listing.classes))
        assert counts.sum() == 1000
        assert np.ptp(counts) <= 1


@pytest.mark.parametrize("read", READERS)
def test_a_seed_gives_the_same_images_in_any_order(read: Callable[..., Listing]) -> None:
    one, two, other = read(), read(), read(seed=1)
    backwards = [image.digest() for image, _ in reversed(two.train[:20])][::-1]
    assert [image.digest() for image, _ in one.train[:20]] == backwards
    assert not {image.digest() for image, _ in other.train[:20]} & set(backwards)


def test_the_label_counts_the_shapes() -> None:
    listing = shapes.count()
    for image, label in listing.train[:150] + listing.test[:50]:
        found = ndimage.label(figure(image), structure=np.ones((3, 3)))[1]
        assert listing.classes[label] == str(found), image.name


def test_the_label_says_where_the_shape_is() -> None:
    cell = (shapes.SIDE - 20) / shapes.GRID
    for image, label in shapes.location().train[:200]:
        y, x = ndimage.center_of_mass(figure(image))
        row, column = divmod(label, shapes.GRID)
        for middle, place in ((y, row), (x, column)):
            # The centre of mass is not the centre that the label is about, but near it.
            assert place * cell - 2.5 < middle + 0.5 - 10 < (place + 1) * cell + 2.5


def test_the_label_says_which_way_the_shape_points() -> None:
    """Every kind is narrower at its head than at its tail (the smallest, a few pixels, may hide it)."""
    narrower = []
    for image, label in shapes.orientation().train[:300]:
        assert isinstance(image, DrawnImage)
        (shape,) = image.scene().shapes
        angle = 2 * np.pi / shapes.TURNS * label
        y, x = np.nonzero(figure(image)) - np.array([[shape.y - 0.5], [shape.x - 0.5]])
        along, across = x * np.cos(angle) + y * np.sin(angle), np.abs(y * np.cos(angle) - x * np.sin(angle))
        head, tail = along > 0.5 * shape.radius, along < -0.5 * shape.radius
        narrower.append(across[head].mean() < across[tail].mean())
    assert np.mean(narrower) > 0.97


def test_shapes_are_within_the_image() -> None:
    for listing in (shapes.count(), shapes.location()):
        for image, _ in listing.train[:100]:
            mask = figure(image)
            border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
            assert not border.any()


def test_two_questions_of_the_same_images() -> None:
    where, turned = load_task("shapes_location"), load_task("shapes_orientation")
    assert [i.name for i in where.images] == [i.name for i in turned.images]
    assert [i.digest() for i in where.images[:10]] == [i.digest() for i in turned.images[:10]]
    assert where.group == turned.group == load_task("shapes_count").group == "structured"
    assert not np.array_equal(where.labels, turned.labels)


def test_no_two_images_are_alike() -> None:
    for read in (shapes.count, shapes.location):
        listing = read()
        digests = {image.digest() for image, _ in listing.train[:300] + listing.test[:300]}
        assert len(digests) == 600
