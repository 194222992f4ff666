"""A folder of images that is worth sharing."""

from pathlib import Path

import numpy as np
from PIL import Image

N = 200
BLOCKS = 7  # what a cluster shares them as


def many_images(folder: Path, n: int = N, seed: int = 0) -> Path:
    """Fill a folder with images of two classes; return it."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        of_class = folder / "ab"[i % 2]
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(of_class / f"{i:03d}.png")
    return folder
