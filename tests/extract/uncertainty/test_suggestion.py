"""A batch to label is uncertain and diverse, the same for the same seed, and holds no training image."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from head2toe.extract.uncertainty.suggestion import CANDIDATES, diverse_batch, margins, trained_on
from head2toe.pipeline import main
from head2toe.tests.commands import call


def test_margins_are_between_the_two_most_probable_classes() -> None:
    np.testing.assert_allclose(margins(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])), [0.2, 0.7])
    assert margins(np.ones((3, 1))).tolist() == [1, 1, 1]


def test_a_batch_takes_one_of_each_cluster_of_uncertain_images() -> None:
    rng = np.random.default_rng(0)
    centres = 100 * rng.standard_normal((4, 8))
    coordinates = np.repeat(centres, 10, axis=0) + rng.standard_normal((40, 8))
    uncertain = np.full((40, 2), 0.5) + 0.01 * rng.uniform(size=(40, 1)) * [1, -1]
    sure = np.tile([0.99, 0.01], (200, 1))
    P, Z = np.concatenate([sure, uncertain]), np.concatenate([1000 + np.zeros((200, 8)), coordinates])
    chosen = diverse_batch(P, Z, 4)
    assert (chosen >= 200).all()
    assert sorted((chosen - 200) // 10) == [0, 1, 2, 3], "one of each"
    assert chosen.tolist() == diverse_batch(P, Z, 4).tolist()
    assert (np.diff(margins(P)[chosen]) >= 0).all(), "the least certain first"
    assert len(P) > 4 * CANDIDATES


def test_without_coordinates_the_least_certain_are_taken_and_no_more_than_there_are() -> None:
    P = np.array([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]])
    assert diverse_batch(P, None, 2).tolist() == [1, 2]
    assert diverse_batch(P, np.zeros((3, 2)), 5).tolist() == [1, 2, 0]
    assert len(set(diverse_batch(P, np.zeros((3, 2)), 2).tolist())) == 2, "copies are no error"


def test_training_images_are_known_by_where_they_lie_in_half_precision() -> None:
    rng = np.random.default_rng(0)
    training = rng.standard_normal((50, 16)).astype(np.float32)
    pool = np.concatenate([training[:5], rng.standard_normal((20, 16)).astype(np.float32)])
    assert trained_on(pool, training.astype(np.float16)).tolist() == [True] * 5 + [False] * 20


@pytest.fixture
def model(image_folder: Path, flags: list[str], tmp_path: Path) -> Path:
    done = call("run", image_folder, *flags, "--methods", "linear", "--save-model", tmp_path / "model")
    assert done.exit_code == 0, done.output
    return tmp_path / "model"


def test_the_command_suggests_unlabelled_images_alone(model: Path, image_folder: Path, tmp_path: Path) -> None:
    done = call("suggest", model, image_folder, "-k", "6")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 6
    assert all(f"{image_folder}/test/" in row["path"] for row in rows)
    assert "36 images of the pool are training images of the model: left out" in done.stderr
    assert all(0 <= float(row["margin"]) <= float(row["probability"]) <= 1 for row in rows)
    written = call("suggest", model, image_folder / "test", "-k", "100", "-o", tmp_path / "next.csv")
    assert written.exit_code == 0, written.output
    assert "the pool has 15 images, fewer than 100: all of them" in written.stderr
    assert len((tmp_path / "next.csv").read_text().splitlines()) == 16


def test_a_pool_of_training_images_and_an_empty_one_are_one_line(
    model: Path, image_folder: Path, tmp_path: Path
) -> None:
    refused = call("suggest", model, image_folder / "train")
    assert refused.exit_code == 2
    assert "no image of the pool is left" in refused.stderr.splitlines()[-1]
    (tmp_path / "empty").mkdir()
    empty = call("suggest", model, tmp_path / "empty")
    assert empty.exit_code == 2
    assert "no image" in empty.stderr


def test_an_image_that_cannot_be_read_is_skipped_if_asked(model: Path, image_folder: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    shutil.copytree(image_folder / "test", pool)
    (pool / "across" / "00.png").write_bytes(b"no image")
    assert call("suggest", model, pool).exit_code == 1
    done = call("suggest", model, pool, "-k", "3", "--on-error", "skip")
    assert done.exit_code == 0, done.output
    assert "skipped" in done.stderr
    assert len(done.stdout.splitlines()) == 4


def test_a_model_that_keeps_no_training_images_suggests_by_uncertainty(model: Path, image_folder: Path) -> None:
    from dataclasses import replace

    from head2toe.extract.deploy.bundle import Bundle

    replace(Bundle.load(model), calibration=None).save(model)
    done = call("suggest", model, image_folder / "test", "-k", "4")
    assert done.exit_code == 0, done.output
    assert "the model keeps no training images" in done.stderr
    values = [float(row["margin"]) for row in csv.DictReader(io.StringIO(done.stdout))]
    assert values == sorted(values)


def test_copies_in_the_pool_are_suggested_once(model: Path, image_folder: Path, tmp_path: Path) -> None:
    pool, test = tmp_path / "pool", image_folder / "test"
    shutil.copytree(test, pool)
    shutil.copy(test / "across" / "00.png", pool / "again.png")
    (pool / "bad.png").write_bytes(b"no image")
    (pool / "bad2.png").write_bytes(b"no image")
    done = call("suggest", model, pool, f"{pool}/across/*.png", "-k", "100", "--on-error", "skip")
    assert done.exit_code == 0, done.output
    assert "the pool has copies of images: 7 left out" in done.stderr
    assert "the pool has 15 images" in done.stderr
    paths = [row["path"] for row in csv.DictReader(io.StringIO(done.stdout))]
    assert len(paths) == len(set(paths)) == 15
    one = call("suggest", model, test / "across" / "00.png", test / "across" / "00.png", "-k", "2")
    assert one.exit_code == 0, one.output
    assert "the pool has 1 image, fewer than 2" in one.stderr


def test_a_pool_is_listed_on_stdin(model: Path, image_folder: Path) -> None:
    names = "".join(f"{file}\n" for file in sorted(image_folder.glob("test/down/*.png")))
    done = CliRunner().invoke(main, ["suggest", str(model), "-", "-k", "2"], input=names)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 3
    nothing = CliRunner().invoke(main, ["suggest", str(model), "-", "-k", "2"], input="")
    assert nothing.exit_code == 2
    assert "the list is empty" in nothing.stderr
