"""Notes on classes that may be no classes of their own, by their names."""

import re
import unicodedata
from collections.abc import Sequence

_GAPS = ("na", "n/a", "none", "null", "nat", "?", "-", "unlabeled", "unlabelled")
"""What a table may write into a gap, and what may be a class."""
_IMAGES, _MASKS = {"images", "image", "imgs", "jpegimages"}, {"labels", "masks", "mask", "annotations", "segmentation"}
"""What folders of segmentation data are called."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LONGEST_NUMBER = 15


def class_name_notes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return notes that name classes which may be no classes of their own.

    Some differ in case or blanks alone, or in how a number is written (`1`, `01`); some are called as tables call what
    is missing (`NA`); some are folders of images and of their masks.

    Parameters
    ----------
    classes : sequence of str
        The names of a task's classes.
    """
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(_plain(name), []).append(name)
    same = [", ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    gaps = [name for name in classes if name.strip().lower() in _GAPS]
    if "-1" in classes and len(classes) > 2 and sum(name.startswith("-") for name in classes) == 1:
        gaps.append("-1")
    plain = {name.strip().lower() for name in classes}
    masks = plain & _IMAGES and plain & _MASKS and plain <= _IMAGES | _MASKS
    return (
        *([f"the classes are {' and '.join(map(repr, classes))}, as in data for segmentation"] if masks else []),
        *([f"classes that differ in case, blanks or zeros alone: {'; '.join(same[:3])}"] if same else []),
        *(f"{name!r} is read as a class; if it says that there is no label, remove its images" for name in gaps),
    )


def _plain(name: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())
    return f"{float(text):g}" if _NUMBER.fullmatch(text) and len(text) <= _LONGEST_NUMBER else text
