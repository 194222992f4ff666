"""`head2toe report` and `head2toe results` as a user calls them; the page in a real browser."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest
from head2toe.extract.commands import thumbnails
from head2toe.extract.tasks.registry import load_task
from head2toe.probe.results import run_table
from head2toe.probe.results.result_files import read_result, write_run
from head2toe.tests.commands import call

Made = Callable[..., tuple[Any, Any]]
MEASURE = """
<title>waiting</title><body style="margin:0">
<iframe id="page" style="border:0;width:{width}px;height:900px" srcdoc="{html}"></iframe><pre id="measures"></pre>
<script>
document.getElementById("page").onload = event => {{
  const frame = event.target.contentWindow, root = frame.document.documentElement;
  document.getElementById("measures").textContent = JSON.stringify({{
    width: frame.innerWidth, scroll: root.scrollWidth, height: root.scrollHeight,
    fetched: frame.performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
    broken: [...frame.document.images].filter(i => !i.naturalWidth).length, images: frame.document.images.length,
    flat: [...frame.document.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().height < 40).length,
    ink: frame.getComputedStyle(frame.document.body).color,
  }});
}};
</script>
"""


@pytest.fixture
def stripes(image_folder: Path, made_up: Made, tmp_path: Path) -> Path:
    """The folder of a made-up run on images that are there."""
    task = load_task(str(image_folder))
    run, outcomes = made_up(
        n_train=task.n_train, n_test=len(task.test_labels), classes=3, task="stripes", argument=str(image_folder)
    )
    for field in ("labels", "folds"):
        object.__setattr__(run, field, getattr(task, field))
    object.__setattr__(run, "ids", [image.name for image in task.images])
    folder = tmp_path / "results" / "stripes-b-0123"
    write_run(folder, run, outcomes)
    return folder


def test_the_latest_run_is_reported_with_its_images(stripes: Path, tmp_path: Path) -> None:
    done = call("report", "-o", tmp_path / "new" / "page.html")
    assert done.exit_code == 0, done.output
    assert str(Path("results") / stripes.name) in done.stdout
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") > 5
    for named in (stripes, stripes / "result.json"):
        document = json.loads(call("report", named, "-o", "again.html", "--json").stdout)
        assert Path(document["report"]).read_text(encoding="utf-8") == html


def test_images_that_are_gone_leave_a_report_that_says_so(stripes: Path, image_folder: Path) -> None:
    record = read_result(stripes)
    name = load_task(str(image_folder)).images[0].name
    assert (thumbnails(record)(name) or b"").startswith(b"\xff\xd8")
    assert thumbnails(record)("of another task") is None
    for image in image_folder.rglob("*.png"):
        image.write_bytes(b"no image")
    assert thumbnails(record)(name) is None
    shutil.rmtree(image_folder)
    assert thumbnails(record)(name) is None
    assert call("report", "-o", "page.html").exit_code == 0
    assert "no longer where they were" in Path("page.html").read_text(encoding="utf-8")


def test_results_lists_every_run_and_method_and_passes_over_the_rest(stripes: Path, made_up: Made) -> None:
    write_run(stripes.parent / "other", *made_up(n_train=50, n_test=0, task="a,b"))
    damaged = {"broken": "{", "foreign": '{"methods": []}', "half": (stripes / "result.json").read_text()}
    damaged["half"] = damaged["half"].replace('"cv":', '"vc":')
    for name, content in damaged.items():
        (stripes.parent / name).mkdir()
        (stripes.parent / name / "result.json").write_text(content)
    done = call("results")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1 + 2 * 4
    assert len(done.stderr.splitlines()) == 3
    for name in damaged:
        assert f"{name}/result.json" in done.stderr
    listed = json.loads(call("results", "--json").stdout)["results"]
    read = list(csv.DictReader(io.StringIO(call("results", "--csv").stdout)))
    assert [row["method"] for row in listed] == [row["method"] for row in read]
    assert tuple(read[0]) == tuple(listed[0]) == run_table.COLUMNS
    for row, text in zip(listed, read, strict=True):
        record = json.loads((Path(row["run"]) / "result.json").read_text())
        method = next(m for m in record["methods"] if m["name"] == row["method"])
        assert row["cv_accuracy"] == method["cv"]["accuracy"]["mean"] == float(text["cv_accuracy"])
        assert row["features_kept"] == method["features"]["kept"]
        assert row["task"] == text["task"] == record["task"]
        assert (row["test_accuracy"] is None) == (text["test_accuracy"] == "") == (record["task"] == "a,b")
        assert row["F"] == method["settings"].get("fraction")
        assert row["lambda_ratio"] == method["settings"].get("lambda_ratio")
    assert call("results", "--json", "--csv").exit_code == 2


def test_of_several_folders_those_without_a_run_are_passed_over(stripes: Path, made_up: Made) -> None:
    write_run(stripes.parent / "dtd-b-4567", *made_up(task="dtd"))
    for name in ("selections", "outcomes", "photos"):
        (stripes.parent / name).mkdir()
    done = call("report", *sorted(stripes.parent.iterdir()))
    assert done.exit_code == 0, done.stderr
    assert "2 runs" in done.stdout
    assert done.stderr.strip() == f"passed over: {stripes.parent / 'photos'} holds no result.json"
    alone = call("report", stripes.parent / "selections")
    assert alone.exit_code == 2
    assert len(alone.stderr.splitlines()) == 1


def test_errors_are_one_line(stripes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stripes.parent / "broken").mkdir()
    (stripes.parent / "broken" / "result.json").write_text("{")
    for args, code, message in (
        (("report", "--output", "nowhere"), 2, "no runs below nowhere"),
        (("report", "nowhere"), 2, "no run in nowhere: expected a run's folder"),
        (("results", "--json", "--csv"), 2, "choose one"),
        (("report", stripes.parent / "broken"), 1, "damaged"),
    ):
        done = call(*args)
        assert done.exit_code == code
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr
    assert "no runs below nowhere" in call("results", "--output", "nowhere").stdout
    for package in ("matplotlib", "jinja2"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            done = call("report")
        assert done.exit_code == 1
        assert "head2toe[report]" in done.stderr


def test_in_chromium_a_phone_needs_no_sideways_scrolling_and_nothing_is_fetched(
    stripes: Path, made_up: Made, tmp_path: Path
) -> None:
    if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
        pytest.skip("no Chromium (Debian's package chromium)")
    long = made_up(n_train=200, n_test=300, classes=30, task="a_task_with_quite_a_long_name_" * 3, group="natural")
    object.__setattr__(long[0], "classes", tuple(f"a_class_with_quite_a_long_name_{i}" for i in range(30)))
    write_run(tmp_path / "results" / "long", *long)
    named = {"one": [stripes], "long": [stripes.parent / "long"], "both": [stripes, stripes.parent / "long"]}
    for name, runs in named.items():
        assert call("report", *runs, "-o", f"{name}.html").exit_code == 0
        html = Path(f"{name}.html").read_text(encoding="utf-8")
        for width in (390, 1280):
            shown = measured(chromium, html, width, tmp_path)
            assert shown["width"] == width
            assert shown["scroll"] <= width, f"{name} at {width}"
            assert shown["height"] > 900
            assert shown["fetched"] == []
            assert shown["broken"] == shown["flat"] == 0
            assert (shown["images"] > 0) == (name == "one")
    dark = measured(chromium, html, 390, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert dark["ink"] != shown["ink"]


def measured(chromium: str, html: str, width: int, folder: Path, *flags: str) -> dict[str, Any]:
    """What Chromium finds when it shows a page at a width."""
    (folder / "frame.html").write_text(MEASURE.format(width=width, html=escape(html)), encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", *flags]
    command += [f"--user-data-dir={folder / 'browser'}", "--window-size=1400,1000", "--dump-dom"]
    shown = subprocess.run(
        [*command, f"file://{folder / 'frame.html'}"], capture_output=True, text=True, timeout=120, check=True
    )
    measures = re.search(r'<pre id="measures">(.*?)</pre>', shown.stdout, re.DOTALL)
    assert measures is not None, shown.stderr[-500:]
    parsed = json.loads(measures[1])
    assert isinstance(parsed, dict)
    return parsed
