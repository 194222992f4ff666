"""Outputs take their names when they are whole; what killed processes left is removed, what others write is not."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from head2toe.store.common import outputs
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.outputs import holds_only, sweep_folder, whole_file, whole_folder, write_output

ANOTHER = "choose another with -o"
NAMES = ("a", "b")
KILLED = """
import os
from pathlib import Path
from head2toe.store.common.outputs import whole_file, whole_folder
with whole_file(Path("out.csv"), "") as partial, whole_folder(Path("model"), ("a", "b"), "") as folder:
    partial.write_text("half")
    (folder / "a").write_text("half")
    os.kill(os.getpid(), 9)
"""


def partials(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.partial"))


def fill(folder: Path, text: str) -> None:
    with whole_folder(folder, NAMES, ANOTHER) as partial:
        for name in NAMES:
            (partial / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


@contextmanager
def interrupted() -> Iterator[None]:
    with pytest.raises(KeyboardInterrupt):
        yield


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -9
    assert len(partials(tmp_path)) == 2
    (tmp_path / "mine.partial").touch()
    with whole_file(tmp_path / "out.csv", ANOTHER) as partial:
        write_output(tmp_path / "out.csv", b"another process", ANOTHER)
        assert partial.exists(), "it is written just now"
        partial.write_text("whole")
    fill(tmp_path / "model", "whole")
    assert (tmp_path / "out.csv").read_text() == "whole"
    assert content(tmp_path / "model") == dict.fromkeys(NAMES, "whole")
    assert partials(tmp_path) == [tmp_path / "mine.partial"], "what this package did not make stays"


def test_all_leftovers_of_a_folder_of_its_own_are_removed(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -9
    sweep_folder(tmp_path)
    sweep_folder(tmp_path / "missing")
    assert not partials(tmp_path)


def test_an_interrupted_block_leaves_what_was_there(tmp_path: Path) -> None:
    file, folder = tmp_path / "new" / "out.csv", tmp_path / "model"
    write_output(file, b"before", ANOTHER)
    fill(folder, "before")

    def stop() -> None:
        with whole_file(file, ANOTHER) as partial, whole_folder(folder, NAMES, ANOTHER) as half:
            partial.write_text("half")
            (half / "a").write_text("half")
            raise KeyboardInterrupt

    with interrupted():
        stop()
    assert file.read_text() == "before"
    assert content(folder) == dict.fromkeys(NAMES, "before")
    assert not partials(tmp_path)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_and_a_user_s_files_stay(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(outputs, "_exchanged", lambda *_: False)
    folder = tmp_path / "model"
    folder.mkdir()
    fill(folder, "one")
    fill(folder, "two")
    assert content(folder) == dict.fromkeys(NAMES, "two")
    assert holds_only(folder, NAMES)
    (folder / "notes.txt").write_text("mine")
    assert not holds_only(folder, NAMES)
    fill(folder, "three")
    assert content(folder) == dict.fromkeys(NAMES, "three") | {"notes.txt": "mine"}
    assert not partials(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_whose_neighbours_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "given" / "model"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o555)
    try:
        fill(folder, "inside")
    finally:
        folder.parent.chmod(0o755)
    assert content(folder) == dict.fromkeys(NAMES, "inside")


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere/out.csv")
    write_output(tmp_path / "link", b"text", ANOTHER)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "out.csv").read_bytes() == b"text"
    write_output(Path("/dev/null"), b"text", ANOTHER)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_what_cannot_be_written_names_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for nowhere, kind in ((tmp_path / "file" / "x.csv", StoreError), (tmp_path, BadRequest)):
        with pytest.raises(kind, match=f": {ANOTHER}$"), whole_file(nowhere, ANOTHER):
            pytest.fail("the work began")
    with pytest.raises(StoreError, match=f": {ANOTHER}$"):
        fill(tmp_path / "file" / "model", "x")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_in_a_shared_folder_the_group_may_use_what_is_written(tmp_path: Path, umask: int) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    before = os.umask(umask)
    try:
        write_output(tmp_path / "shared" / "out.csv", b"text", ANOTHER)
        for place in ("shared", "mine"):
            with whole_folder(tmp_path / place / "model", NAMES, ANOTHER) as partial:
                for name in NAMES:
                    (partial / name).write_text("content")
                    (partial / name).chmod(0o600)  # as a library does that makes its files for their owner alone
    finally:
        os.umask(before)
    for path in (tmp_path / "shared").rglob("*"):
        mode, expected = path.stat().st_mode, 0o2770 if path.is_dir() else 0o660
        assert mode & expected == expected, path
    assert not any(path.stat().st_mode & 0o020 for path in (tmp_path / "mine").rglob("*"))
