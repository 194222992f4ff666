"""Several normalisations before selection: each selects as it would alone, and the folds choose between them."""

from pathlib import Path
from typing import Any

import pytest
from head2toe.pipeline import Options, run, select
from head2toe.store.common.errors import BadRequest


def points(method: dict[str, Any], standardize: str | None) -> list[Any]:
    """What the sweep tried under one normalisation, without its name; None for what names none."""
    return [
        ({k: v for k, v in point["settings"].items() if k != "standardize"}, point["accuracies"], point["log_losses"])
        for point in method["sweep"]
        if point["settings"].get("standardize") == standardize
    ]


def test_each_is_swept_as_it_would_be_alone(image_folder: Path, smaller: dict[str, Any]) -> None:
    methods = ("linear", "l21")
    both = run(str(image_folder), **smaller, methods=methods, standardize=("feature", "unit"))
    linear, l21 = both.record["methods"]
    for standardize in ("feature", "unit"):
        alone = run(str(image_folder), **smaller, methods=methods, standardize=standardize).record["methods"]
        assert points(l21, standardize) == points(alone[1], None)
        assert linear["sweep"] == alone[0]["sweep"], "what selects nothing is tried once"
        if standardize == l21["settings"]["standardize"]:
            assert (l21["cv"], l21["test"], l21["layers"]) == (alone[1]["cv"], alone[1]["test"], alone[1]["layers"])
    best = max(sum(point["accuracies"]) for point in l21["sweep"])
    assert sum(l21["cv"]["accuracy"]["folds"]) == pytest.approx(best, abs=1e-4)
    assert "--standardize feature,unit" in both.record["command"]
    assert [e["standardize"] for e in both.record["selections"]["exact"]] == ["feature", "unit"]


def test_a_selection_that_is_there_is_recalled(image_folder: Path, smaller: dict[str, Any]) -> None:
    select(str(image_folder), **smaller, standardize="unit")
    several = select(str(image_folder), **smaller, standardize=("feature", "unit"))
    assert [(one.standardize, one.recalled) for one in several.every] == [("feature", False), ("unit", True)]
    assert [entry["standardize"] for entry in several.document()["selections"]] == ["feature", "unit"]
    assert several.selected is several.every[0]


@pytest.mark.parametrize(
    ("standardize", "says"),
    [("layer", "'layer' is none of none, unit"), (("unit", "x"), "'x' is none of"), ((), "one")],
)
def test_unknown_ones_are_refused(standardize: Any, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        Options(standardize=standardize)
    assert Options(standardize="unit").standardizations == ("unit",)
    assert Options(standardize=("unit", "none", "unit")).standardizations == ("unit", "none")
