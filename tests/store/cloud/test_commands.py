"""Commands on a bucket: the whole way, what `store` shows of it, and no credentials in anything that is left."""

import json
from pathlib import Path

import pytest
from head2toe.tests.commands import call
from head2toe.tests.store.cloud.server import SECRET, Fault, Flaky

SMALL = ["--backbone", "test_resnet", "--weights", "random", "--input-size", "32", "--target-size", "16"]


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Be another machine."""
    monkeypatch.setenv("HEAD2TOE_CACHE", str(tmp_path / name))


@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_whole_way_and_once_more_elsewhere(
    image_folder: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setenv("HEAD2TOE_STORE", url if by == "environment" else str(tmp_path / "stores"))
    said = ["--store", url] if by == "option" else []
    first = call("run", str(image_folder), *SMALL, *said, "--methods", "linear")
    assert first.exit_code == 0, first.output
    assert "51 images extracted" in first.stdout
    elsewhere(tmp_path, monkeypatch, "another")
    second = call("extract", str(image_folder), *SMALL, *said)
    assert second.exit_code == 0, second.output
    assert "nothing to extract: the store holds all images" in second.stdout
    result = json.loads(next(tmp_path.glob("results/*/result.json")).read_text(encoding="utf-8"))
    assert result["options"]["store"] == (url if by == "option" else None)
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in left if SECRET.encode() in file.read_bytes()]
    assert not [result for result in (first, second) if SECRET in result.stdout + result.stderr]
    assert not (tmp_path / "stores").exists(), "nothing lies where no bucket is"
    assert not (tmp_path / "s3:").exists()


def test_what_the_commands_of_stores_show(
    image_folder: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("extract", str(image_folder), *SMALL, "--store", url).exit_code == 0
    key = json.loads(call("store", "ls", "--store", url, "--json").stdout)["stores"][0]["key"]
    elsewhere(tmp_path, monkeypatch, "another")
    listed = call("store", "ls", "--store", url)
    assert f"{key[:12]}  in the bucket alone: 1 row blocks" in listed.stdout
    assert json.loads(call("store", "ls", "--store", url, "--json").stdout)["elsewhere"] == {key: 1}
    assert "test_resnet" in call("store", "info", key[:8], "--store", url).stdout
    assert "in the bucket alone" not in call("store", "ls", "--store", url).stdout
    verified = call("store", "verify", "--store", url)
    assert (verified.exit_code, verified.stderr) == (0, "")
    assert call("store", "export", key[:8], "archive", "--store", url).exit_code == 0
    assert call("store", "rm", key[:8], "--store", url).exit_code == 0
    assert "in the bucket alone" in call("store", "ls", "--store", url).stdout
    refused = call("store", "import", "archive", "--store", url)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "goes into a folder, not into s3://" in refused.stderr
    assert call("store", "gc", "--store", url).exit_code == 0
    assert call("doctor", "--store", url, "--json").exit_code in (0, 1)


@pytest.mark.parametrize("debug", [False, True])
def test_a_refusal_is_one_line_and_even_a_traceback_holds_no_secret(
    image_folder: Path, url: str, server: Flaky, debug: bool
) -> None:
    server.faults.append(Fault("fail", "GET", "spec", 1, status=403, code="SignatureDoesNotMatch"))
    words = ["--debug"] if debug else []
    result = call(*words, "extract", str(image_folder), *SMALL, "--store", url)
    assert result.exit_code == 1
    assert SECRET not in result.output
    if not debug:
        assert result.stderr.splitlines()[-1].startswith(f"Error: {url}: refuses (SignatureDoesNotMatch): look at")
