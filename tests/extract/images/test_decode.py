"""Every kind of image file becomes an upright RGB image, or a DataError that names it."""

import io
import random
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.images.sources import EncodedImage, ImageFile
from head2toe.store.common.errors import DataError
from PIL import Image

AVIF = ["AVIF"] if find_spec("PIL._avif") else []


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (5, 4), (200, 200, 200)).convert(mode).save(tmp_path / "x.png")
    image = ImageFile(tmp_path / "x.png").load()
    assert (image.mode, image.size) == ("RGB", (5, 4))


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_colours_survive(tmp_path: Path, mode: str) -> None:
    """What is grey, red and opaque stays so, whatever the file's mode."""
    Image.new("RGB", (4, 4), (180, 180, 180) if mode == "L" else (220, 30, 30)).convert(mode).save(tmp_path / "x.png")
    pixel = np.asarray(ImageFile(tmp_path / "x.png").load())[0, 0].astype(int)
    expected = (180, 180, 180) if mode == "L" else (220, 30, 30)
    assert np.abs(pixel - expected).max() <= 40  # a palette of 216 colours rounds


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 250, 10, 20] + [0] * 756)
    image.save(tmp_path / "x.png", transparency=b"\xff\x80")
    assert tuple(np.asarray(ImageFile(tmp_path / "x.png").load())[0, 0]) == (250, 10, 20)


def test_cmyk_and_exif_rotation(tmp_path: Path) -> None:
    Image.new("CMYK", (5, 4)).save(tmp_path / "x.jpg")
    assert ImageFile(tmp_path / "x.jpg").load().mode == "RGB"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (5, 4)).save(tmp_path / "y.jpg", exif=exif)
    assert ImageFile(tmp_path / "y.jpg").load().size == (4, 5)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_greys_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / f"x.{suffix}")
    values = np.asarray(ImageFile(tmp_path / f"x.{suffix}").load())[..., 0]
    assert (values.min(), values.max()) == (0, 255)
    assert len(np.unique(values)) > 200


def test_a_dark_sixteen_bit_image_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 255, dtype=np.uint16)).save(tmp_path / "x.png")
    assert np.asarray(ImageFile(tmp_path / "x.png").load()).max() <= 1


def test_floats_between_0_and_1_are_greys(tmp_path: Path) -> None:
    """As scientific software writes them; they were black."""
    grey = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    Image.fromarray(grey).save(tmp_path / "x.tif")
    pixels = np.asarray(ImageFile(tmp_path / "x.tif").load())[..., 0]
    np.testing.assert_allclose(pixels, 255 * grey, atol=1)


@pytest.mark.parametrize("highest", [1.0001, 1.3])
def test_floats_a_little_over_1_are_greys(tmp_path: Path, highest: float) -> None:
    """As a filter that overshoots leaves them; they were black."""
    grey = np.linspace(-0.1, highest, 16, dtype=np.float32).reshape(4, 4)
    Image.fromarray(grey).save(tmp_path / "x.tif")
    pixels = np.asarray(ImageFile(tmp_path / "x.tif").load())[..., 0]
    np.testing.assert_allclose(pixels, 255 * grey.clip(0, 1), atol=1)


@pytest.mark.parametrize("value", [1e6, np.nan])
def test_greys_of_no_known_range_are_refused(tmp_path: Path, value: float) -> None:
    Image.fromarray(np.array([[0, value]], np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=r"x\.tif \(32-bit grey with values up to .*: mend or remove it"):
        ImageFile(tmp_path / "x.tif").load()


@pytest.mark.parametrize("values", [[-1000, 0, 2000], [-1, 0.5, 1], [-5, -4, -3]])
@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_greys_that_begin_below_black_are_refused(tmp_path: Path, values: list[float], kind: type[np.generic]) -> None:
    """As computed tomography and normalised images have them: half of them would be black."""
    Image.fromarray(np.array([values], kind)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=r"x\.tif \(32-bit grey with values from -\d+ to .*: save it as such"):
        ImageFile(tmp_path / "x.tif").load()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"GIF89a broken", ""),
        (b"plain text", "not an image"),
        (b"<html>404</html>", "not an image, but a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "not an image, but XML"),
        (b'{"error": "not found"}', "not an image, but JSON"),
    ],
)
def test_a_corrupt_file_is_named_with_the_remedy(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "bad.jpg"
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"can't read image .*bad\.jpg \({why}.*--on-error skip"):
        ImageFile(file).load()


def test_a_truncated_jpeg_is_corrupt(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(DataError, match="truncated"):
        ImageFile(file).load()


def test_an_image_of_too_many_pixels_is_refused_and_the_option_named(tmp_path: Path) -> None:
    Image.new("L", (100, 15)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"can't read image .*bomb\.png \(100 x 15 pixels; the limit is .*--max-pixels"):
        ImageFile(tmp_path / "bomb.png", max_pixels=1499).load()
    assert ImageFile(tmp_path / "bomb.png", max_pixels=1500).load().size == (100, 15)


def test_the_limit_is_the_options_whatever_pillows_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own refuses an image of more than twice its limit."""
    Image.new("L", (100, 30)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert ImageFile(tmp_path / "x.png").load().size == (100, 30)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "PPM", *AVIF])
@pytest.mark.filterwarnings("ignore::UserWarning")  # PIL's words about what it finds in damaged files
def test_damaged_files_give_pixels_or_a_data_error(format: str) -> None:
    """Bytes changed at random, mostly in the header: nothing but DataError ever escapes."""
    draw = random.Random(0)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(buffer, format)
    refused = 0
    for _ in range(150):
        damaged = bytearray(buffer.getvalue())
        for _ in range(3):
            damaged[draw.randrange(min(len(damaged), draw.choice([40, 10_000])))] = draw.randrange(256)
        try:
            assert EncodedImage("damaged", lambda content=bytes(damaged): content).load().mode == "RGB"
        except DataError:
            refused += 1
    assert refused > 10
