"""Pixels are those of Pillow's own conversions, bit for bit; decoding takes a few bytes of memory a pixel."""

import io
import struct
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.images.decode import decode
from head2toe.extract.images.metadata import without_failing_metadata
from PIL import Image, ImageOps, PngImagePlugin

RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(RNG.integers(0, 256, (9, 13, 3), dtype=np.uint8)).resize((61, 47), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif(*entries: tuple[int, int, int, int]) -> bytes:
    """EXIF of (tag, type, count, value) entries, types and counts as they come."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(decode("x", io.BytesIO(content)))


def png16(values: np.ndarray, colour: int) -> bytes:
    """A PNG of 16 bits a value, which Pillow reads and does not write; colour 0 is grey, 2 RGB, 6 RGBA."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {"quality": 80}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {"quality": 80}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_ordinary_photos_have_the_pixels_that_pillow_gives_them(
    format: str, options: dict[str, object], orientation: int
) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    content = encoded(PICTURE, format, exif=tags.tobytes(), **options)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(pixels(content), expected)


@pytest.mark.parametrize(
    ("format", "modes"),
    [
        *(("PNG", "1 L LA P RGBA"), ("TIFF", "1 L LA P RGBA CMYK"), ("JPEG", "L CMYK YCbCr")),
        *(("BMP", "1 L P RGBA"), ("GIF", "1 L P"), ("PPM", "1 L"), ("TGA", "L LA P RGBA"), ("PCX", "1 L P")),
    ],
)
def test_every_mode_has_the_pixels_that_pillow_gives_it(format: str, modes: str) -> None:
    for mode in modes.split():
        content = encoded(PICTURE.quantize(60) if mode == "P" else PICTURE.convert(mode), format)
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(pixels(content), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("transparency", [3, b"\0\x80\xff"])
def test_transparency_of_a_palette_changes_no_colour(transparency: object) -> None:
    palette = PICTURE.quantize(60)
    np.testing.assert_array_equal(
        pixels(encoded(palette, "PNG", transparency=transparency)), np.asarray(palette.convert("RGB"))
    )


@pytest.mark.parametrize("scale", [1 / 255, 1, 257])
def test_greys_in_strips_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    grey = np.asarray(PICTURE.convert("L"))
    content = encoded(Image.fromarray(grey.astype(np.float32) * np.float32(scale)), "TIFF")
    whole = pixels(content)
    monkeypatch.setattr("head2toe.extract.images.decode._STRIP", 5 * grey.shape[1])
    np.testing.assert_array_equal(pixels(content), whole)
    np.testing.assert_allclose(whole[..., 0].astype(int), grey, atol=1)


# ------------------------------------------------------------------------------------------------- what phones write


@pytest.mark.parametrize(
    "odd",
    [
        (0x11A, 2, 2, 0x3232),  # XResolution as text
        (0x11A, 1, 1, 5),  # as one byte
        (0x11A, 6, 2, 0xFFFF),  # as signed bytes
        (0x10F, 5, 1, 8),  # the maker as a rational
        (0x132, 3, 2, 0x10001),  # the date as numbers
        (0x8769, 2, 2, 0x3232),  # the place of further tags as text
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # PIL's words about tags
def test_a_photo_is_turned_whatever_its_other_tags_are(format: str, odd: tuple[int, int, int, int]) -> None:
    content = encoded(PICTURE, format, exif=exif(*sorted([odd, (0x112, 3, 1, 6)])))
    plain = pixels(encoded(PICTURE, format))
    np.testing.assert_array_equal(pixels(content), np.rot90(plain, -1))


@pytest.mark.skipif(not find_spec("PIL._avif"), reason="this Pillow reads no AVIF")
def test_an_avif_is_turned_whatever_its_other_tags_are() -> None:
    """Pillow writes such tags anew when it opens a file that says how it is turned."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "ab"
    content = encoded(PICTURE, "AVIF", exif=tags.tobytes())
    odd = content.replace(struct.pack("<HHI", 0x010F, 2, 3), struct.pack("<HHI", 0x010F, 11, 1))
    odd = odd.replace(struct.pack(">HHI", 0x010F, 2, 3), struct.pack(">HHI", 0x010F, 11, 1))
    assert odd != content
    with pytest.raises(AttributeError):
        Image.open(io.BytesIO(odd))
    np.testing.assert_array_equal(pixels(odd), pixels(content))
    assert pixels(odd).shape == (61, 47, 3)


@pytest.mark.parametrize("odd", [{282: "22"}, {296: 3, 282: "x", 283: "x"}, {34853: "no place"}, {34665: "none"}])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_scan_is_turned_whatever_its_other_tags_are(odd: dict[int, object]) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[0x112] = 6
    for tag, value in odd.items():
        tags.tagtype[tag] = 3 if isinstance(value, int) else 2
        tags[tag] = value
    np.testing.assert_array_equal(pixels(encoded(PICTURE, "TIFF", tiffinfo=tags)), np.rot90(np.asarray(PICTURE), -1))


def test_a_photo_whose_tags_are_garbage_is_read_as_it_is() -> None:
    content = encoded(PICTURE, "JPEG", exif=b"Exif\0\0garbage")
    np.testing.assert_array_equal(pixels(content), pixels(encoded(PICTURE, "JPEG")))


@pytest.mark.parametrize("damage", [b"", b"MPF\0", b"\0\0\0\x03"])
def test_the_first_of_several_pictures_is_the_photo(damage: bytes) -> None:
    """Also where the list of the others is damaged."""
    content = encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)])
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("RGB"))
    start = content.index(b"MPF\0") + 4
    damaged = content[:start] + damage + content[start + len(damage) :]
    np.testing.assert_array_equal(pixels(damaged), expected)


@pytest.mark.parametrize("kind", ["profile", "zTXt", "iTXt", "many"])
def test_large_metadata_of_a_png_is_left_out(kind: str) -> None:
    info = PngImagePlugin.PngInfo()
    if kind == "zTXt":
        info.add_text("workflow", "x" * (2 << 20), zip=True)
    if kind == "iTXt":
        info.add_itxt("workflow", "x" * (2 << 20), lang="en", tkey="w", zip=True)
    for number in range(70 if kind == "many" else 0):
        info.add_text(f"part {number}", "x" * (1 << 20), zip=True)
    content = encoded(PICTURE, "PNG", pnginfo=info, icc_profile=bytes(2 << 20) if kind == "profile" else None)
    np.testing.assert_array_equal(pixels(content), np.asarray(PICTURE))


def test_small_metadata_of_a_png_stays_beside_large() -> None:
    """An orientation may be in it."""
    xmp = '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    info.add_text("workflow", "x" * (2 << 20), zip=True)
    np.testing.assert_array_equal(pixels(encoded(PICTURE, "PNG", pnginfo=info)), np.rot90(np.asarray(PICTURE), -1))
    assert without_failing_metadata(io.BytesIO(encoded(PICTURE, "PNG"))) is None
    assert without_failing_metadata(io.BytesIO(encoded(PICTURE, "JPEG"))) is None


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize("name", [b"gAMA", b"tRNS", b"pHYs", b"acTL", b"iCCP", b"cHRM", b"sRGB"])
def test_a_png_is_read_without_chunks_that_are_too_short(name: bytes) -> None:
    content = encoded(PICTURE, "PNG")
    np.testing.assert_array_equal(pixels(content[:33] + chunk(name, b"") + content[33:]), np.asarray(PICTURE))


def test_a_png_is_read_without_a_text_whose_checksum_is_wrong() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(PICTURE, "PNG", exif=exif)
    damaged = chunk(b"tEXt", b"Comment\0a")[:-1] + b"?"
    np.testing.assert_array_equal(pixels(content[:33] + damaged + content[33:]), np.rot90(np.asarray(PICTURE), -1))


# ------------------------------------------------------------------------------------------------------------- memory

MEASURE = """
import resource, sys
from head2toe.extract.images.decode import decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as file:
    image = decode("x", file)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (image.width * image.height))
"""
WIDTH, HEIGHT = 6000, 3000


def large(kind: str) -> tuple[str, bytes]:
    """A picture of 18 million pixels."""
    grey = np.tile(np.arange(WIDTH, dtype=np.uint16) // 24, (HEIGHT, 1))
    if kind == "16-bit PNG":
        return "x.png", png16(grey * 257, 0)
    if kind == "float TIFF":
        return "x.tif", encoded(Image.fromarray(grey.astype(np.float32) / 255), "TIFF")
    picture = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if kind == "palette":
        return "x.png", encoded(picture.quantize(50), "PNG", transparency=b"\0\x80")
    if kind == "RGBA":
        return "x.png", encoded(picture.convert("RGBA"), "PNG", compress_level=1)
    if kind == "CMYK JPEG":
        return "x.jpg", encoded(picture.convert("CMYK"), "JPEG")
    if kind == "rotated JPEG":
        return "x.jpg", encoded(picture, "JPEG", exif=exif((0x112, 3, 1, 6)))
    if kind == "TIFF":
        return "x.tif", encoded(picture, "TIFF", compression="tiff_lzw")
    return "x.jpg", encoded(picture, "JPEG")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss counts kilobytes on Linux alone")
@pytest.mark.parametrize(
    ("kind", "most"),
    [
        *(("JPEG", 5), ("rotated JPEG", 9), ("CMYK JPEG", 9), ("16-bit PNG", 6), ("RGBA", 9)),
        *(("palette", 6), ("TIFF", 6), ("float TIFF", 8)),
    ],
)
def test_decoding_takes_a_few_bytes_a_pixel(tmp_path: Path, kind: str, most: float) -> None:
    """Above what Python and NumPy take; 16-bit greys took 28, the others 12."""
    name, content = large(kind)
    (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / name)]
    measured = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert float(measured.stdout) < most
