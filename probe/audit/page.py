"""The page of an audit: for every kind of finding the pictures, what is wrong with them, and what to do."""

from collections.abc import Iterable, Mapping
from typing import Any

from head2toe.probe.audit.findings import KINDS
from head2toe.probe.report.mistakes import Thumbnail, data_url
from head2toe.probe.report.rendering import fill

MOST_SHOWN = 48
"""Findings of a kind that the page shows, the first; the CSV has all of them."""
MOST_PICTURES = 4
"""Pictures of one finding."""
SECTIONS = {
    "leak": (
        "In training and in test",
        "These pictures are on both sides. A test that knows its pictures promises too much: take the training images "
        "out.",
    ),
    "label": (
        "Labels that look wrong",
        "Heads that had not seen these images find another class far more probable than the one given. Look at each: "
        "relabel it, take it out, or keep it if the label is right.",
    ),
    "duplicate": (
        "The same picture more than once",
        "Copies count twice, and where they are in different folds cross-validation promises too much. Keep one of "
        "each; where their labels differ, one is wrong.",
    ),
    "one class": (
        "Classes that nothing tells apart",
        "Of these pairs the features say no more than chance would. Merge them, or look whether their labels mean what "
        "they should.",
    ),
    "two classes": (
        "Pictures of two classes",
        "Two classes share nearly all of the probability of these images. They may show both: a label can name one.",
    ),
    "outlier": (
        "Unlike all others",
        "These images are far from all training images in the last layer: broken files, other cameras, other things.",
    ),
}
"""The heading of every kind, and what to do."""
PHRASES = {
    "leak": "in training and in test",
    "label": "whose label looks wrong",
    "duplicate": "there more than once",
    "one class": "pairs of classes that nothing tells apart",
    "two classes": "of two classes",
    "outlier": "unlike all others",
}


def render(audit: Mapping[str, Any], thumbnail: Thumbnail) -> str:
    """Make the page: one HTML file that needs nothing else.

    Parameters
    ----------
    audit : mapping
        The document of an `Audit`.
    thumbnail : callable
        Image name to the bytes of a small JPEG; None where the image can't be had.

    Raises
    ------
    MissingExtra
        Jinja is not installed.
    """
    sections = []
    for kind in KINDS:
        findings = [finding for finding in audit["findings"] if finding["kind"] == kind]
        if findings:
            title, text = SECTIONS[kind]
            cards = [_card(finding, thumbnail) for finding in findings[:MOST_SHOWN]]
            sections.append({"title": title, "text": text, "cards": cards, "of": len(findings), "kind": kind})
    return fill("audit.html", audit=audit, sections=sections, lead=lead(audit))


def lead(audit: Mapping[str, Any]) -> str:
    """Say in a sentence how much there is to look at."""
    rows = " and ".join(f"{n:,} {'training' if split == 'train' else split}" for split, n in audit["rows"].items())
    n = sum(audit["counts"].values())
    if not n:
        return f"Nothing to complain of in {rows} images."
    parts = [f"{count:,} {PHRASES[kind]}" for kind, count in audit["counts"].items() if count]
    return f"Found in {rows} images: {', '.join(parts)}."


def _card(finding: Mapping[str, Any], thumbnail: Thumbnail) -> dict[str, Any]:
    """What the page shows of a finding."""
    pictures = zip(finding["images"], finding["labels"], strict=False)
    shown: Iterable[tuple[str, str]] = list(pictures)[:MOST_PICTURES]
    return {
        **finding,
        "pictures": [{"name": name, "label": label, "src": data_url(thumbnail(name))} for name, label in shown],
        "more": max(len(finding["images"]) - MOST_PICTURES, 0),
    }
