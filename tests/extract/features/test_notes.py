"""Notes on classes that the test or folds lack, and on images that stand in a task twice."""

import numpy as np
from head2toe.extract.features.notes import class_notes, repeated_notes
from head2toe.extract.images.sources import ImageArray
from head2toe.extract.tasks.task import Task

CLASSES = ("cat", "dog", "owl")


def made(train: list[int], folds: list[int], test: list[int]) -> Task:
    """A task of these labels; images are named by their row."""
    images = tuple(ImageArray(f"image {i}", np.full((2, 2), i, np.uint8)) for i in range(len(train) + len(test)))
    return Task("made", CLASSES, images, np.array(train + test), np.array(folds), "made up")


def test_a_task_whose_classes_are_everywhere_has_no_note() -> None:
    assert class_notes(made([0, 1, 2] * 4, [0] * 6 + [1] * 6, [0, 1, 2])) == []
    assert class_notes(made([0, 1, 2] * 4, [0] * 6 + [1] * 6, [])) == [], "nor one without a test"
    assert class_notes(made([0, 1] * 4, [0] * 4 + [1] * 4, [0, 1])) == [], "nor for a class that is nowhere"


def test_classes_that_the_test_or_the_training_images_lack_are_named() -> None:
    assert class_notes(made([0, 1] * 4, [0] * 4 + [1] * 4, [0, 2])) == [
        "the test has no image of class 'dog': it says nothing of that",
        "class 'owl' has test images and no training image: every head gets them wrong",
    ]


def test_a_class_that_one_fold_holds_out_whole_is_named_with_the_fold() -> None:
    (note,) = class_notes(made([0, 1, 0, 1, 2, 2, 0, 1], [0, 0, 1, 1, 1, 1, 2, 2], [0, 1, 2]))
    assert note.startswith("fold 1 holds out all 2 training images of class 'owl'")


def test_classes_that_some_folds_do_not_hold_out_are_counted() -> None:
    (note,) = class_notes(made([0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 0, 1, 2], [0, 1, 2]))
    assert note == "1 of 3 folds hold out no image of class 'dog': they don't judge it"
    (note,) = class_notes(made([0, 0, 1, 1, 2, 2], [-1, 0, -1, 0, -1, -1], [0, 1, 2]))
    assert note == "the held-out images have none of class 'owl': settings are chosen without"


def test_one_image_under_two_labels_is_no_mere_repeat() -> None:
    task = made([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], [0, 1])
    same = repeated_notes(task, ["a", "b", "c", "a", "d", "e", "f", "b"])
    assert same == [
        "1 of 2 test images are training images, too, such as image 7: the test flatters",
        "2 of 6 training images repeat one in another fold, such as image 0: the folds flatter",
    ]
    (across,) = repeated_notes(task, ["a", "b", "c", "d", "a", "e", "f", "c"])
    assert across == (
        "2 images have two labels or more, so that no head is right about all of them: "
        "'cat' (image 0) and 'dog' (image 4); 'owl' (image 2) and 'dog' (image 7)"
    )
    assert repeated_notes(task, list("abcdef")) == [], "the test may not be extracted yet"
