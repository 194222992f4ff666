"""`head2toe audit` as a user calls it: turned labels and copies are found, decisions become a manifest."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from head2toe.extract.tasks.registry import load_task
from head2toe.tests.commands import call, document
from head2toe.tests.conftest import FLAGS, MadeBefore, stripes
from PIL import Image


def spoil(task: Path) -> Path:
    """The task with an image in the wrong class, one twice, and one in training and test."""
    train, test = task / "train", task / "test"
    (train / "across" / "00.png").rename(train / "down" / "wrong.png")
    shutil.copy(train / "slant" / "03.png", train / "slant" / "twice.png")
    shutil.copy(train / "slant" / "05.png", test / "slant" / "leak.png")
    return task


def ran(folder: Path) -> None:
    document("run", spoil(stripes(folder)), *FLAGS, "--methods", "linear")


@pytest.fixture
def spoiled(image_folder: Path, made_before: MadeBefore) -> Path:
    """A task that was run before; its results are not there."""
    made_before(ran)
    return spoil(image_folder)


@pytest.fixture
def audit(flags: list[str]) -> list[str]:
    return ["audit", *flags, "--methods", "linear"]


def test_what_is_wrong_with_the_images_is_found(spoiled: Path, audit: list[str]) -> None:
    found = document(*audit, spoiled)
    assert found["rows"] == {"train": 37, "test": 16}
    of_kind = {
        kind: [one for one in found["findings"] if one["kind"] == kind] for kind in ("leak", "duplicate", "label")
    }
    slant = {split: str(spoiled / split / "slant") for split in ("train", "test")}
    leak, twice = {f"{slant['train']}/05.png", f"{slant['test']}/leak.png"}, {f"{slant['train']}/03.png"}
    twice |= {f"{slant['train']}/twice.png"}
    assert any(leak <= set(one["images"]) for one in of_kind["leak"])
    assert any(twice <= set(one["images"]) for one in of_kind["duplicate"] + of_kind["leak"])
    ranked = [Path(one["image"]).name for one in found["labels"] if one["split"] == "train"]
    assert len(ranked) == 37
    assert "wrong.png" in ranked[:6]
    assert sum(found["counts"].values()) == len(found["findings"])


def test_black_copies_are_found_under_two_labels(spoiled: Path, audit: list[str]) -> None:
    """Of one grey: no correlation of pixels knows them, but they are the same file."""
    files = [spoiled / "train" / name / "black.png" for name in ("across", "down")]
    for file in files:
        Image.new("RGB", (20, 20)).save(file)
    found = [one for one in document(*audit, spoiled)["findings"] if one["kind"] == "duplicate"]
    (black,) = [one for one in found if str(files[0]) in one["images"]]
    assert (black["images"], black["labels"]) == ([str(file) for file in files], ["across", "down"])
    assert (black["score"], black["action"]) == (1.0, "look")


def test_the_page_shows_pictures_and_the_run_is_recalled(spoiled: Path, audit: list[str], tmp_path: Path) -> None:
    shown = call(*audit, spoiled)
    assert shown.exit_code == 0, shown.output
    (page,) = Path("results").rglob("audit.html")
    assert str(page) in shown.stdout
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") >= 4
    assert "In training and in test" in html
    again = call("audit", page.parent, "-o", tmp_path / "again.html")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_the_table_is_one_of_decisions_that_become_a_manifest(spoiled: Path, audit: list[str], tmp_path: Path) -> None:
    table = call(*audit, spoiled, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["action"] for row in rows} == {""}
    leaks = {row["image"]: row["advice"] for row in rows if row["kind"] == "leak" and row["advice"] != "look"}
    assert all((advice == "keep") == ("/test/" in image) for image, advice in leaks.items())
    (tmp_path / "as_it_is.csv").write_text(table)
    nothing = document(*audit, spoiled, "--apply", tmp_path / "as_it_is.csv", "--manifest", tmp_path / "same.csv")
    assert (nothing["relabelled"], nothing["removed"]) == (0, 0)
    assert {row["image"] for row in rows if row["image"]} == {image.name for image in load_task(str(spoiled)).images}
    wrong = str(spoiled / "train" / "down" / "wrong.png")
    twice = str(spoiled / "train" / "slant" / "twice.png")
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(f"image,action,suggestion\n{wrong},relabel,across\n{twice},remove,\n{wrong},keep,\n")
    before = {file: file.read_bytes() for file in spoiled.rglob("*.png")}
    done = document(*audit, spoiled, "--apply", decisions, "--manifest", tmp_path / "better.csv")
    assert done == {"manifest": str(tmp_path / "better.csv"), "relabelled": 1, "removed": 1}
    assert {file: file.read_bytes() for file in spoiled.rglob("*.png")} == before
    task, old = load_task(str(tmp_path / "better.csv")), load_task(str(spoiled))
    label = {image.name: task.classes[number] for image, number in zip(task.images, task.labels, strict=True)}
    assert label[wrong] == "across"
    assert twice not in label
    assert len(task.images) == len(old.images) - 1
    folds = dict(zip((image.name for image in old.images), old.folds.tolist(), strict=False))
    assert all(folds[image.name] == fold for image, fold in zip(task.images, task.folds.tolist(), strict=False))
    refused = call(*audit, spoiled, "--apply", decisions, "--manifest", tmp_path / "better.csv")
    assert refused.exit_code == 2
    assert "is not overwritten" in refused.stderr


def test_the_manifest_is_called_after_the_task(
    spoiled: Path, audit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled.rename(tmp_path / "stripes.v2")
    (tmp_path / "decisions.csv").write_text("image,action\n")
    named = document(*audit, "stripes.v2", "--apply", "decisions.csv")
    assert named["manifest"] == "stripes.v2-corrected.csv"
    monkeypatch.chdir(tmp_path / "stripes.v2")
    assert document(*audit, ".", "--apply", "../decisions.csv")["manifest"] == "stripes.v2-corrected.csv"
    refused = call(*audit, ".", "--apply", "../decisions.csv", "--manifest", "better.parquet")
    assert refused.exit_code == 2
    assert "give its file the suffix .csv" in refused.stderr


def test_no_spreadsheet_runs_the_name_of_an_image(spoiled: Path, flags: list[str]) -> None:
    spoiled.rename("=stripes")
    told = call("audit", "=stripes", *flags, "--methods", "linear", "--csv")
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    assert all(row["image"].startswith("./=stripes/") for row in rows if row["image"])
    assert not any(row["with"].startswith("=") for row in rows)
    for row in rows:
        row["action"] = "remove" if row["image"].endswith("twice.png") else ""
    with Path("decisions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = document("audit", "=stripes", *flags, "--methods", "linear", "--apply", "decisions.csv")
    assert (done["relabelled"], done["removed"]) == (0, 1)


def test_a_safe_table_runs_no_class_as_a_formula_and_is_read_again(
    spoiled: Path, audit: list[str], tmp_path: Path
) -> None:
    for split in ("train", "test"):
        (spoiled / split / "slant").rename(spoiled / split / "=1+1")
    plain = list(csv.DictReader(io.StringIO(call(*audit, spoiled, "--csv").stdout)))
    safe = list(csv.DictReader(io.StringIO(call(*audit, spoiled, "--csv", "--csv-safe").stdout)))
    assert any(row["label"] == "=1+1" for row in plain)
    assert not any(cell.startswith("=") for row in safe for cell in row.values())
    bare = [{column: cell.replace("'=", "=") for column, cell in row.items()} for row in safe]
    assert bare == plain
    wrong = str(spoiled / "train" / "down" / "wrong.png")
    (tmp_path / "decisions.csv").write_text(f"image,action,suggestion\n{wrong},relabel,'=1+1\n")
    done = document(*audit, spoiled, "--apply", tmp_path / "decisions.csv", "--manifest", tmp_path / "better.csv")
    assert done["relabelled"] == 1
    better = load_task(str(tmp_path / "better.csv"))
    label = {image.name: better.classes[number] for image, number in zip(better.images, better.labels, strict=True)}
    assert label[wrong] == "=1+1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,action\nnowhere.png,remove\n", "line 2: no image 'nowhere.png' in task stripes"),
        ("image,action\nx,burn\n", "line 2: unknown action 'burn': relabel, remove, keep, look, merge"),
        ("image,action,suggestion\n{image},relabel,cow\n", "line 2: no class 'cow' in task stripes"),
        ("image,action,suggestion\n{image},relabel,down\n{image},relabel,slant\n", "is to be 'down' and 'slant'"),
        ("name,action\nx,keep\n", "has no column 'image'"),
    ],
)
def test_decisions_that_make_no_sense_are_one_line(
    spoiled: Path, audit: list[str], tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "decisions.csv").write_text(text.format(image=spoiled / "train" / "across" / "01.png"))
    result = call(*audit, spoiled, "--apply", tmp_path / "decisions.csv")
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()[-1:]) == 1
    assert not Path("stripes-corrected.csv").exists()


def test_what_is_said_beside_a_run_is_told(spoiled: Path, audit: list[str]) -> None:
    run = Path(document(*audit, spoiled)["result"]).parent
    told = call("audit", run, "--seed", "3", "--csv")
    assert told.exit_code == 0, told.output
    assert f"note       --seed left out: the settings of {run} are its own" in told.stderr
    assert "no longer what it was" not in told.stderr
    assert call("audit", run, "--csv").stderr == ""
    (spoiled / "train" / "down" / "wrong.png").rename(spoiled / "train" / "across" / "right.png")
    changed = call("audit", run, "--csv")
    assert changed.exit_code == 0, changed.output
    assert f"note       {spoiled} is no longer what it was in {run}: it was run again" in changed.stderr


def test_notes_stand_beside_a_table(spoiled: Path, flags: list[str]) -> None:
    noted = call("audit", spoiled, *flags, "--methods", "knn", "--csv")
    assert noted.exit_code == 0, noted.output
    assert "note       knn chose no head of least squares or logistic loss" in noted.stderr


def test_a_run_whose_store_is_gone_is_one_line(spoiled: Path, audit: list[str]) -> None:
    run = Path(document(*audit, spoiled)["result"])
    shutil.rmtree(json.loads(run.read_text())["store"])
    result = call("audit", run.parent)
    assert result.exit_code == 2
    assert "the store of" in result.stderr
    assert "head2toe run" in result.stderr


def test_several_backbones_and_a_mean_of_heads_are_audited(spoiled: Path) -> None:
    small = ("--weights", "random", "--input-size", "32", "--target-size", "16", "--methods", "head2toe")
    found = document("audit", spoiled, "--backbone", "test_resnet", "--backbone", "test_vit", *small)
    assert found["method"] == "head2toe"
    suspected = [one for one in found["findings"] if one["kind"] == "label" and one["split"] == "train"]
    assert all(one["influence"] is not None for one in suspected)


def test_a_store_without_the_last_layer_is_one_line(spoiled: Path, flags: list[str]) -> None:
    refused = call("audit", spoiled, *flags, "--methods", "all-l2", "--taps", "layer4*")
    assert refused.exit_code == 1
    assert "add it to --taps" in refused.stderr.splitlines()[-1]
