"""The whole way as a user goes it: what the stages do, as functions and as commands."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from head2toe.pipeline import Options, extract, main, probe, run, select
from head2toe.store.common.errors import BadRequest
from head2toe.tests.commands import call, document
from PIL import Image

ROOT = Path(__file__).parents[1]


def test_run_documents_everything_and_the_second_run_extracts_nothing(image_folder: Path, flags: list[str]) -> None:
    first = document("run", str(image_folder), *flags)
    assert first["images_extracted"] == 51
    assert first["task"] == "stripes"
    assert first["backbones"][0]["name"] == "resnet18"
    assert first["backbones"][0]["weights"] == "random:0"
    assert Path(first["store"]).is_dir()
    assert [m["name"] for m in first["methods"]] == ["linear", "l21", "head2toe"]
    for method in first["methods"]:
        assert 0 <= method["cv"]["accuracy"]["mean"] <= 1
        assert method["cv"]["accuracy"]["stderr"] >= 0
        assert 0 <= method["test"]["accuracy"]["value"] <= 1
        assert 0 < method["features"]["kept"] <= method["features"]["total"]
        assert sum(layer["kept"] for layer in method["layers"]) == method["features"]["kept"]
        assert {"settings", "cost", "sweep"} <= set(method)
    assert {"head2toe", "torch", "timm", "zarr"} <= set(first["versions"])
    assert first["seed"] == 0
    assert json.loads(Path(first["result"]).read_text())["methods"] == first["methods"]

    second = document("run", str(image_folder), *flags)
    assert second["images_extracted"] == 0
    assert second["methods"] == first["methods"]
    shown = call("run", str(image_folder), *flags).stdout
    assert "nothing to extract" in shown
    assert "recalled" in shown

    fresh = document("run", str(image_folder), *flags, "--fresh")
    timeless = [[{k: v for k, v in m.items() if k != "cost"} for m in d["methods"]] for d in (first, fresh)]
    assert timeless[0] == timeless[1], "the same settings give the same result"


def test_the_method_finds_what_is_there(image_folder: Path, small: dict[str, Any]) -> None:
    """Stripes' direction is easy for early layers, even of a random network; all methods are far above chance."""
    result = run(str(image_folder), **small)
    assert all(m.test_accuracy > 0.6 for m in result.methods)


def test_extract_documents_the_store(image_folder: Path, flags: list[str]) -> None:
    extracted = document("extract", str(image_folder), *flags, "--target-size", "256")
    assert extracted["rows"] == 51 == extracted["images_extracted"]
    assert set(extracted["stores"]) == {"64", "256"}
    assert extracted["layers"] > 10
    assert extracted["features"] > extracted["layers"]


def test_select_extracts_first_and_recalls_afterwards(image_folder: Path, flags: list[str]) -> None:
    selected = document("select", str(image_folder), *flags)
    assert selected["images_extracted"] == 51
    assert not selected["recalled"]
    (selection,) = selected["selections"]
    assert all(point["converged"] and point["gap"] <= 1e-2 for point in selection["path"])
    assert Path(selection["file"]).is_file()
    assert document("select", str(image_folder), *flags)["recalled"]


def test_layouts_of_the_same_images_share_a_store(
    image_folder: Path, vtab_folder: Callable[[], Path], small: dict[str, Any]
) -> None:
    first = extract(str(image_folder), **small)
    second = extract(str(vtab_folder()), **small)
    assert second.images_extracted == 0
    assert second.store.path == first.store.path


def test_a_held_out_part_instead_of_folds(image_folder: Path, flags: list[str]) -> None:
    five = document("run", str(image_folder), *flags, "--methods", "l21")
    one = document("run", str(image_folder), *flags, "--methods", "l21", "--folds", "holdout", "--rule", "simplest")
    assert one["images_extracted"] == 0
    assert (one["folds"], sum(five["folds"])) == ([6], 36)
    assert one["result"] != five["result"]
    cv = one["methods"][0]["cv"]["accuracy"]
    assert (cv["stderr"], len(cv["folds"])) == (None, 1)
    assert [note.split(":")[0] for note in one["notes"]] == [
        "no validation images",
        "one held-out part has no standard error",
    ]
    assert "--folds holdout" in one["command"]


def test_a_method_alone(image_folder: Path, small: dict[str, Any]) -> None:
    result = probe(str(image_folder), Options(**small), methods=["linear"])
    assert [m.name for m in result.methods] == ["linear"]
    assert result.methods[0].features_kept == 512


