"""The methods that train the whole backbone, as a user meets them beside the others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from head2toe.extract.backbone.backbone import load_backbone
from head2toe.pipeline import Head2Toe, main, run
from head2toe.probe.options import COSTLY, METHODS
from head2toe.probe.report import run_page
from head2toe.probe.results.result_files import read_result
from head2toe.store.common.errors import BadRequest
from head2toe.tests.commands import call


@pytest.fixture
def small(small: dict[str, Any]) -> dict[str, Any]:
    """A backbone that is trained in no time."""
    return small | {"backbone": "test_efficientnet", "finetune_steps": (2, 3)}


def timeless(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in method.items() if name != "cost"} for method in record["methods"]]


def test_costly_methods_stand_beside_the_others(image_folder: Path, small: dict[str, Any]) -> None:
    first = run(str(image_folder), **small, methods=("linear", "l21", "finetune"))
    linear, l21, finetune = first.record["methods"]
    assert [tuple(point["settings"].items()) for point in finetune["sweep"]] == [
        (("learning_rate", rate), ("steps", steps)) for rate in (0.025, 0.0025) for steps in (2, 3)
    ]
    assert finetune["settings"] in [point["settings"] for point in finetune["sweep"]]
    assert finetune["features"] == {"kept": 0, "total": 0}
    assert len(first.record["comparisons"]) == 3
    trainings = first.record["trainings"]["finetune"]
    assert [one["fold"] for one in trainings] == [0, 1, 2, 3, 4] * 4 + [None]
    assert all(Path(one["file"]).is_file() for one in trainings)

    per_image = first.record["backbones"][0]["flops_per_image"]
    for method in (linear, l21):
        assert method["cost"]["extraction_flops"] == pytest.approx(36 * per_image, rel=1e-5)
    assert l21["cost"]["seconds"] >= first.record["selections"]["exact"][0]["seconds"] > 0
    # A fresh head of three classes makes the network a little cheaper than the one with its own.
    seen = sum(3 * one["images"] + one["held_out"] for one in trainings)
    assert 0.85 * seen * per_image < finetune["cost"]["flops"] <= seen * per_image * (1 + 1e-5)
    assert finetune["cost"]["extraction_flops"] == 0
    assert finetune["cost"]["bytes"] > 10 * linear["cost"]["bytes"]

    shown = (first.file.parent / "summary.md").read_text()
    assert "| finetune | " in shown.replace("*", "")
    html = run_page.render(first.file.parent, first.record, lambda _: None)
    assert "finetune" in html

    again = run(str(image_folder), **small, methods=("linear", "finetune"))
    assert all(one["recalled"] for one in again.record["trainings"]["finetune"])
    assert timeless(again.record)[1] == timeless(first.record)[2]
    fresh = run(str(image_folder), **small, methods=("linear", "finetune"), fresh=True)
    assert not any(one["recalled"] for one in fresh.record["trainings"]["finetune"])
    assert timeless(fresh.record) == timeless(again.record), "the same settings give the same result"
    assert read_result(fresh.file)["methods"] == fresh.record["methods"]


def test_scratch_starts_at_random_and_finetune_where_it_is_told(
    image_folder: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    options = small | {"methods": ("finetune", "scratch"), "finetune_steps": (2,)}
    finetune, scratch = timeless(run(str(image_folder), **options).record)
    assert finetune | {"name": "scratch"} == scratch, "random weights are random weights"
    weights = tmp_path / "weights.pth"
    torch.save(load_backbone("test_efficientnet", weights="random", device="cpu", seed=9).model.state_dict(), weights)
    told = run(str(image_folder), **options | {"weights": str(weights)})
    elsewhere, again = timeless(told.record)
    assert again == scratch
    assert elsewhere["cv"] != finetune["cv"]


def test_other_steps_are_another_result(image_folder: Path, small: dict[str, Any]) -> None:
    a, b = (run(str(image_folder), **small | {"finetune_steps": (n,)}, methods=("scratch",)) for n in (1, 2))
    assert a.file != b.file
    assert (a.recalled, b.recalled) == (False, False)
    assert run(str(image_folder), **small | {"finetune_steps": (2,)}, methods=("scratch",)).recalled


def test_all_means_the_cheap_ones() -> None:
    (option,) = (parameter for parameter in main.commands["run"].params if parameter.name == "methods")
    assert option.callback is not None
    assert option.callback(None, option, "all") == METHODS  # type: ignore[arg-type]
    assert not set(METHODS) & set(COSTLY)
    text = call("run", "--help").stdout
    assert all(method in text for method in COSTLY)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--methods", "finetune", "--backbone", "resnet18"], "finetune trains one backbone"),
        (["--methods", "linear,scratch", "--finetune-steps", "0"], "must be 1 or more"),
        (["--methods", "finetuning"], "'finetuning' is none of"),
    ],
)
def test_what_can_not_be_trained_is_said_before_anything_is_done(args: list[str], says: str, flags: list[str]) -> None:
    result = call("run", "digits", *flags, *args)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_there_is_no_model_to_save(image_folder: Path, tmp_path: Path, flags: list[str]) -> None:
    steps = ["--methods", "finetune", "--finetune-steps", "1"]
    result = call("run", str(image_folder), *flags, *steps, "--save-model", str(tmp_path / "model"))
    assert result.exit_code == 2
    assert "leaves a model to save" in result.stderr.splitlines()[-1]
    assert list(tmp_path.glob("results/stripes-*/result.json")), "the result is kept all the same"
    with pytest.raises(BadRequest, match="leaves no linear model"):
        Head2Toe(method="scratch").fit(str(image_folder))
