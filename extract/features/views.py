"""Views of an image: what of it goes through the backbone beside the whole, the same in every task and machine.

A view is made of the decoded image, before it is resized. What is drawn of it is drawn from a hash of the image's
content and of the view's identity, the seed among it; no generator of random numbers has a state to depend on.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from head2toe.extract.images.sources import ImageSource
from head2toe.extract.options import DRAWN_SHARES
from head2toe.store.common.fingerprint import canonical
from PIL import Image


@dataclass(frozen=True)
class View:
    """A deterministic part or turn of an image.

    - `plain`: the whole image as it is.
    - `flip`: the whole image, left and right swapped.
    - `crop`: a part at a place that is drawn; each of its sides is a share of the image's that is drawn for itself, so
      that its shape is drawn, too.
    - `scale`: the middle of the image, of both sides the same share, which is drawn: things grow, and stay where they
      are as seen from the middle.

    Attributes
    ----------
    name : str
        `plain`, or one of `options.single_views`: `flip`, `crop#1`, `scale#2:0.3-0.5`.
    seed : int
        Of what is drawn; 0 for a view of which nothing is.
    """

    name: str
    seed: int = 0

    @classmethod
    def of(cls, name: str, seed: int) -> "View":
        """Return the view of a name of `options.single_views`; the seed counts only where something is drawn."""
        return cls(name, seed if "#" in name else 0)

    @property
    def identity(self) -> dict[str, Any]:
        """What of a store's identity is the view's, as JSON; nothing for the whole image."""
        kind, _, rest = self.name.partition("#")
        if self.name == "plain":
            return {}
        if not rest:
            return {"view": {"kind": kind}}
        number, _, shares = rest.partition(":")
        least, most = map(float, shares.split("-")) if shares else DRAWN_SHARES
        return {"view": {"kind": kind, "number": int(number), "least": least, "most": most, "seed": self.seed}}

    def __call__(self, image: Image.Image, source: ImageSource) -> Image.Image:
        """Return the view of a decoded image.

        Parameters
        ----------
        image : Image
            The image's pixels.
        source : ImageSource
            Where they come from; its content hash decides what is drawn.

        Raises
        ------
        DataError
            The content can't be hashed; the message names the image.
        """
        view = self.identity.get("view", {})
        if not view:
            return image
        if view["kind"] == "flip":
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.crop(self.box(image.size, source.digest()))

    def box(self, size: tuple[int, int], digest: str) -> tuple[int, int, int, int]:
        """Return where a drawn view lies in an image: left, top, right and bottom edge in pixels.

        Parameters
        ----------
        size : tuple of int
            Width and height of the image.
        digest : str
            The image's content hash.
        """
        view = self.identity["view"]
        width_share, height_share, x, y = _uniform(canonical([digest, view]))
        if view["kind"] == "scale":
            height_share, x, y = width_share, 0.5, 0.5
        spread = view["most"] - view["least"]
        width = max(1, round(size[0] * (view["least"] + spread * width_share)))
        height = max(1, round(size[1] * (view["least"] + spread * height_share)))
        left, top = int(x * (size[0] - width + 1)), int(y * (size[1] - height + 1))
        return left, top, left + width, top + height


PLAIN = View("plain")
"""The whole image."""


def _uniform(text: str) -> list[float]:
    """Draw four numbers from [0, 1) by a hash of a text."""
    drawn = hashlib.sha256(text.encode()).digest()
    return [int.from_bytes(drawn[i : i + 6], "big") / 2**48 for i in range(0, 24, 6)]
