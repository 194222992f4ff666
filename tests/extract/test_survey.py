"""timm's models can be backbones: one of every family is, and those that can't are listed with the reason."""

import json

import pytest
import timm
from click.testing import CliRunner
from head2toe.extract import survey
from head2toe.extract.survey import families_of, names_like, smallest
from head2toe.pipeline import main
from head2toe.store.common.errors import BadRequest


def test_what_can_and_what_cannot_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = "test_[rv]*"
    names = names_like(pattern)
    sizes = sorted(survey.bytes_of(name) or 0 for name in names)
    monkeypatch.setattr(survey, "LARGEST", sizes[len(sizes) // 2])
    shown = CliRunner().invoke(main, ["layers", pattern, "--check-all", "--json"])
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    assert document["models"] == len(names) > 3
    assert 0 < len(document["refused"]) < len(names)
    assert all("its weights take" in reason for reason in document["refused"].values())
    lines = CliRunner().invoke(main, ["layers", pattern, "--check-all"]).stdout.splitlines()
    assert lines[-1] == f"{len(names) - len(document['refused'])} of {len(names)} models can be read"


def test_what_a_model_raises_is_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no\nlayers")

    monkeypatch.setattr(survey, "discover", broken)
    (trial,) = survey.survey(["test_resnet"], small_input=True)
    assert trial[:3] == ("test_resnet", "ZeroDivisionError: no layers", 0)


def test_the_smallest_of_families_are_tried_at_few_pixels() -> None:
    """`test_vit` takes 64 pixels; `mobilevit` and its like, whose smallest input is larger, their own."""
    groups = families_of(names_like("*vit_tiny_patch16_224"))
    assert "vit_tiny_patch16_224" in groups["vision_transformer"]
    assert smallest(["resnet50", "resnet18", "resnet10t"]) == "resnet10t"
    shown = CliRunner().invoke(main, ["layers", "test_[rv]*", "--check-all", "--families", "--json"])
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    tried = document["families"]
    assert len(tried) == document["models"] > 1
    assert document["refused"] == {trial["name"]: trial["reason"] for trial in tried.values() if trial["reason"]}
    assert tried["vision_transformer"]["pixels"] == 64
    assert all(trial["seconds"] > 0 for trial in tried.values())
    lines = CliRunner().invoke(main, ["layers", "test_vit", "--check-all", "--families"]).stdout.splitlines()
    assert lines[0].split()[:2] == ["vision_transformer", "test_vit"]
    assert lines[1:] == ["1 of 1 families can be read"]


def test_a_pattern_without_models_is_one_line() -> None:
    with pytest.raises(BadRequest, match="no model of timm's matches 'resnet5O'"):
        names_like("resnet5O")


@pytest.mark.slow
@pytest.mark.parametrize("family", families_of(timm.list_models()))
def test_one_of_every_family_can_be_read(family: str) -> None:
    """The smallest. Those that can't be are told in docs/backbones.md."""
    name = smallest(families_of(timm.list_models())[family])
    (trial,) = survey.survey([name], small_input=True)
    assert trial.reason == "", trial
