"""What `predict` is given is found: files, folders, patterns."""

from pathlib import Path

from head2toe.extract.deploy.predict import find_images


def test_a_pattern_finds_files_alone(image_folder: Path) -> None:
    images = find_images([str(image_folder / "train" / "**")])
    assert [image.path for image in images] == sorted(image_folder.glob("train/*/*.png"))
