"""Only the decoders of the allow-list see an image, whatever it is called and wherever it lies."""

import ast
import io
import struct
import tarfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import head2toe.pipeline
import numpy as np
import pytest
from head2toe.extract.images import decode, decoders, file_formats
from head2toe.extract.images.batches import unreadable
from head2toe.extract.images.decoders import NoImage, open_image
from head2toe.extract.images.file_formats import format_of_bytes
from head2toe.extract.images.sources import EncodedImage, ImageFile, ImageSource
from head2toe.extract.readers import formats
from head2toe.store.common.errors import DataError, OutOfMemory
from PIL import EpsImagePlugin, Image

EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n(harmless) pop showpage\n%%EOF\n",
    b"\xc5\xd0\xd3\xc6" + bytes(60),
)
UNSUPPORTED = set() if find_spec("PIL._avif") else {"avif"}
PNG = io.BytesIO()
Image.new("RGB", (4, 4)).save(PNG, "PNG")


@pytest.fixture
def ghostscript(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What Pillow's reader of EPS was called with."""
    calls: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", calls.append)
    return calls


def contents(first: bytes) -> list[bytes]:
    """Of four images: two of a class, then two of another one."""
    return [first, PNG.getvalue(), PNG.getvalue(), PNG.getvalue()]


def in_folder(folder: Path, content: bytes) -> ImageSource:
    for number, part in enumerate(contents(content)):
        path = folder / "ab"[number // 2] / f"{number}.{'png' if number else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(part)
    return formats.read(folder).train[0][0]


def in_manifest(folder: Path, content: bytes) -> ImageSource:
    lines = ["path,label"]
    for number, part in enumerate(contents(content)):
        (folder / f"{number}.webp").write_bytes(part)
        lines.append(f"{number}.webp,{'ab'[number // 2]}")
    (folder / "x.csv").write_text("\n".join(lines))
    return formats.read(folder / "x.csv").train[0][0]


def in_parquet(folder: Path, content: bytes) -> ImageSource:
    """As a repository of the Hugging Face hub holds them."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": part, "path": f"{number}.bmp"} for number, part in enumerate(contents(content))]
    (folder / "data").mkdir()
    table = pyarrow.table({"image": images, "label": list("aabb")})
    parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    return formats.read(folder).train[0][0]


def in_tar(folder: Path, content: bytes) -> ImageSource:
    with tarfile.open(folder / "x.tar", "w") as tar:
        for number, part in enumerate(contents(content)):
            for name, member_content in ((f"{number}.png", part), (f"{number}.cls", b"ab"[number // 2 :][:1])):
                member = tarfile.TarInfo(name)
                member.size = len(member_content)
                tar.addfile(member, io.BytesIO(member_content))
    return formats.read(folder / "x.tar").train[0][0]


def in_lists(folder: Path, content: bytes) -> ImageSource:
    (folder / "x.tif").write_bytes(content)
    for name in ("train800", "val200", "test"):
        (folder / f"{name}.txt").write_text("x.tif 0\n")
    return formats.read(folder).train[0][0]


def in_dataset(folder: Path, content: bytes) -> ImageSource:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    rows = {"image": [{"bytes": part, "path": "x.gif"} for part in contents(content)], "label": list("aabb")}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder / "saved")
    return formats.read(folder / "saved").train[0][0]


@pytest.mark.parametrize("content", EPS)
@pytest.mark.parametrize("packed", [in_folder, in_manifest, in_parquet, in_tar, in_lists, in_dataset])
def test_postscript_is_never_run(
    tmp_path: Path, packed: Callable[[Path, bytes], ImageSource], content: bytes, ghostscript: list[object]
) -> None:
    with pytest.raises(DataError, match=r"not an image, but PostScript, which is a program.*--on-error skip"):
        packed(tmp_path, content).load()
    assert not ghostscript


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.4 ...", "PDF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\0\0\x01\xb3" + bytes(40), "film"),
        (b"\xd7\xcd\xc6\x9a" + bytes(40), "metafile"),
        (b"GRIB" + bytes(40), "not an image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_what_is_not_decoded_is_named(content: bytes, words: str) -> None:
    with pytest.raises(NoImage, match=words):
        open_image(io.BytesIO(content), 1000)


def written(format: str) -> bytes:
    """A red picture of 40 x 30 pixels."""
    if format == "ras":
        return struct.pack(">8I", 0x59A66A95, 40, 30, 24, 3600, 1, 0, 0) + 1200 * b"\x1e\x1e\xc8"
    if format == "psd":
        header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 30, 40, 8, 3)
        return header + bytes(12) + b"\0\0" + 1200 * b"\xc8" + 2400 * b"\x1e"
    if format == "qoi":
        return b"qoif" + struct.pack(">IIBB", 40, 30, 3, 0) + 1200 * b"\xfe\xc8\x1e\x1e" + bytes(7) + b"\x01"
    buffer = io.BytesIO()
    name = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(format, format.upper())
    Image.new("RGB", (40, 30), (200, 30, 30)).save(buffer, name)
    return buffer.getvalue()


@pytest.mark.parametrize("format", sorted(decoders._OPENERS.keys() - file_formats.PLUGINS - UNSUPPORTED))
def test_every_decoder_of_the_list_reads_its_format(format: str) -> None:
    content = written(format)
    assert format_of_bytes(content) == format
    image = EncodedImage("x", lambda: content).load()
    assert image.size == (40, 30) or format == "ico"
    red, green, blue = np.asarray(image)[5, 5].astype(int)
    assert abs(red - 200) + abs(green - 30) + abs(blue - 30) < 12


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_formats, "_is_installed", {}.get)
    for content, extra in ((b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"), (b"\xff\x0a" + bytes(9), "jxl")):
        with pytest.raises(DataError, match=rf"pip install 'head2toe\[{extra}\]'"):
            EncodedImage("x", lambda content=content: content).load()


def test_nothing_else_in_the_package_opens_images() -> None:
    """`Image.open` without formats takes any decoder; `decoders.open_image` is the way."""
    package = Path(head2toe.pipeline.__file__).parent
    calls = []
    for room in ("extract", "store", "select", "probe"):
        for file in (package / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                is_open = isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
                if is_open and "formats" not in {keyword.arg for keyword in node.keywords}:
                    calls.append(f"{file}:{node.lineno}")
    assert not calls


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}])
def test_the_size_of_webp_is_known_before_its_decoder_takes_memory(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1234, 567)).save(buffer, "WEBP", **options)
    assert decoders.claimed_size(buffer, 1) == (1234, 567)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile", None)
    with pytest.raises(DataError, match="1234 x 567 pixels; the limit is"):
        decode.decode("x", buffer, max_pixels=1234 * 567 - 1)


# ------------------------------------------------------------------------------------------------------ out of memory


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory error when reading image file")])
def test_memory_that_runs_out_leaves_no_image_out(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def opened(*_: object) -> Image.Image:
        raise error

    monkeypatch.setattr(decode, "open_image", opened)
    with pytest.raises(OutOfMemory, match="memory ran out while image good was decoded"):
        unreadable([EncodedImage("good", PNG.getvalue)])


def test_damage_that_is_lack_of_memory_is_told_from_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libjpeg and libwebp say the same of both."""
    bad = EncodedImage("bad", lambda: PNG.getvalue()[:40])
    assert "bad" in unreadable([bad])[0]
    monkeypatch.setattr(decode, "_has_memory", lambda *_: False)
    with pytest.raises(OutOfMemory):
        unreadable([bad])


def test_open_files_that_run_out_are_no_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(self: Path, mode: str) -> object:  # noqa: ARG001
        raise OSError(24, "Too many open files")

    (tmp_path / "x.png").write_bytes(PNG.getvalue())
    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OSError, match="Too many open files"):
        unreadable([ImageFile(tmp_path / "x.png")])


@pytest.mark.parametrize(
    "error", [AssertionError("odd"), KeyError(1), TypeError("odd"), ZeroDivisionError(), OverflowError()]
)
def test_whatever_a_decoder_raises_is_an_unreadable_image(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def opened(*_: object) -> Image.Image:
        raise error

    monkeypatch.setattr(decode, "open_image", opened)
    assert "can't read image bad" in unreadable([EncodedImage("bad", PNG.getvalue)])[0]
