"""`head2toe forget` as a user calls it: a new model beside the old one, what it forgot and what is proved of it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.commands import model_origin
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.images.sources import ImageFile
from head2toe.pipeline import run
from head2toe.probe.results import stored_runs
from head2toe.tests.commands import call, document
from head2toe.tests.conftest import FLAGS, MadeBefore, stripes


def ran_before(folder: Path) -> None:
    document("run", stripes(folder), *FLAGS, "--taps", "blocks", "--methods", "linear,head2toe")


@pytest.fixture
def ran(image_folder: Path, smaller: dict[str, Any], made_before: MadeBefore) -> Path:
    """The folder of a run of the task, of which everything but the result was found."""
    made_before(ran_before)
    return run(str(image_folder), **smaller, methods=("linear", "head2toe")).file.parent


def test_a_model_without_an_image_is_written_and_works(image_folder: Path, ran: Path) -> None:
    gone = image_folder / "train" / "down" / "03.png"
    found = document("forget", ran, "--image", gone, "-o", "without")
    digest = ImageFile(gone).digest()
    assert found["forgotten"] == [{"image": str(gone), "sha256": digest, "label": "down"}]
    assert found["training"]["images"] == 35
    assert found["gap"] < 1e-5
    (store,) = found["stores"]
    record = stored_runs.load(ran).record
    assert store["key"] == Path(record["store"]).name
    assert found["run"] == record["key"]
    assert set(found["accuracy"]["after"]) == {"cv_accuracy", "test_accuracy"}
    old, new = Bundle.load(ran / "models" / "head2toe"), Bundle.load(Path("without"))
    assert new.certificate["forgotten"] == found["forgotten"]
    assert new.task["n_train"] == 35
    assert not np.array_equal(old.coef, new.coef)
    assert old.calibration is not None
    assert new.calibration is not None
    assert len(new.calibration.held_out) == len(old.calibration.held_out) - 1
    predicted = call("predict", "without", image_folder / "test", "--coverage", "0.9")
    assert predicted.exit_code == 0, predicted.output
    assert predicted.stdout.count("\n") == 16
    assert "forgotten  1 images" in call("info", "without").stdout
    assert "trained again without 1 of the task's images" in (Path("without") / "README.md").read_text()
    assert gone.is_file()


def test_what_was_forgotten_stays_forgotten_in_any_order(image_folder: Path, ran: Path) -> None:
    """By file, by name from another place, and by sha256; the same images give the same model."""
    one, two = image_folder / "train" / "across" / "00.png", image_folder / "train" / "slant" / "11.png"
    assert call("forget", ran, "--method", "linear", "--image", one, "-o", "first").exit_code == 0
    then = document("forget", "first", "--image", ImageFile(two).digest().upper(), "-o", "then")
    shutil.copy(one, "elsewhere.png")
    for model in (ran / "models" / "linear", Path("first")):
        shutil.copytree(model, "copy", dirs_exist_ok=True)
        found = document("forget", "copy", "--image", two, "-o", "deep", "--results", ran.parent.parent)
        assert found["run"] == then["run"], "a run that lies deeper below the folder is found"
        shutil.rmtree("copy")
    both = document("forget", ran / "models" / "linear", "--image", "elsewhere.png", "--image", two, "-o", "both")
    assert {image["image"] for image in then["forgotten"]} == {str(one), str(two)}
    assert then["forgotten"] == both["forgotten"]
    first, second = Bundle.load(Path("then")), Bundle.load(Path("both"))
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])


def test_every_copy_of_an_image_is_forgotten(image_folder: Path, small: dict[str, Any]) -> None:
    one = image_folder / "train" / "across" / "00.png"
    shutil.copy(one, image_folder / "train" / "across" / "again.png")
    ran = run(str(image_folder), **small, methods=("linear",)).file.parent
    found = document("forget", ran, "--method", "linear", "--image", one, "-o", "without")
    assert [Path(image["image"]).name for image in found["forgotten"]] == ["00.png", "again.png"]


def test_a_copied_model_finds_its_run(image_folder: Path, ran: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(ran / "models" / "head2toe", copied)
    shown = call("forget", copied, "--image", image_folder / "train" / "across" / "00.png", "--results", "results")
    assert shown.exit_code == 0, shown.output
    assert "certified  duality gap" in shown.stdout
    assert Bundle.load(Path("stripes-head2toe-forgotten")).certificate
    lost = call("forget", copied, "--image", "x", "--results", tmp_path / "none")
    assert lost.exit_code == 2
    assert "left the model" in lost.stderr


def test_of_runs_that_left_the_same_model_the_latest_is_meant(ran: Path, tmp_path: Path) -> None:
    """As when the code changed between them: that of the older run can't be made again."""
    copied, older = tmp_path / "copied", ran.parent / "an-older-run"
    shutil.copytree(ran / "models" / "head2toe", copied)
    shutil.copytree(ran, older)
    os.utime(older / "result.json", (0, 0))
    assert model_origin(copied, "head2toe", ran.parent)[0] == ran
    os.utime(older / "result.json", (2**32, 2**32))
    assert model_origin(copied, "head2toe", ran.parent)[0] == older
    assert model_origin(ran, "head2toe", ran.parent)[0] == ran


