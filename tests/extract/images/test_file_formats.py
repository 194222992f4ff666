"""The format of an image is told by its first bytes."""

import io

import pytest
from head2toe.extract.images.file_formats import format_of_bytes
from head2toe.extract.images.sources import EncodedImage
from PIL import Image


@pytest.mark.parametrize(("format", "name"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif")])
def test_formats_are_known_by_their_first_bytes(format: str, name: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, format)
    assert format_of_bytes(buffer.getvalue()) == name
    assert EncodedImage("x", buffer.getvalue).format == name
