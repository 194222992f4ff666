"""Copies of a picture that were cut or turned by a little: found by laying one picture over the other.

Cut by a tenth or turned by ten degrees, a picture agrees with itself in no pixel any more, while the features of the
last layer still bring both near to each other. So of each picture the nearest ones in the features are laid over it:
first at a coarse grid of cuts, turns and enlargements, then by steps of least squares to the best affine map between
the two (Lucas & Kanade 1981; with gain and offset of the brightness free, as by Evangelidis & Psarakis 2008).

A pattern that repeats, or is smooth, agrees with many others. So what is left between the two pictures has to be small
beside what is left between one of them and itself when that is shifted.
"""

from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import product

import numpy as np
from head2toe.probe.audit.duplicates import ROWS_AT_ONCE, shrunk, standardised, symmetries
from scipy.sparse import csr_matrix

NEIGHBOURS, LEAST_COSINE = 3, 0.3
"""How many nearest pictures each is compared with, and how alike the features have to be."""
MOST_PAIRS = 10_000
"""Pairs that are laid over each other, those of highest cosines: five milliseconds or so each."""
CUTS = (0.0, 0.07, 0.14)
"""What the grid cuts off at each of the four sides, as a share of the side."""
ANGLES, ZOOMS = (4, 8, 12), (1.0, 1.2, 1.4)
"""Degrees that it turns by, to both sides, each enlarged so."""
COARSE = 32
"""Width and height at which the grid is tried; steps are taken at half of the pictures' width, then at all of it."""
WORTH, WORTH_FINE = 0.4, 0.8
"""The correlation from which steps are taken, and that from which they go on at full size."""
STEPS, FARTHEST = 5, 0.05
"""Steps at each size, and how far one moves at most, as a share of the side."""
LARGEST, SMALLEST, FLATTEST = 1.15, 0.55, 1.4
"""How much a map may stretch, how much it may shrink, and how differently in its two directions."""
INNER = 0.36
"""Half the width of the square at the centre, beside which a turned picture shows what the other one has not."""
AGREEMENT = 0.9
"""The least correlation of a copy."""
LEFT = 0.1
"""What may be left of a copy, 1 less its correlation, as a share of what is left where a picture is shifted."""
SHIFTS = (3, 10)
"""By how many of 32 pixels it is shifted: from so many to so many."""


def near_copies(
    features: np.ndarray, thumbnails: np.ndarray, known: Collection[tuple[int, int]] = ()
) -> list[tuple[int, int, float]]:
    """Find pairs of rows whose pictures lie over each other once one is cut, turned, mirrored or stretched a little.

    Parameters
    ----------
    features : (n, d) float array
        Of the last layer; their mean is taken off.
    thumbnails : (n, s, s) array
        Small grey versions of the images, s a multiple of 32.
    known : collection of (int, int)
        Pairs i < j that need not be looked at.

    Returns
    -------
    list of (int, int, float)
        Rows i < j, and the mean of the cosine and of the correlation of the pixels, once they lie over each other.
    """
    pictures, pairs = _Pictures(thumbnails), []
    for cosine, i, j in _nearest(features, known):
        correlation = pictures.agreement(i, j)
        if correlation < AGREEMENT:
            continue
        shifted = max(pictures.shifted(i), pictures.shifted(j))
        if 1 - correlation <= LEFT * (1 - shifted):
            pairs.append((i, j, (cosine + correlation) / 2))
    return sorted(pairs)


def _nearest(features: np.ndarray, known: Collection[tuple[int, int]]) -> list[tuple[float, int, int]]:
    """Cosine and rows i < j of every row and its nearest ones, the highest cosines first."""
    unit = standardised(features - features.mean(axis=0))
    cosine_of: dict[tuple[int, int], float] = {}
    for start in range(0, len(unit), ROWS_AT_ONCE):
        cosines = unit[start : start + ROWS_AT_ONCE] @ unit.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -1
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
        for row, near in enumerate(nearest):
            for other in near.tolist():
                pair = (min(start + row, other), max(start + row, other))
                if cosines[row, other] >= LEAST_COSINE and pair not in known:
                    cosine_of[pair] = float(cosines[row, other])
    return sorted(((cosine, *pair) for pair, cosine in cosine_of.items()), reverse=True)[:MOST_PAIRS]


