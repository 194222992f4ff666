"""A reader written from docs/store-format.md alone: the specification is enough, and true."""

import hashlib
import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google_crc32c
import numpy as np
import pytest


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def read(path: Path) -> dict[str, list[list[float]]]:
    """Layer name to rows of features, by the four steps of "Reading, step by step"."""
    spec = json.loads((path / "spec.json").read_text())
    assert (spec["format_name"], spec["format_version"]) == ("head2toe feature store", 1)
    assert (path / "complete.json").is_file()
    n, r = spec["rows"], spec["rows_per_block"]
    features: dict[str, list[list[float]]] = {layer["name"]: [] for layer in spec["layers"]}
    for b in range(-(-n // r)):
        commit = json.loads((path / "commit" / f"{b}.json").read_text())
        assert commit["key"] == spec["key"]
        contents = {}
        for file, nbytes, crc in commit["files"]:
            contents[file] = (path / file).read_bytes()
            assert (len(contents[file]), google_crc32c.value(contents[file])) == (nbytes, crc)
        first, last = commit["rows"]
        assert (first, last) == (b * r, min((b + 1) * r, n))
        for layer, (file, offset, dtype) in zip(spec["layers"], commit["layers"], strict=True):
            code, itemsize = {"float16": ("e", 2), "float32": ("f", 4)}[dtype]
            for row in range(last - first):
                at = [offset + (j * r + row) * itemsize for j in range(layer["width"])]
                features[layer["name"]].append([struct.unpack_from("<" + code, contents[file], one)[0] for one in at])
    return features


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_specification_is_enough_to_read_a_store(toy: SimpleNamespace, dtype: str) -> None:
    store = toy.write(10, dtype=dtype)
    features = read(store.path)
    assert list(features) == list(toy.layers.names)
    for name, values in toy.features(store.images).items():
        np.testing.assert_array_equal(np.array(features[name], np.float32), values)


def test_key_and_checksums_are_what_is_specified(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    spec = json.loads((store.path / "spec.json").read_text())
    images = (store.path / "images.txt").read_bytes()
    about = {"format_version": 1, "identity": spec["identity"], "images": sorted(images.decode().split())}
    assert hashlib.sha256(canonical(about)).hexdigest() == spec["key"] == store.path.name
    assert store.path.parent.name == spec["key"][:2]
    assert google_crc32c.value(images) == spec["images_crc32c"]
    for file in (store.path / "spec.json", store.path / "complete.json", *store.path.glob("commit/*.json")):
        record = json.loads(file.read_text())
        assert record.pop("crc32c") == google_crc32c.value(canonical(record))
    for name, nbytes, crc in json.loads((store.path / "complete.json").read_text())["index"]:
        content = (store.path / name).read_bytes()
        assert (len(content), google_crc32c.value(content)) == (nbytes, crc)
