"""Shards: hidden ones are left alone, and what is wrong in one is named."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.common.errors import DataError

Rows = list[dict[str, str]]


def test_hidden_shards_are_none(
    rows: Rows, tmp_path: Path, write_shards: Callable[..., Path], content: Callable[[Task], list[tuple[str, str]]]
) -> None:
    shards = write_shards(tmp_path / "shards", rows, tmp_path)
    before = content(load_task(str(shards)))
    (shards / "._stripes-train-000000.tar").write_bytes(b"\x00\x05\x16\x07" * 20)
    assert content(load_task(str(shards))) == before


def test_a_damaged_shard_is_named(
    rows: Rows, tmp_path: Path, write_shards: Callable[..., Path], add_member: Callable[..., None]
) -> None:
    folder = write_shards(tmp_path / "shards", rows, tmp_path)
    first = folder / "stripes-train-000000.tar"
    with tarfile.open(first, "a") as tar:
        add_member(tar, "more.cls", b"down")
    with pytest.raises(DataError, match=r"sample 'more' in .*train-000000\.tar has no image"):
        load_task(str(folder))
    with tarfile.open(first, "a") as tar:
        add_member(tar, "more.png", b"")
        add_member(tar, "less.png", b"")
    with pytest.raises(DataError, match=r"sample 'less' in .* has no label \(\.cls\)"):
        load_task(str(folder))
    first.write_bytes(first.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"can't read shard .*000000\.tar"):
        load_task(str(folder))
    first.rename(folder / "other.tar")
    with pytest.raises(DataError, match=r"shard .*other\.tar has no split in its name"):
        load_task(str(folder))


def test_one_shard_is_a_task_with_a_test_held_out(
    rows: Rows, tmp_path: Path, write_shards: Callable[..., Path]
) -> None:
    folder = write_shards(tmp_path / "shards", rows[:], tmp_path)
    task = load_task(str(folder / "stripes-train-000000.tar"))
    assert task.n_train + len(task.test_labels) == 20
    assert "held out" in task.notes[0]


def test_a_key_ends_at_the_first_dot(
    rows: Rows, tmp_path: Path, write_shards: Callable[..., Path], add_member: Callable[..., None]
) -> None:
    image = (tmp_path / rows[0]["path"]).read_bytes()
    folder = write_shards(tmp_path / "shards", rows, tmp_path)
    with tarfile.open(folder / "stripes-train-000000.tar", "a") as tar:
        for name, content in (("a.left.PNG", image), ("a.animal.cls", b"down"), ("._a.png", b"x"), ("README", b"x")):
            add_member(tar, f"more/{name}", content)
    assert len(load_task(str(folder)).images) == 52
    with tarfile.open(folder / "stripes-train-000000.tar", "a") as tar:
        add_member(tar, "more/a.right.png", image)
    with pytest.raises(DataError, match=r"sample 'more/a' in .* has two images: a key ends at the first dot"):
        load_task(str(folder))


def test_a_sample_that_is_none_is_noted(
    rows: Rows, tmp_path: Path, write_shards: Callable[..., Path], add_member: Callable[..., None]
) -> None:
    folder = write_shards(tmp_path / "shards", rows, tmp_path)
    with tarfile.open(folder / "stripes-train-000000.tar", "a") as tar:
        add_member(tar, "x.json", b"{}")
        add_member(tar, "y.heic", b"?")
    (note,) = load_task(str(folder)).notes
    assert note.startswith("2 samples of")
    assert "neither image nor label (.cls), such as 'x'" in note


@pytest.mark.parametrize("label", [b"", b"nan\n", b"x" * 20_000])
def test_a_label_that_is_none_is_named(
    rows: Rows, tmp_path: Path, label: bytes, write_shards: Callable[..., Path], add_member: Callable[..., None]
) -> None:
    folder = write_shards(tmp_path / "shards", rows, tmp_path)
    with tarfile.open(folder / "stripes-train-000000.tar", "a") as tar:
        add_member(tar, "more.png", b"?")
        add_member(tar, "more.cls", label)
    with pytest.raises(DataError, match=r"'more\.cls' in .* (is empty or nan|20000 bytes, which is no label)"):
        load_task(str(folder))


@pytest.mark.parametrize("name", ["lie.cls", "lie.png"])
@pytest.mark.parametrize("size", [1 << 40, (1 << 62) + 1, -512])
def test_a_size_that_lies_is_one_line(tmp_path: Path, name: str, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    header = member.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "lie.tar").write_bytes(io.BytesIO(header + b"0" * 1024).getvalue())
    with pytest.raises(DataError, match=r"can't read shard .*lie\.tar"):
        load_task(str(tmp_path / "lie.tar"))


def test_other_formats_of_images_count_where_there_is_none_of_the_usual(
    rows: Rows, tmp_path: Path, add_member: Callable[..., None]
) -> None:
    """A `.tif` beside a `.png` is no second image, and alone it is the image."""
    image = (tmp_path / rows[0]["path"]).read_bytes()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for i in range(8):
            add_member(tar, f"{i}.tif", image)
            add_member(tar, f"{i}.cls", b"ab"[i % 2 : i % 2 + 1])
        add_member(tar, "0.png", image)
    assert len(load_task(str(tmp_path / "x.tar")).images) == 8


def test_a_sample_without_a_label_says_what_it_has(rows: Rows, tmp_path: Path, add_member: Callable[..., None]) -> None:
    image = (tmp_path / rows[0]["path"]).read_bytes()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add_member(tar, "cat/0.png", image)
        add_member(tar, "cat/0.json", b"{}")
    with pytest.raises(
        DataError, match=r"no label \(\.cls\), but \.json, \.png: write .* into cat/0\.cls, or unpack an"
    ):
        load_task(str(tmp_path / "x.tar"))


def test_packed_shards_are_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "train-0.tar.gz").touch()
    with pytest.raises(DataError, match=r"train-0\.tar\.gz is packed: unpack it"):
        load_task(str(tmp_path / "shards"))
