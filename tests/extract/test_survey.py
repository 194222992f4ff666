"""timm's models can be backbones: one of every family is, and those that can't are listed with the reason."""

import json
import re
from collections import defaultdict

import pytest
import timm
from click.testing import CliRunner
from head2toe.extract import survey
from head2toe.extract.survey import names_like
from head2toe.pipeline import main
from head2toe.store.common.errors import BadRequest

SMALL = re.compile(r"^test_|atto|femto|pico|nano|tiny|mini|_xxt|_xxs|_xs|_050|_035|_s\d?(_|$)|small|18|10t|_b0|_m0")


def _one_of_each_family() -> list[str]:
    families: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models():
        families[timm.model_entrypoint(name).__module__].append(name)
    return [next(filter(SMALL.search, names), names[0]) for names in families.values()]


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
    assert list(survey.survey(["test_resnet"])) == [("test_resnet", "ZeroDivisionError: no layers")]


def test_a_pattern_without_models_is_one_line() -> None:
    with pytest.raises(BadRequest, match="no model of timm's matches 'resnet5O'"):
        names_like("resnet5O")
    nothing = CliRunner().invoke(main, ["layers"])
    assert nothing.exit_code == 2
    assert "name a backbone" in nothing.output


@pytest.mark.slow
@pytest.mark.parametrize("name", _one_of_each_family())
def test_one_of_every_family_can_be_read(name: str) -> None:
    refusal = next(iter(survey.survey([name])))
    assert refusal is None, refusal
