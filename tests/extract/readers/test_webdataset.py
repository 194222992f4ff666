"""Shards: hidden ones are left alone, and what is wrong in one is named."""

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
