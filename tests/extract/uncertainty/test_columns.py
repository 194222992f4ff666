"""A saved model says how sure it is: on the command line, in Python and in ONNX alike; one of before says why not."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.deploy.bundle import CALIBRATION, HEAD, MODEL, Bundle
from head2toe.extract.deploy.deployed import load
from head2toe.extract.deploy.export import difference, export
from head2toe.extract.uncertainty.prediction_sets import threshold
from head2toe.pipeline import Head2Toe, run
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.metrics.calibration import at_temperature
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.tests.commands import call, document
from head2toe.tests.conftest import FLAGS, MadeBefore, stripes


def ran(folder: Path) -> None:
    document("run", stripes(folder), *FLAGS, "--methods", "linear")


@pytest.fixture
def saved(image_folder: Path, small: dict[str, Any], tmp_path: Path, made_before: MadeBefore) -> Path:
    """A model of a run, of which everything but the result was found."""
    made_before(ran)
    result = run(str(image_folder), methods=["linear"], output=tmp_path / "results", **small)
    return result.file.parent / "models" / "linear"


def test_a_run_keeps_what_its_held_out_rows_say(saved: Path, tmp_path: Path) -> None:
    calibration = Bundle.load(saved).calibration
    assert calibration is not None
    (file,) = (tmp_path / "results" / "outcomes").glob("*-linear-*.npz")
    outcome = Outcome.load(file)
    assert outcome.unchosen_log_probabilities is not None
    rows, labels = np.arange(36), np.repeat(np.arange(3), 12)
    assert outcome.temperature != outcome.fold_temperature
    like_the_model = at_temperature(outcome.unchosen_log_probabilities, outcome.temperature / outcome.fold_temperature)
    expected = np.sort(np.exp(like_the_model[rows, labels]))
    np.testing.assert_allclose(calibration.held_out, expected, rtol=1e-6)
    assert calibration.novelty is not None
    assert len(calibration.novelty.distances) == len(calibration.novelty.rows) == 36
    assert "predict --coverage 0.95" in (saved / "README.md").read_text()


def test_every_format_and_python_say_the_same(saved: Path, image_folder: Path, tmp_path: Path) -> None:
    photos = image_folder / "test"
    model = Head2Toe.load(saved)
    sets, ood = model.predict_set(photos, coverage=0.8), model.predict_ood(photos)
    tables: dict[str, list[dict[str, Any]]] = {}
    for kind in ("csv", "jsonl", "parquet"):
        if kind == "parquet":
            pytest.importorskip("pyarrow")
        result = call("predict", saved, photos, "--coverage", "0.8", "-o", tmp_path / f"p.{kind}")
        assert result.exit_code == 0, result.output
    text = (tmp_path / "p.csv").read_text()
    assert text.splitlines()[0] == "path,prediction,probability,set,set_size,abstain,ood"
    tables["csv"] = [
        row | {name: json.loads(row[name]) for name in ("set", "set_size", "abstain", "ood")}
        for row in csv.DictReader(text.splitlines())
    ]
    tables["jsonl"] = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    import pyarrow.parquet

    tables["parquet"] = pyarrow.parquet.read_table(tmp_path / "p.parquet").to_pylist()
    for rows in tables.values():
        assert [row["set"] for row in rows] == [list(names) for names in sets]
        assert [row["set_size"] for row in rows] == [len(names) for names in sets]
        assert [row["abstain"] for row in rows] == [len(names) == 3 for names in sets]
        assert [row["set"][0] for row in rows] == [row["prediction"] for row in rows]
        np.testing.assert_allclose([row["ood"] for row in rows], ood)
    assert ((ood >= 0) & (ood < 1)).all()
    plain = call("predict", saved, photos)
    assert plain.stdout.splitlines()[0] == "path,prediction,probability", "nobody asked"
    alone = call("predict", saved, photos, "--ood")
    assert alone.stdout.splitlines()[0] == "path,prediction,probability,ood"


def test_where_too_few_rows_were_held_out_all_classes_are_in_and_a_note_says_so(
    saved: Path, image_folder: Path
) -> None:
    result = call("predict", saved, image_folder / "test", "--coverage", "0.99", "--format", "jsonl")
    assert result.exit_code == 0, result.output
    assert (
        "a coverage of 0.99 needs 99 held-out rows, and the model has 36: every set holds all classes" in result.stderr
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(row["abstain"] and row["set_size"] == 3 for row in rows)


def test_views_are_averaged_and_the_novelty_stays_that_of_the_whole_image(saved: Path, image_folder: Path) -> None:
    words = ["predict", saved, image_folder / "test", "--ood", "--format", "jsonl"]
    plain, viewed = (call(*words, *more) for more in ([], ["--views", "flip,crop"]))
    novelties = [[json.loads(line)["ood"] for line in one.stdout.splitlines()] for one in (plain, viewed)]
    np.testing.assert_allclose(*novelties, atol=1 / 37 + 1e-9)


def test_a_skipped_image_has_no_row(saved: Path, image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = next(image_folder.glob("test/*/*.png"))
    result = call("predict", saved, tmp_path / "bad.png", good, "--coverage", "0.8", "--on-error", "skip")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2


def test_a_model_of_before_predicts_as_ever_and_says_what_it_lacks(
    saved: Path, image_folder: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(saved)
    old = replace(bundle, calibration=None).save(tmp_path / "old")
    assert {file.name for file in old.iterdir()} == {MODEL, HEAD, "README.md"}
    assert "calibration" not in json.loads((old / MODEL).read_text())
    assert "were not calibrated" in (old / "README.md").read_text()
    photos = image_folder / "test"
    assert call("predict", old, photos).stdout == call("predict", saved, photos).stdout
    for words in (["--coverage", "0.9"], ["--ood"]):
        result = call("predict", old, photos, *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "keeps no scores of held-out rows" in result.stderr
    for ask in (lambda model: model.predict_set(photos), lambda model: model.predict_ood(photos)):
        with pytest.raises(BadRequest, match="keeps no scores of held-out rows"):
            ask(Head2Toe.load(old))
    # A folder that held a model with scores gets one without, and the other way round.
    assert Bundle.load(replace(bundle, calibration=None).save(saved)).calibration is None
    assert Bundle.load(bundle.save(saved)).calibration is not None


def test_scores_that_are_damaged_or_missing_are_one_line(saved: Path) -> None:
    file = saved / CALIBRATION
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=r"calibration\.safetensors: damaged \(not the calibration that"):
        Bundle.load(saved)
    file.unlink()
    with pytest.raises(DataError, match=r"calibration\.safetensors: missing: run the task again, which writes it anew"):
        Bundle.load(saved)


def test_the_null_model_has_sets_and_no_novelty(saved: Path, image_folder: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(saved)
    assert bundle.calibration is not None
    none = {"columns": np.int32, "mean": np.float32, "scale": np.float32}
    null = replace(
        bundle,
        layers=(),
        coef=np.empty((0, 3), np.float32),
        calibration=replace(bundle.calibration, novelty=None),
        **{name: np.empty(0, dtype) for name, dtype in none.items()},
    ).save(tmp_path / "null")
    result = call("predict", null, image_folder / "test", "--coverage", "0.8", "--format", "jsonl")
    assert result.exit_code == 0, result.output
    assert "the column ood stays empty" in result.stderr
    assert {json.loads(line)["ood"] for line in result.stdout.splitlines()} == {None}
    assert np.isnan(Head2Toe.load(null).predict_ood(image_folder / "test")).all()


def test_onnx_gives_the_same_numbers(saved: Path, image_folder: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network, file = load(Bundle.load(saved), device="cpu"), tmp_path / "model.onnx"
    export(network, file, "onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["probabilities", "ood"]
    document = json.loads((tmp_path / "model.onnx.json").read_text())
    assert document["ood"]["name"] == "ood"
    held_out = np.asarray(json.loads(session.get_modelmeta().custom_metadata_map["held_out"]), np.float32)
    np.testing.assert_array_equal(held_out, document["held_out"])
    model, photos = Head2Toe.load(saved), sorted(image_folder.glob("test/*/*.png"))
    from PIL import Image

    resize = network.preprocessing.resizer()
    pixels = np.stack([resize(Image.open(photo).convert("RGB")).numpy() for photo in photos]).astype(np.float32) / 255
    probabilities, ood = session.run(None, {"images": pixels})
    np.testing.assert_allclose(probabilities, model.predict_proba(photos), atol=1e-4)
    np.testing.assert_allclose(ood, model.predict_ood(photos), atol=0.03)
    sure = [len(names) for names in model.predict_set(photos, coverage=0.8)]
    in_sets = probabilities >= threshold(held_out, 0.8)
    in_sets[np.arange(len(photos)), probabilities.argmax(axis=1)] = True
    assert in_sets.sum(axis=1).tolist() == sure

    # The check of an export can fail: against another novelty it does.
    def another(images: Any) -> list[np.ndarray]:
        right, _ = session.run(None, {"images": images.numpy()})
        return [right, np.full(len(images), -1.0)]

    assert difference(network, another) == float("inf")
