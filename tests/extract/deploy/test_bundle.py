"""A bundle is read back as it was written; what is damaged is refused in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.features.extraction import Extraction
from head2toe.pipeline import extract
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.store.common.errors import BadRequest, DataError, Head2ToeError

HeadOn = Callable[..., tuple[LinearModel, np.ndarray]]
Packed = Callable[[Extraction, LinearModel], Bundle]


def test_what_is_damaged_is_refused_in_one_line(
    image_folder: Path, tmp_path: Path, two_sizes: dict[str, Any], head_on: HeadOn, packed: Packed
) -> None:
    extraction = extract(str(image_folder), **two_sizes)
    bundle = packed(extraction, head_on(extraction, unit=True)[0])
    folder = bundle.save(tmp_path / "model")
    again = Bundle.load(folder)
    assert all(np.array_equal(again.arrays[name], array) for name, array in bundle.arrays.items())
    assert again.layers == bundle.layers
    assert "test accuracy | 0.5" in (folder / "README.md").read_text()

    head, record = folder / "head.safetensors", folder / "model.json"
    for file, content in (
        (head, head.read_bytes()[:-7]),
        (head, head.read_bytes()[:-1] + b"\x7f"),
        (record, record.read_bytes()[:-20]),
        (record, record.read_bytes().replace(b"resnet18", b"resnet34")),
        (record, record.read_bytes().replace(b'"format_version": 1', b'"format_version": 9')),
    ):
        whole = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(Head2ToeError) as error:
            Bundle.load(folder)
        assert str(folder) in str(error.value)
        assert "\n" not in str(error.value)
        file.write_bytes(whole)
    head.unlink()
    with pytest.raises(DataError, match=r"head\.safetensors: missing: copy or export the model again"):
        Bundle.load(folder)
    with pytest.raises(BadRequest, match="no model"):
        Bundle.load(tmp_path)
    with pytest.raises(BadRequest, match="no model"):
        bundle.save(image_folder)
    record.unlink()  # as an interrupted save left it before folders were written as a whole
    assert Bundle.load(bundle.save(folder)).layers == bundle.layers
    before = record.stat().st_mtime_ns
    bundle.save(folder)
    assert record.stat().st_mtime_ns == before, "what is there already is not written again"
    other = replace(bundle, method="l21")
    assert Bundle.load(other.save(folder)).method == "l21"
    with pytest.raises(DataError, match="scale"):
        replace(bundle, scale=bundle.scale[:-1])
