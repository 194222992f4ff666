"""Classes that may be no classes of their own are named in a note."""

import pytest
from head2toe.extract.tasks.class_names import class_name_notes


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (("Cat", "cat", "dog"), ["Cat", "cat"]),
        (("big cat", "big_cat"), ["big cat", "big_cat"]),
        (("01", "1", "1.0", "2"), ["01", "1", "1.0"]),
        (("NA", "cat"), ["NA"]),
        (("None", "crack", "scratch"), ["None"]),
        (("-1", "0", "1"), ["-1"]),
        (("Images", "masks"), ["Images", "masks"]),
    ],
)
def test_such_classes_are_named(classes: tuple[str, ...], named: list[str]) -> None:
    (note,) = class_name_notes(classes)
    assert all(repr(name) in note for name in named)
    assert not any(repr(name) in note for name in set(classes) - set(named))


@pytest.mark.parametrize(
    "classes",
    [("cat", "dog"), ("-1", "1"), ("-2", "-1", "0"), ("1", "10", "100"), ("a-1", "a1"), ("Nan Madol", "Nara")],
)
def test_others_are_not(classes: tuple[str, ...]) -> None:
    assert class_name_notes(classes) == ()