def test_refusals_come_before_the_work(image_folder: Path, ran: Path) -> None:
    gone = image_folder / "train" / "down" / "03.png"
    Path("full").mkdir()
    (Path("full") / "letter.txt").write_text("mine")
    refused = call("forget", ran, "--image", gone, "-o", "full")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "full is there already and no model: choose another folder with -o DIR" in refused.stderr
    classes = [word for file in (image_folder / "train" / "down").iterdir() for word in ("--image", str(file))]
    lost = call("forget", ran, *classes)
    assert lost.exit_code == 2
    assert "class 'down' would have no training image left" in lost.stderr
    assert not Path("stripes-head2toe-forgotten").exists()


def test_a_certificate_that_was_changed_is_damage(image_folder: Path, ran: Path) -> None:
    call("forget", ran, "--method", "linear", "--image", image_folder / "train" / "down" / "03.png", "-o", "without")
    file = Path("without") / "model.json"
    document = json.loads(file.read_text())
    document["certificate"]["forgotten"][0]["sha256"] = "0" * 64
    file.write_text(json.dumps(document))
    refused = call("info", "without")
    assert refused.exit_code == 1
    assert "damaged" in refused.stderr


def test_a_run_of_a_relative_path_says_so_elsewhere(image_folder: Path, small: dict[str, Any]) -> None:
    ran = run(image_folder.name, **small, methods=("linear",)).file.parent.resolve()
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    for words in (["forget", ran, "--method", "linear", "--image", image_folder / "train/down/03.png"], ["audit", ran]):
        refused = call(*words)
        assert refused.exit_code == 2
        assert "a relative path counts from the current folder" in refused.stderr.splitlines()[-1]
        assert str(image_folder) in refused.stderr


def test_a_damaged_outcome_is_one_line_and_removing_it_helps(image_folder: Path, ran: Path, tmp_path: Path) -> None:
    (outcome,) = ran.parent.glob("outcomes/*-linear-*.npz")
    forget = ("forget", ran, "--method", "linear", "--image", image_folder / "train" / "down" / "03.png")
    audit = ("audit", ran, "-o", tmp_path / "audit.html")
    (best,) = ran.parent.glob("outcomes/*-head2toe-*.npz")
    for words, file in ((forget, outcome), (audit, best)):
        file.write_bytes(file.read_bytes()[:-100])
        shown = call(*words)
        assert (shown.exit_code, len(shown.stderr.splitlines())) == (1, 1), shown.output
        assert f"{file} is not an outcome" in shown.stderr
        assert "remove it and run again" in shown.stderr
        file.unlink()
        assert call(*words).exit_code == 0
