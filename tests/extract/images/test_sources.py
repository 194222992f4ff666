"""The content of an image decides its digest, wherever its bytes are."""

from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.images.sources import EncodedImage, ImageArray, ImageFile
from head2toe.store.common.errors import DataError
from PIL import Image


def test_content_decides_the_digest(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    packed = EncodedImage("in a tar file", (tmp_path / "a.png").read_bytes)
    assert ImageFile(tmp_path / "a.png").digest() == ImageFile(tmp_path / "b.png").digest() == packed.digest()
    assert np.array_equal(np.asarray(packed.load()), np.asarray(ImageFile(tmp_path / "a.png").load()))
    assert ImageArray("a", pixels).digest() != ImageArray("a", pixels.T.copy()).digest()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read image .*gone\.jpg"):
        ImageFile(tmp_path / "gone.jpg").load()
