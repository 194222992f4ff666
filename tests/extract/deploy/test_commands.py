"""`predict`, `info` and `export` on bundles and on the folders of runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.features.extraction import Extraction
from head2toe.pipeline import extract
from head2toe.probe.heads.linear_model import LinearModel
from PIL import Image

HeadOn = Callable[..., tuple[LinearModel, np.ndarray]]
Packed = Callable[[Extraction, LinearModel], Bundle]
Call = Callable[..., Result]


def test_the_commands_classify_and_describe(
    image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed, call: Call
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    model, expected = head_on(extraction, unit=True)
    folder = str(packed(extraction, model).save(tmp_path / "model"))
    test = image_folder / "test"
    truth = dict(zip([i.name for i in extraction.task.images], expected, strict=True))
    out = call("predict", folder, str(test), str(test / "down" / "*.png"), "--probabilities", "--format", "jsonl")
    rows = [json.loads(line) for line in out.stdout.splitlines()]
    assert len(rows) == 15 + 5
    for row in rows:
        best = truth[row["path"]].argmax()
        assert row["prediction"] == extraction.task.classes[best]
        assert row["probability"] == pytest.approx(truth[row["path"]][best], abs=2e-4)
        assert sum(row[f"p({name})"] for name in extraction.task.classes) == pytest.approx(1, abs=1e-5)
    listed = call("predict", folder, "-", "--top-k", "2", stdin=f"{test / 'down' / '00.png'}\n").stdout.splitlines()
    assert listed[0] == "path,prediction,probability,prediction_2,probability_2"
    assert len(listed) == 2

    bad = test / "down" / "zz.png"
    bad.write_bytes(b"broken")
    stopped = call("predict", folder, str(test), "-o", "p.csv")
    assert (stopped.exit_code, Path("p.csv").exists()) == (1, False)
    assert str(bad) in stopped.stderr
    skipped = call("predict", folder, str(test), "-o", "p.csv", "--on-error", "skip")
    assert skipped.exit_code == 0
    assert str(bad) in skipped.stderr
    assert "--on-error" not in skipped.stderr, "it was passed"
    assert len(Path("p.csv").read_text().splitlines()) == 16
    pytest.importorskip("pyarrow")
    assert call("predict", folder, str(test / "slant"), "-o", "new/folder/p.parquet").exit_code == 0
    assert Path("new/folder/p.parquet").stat().st_size > 0
    Path("file").touch()
    refused = call("predict", folder, str(test / "slant"), "-o", "file/p.csv")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: file: ")

    described = json.loads(call("info", folder, "--json").stdout)
    assert described["ms"]["cut"] > 0
    assert sum(layer["kept"] for layer in described["layers"]) == len(model.columns)
    assert "ms cut" in call("info", folder).stdout
    copied = json.loads(call("export", folder, "-o", "copy", "--json").stdout)
    assert copied["bytes"] > 0
    assert Bundle.load(Path("copy")).classes == extraction.task.classes


def test_lists_are_read_as_programs_write_them(
    image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed, call: Call
) -> None:
    """Lines of any system, with a byte order mark in front, or a zero byte after each name."""
    extraction = extract(str(image_folder), **two_sizes)
    folder = str(packed(extraction, head_on(extraction, unit=True)[0]).save(tmp_path / "model"))
    first, second = (str(image_folder / "test" / "down" / f"0{i}.png") for i in range(2))
    for text in (f"\ufeff{first}\r\n\r\n{second}\r\n", f"{first}\0{second}\0"):
        rows = call("predict", folder, "-", stdin=text).stdout.splitlines()[1:]
        assert [row.split(",")[0] for row in rows] == [first, second]


def test_the_suffix_says_the_format_of_an_export(
    image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed, call: Call
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    folder = str(packed(extraction, head_on(extraction, unit=True)[0]).save(tmp_path / "model"))
    for name, format in (("new/m.PT2", "torch"), ("m.model", "bundle")):
        exported = json.loads(call("export", folder, "-o", name, "--json").stdout)
        assert exported["format"] == format
        assert Path(name).is_file() == (format == "torch")


def test_info_says_which_statistics_are_read(
    image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed, call: Call
) -> None:
    extraction = extract(str(image_folder), **two_sizes, pool="mean,max")
    folder = packed(extraction, head_on(extraction, unit=True)[0]).save(tmp_path / "model")
    described = json.loads(call("info", str(folder), "--json").stdout)
    assert described["pool"] == ["mean", "max"]
    for layer in described["layers"]:
        assert sum(layer["kept_by_statistic"].values()) == layer["kept"]
    named = {name for layer in described["layers"] for name in layer["kept_by_statistic"]}
    assert named == {"mean", "max", "value"}
    shown = call("info", str(folder)).stdout
    counts = described["layers"][0]["kept_by_statistic"]
    assert f"{counts['mean']} mean, {counts['max']} max" in shown.splitlines()[1]


def test_a_run_holds_a_model_for_each_method(
    image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed, call: Call
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True)[0])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    bundle.save(tmp_path / "run" / "models" / "head2toe")
    for source in ("run", "run/result.json"):
        assert call("export", source, "-o", "kept").exit_code == 0
        assert Bundle.load(Path("kept")).method == "head2toe"
    absent = call("export", "run", "--method", "linear", "-o", "other")
    assert absent.exit_code == 2
    assert "there: head2toe" in absent.stderr


def test_a_run_s_model_predicts_what_the_run_reports(image_folder: Path, flags: list[str], call: Call) -> None:
    shown = call("run", str(image_folder), *flags, "--methods", "linear", "--save-model", "my_model").stdout
    assert any(line.split()[:2] == ["chosen", "linear"] for line in shown.splitlines())
    assert shown.splitlines()[-1] == "model      my_model  (linear)"
    ran = call("run", str(image_folder), *flags, "--methods", "linear", "--save-model", "my_model", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert call("predict", "my_model", str(image_folder / "test"), "-o", "p.jsonl").exit_code == 0
    rows = [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
    right = [Path(row["path"]).parent.name == row["prediction"] for row in rows]
    (method,) = json.loads(ran.stdout)["methods"]
    assert np.mean(right) == pytest.approx(method["test"]["accuracy"]["value"])


def test_photos_are_read_alike_where_they_are_extracted_and_where_they_are_predicted(
    image_folder: Path, flags: list[str], call: Call
) -> None:
    """The limit of pixels, what is left out, and images of several frames."""
    train, test = image_folder / "train" / "down", image_folder / "test" / "down"
    for folder in (train, test):
        (folder / "scan.PDF").write_bytes(b"%PDF-1.4")
        Image.new("RGB", (90, 80)).save(folder / "large.png")
        frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
        frames[0].save(folder / "moves.gif", save_all=True, append_images=frames[1:])
    told = ("left out (.pdf ", "several frames or pages, such as ")

    most = ["--max-pixels", "7199"]
    stopped = call("extract", str(image_folder), *flags, *most)
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    assert "large.png (90 x 80 pixels; the limit is 0.007199 million, which --max-pixels changes)" in stopped.stderr
    lenient = [*flags, *most, "--on-error", "skip"]
    ran = call("run", str(image_folder), *lenient, "--methods", "linear", "--save-model", "m")
    assert ran.exit_code == 0, ran.stderr
    assert ran.stderr.count("skipped ") == 2
    assert all(words in ran.stdout for words in told)

    assert call("predict", "m", str(test), *most).exit_code == 1
    predicted = call("predict", "m", str(test), *most, "--on-error", "skip", "-o", "p.csv")
    assert predicted.stderr.count("skipped ") == 1
    assert "--on-error" not in predicted.stderr
    assert all(words in predicted.stderr for words in told)
    assert call("predict", "m", str(test), "--max-pixels", "7200", "-o", "p.csv").exit_code == 0
