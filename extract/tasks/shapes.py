"""Drawn tasks about structure, not texture: how many shapes, where a shape stands, which way it points.

They need no download: every image is drawn from a seed when it is asked for. `shapes_location` and
`shapes_orientation` ask two questions of the same images, as dSprites' two tasks in VTAB do.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from head2toe.extract.images.sources import ImageArray, ImageSource
from head2toe.extract.readers.listing import Listing
from PIL import Image, ImageDraw

SIDE = 64
"""Width and height of an image in pixels."""
N_TRAIN, N_TEST = 1000, 1000
"""Training rows and test rows of each task."""
MAX_SHAPES = 8
"""The most shapes in an image of `shapes_count`, whose classes are 1, 2, …, 8."""
GRID = 4
"""Rows and columns of the grid of `shapes_location`, whose classes are its cells in reading order."""
TURNS = 16
"""Number of directions of `shapes_orientation`, bins of 22.5 degrees, as many as of dSprites in VTAB."""

_OVERSAMPLING = 4
"""How many times as large an image is drawn as it is."""
_GAP = 3.0
"""The least distance of two shapes in pixels."""
_CONTRAST = 110
"""The least distance (in RGB, 0 to 255) of a shape's colour from the background's."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """A filled polygon.

    Attributes
    ----------
    corners : tuple of (float, float)
        Corners around the centre, in units of the radius.
    x, y : float
        The centre in pixels from the image's left and upper edge.
    radius : float
        The radius in pixels.
    turn : float
        The angle in radians by which it is turned clockwise.
    colour : (int, int, int)
        Red, green and blue, 0 to 255.
    """

    corners: tuple[tuple[float, float], ...]
    x: float
    y: float
    radius: float
    turn: float
    colour: Colour

    def polygon(self, scale: float) -> list[tuple[float, float]]:
        """Return the corners in pixels, times `scale`."""
        c, s = math.cos(self.turn) * self.radius, math.sin(self.turn) * self.radius
        return [((self.x + c * u - s * v) * scale, (self.y + s * u + c * v) * scale) for u, v in self.corners]


@dataclass(frozen=True)
class Scene:
    """Shapes on a background that runs from one colour at the top to another at the bottom."""

    top: Colour
    bottom: Colour
    shapes: tuple[Shape, ...]

    def draw(self) -> np.ndarray:
        """Draw the scene as a (64, 64, 3) uint8 array with smooth edges: four times as large, then averaged."""
        size = SIDE * _OVERSAMPLING
        down = np.linspace(0, 1, size)[:, None, None]
        ground = np.rint(np.array(self.top) * (1 - down) + np.array(self.bottom) * down)
        canvas = Image.fromarray(np.broadcast_to(ground, (size, size, 3)).astype(np.uint8))
        pen = ImageDraw.Draw(canvas)
        for shape in self.shapes:
            pen.polygon(shape.polygon(_OVERSAMPLING), fill=shape.colour)
        return np.asarray(canvas.reduce(_OVERSAMPLING))


@dataclass(frozen=True, eq=False)
class DrawnImage:
    """An image that is drawn when its pixels are asked for; its digest is that of the pixels.

    Attributes
    ----------
    name : str
        What messages call the image.
    scene : callable
        Returns what is to be drawn.
    """

    name: str
    scene: Callable[[], Scene]

    @property
    def format(self) -> str:
        """`pixels`: a drawn image has no file format."""
        return "pixels"

    def digest(self) -> str:
        """Return the digest of the pixels, as an `ImageArray` does."""
        return self._array.digest()

    def load(self) -> Image.Image:
        """Return the drawn image in mode `RGB`."""
        return self._array.load()

    @cached_property
    def _array(self) -> ImageArray:
        return ImageArray(self.name, self.scene().draw())


def count(seed: int = 0) -> Listing:
    """Make the task of counting shapes, 1 to 8, of any kind, size and colour, none of which touches another."""
    labels = _balanced(MAX_SHAPES, seed, "count")
    scenes = [partial(_crowd, seed, row, label + 1) for row, label in enumerate(labels)]
    return _listing("count", seed, scenes, labels, [str(n + 1) for n in range(MAX_SHAPES)])


def location(seed: int = 0) -> Listing:
    """Make the task of telling in which cell of a 4 x 4 grid the centre of the one shape lies."""
    names = [f"row {y + 1}, column {x + 1}" for y in range(GRID) for x in range(GRID)]
    return _listing("single", seed, _singles(seed), _balanced(GRID * GRID, seed, "location"), names)


def orientation(seed: int = 0) -> Listing:
    """Make the task of telling in which of 16 directions the one shape points."""
    names = [f"{360 / TURNS * turn:g} degrees" for turn in range(TURNS)]
    return _listing("single", seed, _singles(seed), _balanced(TURNS, seed, "orientation"), names)


def _listing(
    kind: str, seed: int, scenes: Sequence[Callable[[], Scene]], labels: Sequence[int], names: Sequence[str]
) -> Listing:
    rows: list[tuple[ImageSource, int]] = [
        (DrawnImage(f"shapes/{kind}/{row:04d}", scene), label)
        for row, (scene, label) in enumerate(zip(scenes, labels, strict=True))
    ]
    return Listing(
        layout="embedded",
        source=f"head2toe.extract.tasks.shapes ({kind}, seed {seed})",
        classes=tuple(names),
        train=rows[:N_TRAIN],
        test=rows[N_TRAIN:],
        ordered=True,
    )


def _balanced(n_classes: int, seed: int, word: str) -> list[int]:
    """A shuffled label for each row; the numbers of two classes differ by one at most, in training and test rows."""
    rng = _random(seed, word)
    parts = [rng.permutation(np.arange(n) % n_classes) for n in (N_TRAIN, N_TEST)]
    return [int(label) for label in np.concatenate(parts)]


def _singles(seed: int) -> list[Callable[[], Scene]]:
    where, turns = _balanced(GRID * GRID, seed, "location"), _balanced(TURNS, seed, "orientation")
    return [partial(_single, seed, row, *pair) for row, pair in enumerate(zip(where, turns, strict=True))]


def _single(seed: int, row: int, where: int, turn: int) -> Scene:
    """One shape with a head and a tail, in a cell of the grid and turned within a bin."""
    rng = _random(seed, "single", row)
    top, bottom, colours = _palette(rng, 1)
    radius = rng.uniform(6, 9)
    # Cells divide what is left for centres when the shape must not be cut off, by any radius.
    cell = (SIDE - 20) / GRID
    x, y = (10 + cell * (index + rng.uniform(0.08, 0.92)) for index in (where % GRID, where // GRID))
    angle = 2 * math.pi / TURNS * (turn + rng.uniform(-0.4, 0.4))
    corners = _POINTED[rng.integers(len(_POINTED))]
    return Scene(top, bottom, (Shape(corners, x, y, radius, angle, colours[0]),))


def _crowd(seed: int, row: int, number: int) -> Scene:
    """Shapes anywhere, none within `_GAP` pixels of another."""
    rng = _random(seed, "count", row)
    top, bottom, colours = _palette(rng, number)
    placed: list[tuple[float, float, float]] = []
    while len(placed) < number:
        # Drawn anew from the start when there is no room: eight of the largest may not fit.
        placed = []
        for _ in range(200):
            radius = rng.uniform(4, 8)
            x, y = rng.uniform(radius + 1, SIDE - radius - 1, size=2)
            if all(math.hypot(x - a, y - b) >= radius + r + _GAP for a, b, r in placed):
                placed.append((x, y, radius))
            if len(placed) == number:
                break
    kinds = [_KINDS[rng.integers(len(_KINDS))] for _ in placed]
    turns = rng.uniform(0, 2 * math.pi, size=number)
    return Scene(
        top,
        bottom,
        tuple(
            Shape(corners, x, y, radius, turn, colour)
            for corners, (x, y, radius), turn, colour in zip(kinds, placed, turns.tolist(), colours, strict=True)
        ),
    )


def _palette(rng: np.random.Generator, number: int) -> tuple[Colour, Colour, list[Colour]]:
    """Two near background colours, and colours for shapes that stand out from both."""
    ground = rng.integers(20, 236, size=3)
    top, bottom = (np.clip(ground + rng.integers(-25, 26, size=3), 0, 255) for _ in range(2))
    colours: list[Colour] = []
    while len(colours) < number:
        colour = rng.integers(0, 256, size=3)
        if min(np.linalg.norm(colour - top), np.linalg.norm(colour - bottom)) >= _CONTRAST:
            colours.append(_rgb(colour))
    return _rgb(top), _rgb(bottom), colours


def _rgb(colour: np.ndarray) -> Colour:
    red, green, blue = colour.tolist()
    return red, green, blue


def _random(seed: int, word: str, row: int = 0) -> np.random.Generator:
    """A generator of its own for every purpose and row: an image does not depend on those drawn before it."""
    return np.random.default_rng([seed, row, *word.encode()])


def _star(radii: Sequence[float], start: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Corners at equal angles, at these distances from the centre."""
    step = 2 * math.pi / len(radii)
    return tuple((r * math.cos(start + i * step), r * math.sin(start + i * step)) for i, r in enumerate(radii))


_KINDS = (
    _star([1.0] * 3),
    _star([1.0] * 4),
    _star([1.0] * 5),
    _star([1.0] * 24),  # as good as a disc
    _star([1.0, 0.5] * 5),
    _star([1.0, 0.45] * 4),
)
_POINTED = (
    ((1.0, 0.0), (0.0, 0.7), (0.0, 0.3), (-0.9, 0.3), (-0.9, -0.3), (0.0, -0.3), (0.0, -0.7)),  # an arrow
    ((1.0, 0.0), (-0.8, 0.55), (-0.4, 0.0), (-0.8, -0.55)),  # a dart
    ((1.0, 0.0), (0.0, 0.25), (-0.8, 0.5), (-0.8, -0.5), (0.0, -0.25)),  # a wedge
)
