"""What a file system can't do is said before anything is extracted; folders that a group shares stay shared."""

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from head2toe.store.common import files
from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import in_words, make_folders
from head2toe.store.writing import file_system, space
from head2toe.store.writing.file_system import require_file_system


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_no_hard_links(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    half = toy.catalogue.writer(toy.identity(), [toy.image(1)], toy.layers, format=toy.format)
    monkeypatch.setattr(os, "link", refuse)
    for images in ([toy.image(1)], [toy.image(2)]):  # one that was begun elsewhere, and a new one
        with pytest.raises(StoreError, match=r"no hard links.*local disk"):
            toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format)
    assert list(toy.catalogue.paths()) == [half.path]
    assert not list(toy.catalogue.root.rglob("*.partial"))
    assert not list(toy.catalogue.root.glob("tmp.*"))


def test_locks_that_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system that is mounted without locks between machines, or with a broken emulation."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(StoreError, match="two locks at once"):
        require_file_system(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
@pytest.mark.parametrize("shared", [True, False])
def test_below_a_shared_root_the_group_may_go_on(toy: SimpleNamespace, umask: int, shared: bool) -> None:
    root = toy.catalogue.root
    root.mkdir()
    root.chmod(0o2775 if shared else 0o775)
    before = os.umask(umask)
    try:
        store = toy.write(10)
        toy.catalogue.writer(toy.identity(), [toy.image(1)], toy.layers, format=toy.format).claim(0)
    finally:
        os.umask(before)
    assert store.n_rows == 10
    for path in root.rglob("*"):
        mode = path.stat().st_mode
        expected = 0o770 if stat.S_ISDIR(mode) else 0o660
        if shared:
            assert mode & expected == expected, path
            assert not path.is_dir() or mode & stat.S_ISGID
        else:
            assert mode & umask == 0, path


def test_folders_above_are_shared_as_the_one_they_are_made_in(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    before = os.umask(0o077)
    try:
        make_folders(tmp_path / "shared" / "a" / "b")
        make_folders(tmp_path / "mine" / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shared" / "a" / "b").stat().st_mode) == 0o2770
    assert stat.S_IMODE((tmp_path / "mine" / "a").stat().st_mode) == 0o700


def test_a_folder_that_the_group_cannot_write_names_its_owner_and_the_umask(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = toy.write(10).path
    monkeypatch.setattr(file_system.os, "access", lambda folder, _: folder != path.parent)
    monkeypatch.setattr(toy.catalogue.__class__, "_siblings", lambda *_: iter(()))
    (path / "complete.json").unlink()
    (path / "commit" / "0.json").unlink()
    path.rename(path.parent / "elsewhere")
    with pytest.raises(StoreError, match=rf"{path.parent}: can't be written by you: ask \w+ .*umask 002"):
        toy.catalogue.writer(toy.identity(), [toy.image(i) for i in range(10)], toy.layers, format=toy.format)


def test_used_up_inodes_are_told_apart_from_a_full_disk(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "no space left" in in_words(full, tmp_path)
    monkeypatch.setattr(files, "inodes_left", lambda _: 3)
    assert "no inodes left" in in_words(full, tmp_path)
    monkeypatch.setattr(space, "inodes_left", lambda _: 3)
    with pytest.raises(StoreError, match="3 inodes free"):
        toy.write(10)
    assert not toy.catalogue.root.exists()
    monkeypatch.setattr(space, "inodes_left", lambda _: None)  # a file system that sets no number
    assert toy.write(10).n_rows == 10


def test_a_store_has_no_more_files_than_were_counted(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    guess = space.remaining(store.spec, range(store.spec.n_blocks))
    n_files = sum(1 for _ in store.path.rglob("*"))
    assert n_files <= guess.files <= n_files + 12
