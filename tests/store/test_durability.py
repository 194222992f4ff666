"""In which order a block reaches the disk: contents before names, names before the record, the record last."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks file descriptors up in /proc")
def test_contents_then_names_then_the_record(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [toy.image(i) for i in range(4)]
    writer = toy.catalogue.writer(
        toy.identity(dtype="float16"), images, toy.layers, format=toy.format, rows_per_block=4
    )
    synced: list[Path] = []
    named: list[Path] = []
    unsynced_folders: set[Path] = set()

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append(path)
        unsynced_folders.discard(path)

    def naming(original: object) -> object:
        def call(source: object, target: object) -> None:
            assert Path(source) in synced, f"{target} got its name before its bytes were safe"
            if Path(target).parent.name == "commit":
                assert not unsynced_folders, "the record was made before the names of its files were safe"
            original(source, target)
            named.append(Path(target))
            unsynced_folders.add(Path(target).parent)

        return call

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "link", "rename"):
        monkeypatch.setattr(os, name, naming(getattr(os, name)))
    toy.fill(writer)
    assert named[-1] == writer.path / "commit" / "0.json"
    assert len(named) == 2 + (len(toy.layers) if toy.format == "zarr" else 1)
    assert not unsynced_folders
    writer.seal()
    assert named[-1] == writer.path / "complete.json"
    assert not unsynced_folders
