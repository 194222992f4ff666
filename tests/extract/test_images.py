"""Pixels from every kind of file, and errors that name the file."""

from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.images import ImageArray, ImageFile
from head2toe.store.errors import DataError
from PIL import Image


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (5, 4), (200, 200, 200)).convert(mode).save(tmp_path / "x.png")
    image = ImageFile(tmp_path / "x.png").load()
    assert (image.mode, image.size) == ("RGB", (5, 4))


def test_cmyk_and_exif_rotation(tmp_path: Path) -> None:
    Image.new("CMYK", (5, 4)).save(tmp_path / "x.jpg")
    assert ImageFile(tmp_path / "x.jpg").load().mode == "RGB"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (5, 4)).save(tmp_path / "y.jpg", exif=exif)
    assert ImageFile(tmp_path / "y.jpg").load().size == (4, 5)


def test_sixteen_bit_greys_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    values = np.asarray(ImageFile(tmp_path / "x.png").load())[..., 0]
    assert (values.min(), values.max()) == (0, 255)
    assert len(np.unique(values)) > 200


def test_content_decides_the_digest(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert ImageFile(tmp_path / "a.png").digest() == ImageFile(tmp_path / "b.png").digest()
    assert ImageArray("a", pixels).digest() != ImageArray("a", pixels.T.copy()).digest()


@pytest.mark.parametrize("content", [b"", b"GIF89a broken", b"plain text"])
def test_a_corrupt_file_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.jpg"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"can't read image .*bad\.jpg .*--on-error skip"):
        ImageFile(file).load()


def test_a_truncated_jpeg_is_corrupt(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(DataError, match="truncated"):
        ImageFile(file).load()
