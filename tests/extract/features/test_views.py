"""Views: the same for an image wherever it lies, kept beside the plain rows, extracted only where they are missing."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from head2toe.extract.features.views import PLAIN, View
from head2toe.extract.images.sources import ImageArray, ImageFile
from head2toe.extract.options import single_views
from head2toe.pipeline import extract, main
from head2toe.store.reading.design_matrix import DesignMatrix
from PIL import Image

DIGESTS = [f"{i:064x}" for i in range(500)]


def picture(width: int = 30, height: int = 20) -> ImageArray:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return ImageArray("picture", pixels)


def test_a_flip_mirrors_left_and_right() -> None:
    image = picture()
    np.testing.assert_array_equal(np.asarray(View("flip")(image.load(), image)), image.pixels[:, ::-1])


def test_the_plain_view_is_the_image_and_adds_nothing_to_a_key() -> None:
    image = picture()
    np.testing.assert_array_equal(np.asarray(PLAIN(image.load(), image)), image.pixels)
    assert PLAIN.identity == {}


def test_a_crop_is_that_part_of_the_image() -> None:
    image, view = picture(), View.of("crop#1", seed=3)
    left, top, right, bottom = view.box((30, 20), image.digest())
    np.testing.assert_array_equal(np.asarray(view(image.load(), image)), image.pixels[top:bottom, left:right])


@pytest.mark.parametrize(("name", "least", "most"), [("crop#2", 0.6, 0.95), ("crop#1:0.3-0.5", 0.3, 0.5)])
def test_crops_have_the_shares_asked_for_and_reach_every_border(name: str, least: float, most: float) -> None:
    boxes = np.array([View.of(name, 0).box((1000, 500), digest) for digest in DIGESTS])
    shares = (boxes[:, 2:] - boxes[:, :2]) / (1000, 500)
    assert shares.min() >= least - 1e-3
    assert shares.max() <= most + 1e-3
    assert np.ptp(shares, axis=0).min() > 0.9 * (most - least), "the shares fill their range"
    assert abs(np.corrcoef(shares.T)[0, 1]) < 0.15, "each side is drawn for itself"
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= (1000, 500)).all()
    assert boxes[:, :2].min() < 10, "some lie at the left or upper border"
    assert (np.array((1000, 500)) - boxes[:, 2:]).min() < 10, "some at the right or lower one"


def test_a_scale_keeps_middle_and_shape() -> None:
    boxes = np.array([View.of("scale#1", 0).box((1000, 500), digest) for digest in DIGESTS])
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0] / sides[:, 1], 2, rtol=0.01)
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, np.broadcast_to((500, 250), (500, 2)), atol=1)
    assert sides[:, 0].min() < 650
    assert sides[:, 0].max() > 900


def test_views_seeds_and_images_are_drawn_apart() -> None:
    boxes = {
        View.of(name, seed).box((1000, 1000), digest)
        for name in ("crop#1", "crop#2", "scale#1")
        for seed in (0, 1)
        for digest in DIGESTS[:3]
    }
    assert len(boxes) == 18


def test_a_box_is_the_same_on_every_machine() -> None:
    """What is drawn is a hash of plain text, written out here; drawn otherwise, it would spoil stores that exist."""
    text = f'["{"0" * 64}",{{"kind":"crop","least":0.6,"most":0.95,"number":1,"seed":0}}]'
    drawn = hashlib.sha256(text.encode()).hexdigest()
    shares = [int(drawn[i : i + 12], 16) / 2**48 for i in (0, 12, 24, 36)]
    width, height = round(640 * (0.6 + 0.35 * shares[0])), round(480 * (0.6 + 0.35 * shares[1]))
    left, top = int(shares[2] * (641 - width)), int(shares[3] * (481 - height))
    assert View.of("crop#1", 0).box((640, 480), "0" * 64) == (left, top, left + width, top + height)


def test_an_image_of_one_pixel_has_views() -> None:
    image = picture(1, 1)
    for name in single_views(["flip", "crop:2", "scale"]):
        assert View.of(name, 0)(image.load(), image).size == (1, 1)


def keys(extraction: Any) -> dict[str, str]:
    return {"plain": extraction.store.key} | {name: stores[64].key for name, stores in extraction.views.items()}


def test_only_what_no_store_holds_is_extracted_and_it_says_so(image_folder: Path, smaller: dict[str, Any]) -> None:
    without = extract(str(image_folder), **smaller)
    assert (without.images_extracted, without.views) == (51, {})
    one = extract(str(image_folder), **smaller, views=("crop",))
    assert one.images_extracted == 51
    assert one.store.key == without.store.key, "the plain store's key knows nothing of views"
    assert "views: crop#1 extracted for 51 images, plain from its store" in one.notes
    more = extract(str(image_folder), **smaller, views=("flip", "crop:2"))
    assert more.images_extracted == 102
    assert "crop#2 extracted for 51 images, plain, crop#1 from their stores" in "; ".join(more.notes)
    assert keys(more)["crop#1"] == keys(one)["crop#1"], "a run that asks for fewer shares what is there"
    assert len(set(keys(more).values())) == 4
    assert extract(str(image_folder), **smaller, views=("scale", "crop:2")).images_extracted == 51
    assert extract(str(image_folder), **smaller, views=("flip", "crop")).images_extracted == 0


def test_a_seed_is_part_of_drawn_views_alone(image_folder: Path, smaller: dict[str, Any]) -> None:
    assert View.of("flip", 1).identity == View.of("flip", 0).identity
    assert View.of("crop#1", 1).identity != View.of("crop#1", 0).identity
    made = extract(str(image_folder), **smaller, views=("flip", "crop"), seed=0)
    assert made.views["crop#1"][64].identity["view"]["seed"] == 0
    assert made.views["flip"][64].identity["view"] == {"kind": "flip"}


def test_an_image_has_the_same_crops_in_every_task(image_folder: Path, smaller: dict[str, Any], tmp_path: Path) -> None:
    """Rows of a smaller task, of copies under other names, are taken over; and they are what would be extracted."""
    other = tmp_path / "other"
    for split in ("train", "test"):
        for number, file in enumerate(sorted((image_folder / split).glob("*/*[34].png"))):
            target = other / split / file.parent.name / f"copy{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    whole = extract(str(image_folder), **smaller, views=("crop",))
    alone = extract(str(other), **smaller, views=("crop",), store=tmp_path / "alone", folds="2")
    shared = extract(str(other), **smaller, views=("crop",), folds="2")
    assert shared.images_extracted == 0
    digests = list(shared.digests)
    columns = np.arange(whole.store.layers.n_features)
    of_whole = DesignMatrix.of([whole.views["crop#1"][64]], digests).columns(columns)
    np.testing.assert_allclose(
        of_whole, DesignMatrix.of([alone.views["crop#1"][64]], digests).columns(columns), rtol=2e-3, atol=1e-3
    )


def test_a_copy_of_a_file_has_the_same_crop(tmp_path: Path) -> None:
    image = Image.fromarray(picture().pixels)
    for name in ("a.png", "b.png"):
        image.save(tmp_path / name)
    boxes = {View.of("crop#1", 0).box((30, 20), ImageFile(tmp_path / name).digest()) for name in ("a.png", "b.png")}
    assert len(boxes) == 1


def test_the_command_names_stores_of_views(image_folder: Path, flags: list[str]) -> None:
    result = CliRunner().invoke(
        main, ["extract", str(image_folder), *flags, "--taps", "blocks", "--views", "flip,crop"]
    )
    assert result.exit_code == 0, result.output
    assert "153 views of images extracted" in result.output
    assert "(view flip, target size 64)" in result.output
    assert "(view crop#1, target size 64)" in result.output
    listed = CliRunner().invoke(main, ["store", "ls"]).output
    assert sorted(line.split()[3] for line in listed.splitlines()[1:]) == ["crop#1", "flip", "plain"]
