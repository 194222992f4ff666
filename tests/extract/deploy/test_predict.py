"""What `predict` is given is found: files, folders, patterns."""

from pathlib import Path

import pytest
from head2toe.extract.deploy.predict import find_images, left_out_notes
from head2toe.store.common.errors import BadRequest
from PIL import Image


def test_a_pattern_finds_files_alone(image_folder: Path) -> None:
    images = find_images([str(image_folder / "train" / "**")])
    assert [image.path for image in images] == sorted(image_folder.glob("train/*/*.png"))


def test_files_of_a_folder_that_are_left_out_are_counted(tmp_path: Path) -> None:
    (tmp_path / "photo.PDF").write_bytes(b"%PDF-1.4")
    with pytest.raises(BadRequest, match=r"no image .*1 files of .* are left out \(\.pdf 1\)"):
        find_images([str(tmp_path)])
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert [image.path.name for image in find_images([str(tmp_path)])] == ["a.png"]
    (note,) = left_out_notes([str(tmp_path), str(tmp_path / "*.png")])
    assert "(.pdf 1)" in note
