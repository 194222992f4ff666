"""The same picture more than once, in the training rows or on both sides of train and test.

Two images are taken for one picture where the features of the last layer (their cosine) and the pixels agree: the
correlation of small grey versions of both, one of them turned or mirrored as suits best. Features alone confuse
pictures of the same thing, pixels alone pictures of the same brightness. Frames of one film count as the same picture.
Copies that were cut or turned by a little are for `near_copies`.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from head2toe.probe.audit.findings import Finding

AGREEMENT = 1.6
"""What the cosine of the features and the correlation of the pixels must sum to."""
LEAST = 0.45
"""The least that each of them must be."""
ROWS_AT_ONCE = 512
SIDE = 32
"""Width and height at which pixels are compared, where they are a part of the pictures'."""


def duplicate_pairs(features: np.ndarray, thumbnails: np.ndarray) -> list[tuple[int, int, float]]:
    """Find pairs of rows that show the same picture.

    Parameters
    ----------
    features : (n, d) float array
        Of the last layer; their mean is taken off.
    thumbnails : (n, s, s) array
        Small grey versions of the images; s is 32 or less, or a multiple of 32.

    Returns
    -------
    list of (int, int, float)
        Rows i < j, and the mean of both agreements.
    """
    thumbnails = shrunk(thumbnails, min(SIDE, thumbnails.shape[-1]))
    unit = standardised(features - features.mean(axis=0))
    pixels = standardised(thumbnails.reshape(len(thumbnails), -1).astype(np.float32))
    turned = [standardised(view.reshape(len(view), -1).astype(np.float32)) for view in symmetries(thumbnails)]
    pairs = []
    for start in range(0, len(unit), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        cosines = unit[rows] @ unit[start:].T
        if not np.triu(cosines >= LEAST, 1).any():
            continue
        correlations = np.max([pixels[rows] @ view[start:].T for view in turned], axis=0)
        alike = (cosines + correlations >= AGREEMENT) & (np.minimum(cosines, correlations) >= LEAST)
        for i, j in np.argwhere(np.triu(alike, 1)):
            score = float(cosines[i, j] + correlations[i, j]) / 2
            pairs.append((start + int(i), start + int(j), min(score, 1.0)))
    return pairs


def equal_pairs(digests: Sequence[str]) -> list[tuple[int, int, float]]:
    """Find pairs of rows whose images are of the same bytes, also of one grey: they are one picture for certain.

    Parameters
    ----------
    digests : sequence of str
        The content hash of every row's image.

    Returns
    -------
    list of (int, int, float)
        Rows i < j, and 1.
    """
    rows_of: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        rows_of.setdefault(digest, []).append(row)
    return [(i, j, 1.0) for rows in rows_of.values() for i, j in combinations(rows, 2)]


def symmetries(images: np.ndarray) -> list[np.ndarray]:
    """Return images (n, s, s) turned by each quarter and mirrored: eight arrays of that shape."""
    turned = [np.rot90(images, quarter, axes=(1, 2)) for quarter in range(4)]
    return turned + [np.flip(view, axis=2) for view in turned]


def standardised(rows: np.ndarray) -> np.ndarray:
    """Return rows (n, k) less their mean, of unit length; a constant row is zero, and like no other."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-6, rows / np.maximum(length, 1e-6), 0.0), np.float32)


def shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """Return images (n, s, s) as the means of blocks of pixels: (n, side, side), s being a multiple of the side."""
    block = images.shape[-1] // side
    return np.asarray(images.reshape(-1, side, block, side, block).mean(axis=(2, 4), dtype=np.float32))


def groups(pairs: Sequence[tuple[int, int, float]]) -> list[list[int]]:
    """Put rows together that pairs connect: lists of ascending rows, in the order of their first."""
    group_of: dict[int, list[int]] = {}
    for i, j, _ in pairs:
        one, other = group_of.setdefault(i, [i]), group_of.setdefault(j, [j])
        if one is not other:
            one += other
            group_of |= dict.fromkeys(other, one)
    unique = {id(group): group for group in group_of.values()}
    return sorted(sorted(group) for group in unique.values())


def duplicate_findings(
    pairs: Sequence[tuple[int, int, float]], names: Sequence[str], labels: Sequence[str], n_train: int
) -> list[Finding]:
    """Make findings of pairs: one for each group of rows that show the same picture.

    The training rows of a group that has test rows should go, or the test tells less than it seems to; of others all
    but one. Where the labels of a group differ, one of them is wrong, and where not every two of them are alike it is a
    chain, such as the frames of a film: somebody has to look.

    Parameters
    ----------
    pairs : sequence
        Of `duplicate_pairs`.
    names, labels : sequence of str
        Of all n rows, the `n_train` training rows first.
    n_train : int
    """
    scores: dict[int, float] = {}
    partners: dict[int, int] = {}
    for i, j, score in pairs:
        scores[i], scores[j] = max(scores.get(i, 0.0), score), max(scores.get(j, 0.0), score)
        partners[i], partners[j] = partners.get(i, 0) + 1, partners.get(j, 0) + 1
    findings = []
    for group in groups(pairs):
        given = tuple(labels[row] for row in group)
        tested = [row >= n_train for row in group]
        leak = any(tested) and not all(tested)
        same = len(set(given)) == 1 and all(partners[row] == len(group) - 1 for row in group)
        findings.append(
            Finding(
                kind="leak" if leak else "duplicate",
                images=tuple(names[row] for row in group),
                split="train and test" if leak else "test" if all(tested) else "train",
                labels=given,
                suggestion=None,
                score=round(max(scores[row] for row in group), 4),
                action="remove" if same else "look",
                kept=tuple(names[row] for row in group if row >= n_train) if leak else (names[group[0]],),
            )
        )
    return findings
