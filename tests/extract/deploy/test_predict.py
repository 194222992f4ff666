"""What `predict` is given is found: files, folders, patterns; what can't be written is an error before the work."""

import sys
from pathlib import Path

import pytest
from head2toe.extract.deploy.predict import find_images, writing
from head2toe.store.common.errors import MissingExtra


def test_a_pattern_finds_files_alone(image_folder: Path) -> None:
    images = find_images([str(image_folder / "train" / "**")])
    assert [image.path for image in images] == sorted(image_folder.glob("train/*/*.png"))


@pytest.mark.parametrize("fault", ["pyarrow", "folder"])
def test_parquet_that_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    (tmp_path / "file").touch()
    file = tmp_path / ("file" if fault == "folder" else ".") / "x.parquet"
    if fault == "pyarrow":
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises((MissingExtra, FileExistsError)), writing(file, None, sys.stdout):
        pytest.fail("the work began")
    assert not list(tmp_path.glob("*.partial"))
