"""What is left out of a folder is counted by kind; links to folders are followed, and end."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from head2toe.extract.images import file_formats
from head2toe.extract.images.folder_contents import NamedFiles, folder_contents, is_helper_folder, left_out_note
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cat" / "deep").mkdir(parents=True)
    for name in ("b.png", "a.PNG", "deep/c.jpeg"):
        Image.new("RGB", (4, 4)).save(tmp_path / "cat" / name)
    return tmp_path / "cat"


@pytest.fixture
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_formats, "_is_installed", {}.get)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder_contents(folder).images]


def test_a_folder_of_images_leaves_nothing_out(folder: Path) -> None:
    assert names(folder) == ["a.PNG", "b.png", "c.jpeg"]
    assert left_out_note(folder_contents(folder).left_out, "cat") is None


@pytest.mark.usefixtures("without_plugins")
def test_files_are_counted_by_suffix_with_the_remedy(folder: Path) -> None:
    for name in ("1.HEIC", "2.heic", "3.jxl", "4", "5.pdf", "6.mpg", "7.h5", "Thumbs.db", ".hidden"):
        (folder / name).write_bytes(b"x")
    contents = folder_contents(folder)
    assert len(contents.images) == 3
    assert contents.left_out == {
        **{".heic": 2, ".jxl": 1, "without a suffix": 1, ".pdf": 1, ".mpg": 1, ".h5": 1},
    }
    note = left_out_note(contents.left_out, "cat")
    assert note is not None
    assert note.startswith("7 files of cat are left out (.heic 2 (pip install 'head2toe[heif]' reads them)")


def test_a_note_names_the_most_frequent_kinds_alone() -> None:
    left_out = Counter({f".{n}": 100 - n for n in range(10)})
    note = left_out_note(left_out, "x")
    assert note is not None
    assert note.endswith(f".5 95, others {94 + 93 + 92 + 91})")


def test_images_in_helper_folders_are_counted(folder: Path) -> None:
    for helper in ("__MACOSX", ".ipynb_checkpoints", "@eaDir", "lost+found"):
        (folder / helper).mkdir()
        shutil.copy(folder / "b.png", folder / helper / "b.png")
        (folder / helper / "._b.png").write_bytes(b"\0\5\x16\7")
        assert is_helper_folder(helper)
    assert names(folder) == ["a.PNG", "b.png", "c.jpeg"]
    assert folder_contents(folder).left_out == {"in helper folders": 4}


def test_linked_files_and_folders_are_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(folder / "b.png", tmp_path / "elsewhere" / "far.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "z.png").symlink_to(folder / "b.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    assert sorted(names(folder)) == ["a.PNG", "b.png", "c.jpeg", "far.png", "z.png"]
    assert folder_contents(folder).left_out == {"broken links": 1}


def test_linked_folders_that_lead_back_end(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    shutil.copy(folder / "b.png", tmp_path / "dog" / "dog.png")
    (folder / "itself").symlink_to(folder)
    (folder / "deep" / "above").symlink_to(tmp_path)  # the folder that holds dogs, too
    (folder / "deep" / "again").symlink_to(folder / "deep")
    (folder / "knot").symlink_to(folder / "knot")
    assert names(folder) == ["a.PNG", "b.png", "c.jpeg"]
    assert folder_contents(folder).left_out == {"links to a folder above": 1, "broken links": 1}


def test_a_pipe_is_no_image(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    assert folder_contents(folder).left_out == {"neither file nor folder": 1}


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert folder_contents(tmp_path / "none").images == ()


@pytest.fixture
def tables_folder(tmp_path: Path) -> Path:
    """Two folders of images: `photos` and `Röntgen`."""
    for name in ("photos/a.png", "photos/b.JPG", "photos/b.txt", "photos/c.png", "photos/c.jpg", "Röntgen/d.1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("photos/a.png", "photos/a.png"),
        ("./photos/a.png", "photos/a.png"),
        ("photos\\a.png", "photos/a.png"),
        ("Photos/A.PNG", "photos/a.png"),
        ("photos/a", "photos/a.png"),
        ("photos/b", "photos/b.JPG"),
        ("photos/c.PNG", "photos/c.png"),
        ("ro\u0308ntgen/d.1", "Röntgen/d.1.png"),
        ("file://{}/R%C3%B6ntgen/d.1.png", "Röntgen/d.1.png"),
        ("file://localhost{}/photos/a.png", "photos/a.png"),
    ],
)
def test_a_name_finds_its_file(tables_folder: Path, name: str, file: str) -> None:
    assert NamedFiles(tables_folder).find(name.format(tables_folder)) == tables_folder / file


@pytest.mark.parametrize("name", ["photos/c", "photos", "a.png", "photos/a.jpg", "x" * 5000, "photos/b.tx"])
def test_nothing_is_guessed(tables_folder: Path, name: str) -> None:
    """Of two images of one stem, neither is meant; nor is one of another suffix, or a folder."""
    assert NamedFiles(tables_folder).find(name) is None


def test_a_file_in_a_folder_beside_the_table_is_pointed_to(tables_folder: Path) -> None:
    assert NamedFiles(tables_folder).elsewhere("a.png") == (
        f"; there is {tables_folder / 'photos' / 'a.png'}: paths are relative to the folder of the table"
    )
    assert NamedFiles(tables_folder).elsewhere("train/a.png").startswith("; there is")
    assert NamedFiles(tables_folder).elsewhere("e.png") == ""
