"""Duplicates, classes and outliers are found in made-up data, and nothing where there is nothing."""

import numpy as np
import pytest
from head2toe.probe.audit.classes import alike_classes, ambiguous_images, outliers
from head2toe.probe.audit.duplicates import duplicate_findings, duplicate_pairs, equal_pairs, groups
from head2toe.probe.audit.findings import ACTIONS, KINDS, Finding, in_order
from head2toe.probe.audit.page import render


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Features and grey versions of 30 pictures that have nothing in common."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (30, 8, 8))
    return rng.standard_normal((30, 64)), np.kron(coarse, np.ones((1, 4, 4))).astype(np.uint8)


def test_copies_are_found_turned_mirrored_and_brightened(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    features, grey = pictures
    assert duplicate_pairs(features, grey) == []
    changed = np.stack([np.rot90(grey[0]), np.flip(grey[1], axis=1), (grey[2] * 0.6 + 40).astype(np.uint8), grey[3]])
    noise = 0.1 * np.random.default_rng(1).standard_normal((4, 64))
    both = np.concatenate([features, features[:4] + noise]), np.concatenate([grey, changed])
    assert [(i, j) for i, j, _ in duplicate_pairs(*both)] == [(0, 30), (1, 31), (2, 32), (3, 33)]
    strangers = np.concatenate([features, np.random.default_rng(2).standard_normal((4, 64))]), both[1]
    assert duplicate_pairs(*strangers) == [], "pixels alone are not enough"


def test_constant_pictures_are_like_no_other(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = pictures
    assert duplicate_pairs(np.tile(features[:1], (5, 1)), np.full((5, 32, 32), 7, np.uint8)) == []


def test_groups_put_together_what_pairs_connect() -> None:
    assert groups([(0, 1, 1.0), (5, 6, 1.0), (1, 5, 1.0), (8, 9, 1.0)]) == [[0, 1, 5, 6], [8, 9]]
    assert groups([]) == []


def test_a_leak_is_told_from_a_duplicate_and_labels_that_differ_are_looked_at() -> None:
    names, labels = [f"{i}.png" for i in range(8)], ["a", "a", "b", "b", "a", "b", "a", "a"]
    found = duplicate_findings([(0, 1, 0.9), (2, 5, 0.95), (3, 4, 0.8), (6, 7, 0.99)], names, labels, 5)
    shown = [(one.kind, one.images, one.split, one.action) for one in found]
    assert shown == [
        ("duplicate", ("0.png", "1.png"), "train", "remove"),
        ("leak", ("2.png", "5.png"), "train and test", "remove"),
        ("duplicate", ("3.png", "4.png"), "train", "look"),
        ("duplicate", ("6.png", "7.png"), "test", "remove"),
    ]


def test_a_chain_of_pictures_is_looked_at_and_not_thinned_out() -> None:
    names, labels = ["0", "1", "2"], ["a"] * 3
    (chain,) = duplicate_findings([(0, 1, 0.9), (1, 2, 0.9)], names, labels, 3)
    (whole,) = duplicate_findings([(0, 1, 0.9), (1, 2, 0.9), (0, 2, 0.9)], names, labels, 3)
    assert (chain.action, whole.action) == ("look", "remove")


def test_classes_that_chance_tells_apart_are_one() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    P = np.full((120, 3), 0.02)
    P[labels == 2, 2] = 0.9
    share = np.tile(rng.uniform(0.2, 0.8, 40), 2)
    P[:80, 0], P[:80, 1] = share, 1 - share
    (one,) = alike_classes(P / P.sum(1, keepdims=True), labels, ("ash", "beech", "cat"))
    assert (one.kind, one.labels, one.action, one.images) == ("one class", ("ash", "beech"), "merge", ())
    told = np.where(labels[:80] == 0, 0.9, 0.1)
    P[:80, 0], P[:80, 1] = told, 1 - told
    assert alike_classes(P, labels, ("ash", "beech", "cat")) == []
    assert alike_classes(P[:10], labels[:10], ("ash", "beech", "cat")) == [], "too few rows to say so"


def test_an_image_of_two_classes_has_both_probable() -> None:
    P = np.array([[0.5, 0.48, 0.02], [0.6, 0.2, 0.2], [0.97, 0.02, 0.01], [0.01, 0.5, 0.49]])
    found = ambiguous_images(P, np.array([0, 0, 0, 0]), list("wxyz"), ("cat", "dog", "cow"), "test")
    assert [(one.images, one.suggestion, one.split) for one in found] == [
        (("w",), "dog", "test"),
        (("z",), "dog", "test"),
    ]
    assert ambiguous_images(P[:, :2], np.zeros(4, int), list("wxyz"), ("cat", "dog"), "test") == []


def test_an_outlier_is_far_out() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((80, 20))
    names, labels = [str(i) for i in range(80)], ["a"] * 80
    assert outliers(features, names, labels, 60) == []
    features[[7, 70]] += 40 * rng.standard_normal((2, 20))
    assert {one.images[0]: one.split for one in outliers(features, names, labels, 60)} == {"7": "train", "70": "test"}
    assert outliers(features[:10], names[:10], labels[:10], 10) == []
    assert outliers(np.ones((40, 3)), names[:40], labels[:40], 40) == [], "all alike"


def test_findings_come_by_kind_and_then_the_surest_first() -> None:
    made = [
        Finding("outlier", ("x",), "train", ("a",), None, 0.9, "look"),
        Finding("label", ("y",), "train", ("a",), "b", 0.2, "relabel"),
        Finding("label", ("z",), "train", ("a",), "b", 0.8, "relabel", influence=2.5),
    ]
    ordered = in_order(made)
    assert [one.images[0] for one in ordered] == ["z", "y", "x"]
    assert all(one.kind in KINDS and one.action in ACTIONS for one in ordered)
    assert ordered[0].document()["influence"] == 2.5


def test_images_of_the_same_bytes_are_copies_whatever_they_show() -> None:
    pairs = equal_pairs(["a", "b", "a", "c", "a", "b"])
    assert pairs == [(0, 2, 1.0), (0, 4, 1.0), (2, 4, 1.0), (1, 5, 1.0)]
    findings = duplicate_findings(pairs, list("uvwxyz"), ["cat", "cat", "cat", "dog", "dog", "cat"], 5)
    assert [(one.kind, one.images, one.action) for one in findings] == [
        ("duplicate", ("u", "w", "y"), "look"),
        ("leak", ("v", "z"), "remove"),
    ]
    assert equal_pairs([]) == []


def test_the_page_says_that_labels_differ_only_where_they_do() -> None:
    names, labels = ["a", "b", "c", "d", "e"], ["cat", "cat", "cat", "<b>", "dog"]
    chain = duplicate_findings([(0, 1, 0.9), (1, 2, 0.9)], names, labels, 5)
    mixed = duplicate_findings([(3, 4, 0.9)], names, labels, 5)
    for findings, says in ((chain, 0), (mixed, 1)):
        counted = dict.fromkeys(KINDS, 0) | {"duplicate": 1}
        found = {"task": "t", "method": "linear", "rows": {"train": 5}, "counts": counted, "notes": []}
        html = render(found | {"findings": [one.document() for one in findings]}, lambda name: None)  # noqa: ARG005
        assert [one.action for one in findings] == ["look"]
        assert html.count("<b>labels differ</b>") == says
        assert "<b> /" not in html


@pytest.mark.parametrize(("copies", "each"), [(30, 1), (0, 8), (40, 1)])
def test_copies_make_no_outliers_of_other_images(copies: int, each: int) -> None:
    """Half of the images one picture, every picture eight times, and nothing but copies."""
    features = np.random.default_rng(0).standard_normal((60, 20))
    features[:copies] = features[0]
    features = np.repeat(features[: 60 // each + 1], each, axis=0)[:60].astype(np.float32)
    assert outliers(features, [str(i) for i in range(60)], ["a"] * 60, 45) == []
    if copies == 30:
        features[50] = 30 * features[50]
        (found,) = outliers(features, [str(i) for i in range(60)], ["a"] * 60, 45)
        assert (found.images, found.split) == (("50",), "test")
