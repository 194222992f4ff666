"""`head2toe doctor`: one screen, every part of it in JSON, and exit code 1, with a remedy, where something is wrong."""

import errno
import fcntl
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from click.testing import CliRunner
from head2toe.extract import doctor as stage_one
from head2toe.pipeline import main
from head2toe.select.doctor import blas_checks
from head2toe.store.console.cli import Check
from head2toe.store.doctor import TRIALS, root_checks


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def doctor(*args: str) -> Any:
    return CliRunner().invoke(main, ["doctor", *args])


def test_a_healthy_machine_is_one_screen_and_leaves_nothing(tmp_path: Path) -> None:
    said = doctor("--json")
    assert said.exit_code == 0, said.stderr
    document = json.loads(said.stdout)
    names = {check["name"] for check in document["checks"]}
    assert {"python", "memory", "torch", "CUDA", "CuPy", "BLAS", "weights", "data", "store root", "disk space"} <= names
    assert names >= set(TRIALS)
    assert document["ok"] is True
    assert not (tmp_path / "stores").exists(), "looking does not make a root"
    assert not list(tmp_path.glob(".doctor*"))
    shown = doctor().stdout.splitlines()
    assert shown[-1] == "nothing is wrong"
    assert len(shown) <= 40


def test_a_root_that_can_not_be_written_fails_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for args in (
        ["--store", str(tmp_path / "file" / "stores")],
        ["--store", str(tmp_path / "file" / "stores"), "--json"],
    ):
        said = doctor(*args)
        assert said.exit_code == 1
        assert "FAIL" in said.stdout
        assert "--store DIR or HEAD2TOE_STORE" in said.stdout


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_root_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(path: Any, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), os.fspath(path))

    monkeypatch.setattr(os, "mkdir", refused)
    (check,) = root_checks(tmp_path)
    assert check.state == "FAIL"
    assert str(tmp_path) in check.text
    assert check.remedy
    monkeypatch.undo()
    assert all(check.state != "FAIL" for check in root_checks(tmp_path))


def test_a_hub_cache_that_is_a_file_fails_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(
        stage_one.huggingface_hub, "scan_cache_dir", partial(huggingface_hub.scan_cache_dir, tmp_path / "file")
    )
    check = by_name(stage_one.weights_checks())["hub cache"]
    assert (check.state, check.remedy) == ("FAIL", "set HF_HUB_CACHE to a folder")


def test_what_a_file_system_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", lacks)
    monkeypatch.setattr(os, "link", lacks)
    checks = by_name(root_checks(tmp_path))
    assert {name for name, check in checks.items() if check.state == "FAIL"} == {"flock", "link"}
    assert all(check.remedy for check in checks.values() if check.state == "FAIL")
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # grants every lock
    assert "two locks at once" in by_name(root_checks(tmp_path))["flock"].text


def test_a_data_root_that_is_not_there_fails_if_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.state for check in stage_one.data_checks()] == ["note"]
    monkeypatch.setenv("HEAD2TOE_DATA", str(tmp_path / "data"))
    assert [check.state for check in stage_one.data_checks()] == ["FAIL"]
    (tmp_path / "data" / "vtab-1k" / "dtd").mkdir(parents=True)
    (check,) = stage_one.data_checks()
    assert check.state == "ok"
    assert "dtd" in check.text


def test_more_threads_than_cores_are_noted() -> None:
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "1", "architecture": "Haswell"}
    assert [check.state for check in blas_checks([{**pool, "num_threads": 4096}])] == ["note"]
    assert [check.state for check in blas_checks([{**pool, "num_threads": 1}])] == ["ok"]
    assert [check.state for check in blas_checks([])] == ["note"]


def test_weights_that_are_missing_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_one, "default_weights", lambda _: "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    assert all(check.state == "note" for check in stage_one.weights_checks())
