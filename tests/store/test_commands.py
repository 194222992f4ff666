"""What the commands `head2toe store …` print and return."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from head2toe.store.commands import store


@pytest.mark.parametrize(("flag", "value", "code"), [
    ("--older-than", "-1", 2), ("--older-than", "nan", 0), ("--max-size", "-1", 2), ("--max-size", "nan", 0),
    ("--max-size", "inf", 0),
])  # fmt: skip
def test_gc_removes_nothing_for_a_limit_that_is_none(toy: SimpleNamespace, flag: str, value: str, code: int) -> None:
    path = toy.write(10).path  # closed again, so that nothing keeps it but the limit
    result = CliRunner().invoke(store, ["gc", flag, value, "--store", str(toy.catalogue.root)])
    assert result.exit_code == code, result.output
    assert path.is_dir()


def test_a_store_that_cannot_be_read_hides_no_other(toy: SimpleNamespace) -> None:
    paths = sorted([toy.write(10).path, toy.write(10, target_size=1).path])
    spec = paths[0] / "spec.json"
    spec.write_bytes(spec.read_bytes()[:-40])
    result = CliRunner().invoke(store, ["verify", "--store", str(toy.catalogue.root)])
    assert result.exit_code == 1
    assert f"{paths[1].name[:12]}  " in result.stdout
    assert "no problems" in result.stdout
    assert len(result.stderr.splitlines()) == 1
    assert f"Error: {spec}: damaged" in result.stderr


def test_a_backbone_may_be_a_word(toy: SimpleNamespace) -> None:
    toy.write(10, backbone="mine")
    result = CliRunner().invoke(store, ["ls", "--store", str(toy.catalogue.root)])
    assert result.exit_code == 0, result.output
    assert "mine" in result.stdout