def test_selection_never_sees_held_out_labels(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch, small: dict[str, Any]
) -> None:
    """Fold 0's ranking stays the same when the labels of the rows it holds out are changed."""
    from dataclasses import replace

    from head2toe.extract.tasks import registry
    from head2toe.extract.tasks.task import Task

    before = select(str(image_folder), **small).selected.selections[64]
    plain = registry.load_task

    def relabelled(task: str, **options: Any) -> Task:
        loaded = plain(task, **options)
        labels = loaded.labels.copy()
        held = np.flatnonzero(loaded.folds == 0)
        labels[held] = (labels[held] + 1) % 3
        return replace(loaded, labels=labels)

    monkeypatch.setattr(registry, "load_task", relabelled)
    after = select(str(image_folder), **small).selected.selections[64]
    assert np.array_equal(before.rankings[:, 0], after.rankings[:, 0])
    assert not np.array_equal(before.rankings[:, -1], after.rankings[:, -1])


def test_a_corrupt_image_stops_or_is_skipped(image_folder: Path, flags: list[str]) -> None:
    bad = image_folder / "train" / "down" / "03.png"
    bad.write_bytes(b"broken")
    stopped = call("extract", str(image_folder), *flags)
    assert stopped.exit_code == 1
    assert str(bad) in stopped.stderr
    assert not list(Path.cwd().glob("stores/*/*/data.zarr/*/zarr.json")), "nothing that reads as a store is left"
    skipped = document("run", str(image_folder), *flags, "--on-error", "skip")
    assert skipped["images_extracted"] == 50
    assert str(bad) in skipped["skipped"][0]


def test_names_that_are_no_utf8_go_the_whole_way(image_folder: Path, flags: list[str], tmp_path: Path) -> None:
    """Latin-1 names from an older disk: images, a class folder, the task's own."""
    root = tmp_path / os.fsdecode(b"donn\xe9es")
    image_folder.rename(root)
    for split in ("train", "test"):
        (root / split / "down").rename(root / split / os.fsdecode(b"b\xe9b\xe9"))
    image = next(root.rglob("*.png"))
    image.rename(image.with_name(os.fsdecode(b"\xe9.png")))
    record = document("run", str(root), *flags)
    assert "b\\udce9b\\udce9" in record["classes"]
    assert call("report", str(Path(record["result"]).parent)).exit_code == 0
    predicted = call("predict", str(Path(record["result"]).parent), str(root))
    assert predicted.exit_code == 0, predicted.output
    assert "\\udce9.png" in predicted.stdout
    listed = b"".join(os.fsencode(path) + b"\n" for path in root.rglob("*.png"))
    piped = CliRunner().invoke(main, ["predict", str(Path(record["result"]).parent), "-"], input=listed)
    assert sorted(piped.stdout.splitlines()) == sorted(predicted.stdout.splitlines())


