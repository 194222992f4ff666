"""Charts as parts of a page: names stay as they are, whatever they look like, and fit where they stand."""

import re
from html import escape, unescape

import numpy as np
import pytest
from head2toe.probe.report import confusion_matrix
from head2toe.probe.report.svg import LINES, VARIABLES, short, spread

NAMES = ("#010203", 'id="x"', 'href="#x"', "url(#x)", "xlink:href=", "</text><b>")


def test_names_that_look_like_colours_or_markup_stay_as_they_are() -> None:
    svg = confusion_matrix.draw("chart", "title", np.eye(len(NAMES), dtype=int), NAMES, "description")
    texts = [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
    assert all(texts.count(name) == 2 for name in NAMES)
    tags = "".join(re.findall(r"<[^<>]*>", svg))
    assert not [colour for colour in VARIABLES if colour in tags]
    assert set(re.findall(r"var\(--(\w+)\)", tags)) <= set(VARIABLES.values())
    assert all(name.startswith("chart-") for name in re.findall(r'\bid="([^"]*)', tags))


def test_title_and_description_are_escaped() -> None:
    hostile = '<script>"&'
    svg = confusion_matrix.draw("chart", hostile, np.eye(2, dtype=int), ("a", "b"), hostile)
    assert svg.count(escape(hostile)) == 2
    assert "<script>" not in svg


def test_every_colour_has_a_variable_of_its_own() -> None:
    assert set(LINES) <= set(VARIABLES)
    assert len(set(VARIABLES.values())) == len(VARIABLES)


@pytest.mark.parametrize("text", ["", "a", "a" * 16, "a" * 17, "a\nb\x00c" * 9, "日本" * 20])
def test_a_short_name_is_one_printable_line(text: str) -> None:
    assert len(short(text)) == min(len(text), 16)
    assert short(text).isprintable()


@pytest.mark.parametrize(("n", "k"), [(1, 3), (2, 3), (3, 3), (4, 3), (51, 3), (100, 7)])
def test_positions_are_spread_from_the_first_to_the_last(n: int, k: int) -> None:
    positions = list(spread(n, k))
    assert len(positions) == min(n, k)
    assert (positions[0], positions[-1]) == (0, n - 1)
    steps = np.diff(positions)
    assert not len(steps) or steps.max() - steps.min() <= 1
