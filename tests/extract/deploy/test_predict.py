"""What `predict` is given is found: files, folders, patterns; what can't be written is an error before the work."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.deploy.bundle_document import sealed
from head2toe.extract.deploy.deployed import load
from head2toe.extract.deploy.packing import bundle_of
from head2toe.extract.deploy.predict import columns_of, find_images, left_out_notes, predict, writing
from head2toe.extract.features.views import PLAIN, View
from head2toe.pipeline import extract, main
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.store.common.errors import BadRequest, DataError, MissingExtra, StoreError
from head2toe.store.console.text import without_controls
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.tests.commands import call
from PIL import Image
from scipy.special import log_softmax, softmax


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
    with pytest.raises((MissingExtra, StoreError)), writing(file, None, sys.stdout, ["path"]):
        pytest.fail("the work began")
    assert not list(tmp_path.glob("*.partial"))


def test_where_there_is_no_image_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    for names in ([], [str(tmp_path / "empty")], [str(tmp_path / "texts")], [str(tmp_path / "*.png")]):
        with pytest.raises(BadRequest, match=r"^no image"):
            find_images(names)


def test_a_table_without_rows_has_its_header(tmp_path: Path) -> None:
    columns = columns_of(("a", "b"), top_k=3, probabilities=True)
    assert columns == ["path", "prediction", "probability", "prediction_2", "probability_2", "p(a)", "p(b)"]
    file = tmp_path / "new" / "p.csv"
    with writing(file, None, sys.stdout, columns):
        pass
    assert file.read_text() == ",".join(columns) + "\n"
    parquet = pytest.importorskip("pyarrow.parquet")
    with writing(tmp_path / "p.parquet", None, sys.stdout, columns):
        pass
    assert parquet.read_table(tmp_path / "p.parquet").column_names == columns


def test_files_of_a_folder_that_are_left_out_are_counted(tmp_path: Path) -> None:
    (tmp_path / "photo.PDF").write_bytes(b"%PDF-1.4")
    with pytest.raises(BadRequest, match=r"no image .*1 file of .* is left out \(\.pdf 1\)"):
        find_images([str(tmp_path)])
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert [image.path.name for image in find_images([str(tmp_path)])] == ["a.png"]
    (note,) = left_out_notes([str(tmp_path), str(tmp_path / "*.png")])
    assert "(.pdf 1)" in note


@pytest.mark.parametrize("name", ["=HYPERLINK(1).png", "-1.png", "+x.png", "@a.png"])
@pytest.mark.parametrize("csv_safe", [False, True])
def test_csv_runs_no_path_as_a_formula(name: str, csv_safe: bool, tmp_path: Path) -> None:
    """A path goes on to name its file; a class keeps its name unless it is asked to be safe."""
    rows = [{"path": name, "prediction": "=1+1", "probability": -0.5}, {"path": "a.png", "prediction": "b"}]
    columns = ["path", "prediction", "probability"]
    with writing(tmp_path / "p.csv", None, sys.stdout, columns, csv_safe=csv_safe) as write:
        for row in rows:
            write({"probability": 0.5, **row})
    table = list(csv.DictReader((tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["path"] for row in table] == [f"./{name}", "a.png"]
    assert Path(table[0]["path"]) == Path(name)
    assert [row["prediction"] for row in table] == ["'=1+1" if csv_safe else "=1+1", "b"]
    assert float(table[0]["probability"]) == -0.5


def test_jsonl_keeps_names_as_they_are(tmp_path: Path) -> None:
    with writing(tmp_path / "p.jsonl", None, sys.stdout, ["path", "prediction"], csv_safe=True) as write:
        write({"path": "=x.png", "prediction": "=1"})
    assert json.loads((tmp_path / "p.jsonl").read_text()) == {"path": "=x.png", "prediction": "=1"}


@pytest.fixture
def saved(image_folder: Path, small: dict[str, Any], tmp_path: Path) -> Path:
    """A model of heads on views and heads on whole images, in a folder of its own."""
    extraction = extract(str(image_folder), **small, views=("flip", "crop"), seed=3)
    columns, rng = np.arange(0, 5000, 20), np.random.default_rng(0)
    X = DesignMatrix.of([extraction.store], extraction.digests).columns(columns)
    mean, scale = X.mean(axis=1), 1 / np.maximum(X.std(axis=1), 1e-3)
    coef, whole = (0.2 * rng.standard_normal((2, len(columns), 3))).astype(np.float32)
    head = LinearModel((64,), columns, False, mean, scale, coef, np.zeros(3, np.float32), ("flip", "crop#1"), whole)
    bundle = bundle_of(extraction, head, method="head2toe", settings={}, metrics={}, versions={})
    assert bundle.views == {"names": ["flip", "crop#1"], "seed": 3}
    return bundle.save(tmp_path / "model")


@pytest.mark.parametrize("with_whole", [False, True])
def test_predictions_over_views_are_the_mean_of_their_log_probabilities(
    saved: Path, image_folder: Path, with_whole: bool
) -> None:
    """The same crops as at extraction: by the image's content and the recorded seed.

    Heads on whole images see the whole image alone, and are part of what is predicted without views, too.
    """
    bundle = Bundle.load(saved)
    assert bundle.coef_whole is not None
    whole = bundle.coef_whole * with_whole
    bundle = bundle if with_whole else replace(bundle, coef_whole=None)
    network, images = load(bundle, device="cpu"), find_images([str(image_folder / "test")])
    views, resize = [View.of(name, 3) for name in ("flip", "crop#1")], network.preprocessing.resizer()
    pixels = [torch.stack([resize(view(i.load(), i)) for i in images]) for view in (PLAIN, *views)]
    with torch.inference_mode():
        features = [network.features(part).numpy().astype(np.float64) for part in pixels]
    Z = [(x - bundle.mean) * bundle.scale for x in features]
    logp = np.mean([log_softmax(z @ bundle.coef, axis=1) for z in Z], axis=0)
    expected = softmax(logp + Z[0] @ whole, axis=1)
    for batch_size in (1, 4, 32):
        got = [one.probabilities for one in predict(network, images, views=views, batch_size=batch_size)]
        np.testing.assert_allclose(np.stack(got), expected, rtol=0, atol=1e-4)  # type: ignore[arg-type]
    plain = np.stack([one.probabilities for one in predict(network, images)])  # type: ignore[misc]
    np.testing.assert_allclose(plain, softmax(Z[0] @ (bundle.coef + whole), axis=1), rtol=0, atol=1e-4)
    assert np.abs(plain - expected).max() > 1e-3, "views make a difference"


def test_the_command_averages_over_views_and_says_how_a_model_was_judged(saved: Path, image_folder: Path) -> None:
    words = ["predict", str(saved), str(image_folder / "test"), "--probabilities"]
    plain, viewed = (CliRunner().invoke(main, [*words, *more]) for more in ([], ["--views", "flip,crop"]))
    assert (plain.exit_code, viewed.exit_code) == (0, 0), plain.output + viewed.output
    assert "this model was judged with --views flip,crop#1" in plain.stderr
    assert "judged" not in viewed.stderr
    assert len(plain.stdout.splitlines()) == len(viewed.stdout.splitlines()) == 16
    assert plain.stdout != viewed.stdout
    again = CliRunner().invoke(main, [*words, "--views", "flip,crop#1"])
    assert again.stdout == viewed.stdout
    assert "trained and judged on plain, flip, crop#1" in CliRunner().invoke(main, ["info", str(saved)]).output


def test_an_unreadable_image_is_skipped_with_views_too(saved: Path, image_folder: Path, tmp_path: Path) -> None:
    good = next(image_folder.glob("test/*/*.png"))
    (tmp_path / "bad.png").write_bytes(b"no image")
    names = [str(tmp_path / "bad.png"), str(good), str(tmp_path / "gone.png")]
    words = ["predict", str(saved), *names[:2], "--views", "flip,crop", "--on-error", "skip"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2
    assert "skipped" in result.stderr


@pytest.mark.parametrize("words", [["predict", "model", "photos"], ["export", "model", "-o", "x.onnx"]])
@pytest.mark.parametrize(("views", "message"), [("flop", "unknown view 'flop'"), ("flip,flip", "named twice")])
def test_views_that_make_no_sense_are_said_before_a_model_is_read(words: list[str], views: str, message: str) -> None:
    result = CliRunner().invoke(main, [*words, "--views", views])
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_what_an_export_cannot_do_with_views_is_one_line(saved: Path, tmp_path: Path) -> None:
    for words, message in (
        (["--format", "torch", "--views", "flip,crop"], "the view crop#1 can't be exported"),
        (["--views", "flip"], "a bundle is exported without --views"),
    ):
        result = CliRunner().invoke(main, ["export", str(saved), "-o", str(tmp_path / "out"), *words])
        assert result.exit_code == 2, result.output
        assert message in result.output
        assert not (tmp_path / "out").exists()


def test_an_exported_graph_mirrors_by_itself(saved: Path, image_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.pt2"
    result = CliRunner().invoke(main, ["export", str(saved), "--format", "torch", "-o", str(file), "--views", "flip"])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "model.pt2.json").read_text())["views"] == ["plain", "flip"]
    network, images = load(Bundle.load(saved), device="cpu"), find_images([str(image_folder / "test")])
    resize = network.preprocessing.resizer()
    pixels = torch.stack([resize(image.load()) for image in images]).float() / 255
    exported = torch.export.load(file).module()(pixels).detach().numpy()
    got = [one.probabilities for one in predict(network, images, views=[View("flip")])]
    np.testing.assert_allclose(exported, np.stack(got), rtol=0, atol=5e-3)  # type: ignore[arg-type]


def test_activations_that_overflow_are_an_error_of_the_image(saved: Path, image_folder: Path) -> None:
    """As of a forged preprocessing, or of a network in half precision."""
    record = saved / "model.json"
    document = json.loads(record.read_text())
    document["preprocessing"]["mean"] = [1e30, 1e30, 1e30]
    record.write_text(json.dumps(sealed({name: value for name, value in document.items() if name != "sha256"})))
    network, images = load(Bundle.load(saved), device="cpu"), find_images([str(image_folder / "test")])
    with pytest.raises(DataError, match="activations overflow in this network"):
        list(predict(network, images))
    assert all(
        "overflow" in one.fault and one.probabilities is None for one in predict(network, images, on_error="skip")
    )
    shown = call("suggest", saved, image_folder / "test", "-k", "2")
    assert (shown.exit_code, len(shown.stderr.splitlines())) == (1, 1), shown.output


@pytest.mark.parametrize("name", ["\u202egnp.exe", "\x1b[2J", "\u2066x", "caf\udce9"])
def test_json_lines_hold_nothing_that_steers_a_terminal(name: str) -> None:
    out = io.StringIO()
    with writing(None, "jsonl", out, ["path", "prediction"]) as write:
        write({"path": name, "prediction": "é"})
        write({"path": "é", "prediction": "日本"})
    first, second = out.getvalue().splitlines()
    assert json.loads(first) == {"path": name, "prediction": "é"}
    assert without_controls(first) == first
    assert second == '{"path": "é", "prediction": "日本"}'
