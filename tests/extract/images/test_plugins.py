"""HEIF and JPEG XL are read where their packages are installed (extras heif, jxl); a header is read without them."""

import io

import numpy as np
import pytest
from head2toe.extract.images.decode import decode
from head2toe.extract.images.jpeg_xl import Header, read_header
from head2toe.store.common.errors import DataError
from PIL import Image, ImageOps

PICTURE = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (48, 1, 3)))
PICTURE.paste((200, 20, 20), (0, 0, 20, 20))

CODESTREAM = bytes.fromhex("ff0ad0024880480800010018004b188b158201")
"""Of an image 37 pixels wide and 91 high."""


def box(name: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + name + content


@pytest.mark.parametrize(
    "content",
    [
        CODESTREAM,
        box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", CODESTREAM),
        box(b"JXL ", b"\r\n\x87\n") + box(b"Exif", bytes(99)) + box(b"jxlp", bytes(4) + CODESTREAM),
    ],
)
def test_the_header_of_jpeg_xl_is_read_from_a_codestream_and_from_boxes(content: bytes) -> None:
    assert read_header(io.BytesIO(content)) == Header((37, 91), 1)


def test_size_and_orientation_of_jpeg_xl_are_read_bit_by_bit() -> None:
    """8 x (5 + 1) high, ratio 4:3, fields beside the default, orientation 6."""
    bits = [(0x0AFF, 16), (1, 1), (5, 5), (3, 3), (0, 1), (1, 1), (5, 3)]
    number = position = 0
    for value, count in bits:
        number |= value << position
        position += count
    assert read_header(io.BytesIO(number.to_bytes(16, "little"))) == Header((64, 48), 6)


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20)])
def test_no_codestream_is_said(content: bytes) -> None:
    with pytest.raises(ValueError, match="no JPEG XL codestream"):
        read_header(io.BytesIO(content))


def test_heif_is_read_upright_and_large_ones_are_refused() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    for orientation in range(1, 9):
        tags = Image.Exif()
        tags[0x0112] = orientation
        buffer = io.BytesIO()
        pillow_heif.from_pillow(PICTURE).save(buffer, quality=95, exif=tags.tobytes())
        turned = PICTURE.copy()
        turned.getexif()[0x0112] = orientation
        expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
        assert np.abs(np.asarray(decode("x", buffer)) - expected).mean() < 1
    with pytest.raises(DataError, match=r"64 x 48 pixels; the limit is .*--max-pixels|48 x 64 pixels"):
        decode("x", buffer, max_pixels=64 * 48 - 1)


def test_jpeg_xl_is_read_upright_and_large_ones_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugin = pytest.importorskip("pillow_jxl.JpegXLImagePlugin")
    buffer = io.BytesIO()
    PICTURE.save(buffer, "JXL", lossless=True)
    np.testing.assert_array_equal(np.asarray(decode("x", buffer)), np.asarray(PICTURE))
    monkeypatch.setattr(plugin, "Decoder", None)
    with pytest.raises(DataError, match="64 x 48 pixels; the limit is"):
        decode("x", buffer, max_pixels=64 * 48 - 1)
