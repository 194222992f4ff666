"""Animations and pages are counted in a note; the first frame is what is read."""

import io
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.images.frames import has_several_frames, several_frames_note
from head2toe.extract.images.sources import EncodedImage, ImageFile
from PIL import Image

FRAMES = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
KINDS = [
    *(("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})),
    *(("GIF", {"comment": b"x" * 900, "interlace": True}), *([("AVIF", {})] if find_spec("PIL._avif") else [])),
]


def saved(n: int, format: str, options: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    further = {"save_all": True, "append_images": FRAMES[1:n]} if n > 1 else {}
    FRAMES[0].save(buffer, format, **further, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("format", "options"), KINDS)
def test_the_first_frame_is_read_and_several_are_told(format: str, options: dict[str, object]) -> None:
    assert not has_several_frames(io.BytesIO(saved(1, format, options)))
    content = saved(3, format, options)
    assert has_several_frames(io.BytesIO(content))
    pixel = np.asarray(EncodedImage("x", lambda: content).load())[5, 5].astype(int)
    assert np.abs(pixel - (255, 0, 0)).max() < 10


@pytest.mark.parametrize(("format", "options"), KINDS)
def test_files_that_end_in_the_middle_have_no_frames_to_tell_of(format: str, options: dict[str, object]) -> None:
    content = saved(3, format, options)
    for length in range(0, len(content), max(1, len(content) // 60)):
        has_several_frames(io.BytesIO(content[:length]))
    forged = bytearray(content)
    forged[4:16] = b"\xff" * 12
    has_several_frames(io.BytesIO(forged))


@pytest.mark.parametrize(("next_directory", "several"), [(0, False), (99, True)])
def test_pages_of_a_big_tiff_are_told(next_directory: int, several: bool) -> None:
    content = b"II\x2b\0\x08\0\0\0" + struct.pack("<QQ", 16, 1) + bytes(20) + struct.pack("<Q", next_directory)
    assert has_several_frames(io.BytesIO(content)) == several


def test_a_note_counts_them(tmp_path: Path) -> None:
    FRAMES[0].save(tmp_path / "one.gif")
    assert several_frames_note([ImageFile(tmp_path / "one.gif"), ImageFile(tmp_path / "none.gif")]) == []
    (tmp_path / "a.gif").write_bytes(saved(2, "GIF", {}))
    (note,) = several_frames_note([ImageFile(tmp_path / "a.gif"), EncodedImage("b", lambda: saved(2, "TIFF", {}))])
    assert note == f"2 images have several frames or pages, such as {tmp_path}/a.gif: the first one is used"
