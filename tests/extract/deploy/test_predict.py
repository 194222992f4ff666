"""What `predict` is given is found: files, folders, patterns; what can't be written is an error before the work."""

import csv
import json
import sys
from pathlib import Path

import pytest
from head2toe.extract.deploy.predict import columns_of, find_images, left_out_notes, writing
from head2toe.store.common.errors import BadRequest, MissingExtra, StoreError
from PIL import Image


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