class _Pictures:
    """Small pictures that are laid over each other."""

    def __init__(self, thumbnails: np.ndarray) -> None:
        self._full = thumbnails.astype(np.float32)
        self._maps = list(_grid())
        side = thumbnails.shape[-1]
        self._levels = (_Level(side // 2), _Level(side))
        places = [np.asarray(one) @ _points(COARSE) for one in self._maps]
        self._inner = _is_inner(COARSE)
        inside = np.array([_is_inside(place).all() for place in places])
        self._whole, self._turned = np.flatnonzero(inside), np.flatnonzero(~inside)
        self._resample = _sampler(np.concatenate(places, axis=1), side)
        self._versions = lru_cache(128)(self._make_versions)

    def agreement(self, i: int, j: int) -> float:
        """Return the correlation of two pictures, once they lie over each other as well as they can."""
        (value, k, view), (back, k_back, view_back) = self._coarse(i, j), self._coarse(j, i)
        if back > value:
            i, j, value, k, view = j, i, back, k_back, view_back
        if value < WORTH:
            return value
        affine, turned = self._maps[k], k in self._turned
        for level, wanted in zip(self._levels, (WORTH_FINE, -1.0), strict=True):
            image, target = level.picture(self._full[i]), symmetries(level.picture(self._full[j])[None])[view][0]
            value, affine = level.refined(image, target, affine, turned=turned)
            if value < wanted:
                break
        return value

    def shifted(self, i: int) -> float:
        """Return the highest correlation of a picture with itself, shifted by a tenth of its side to a third."""
        picture, (least, most) = shrunk(self._full[i], COARSE)[0], SHIFTS
        values = [0.0]
        for y, x in product(range(most + 1), range(-most, most + 1)):
            if max(y, abs(x)) < least or (y == 0 and x < 0):
                continue
            here = picture[y:, max(x, 0) : COARSE + min(x, 0)]
            there = picture[: COARSE - y, max(-x, 0) : COARSE + min(-x, 0)]
            values.append(_correlation(here.ravel(), there.ravel()))
        return max(values)

    def _coarse(self, i: int, j: int) -> tuple[float, int, int]:
        """The highest correlation of picture i under the maps of the grid with the symmetries of picture j."""
        best = (-1.0, 0, 0)
        parts = zip((self._whole, self._turned), self._versions(i)[:2], self._versions(j)[2:], strict=True)
        for maps, mapped, views in parts:
            correlations = mapped @ views.T
            k, view = np.unravel_index(correlations.argmax(), correlations.shape)
            best = max(best, (float(correlations[k, view]), int(maps[k]), int(view)))
        return best

    def _make_versions(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Picture i under the maps of the grid, under those that turn, its symmetries, and their inner parts."""
        mapped = (self._resample @ self._full[i].ravel()).reshape(len(self._maps), -1)
        views = np.stack([view.ravel() for view in symmetries(shrunk(self._full[i], COARSE))])
        turned = mapped[self._turned][:, self._inner]
        return tuple(map(standardised, (mapped[self._whole], turned, views, views[:, self._inner])))  # type: ignore[return-value]


class _Level:
    """Pictures at one size, and the steps that lay one over the other there."""

    def __init__(self, side: int) -> None:
        self._side, self._points, self._inner = side, _points(side), _is_inner(side)

    def picture(self, full: np.ndarray) -> np.ndarray:
        """Return a picture (s, s) at this size, a little blurred."""
        small = np.pad(shrunk(full, self._side)[0], 1, mode="edge")
        small = small[:-2] + 2 * small[1:-1] + small[2:]
        return np.asarray(small[:, :-2] + 2 * small[:, 1:-1] + small[:, 2:]) / 16

    def refined(
        self, image: np.ndarray, target: np.ndarray, affine: np.ndarray, *, turned: bool
    ) -> tuple[float, np.ndarray]:
        """Move an affine map (2, 3) to where the image under it is most like the target.

        Each step solves target ≈ gain · (image + its gradients · a change of the map) + offset. Of a turned picture
        its inner part is looked at.

        Returns
        -------
        float, array
            The highest correlation that a map of sensible size had, the lower of that of all that both show and of its
            inner part, for black corners and frames are alike on any picture; and that map.
        """
        fields = np.stack([image, *(gradient * self._side for gradient in np.gradient(image))])
        best, best_map = -1.0, affine
        for step in range(STEPS + 1):
            large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
            if large > LARGEST or small < SMALLEST or large > FLATTEST * small:
                break
            places = affine @ self._points
            seen = _is_inside(places) & self._inner if turned else _is_inside(places)
            if seen.sum() < seen.size // 4:
                break
            values, by_y, by_x = (_sampler(places[:, seen], self._side) @ fields.reshape(3, -1).T).T
            wanted, points = target.ravel()[seen], self._points[:, seen]
            inner = self._inner[seen]
            value = min(_correlation(values, wanted), _correlation(values[inner], wanted[inner]))
            if value > best:
                best, best_map = value, affine
            if step == STEPS:
                break
            columns = np.concatenate([values[None], by_y * points, by_x * points, np.ones((1, len(values)))])
            gram = columns @ columns.T
            gram[np.diag_indices(len(gram))] += 1e-9 * np.trace(gram)
            gain, *change, _ = np.linalg.solve(gram, columns @ wanted)
            if abs(gain) < 0.1:
                break
            affine = affine + np.clip(np.reshape(change, (2, 3)) / gain, -FARTHEST, FARTHEST)
        return best, best_map


def _grid() -> Iterator[np.ndarray]:
    """The affine maps (2, 3) of the grid, from places in one picture to those in the other, both from 0 to 1."""
    for top, bottom, left, right in product(CUTS, repeat=4):
        yield np.array([[1 - top - bottom, 0, top], [0, 1 - left - right, left]])
    for angle, sign, zoom in product(ANGLES, (-1, 1), ZOOMS):
        turn = np.deg2rad(sign * angle)
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / zoom
        yield np.c_[matrix, 0.5 - matrix.sum(axis=1) / 2]


def _points(side: int) -> np.ndarray:
    """The centres of all pixels, (3, side²): y, x, 1."""
    centres = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([y.ravel(), x.ravel(), np.ones(side * side)])


def _is_inside(places: np.ndarray) -> np.ndarray:
    return np.asarray(((places >= 0) & (places <= 1)).all(axis=0))


def _is_inner(side: int) -> np.ndarray:
    return np.asarray((np.abs(_points(side)[:2] - 0.5) < INNER).all(axis=0))


def _sampler(places: np.ndarray, side: int) -> csr_matrix:
    """A matrix that interpolates a picture (side²) at places (2, m) between its pixels."""
    at = np.clip(places * side - 0.5, 0, side - 1)
    first = np.minimum(at.astype(int), side - 2)
    y, x = at - first
    weights = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], axis=1).astype(np.float32)
    corner = first[0] * side + first[1]
    columns = corner[:, None] + np.array([0, 1, side, side + 1])
    ends = np.arange(0, weights.size + 1, 4)
    return csr_matrix((weights.ravel(), columns.ravel(), ends), shape=(places.shape[1], side * side))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = standardised(np.stack([one, other]))
    return float(a @ b)
