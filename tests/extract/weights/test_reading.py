"""Files of weights are read whatever lies beside the tensors, and nothing in them runs."""

import argparse
import datetime
import gzip
import io
import os
import pathlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from head2toe.extract.weights.reading import read_file
from head2toe.store.common.errors import DataError

BESIDE = {
    "args": argparse.Namespace(model="resnet18", lr=0.1, out=pathlib.PurePosixPath("a/b")),
    "metric": np.float64(0.5),
    "best": np.int64(3),
    "history": np.arange(4.0),
    "when": datetime.datetime(2024, 5, 6, 7, 8),
    "path": Path("out"),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
def test_what_training_scripts_put_beside_the_tensors_is_read(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "x.pth.tar"
    torch.save({"state_dict": {"a": torch.ones(2)}, **BESIDE}, file, _use_new_zipfile_serialization=zipped)
    content = read_file(file)
    assert content["metric"] == 0.5
    assert content["args"] == BESIDE["args"]
    assert content["state_dict"]["a"].tolist() == [1, 1]


class _Runs:
    """An object whose making runs a command."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made_by = function, arguments

    def __reduce__(self) -> Any:
        return self.made_by


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval, exec])
def test_nothing_in_a_file_runs(tmp_path: Path, zipped: bool, function: Any) -> None:
    trace = tmp_path / "trace"
    words = {os.mkdir: str(trace), os.system: f"touch {trace}"}
    argument = words.get(function, f"open({str(trace)!r}, 'w')")
    file = tmp_path / "evil.pth"
    content = {"a": torch.ones(2), "args": argparse.Namespace(x=_Runs(function, argument))}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=r"only running code could make \(.*torch\.save\(model\.state_dict\(\)"):
        read_file(file)
    assert not trace.exists()


def test_a_whole_model_says_how_to_convert_it(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "m.pt")
    with pytest.raises(DataError, match=r"torch\.nn\.modules\.linear\.Linear.*weights\.pth"):
        read_file(tmp_path / "m.pt")


def test_the_list_of_safe_globals_is_left_as_it_was(tmp_path: Path) -> None:
    torch.save(BESIDE, tmp_path / "x.pth")
    before = set(torch.serialization.get_safe_globals())
    read_file(tmp_path / "x.pth")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("suffix", [".safetensors", ".SAFETENSORS", ".SafeTensors"])
def test_suffixes_in_capitals_are_what_they_are(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    safetensors.torch.save_file({"a": torch.ones(1)}, file)
    assert set(read_file(file)) == {"a"}


def test_content_decides_whatever_the_suffix_is(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "x.pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        assert read_file(tmp_path / name)["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page instead of the file: fetch it again"),
        (gzip.compress(b"weights", mtime=0), "packed by gzip: unpack it"),
        (b"\x89HDF\r\n\x1a\n", r"HDF5, as Keras writes it: convert it where it was made"),
        (b'{\n "architecture": "resnet18"}', "JSON, and no index of files with weights"),
        (pickle.dumps({"a": 1}, protocol=4), "a pickle that torch.save did not write: convert it"),
    ],
)
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_other_files_are_called_what_they_are(tmp_path: Path, content: bytes, says: str, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_file(tmp_path / name)


def test_an_archive_around_the_file_says_to_unpack_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("weights.pth", b"anything")
    with pytest.raises(DataError, match=r"a zip archive that torch\.save did not write: unpack it"):
        read_file(tmp_path / "x.pth")


def test_a_file_of_garbage_is_named(tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors"):
        file = tmp_path / f"junk{suffix}"
        file.write_bytes(b"not weights at all")
        with pytest.raises(DataError, match="can't read weights from"):
            read_file(file)


@pytest.mark.parametrize("zipped", [False, True], ids=["older", "zip"])
def test_a_truncated_file_is_one_line(tmp_path: Path, zipped: bool) -> None:
    """A download that broke off, in torch's older format and its newer one."""
    content = io.BytesIO()
    torch.save({"a": torch.zeros(300)}, content, _use_new_zipfile_serialization=zipped)
    whole = content.getvalue()
    for size in range(0, len(whole) - 1, len(whole) // 60):
        (tmp_path / "x.pth").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"can't read weights from .*x\.pth: .|holds no state dict") as error:
            read_file(tmp_path / "x.pth")
        assert "\n" not in str(error.value)
