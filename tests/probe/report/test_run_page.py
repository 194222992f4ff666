"""The report's page: complete, self-contained, accessible, safe from hostile names; and what its parts say is true."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.probe.methods.outcome import SweepPoint
from head2toe.probe.report import comparison_page as comparison
from head2toe.probe.report import run_page as page
from head2toe.probe.results import predictions
from head2toe.probe.results import record as results
from head2toe.probe.results import runs as gathering

Made = Callable[..., tuple[Any, Any]]
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$10 {{ 7*7 }} ]]> & \x00\n", "日本 שלום")
PIXEL = b"\xff\xd8\xff\xd9"


class Page(HTMLParser):
    """Elements with their attributes and enclosed text, and whether tags are balanced."""

    VOID = frozenset({"meta", "link", "img", "br", "use", "path", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag != "style").split())


def rendered(folder: Path, made: tuple[Any, Any], thumbnail: page.Thumbnail = lambda _: PIXEL) -> str:
    """The page of a run that was written to a folder."""
    results.write_run(folder, *made)
    return page.render(folder, results.read(folder), thumbnail)


def sound(html: str) -> Page:
    """The page, after what must hold for every page was checked."""
    found = Page(html)
    assert not found.open
    assert not re.search(r"https?:|//", re.sub(r"base64,[A-Za-z0-9+/=]*", "", html)), "nothing is fetched"
    assert not found.all("script")
    assert not [key for _, attributes in found.elements for key in attributes if key.startswith("on")]
    for image in found.all("img"):
        assert image["src"].startswith("data:image/jpeg;base64,")
        assert image["alt"].strip()
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert not [name for name, times in Counter(ids).items() if times > 1]
    for drawing in found.all("svg"):
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= set(ids)
    assert len([1 for tag, data in found.texts if tag == "desc" and data.strip()]) == len(found.all("svg"))
    for reference in re.findall(r'(?:url\(|href=")#([^)"]+)', html):
        assert reference in ids
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?:fill|stroke|style)[=:][^>]*?:\s*#[0-9a-f]{6}", body), "every colour is the page's own"
    return found


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_the_page_of_a_run_says_it_all(classes: int, made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=200, n_test=400, classes=classes, group="natural")
    html = rendered(tmp_path, (run, outcomes))
    found = sound(html)
    record = results.read(tmp_path)
    for method in record["methods"]:
        assert f"{method['test']['accuracy']['value']:.3f}" in found.text
    command = "head2toe run stripes --input-size 160"
    for said in ("95 %", "McNemar", "one by one", command, "pre_logits", "λ", "seconds"):
        assert said in found.text
    wrong = (outcomes[-1].test_log_probabilities.argmax(axis=1) != run.test_labels).sum()
    assert len(found.all("img")) == min(wrong, page.MISTAKES)
    assert len(found.all("svg")) == 2 + 2 + 2 + 2  # methods and folds; layers; F and λ; reliability and confusion
    assert classes > 2 or html == rendered(tmp_path, (run, outcomes)), "the same run makes the same page"


def test_charts_of_settings_stand_only_where_they_were_swept(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=100, n_test=50)
    found = sound(rendered(tmp_path, (run, outcomes[:1])))
    assert "Accuracy against the settings" not in found.text
    assert "Which layers are read" not in found.text


def test_without_test_images_nor_pictures_the_page_says_so(made_up: Made, tmp_path: Path) -> None:
    found = sound(rendered(tmp_path, made_up(n_train=200, n_test=0), lambda _: None))
    assert "there are no test images" in found.text
    assert "no longer where they were" in found.text
    assert not found.all("img")
    (tmp_path / predictions.PARQUET).unlink()
    bare = sound(page.render(tmp_path, results.read(tmp_path), lambda _: None))
    assert "holds no predictions" in bare.text


def test_hostile_names_stay_text(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=80, n_test=200, classes=4, task=HOSTILE[0], group=None)
    object.__setattr__(run, "notes", {"notes": [HOSTILE[0]], "provenance": {HOSTILE[1]: [HOSTILE[0], None]}})
    for field, value in (("classes", HOSTILE), ("command", f"head2toe run '{HOSTILE[1]}'"), ("source", HOSTILE[0])):
        object.__setattr__(run, field, value)
    object.__setattr__(run, "ids", [f"{name}{HOSTILE[1]}" for name in run.ids])
    results.write_run(tmp_path / "run", run, outcomes)
    record = results.read(tmp_path / "run")
    found = sound(page.render(tmp_path / "run", record, lambda _: PIXEL))
    for said in (HOSTILE[0], HOSTILE[1], "{{ 7*7 }}", "日本 שלום"):
        assert said in found.text
    assert "49" not in found.text.split("{{ 7*7 }}")[0][-20:]
    both = [gathering.load(tmp_path / "run")] * 2
    assert HOSTILE[0] in sound(comparison.render(both)).text


def test_the_confusion_matrix_and_the_mistakes_agree_with_the_predictions(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=100, n_test=300, classes=6)
    results.write_run(tmp_path, run, outcomes)
    predicted = predictions.read(tmp_path)["linear"]
    matrix = page.confusion(run.classes, predicted, "linear")
    y, taken = run.test_labels, outcomes[0].test_log_probabilities.argmax(axis=1)
    pairs = Counter((run.classes[a], run.classes[b]) for a, b in zip(y, taken, strict=True) if a != b)
    assert matrix["top"]
    for line in matrix["top"]:
        assert pairs[line["true"], line["predicted"]] == line["count"]
        assert line["of"] == (y == run.classes.index(line["true"])).sum()
    assert matrix["top"][0]["count"] == max(pairs.values())
    shown = page.mistakes(run.classes, predicted, lambda name: name.encode())
    assert shown["wrong"] == (y != taken).sum()
    confidences = [mistake["confidence"] for mistake in shown["shown"]]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] == pytest.approx(np.exp(outcomes[0].test_log_probabilities).max(axis=1)[y != taken].max())


def test_curves_take_the_best_of_all_other_settings(made_up: Made) -> None:
    record = results.document(*made_up(n_train=100, n_test=50))
    method = record["methods"][-1]
    curve = page.best_of_each(method, "fraction", 0)
    assert curve is not None
    assert [point[0] for point in curve.points] == [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    for value, accuracy, error in curve.points:
        tried = [p["accuracies"] for p in method["sweep"] if p["settings"]["fraction"] == value]
        assert accuracy == pytest.approx(max(np.mean(folds) for folds in tried))
        assert error > 0
    assert page.best_of_each(record["methods"][0], "fraction", 0) is None
    other = {"settings": {"fraction": 0.5, "kernel": 1}, "accuracies": [1.0] * 5, "log_losses": [0.0] * 5}
    assert page.best_of_each(method | {"sweep": [*method["sweep"], other]}, "fraction", 0) == curve


def test_tasks_are_grouped_and_means_are_of_like_with_like(made_up: Made, tmp_path: Path) -> None:
    tasks = {"dtd": "natural", "pets": "natural", "eurosat": "specialised", "mine": None}
    for i, (task, group) in enumerate(tasks.items()):
        run, outcomes = made_up(n_train=60, n_test=80, task=task, group=group, seed=i)
        results.write_run(tmp_path / task, run, outcomes[: 3 if task == "pets" else 4])
    runs = gathering.below(tmp_path, pytest.fail)
    table = comparison.methods_table(runs, "b")
    assert [group["name"] for group in table["groups"]] == ["natural", "specialised", "other"]
    natural = table["groups"][0]
    assert [row["name"] for row in natural["rows"]] == ["dtd", "pets"]
    assert natural["mean"][table["columns"].index("head2toe")] is None  # pets has none
    assert table["groups"][1]["mean"] is None  # of one
    column = table["columns"].index("linear")
    accuracies = [next(m for m in run.record["methods"] if m["name"] == "linear") for run in runs]
    assert table["mean"][column]["value"] == pytest.approx(
        np.mean([m["test"]["accuracy"]["value"] for m in accuracies])
    )
    found = sound(comparison.render(runs))
    assert "mean of all 4" in found.text
    assert len(found.all("svg")) == 4


def test_backbones_stand_side_by_side_and_the_newest_run_counts(made_up: Made, tmp_path: Path) -> None:
    for i, backbone in enumerate(("small", "large", "small")):
        run, outcomes = made_up(n_train=60, n_test=80, seed=i)
        object.__setattr__(run, "backbones", [dict(run.backbones[0], name=backbone)])
        results.write_run(tmp_path / str(i), run, outcomes)
    runs = [gathering.load(tmp_path / str(i)) for i in range(3)]
    newest = comparison.latest_of_each(runs)
    assert sorted(run.folder.name for run in newest) == ["1", "2"]
    html = comparison.render(runs)
    assert "1 older run of" in sound(html).text
    across = comparison.backbones_table(newest, ["small", "large"])
    cells = across["groups"][0]["rows"][0]["cells"]
    assert [cell["value"] for cell in cells] == [
        next(m["test"]["accuracy"]["value"] for m in run.record["methods"] if m["name"] == across["method"])
        for run in (runs[2], runs[1])
    ]


def test_layers_tried_one_by_one_are_drawn_in_their_order(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=60, n_test=80)
    rng = np.random.default_rng(0)
    names = list(outcomes[0].layers)
    points = tuple(
        SweepPoint({"layer": name, "C": C}, tuple(rng.random(5)), (1.0,) * 5)
        for name in reversed(names)
        for C in (1.0, 10.0)
    )
    layerwise = replace(outcomes[0], name="layerwise", sweep=points, settings=points[0].settings)
    record = results.document(run, (layerwise, outcomes[1]))
    (chart,) = page.depth_charts(record, "layerwise")
    assert [layer for layer, _ in chart["layers"]] == names
    best = max(point.accuracy for point in points if point.settings["layer"] == names[3])
    assert chart["layers"][3][1] == pytest.approx(best, abs=1e-5)
    assert "one layer alone" in sound(rendered(tmp_path, (run, (layerwise, outcomes[1])))).text
    assert page.depth_charts(results.document(run, outcomes), "linear") == []


def test_a_number_of_features_is_a_fraction_in_the_table(made_up: Made, tmp_path: Path) -> None:
    run, outcomes = made_up(n_train=60, n_test=20)
    counted = replace(outcomes[-1], settings={"features": outcomes[-1].features_total // 4, "lambda": 0.5})
    results.write_run(tmp_path, run, (counted,))
    (row,) = gathering.rows(gathering.load(tmp_path))
    assert row["F"] == pytest.approx(0.25, rel=1e-4)
    assert (row["lambda_ratio"], row["lambda"]) == (None, 0.5)
