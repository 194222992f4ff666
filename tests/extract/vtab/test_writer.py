"""Writing a task in VTAB-1k's layout: all of it or nothing."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from head2toe.extract.readers.vtab_lists import read_source
from head2toe.extract.vtab import writer
from head2toe.extract.vtab.writer import LabelledImage, SplitRows, write_task
from head2toe.store.common.errors import DataError
from PIL import Image

Lines = Callable[[Path, str], list[tuple[str, int]]]


def jpeg(value: int) -> bytes:
    """A JPEG file unlike that of any other value."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value % 256, 99, 7)).save(file, "JPEG", comment=str(value))
    return file.getvalue()


def splits(test: Iterator[LabelledImage], n_test: int = 3) -> dict[str, SplitRows]:
    return {
        "train800": SplitRows(2, (LabelledImage(jpeg(i), i) for i in range(2))),
        "val200": SplitRows(1, iter([LabelledImage(np.zeros((3, 3, 1), np.uint8), 0)])),
        "test": SplitRows(n_test, test),
    }


def images(n: int) -> Iterator[LabelledImage]:
    return (LabelledImage(np.full((2, 3, 3), i, np.uint8), i % 2) for i in range(n))


def test_bytes_stay_and_pixels_become_png(tmp_path: Path, lines: Lines) -> None:
    made = write_task(tmp_path / "t", ("a", "b"), splits(images(3)), {"source": "here"})
    (first, _), (second, _) = lines(made, "train800")
    assert (first, second) == ("images/train800val200/000000.jpg", "images/train800val200/000001.jpg")
    assert [(made / name).read_bytes() for name in (first, second)] == [jpeg(0), jpeg(1)]
    assert lines(made, "val200") == [("images/train800val200/000002.png", 0)]
    assert np.asarray(Image.open(made / "images/test/000002.png")).tolist() == [[[2] * 3] * 3] * 2
    assert (made / "classes.txt").read_text() == "a\nb\n"
    assert read_source(made) == {"source": "here"}
    assert read_source(tmp_path) is None
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def failing(error: BaseException) -> Iterator[LabelledImage]:
    yield from images(1)
    raise error


@pytest.mark.parametrize(
    ("test", "n_test", "kind", "words"),
    [
        (lambda: failing(KeyboardInterrupt()), 3, KeyboardInterrupt, "^$"),
        (lambda: failing(OSError(28, "No space left on device")), 3, DataError, "No space left.*HEAD2TOE_DATA"),
        (lambda: images(2), 3, DataError, "2 rows instead of 3"),
        (lambda: images(4), 3, DataError, "4 rows instead of 3"),
        (lambda: iter([LabelledImage(b"hello", 0)]), 1, DataError, "not an image"),
        (lambda: iter([LabelledImage(jpeg(0), 2)]), 1, DataError, "label 2, but there are 2 classes"),
        (lambda: iter([LabelledImage(jpeg(0), -1)]), 1, DataError, "label -1"),
    ],
)
def test_what_is_not_finished_leaves_nothing(
    test: Callable[[], Iterator[LabelledImage]], n_test: int, kind: type[BaseException], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words):
        write_task(tmp_path / "data" / "t", ("a", "b"), splits(test(), n_test), {})
    assert list((tmp_path / "data").iterdir()) == []


def test_killed_before_the_end_it_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a `kill -9` leaves: nothing is tidied up, and the task is still not there."""
    monkeypatch.setattr(writer.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        write_task(tmp_path / "t", ("a", "b"), splits(failing(KeyboardInterrupt())), {})
    assert not (tmp_path / "t").exists()
    assert [p.suffix for p in tmp_path.iterdir()] == [".partial"]


def test_another_process_was_faster(tmp_path: Path) -> None:
    def slow() -> Iterator[LabelledImage]:
        yield from images(3)
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / "theirs").touch()

    assert write_task(tmp_path / "t", ("a", "b"), splits(slow()), {}) == tmp_path / "t"
    assert [p.name for p in (tmp_path / "t").iterdir()] == ["theirs"]
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_one_image_in_memory_at_a_time(tmp_path: Path) -> None:
    alive = 0
    most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def rows() -> Iterator[LabelledImage]:
        nonlocal alive, most
        for _ in range(20):
            pixels = np.zeros((2, 2), np.uint8).view(Counted)
            alive += 1
            most = max(most, alive)
            image = LabelledImage(pixels, 0)
            del pixels
            yield image
            del image

    write_task(
        tmp_path / "t",
        ("a",),
        {"train800": SplitRows(20, rows()), "val200": SplitRows(0, []), "test": SplitRows(0, [])},
        {},
    )
    assert most <= 2