@pytest.mark.parametrize("change", [{"tokens": "all"}, {"dtype": "int8"}, {"target_sizes": ()}, {"preprocess": "x"}])
def test_bad_options_are_refused_in_python_too(change: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        extract("digits", **change)


def test_layers_lists_taps_and_sizes() -> None:
    listed = document("layers", "resnet18", "--taps", "blocks", "--input-size", "32", "--images", "10")
    assert [layer["name"] for layer in listed["layers"]][:2] == ["layer1.0", "layer1.1"]
    assert listed["bytes"]["512"] == 20 * listed["features"]["512"]
    assert "pre_logits" in call("layers", "resnet18").stdout
    words = ("layers", "resnet18", "--taps", "layer1.0.act2,pre_logits", "--input-size", "32", "--pool", "all")
    assert [layer["features"]["512"] for layer in document(*words)["layers"]] == [3 * 512 // 2, 512]


def test_tasks_lists_the_embedded_and_vtab() -> None:
    assert {"digits", "dtd", "smallnorb_ele"} <= {task["name"] for task in document("tasks")["tasks"]}


def test_another_size_says_how_the_nearest_store_differs(
    image_folder: Path, small: dict[str, Any], flags: list[str]
) -> None:
    extract(str(image_folder), **small)
    notes = document("extract", str(image_folder), *flags, "--input-size", "48")["notes"]
    assert any("differs in preprocessing.input_size" in note for note in notes)
    for image in image_folder.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    notes = document("extract", str(image_folder), *flags)["notes"]
    assert not any("nearest" in note for note in notes), "it holds none of these images"


def test_the_same_image_on_both_sides_of_a_split_is_said(image_folder: Path, flags: list[str]) -> None:
    command = ("run", str(image_folder), *flags, "--methods", "linear")
    assert document(*command)["notes"] == []
    train, test = image_folder / "train" / "down", image_folder / "test" / "down"
    shutil.copy(train / "00.png", test / "copy.png")
    for i in range(7):  # more than there are folds, less than two in each
        shutil.copy(train / "01.png", train / f"copy {i}.png")
    of_test, of_folds = document(*command)["notes"]
    assert of_test == f"1 of 16 test images are training images, too, such as {test / 'copy.png'}: the test flatters"
    assert of_folds.startswith("8 of 43 training images repeat one in another fold, such as ")


def test_new_images_reuse_the_rows_of_the_old(image_folder: Path, small: dict[str, Any], flags: list[str]) -> None:
    extract(str(image_folder), **small)
    for i, image in enumerate(sorted((image_folder / "test" / "down").iterdir())[:3]):
        pixels = np.asarray(Image.open(image))[::-1]
        Image.fromarray(pixels).save(image_folder / "train" / "down" / f"new{i}.png")
    grown = document("extract", str(image_folder), *flags)
    assert (grown["images_reused"], grown["images_extracted"]) == (51, 3)


def test_hdf5_gives_the_same_result(image_folder: Path, tmp_path: Path, smaller: dict[str, Any]) -> None:
    zarr = run(str(image_folder), **smaller)
    hdf5 = run(str(image_folder), **smaller, format="hdf5", store=tmp_path / "others", output=tmp_path / "out")
    assert hdf5.extractions[0].store.format == "hdf5"
    assert [m.cv_accuracy for m in zarr.methods] == [m.cv_accuracy for m in hdf5.methods]
    assert [m.test_accuracy for m in zarr.methods] == [m.test_accuracy for m in hdf5.methods]


def test_a_disk_too_small_is_an_error_up_front(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    from types import SimpleNamespace

    from head2toe.store.writing import space

    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    result = call("extract", str(image_folder), *flags)
    assert result.exit_code == 1
    assert "needed, 1.0 kB free" in result.stderr


def test_store_commands_look_after_what_extract_wrote(image_folder: Path, tmp_path: Path, flags: list[str]) -> None:
    extracted = document("extract", str(image_folder), *flags)
    key = Path(extracted["store"]).name
    (listed,) = document("store", "ls")["stores"]
    assert (listed["key"], listed["state"], listed["rows"]) == (key, "complete", 51)
    fields = document("store", "info", key[:6])["fields"]
    assert fields["backbone.architecture"] == "resnet18"
    assert fields["target_size"] == 64
    for shown in (call("store", "ls"), call("store", "info", key[:6])):
        assert key[:12] in shown.stdout
    archive = tmp_path / "kept"
    assert document("store", "export", key[:6], str(archive))["bytes"] > 0
    assert document("store", "rm", key[:6])["removed"]
    assert document("store", "import", str(archive))["key"] == key
    assert document("extract", str(image_folder), *flags)["images_extracted"] == 0
    assert "no problems" in call("store", "verify").stdout
    assert document("store", "gc")["removed"] == []

    chunk = next(p for p in Path(extracted["store"]).rglob("*") if p.is_file() and p.stat().st_size > 4096)
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    bad = call("store", "verify", key[:6], "--repair")
    assert bad.exit_code == 1
    assert str(chunk) in bad.stdout
    assert document("extract", str(image_folder), *flags)["images_extracted"] == 51
    assert call("store", "verify").exit_code == 0
    unknown = call("store", "info", "no-such-store")
    assert unknown.exit_code == 2
    assert "no store 'no-such-store'" in unknown.stderr


def test_the_test_rows_can_wait(image_folder: Path, flags: list[str]) -> None:
    assert document("extract", str(image_folder), *flags, "--splits", "train")["rows"] == 36
    later = document("extract", str(image_folder), *flags)
    assert (later["rows"], later["images_reused"], later["images_extracted"]) == (51, 36, 15)


def test_a_subset_is_a_view_and_extracts_nothing(image_folder: Path, small: dict[str, Any], flags: list[str]) -> None:
    extract(str(image_folder), **small)
    for name in ("across", "down", "slant"):
        (image_folder / "train" / name / "00.png").unlink()
    assert document("run", str(image_folder), *flags)["images_extracted"] == 0


def test_half_precision_has_a_store_of_its_own_and_nearly_the_same_numbers(
    image_folder: Path, small: dict[str, Any]
) -> None:
    from head2toe.store.reading.design_matrix import DesignMatrix

    plain, half = (extract(str(image_folder), **small, amp=amp) for amp in (False, True))
    assert plain.store.key != half.store.key
    a, b = (DesignMatrix.of([e.store], e.digests).columns(np.arange(500)) for e in (plain, half))
    assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()


def test_tokens_reach_the_store(image_folder: Path) -> None:
    vit = ["--backbone", "vit_tiny_patch16_224", "--weights", "random", "--input-size", "32", "--target-size", "384"]
    paper, alone = (
        document("extract", str(image_folder), *vit, "--taps", "blocks.*.attn,pre_logits", *more)
        for more in ([], ["--tokens", "cls"])
    )
    assert paper["store"] != alone["store"]
    # 5 tokens of 192 numbers: 384 / 192 = 2 windows of int(5 / 2) = 2 tokens in each of 12 blocks, or one token.
    assert (paper["features"], alone["features"]) == (12 * 384 + 192, 12 * 192 + 192)
