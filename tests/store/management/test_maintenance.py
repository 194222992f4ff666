"""Listing, describing, removing and collecting stores."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.management.maintenance import collect, entries, folder_bytes, info, remove, resolve
from head2toe.store.management.verify import verify
from head2toe.store.reading.feature_store import FeatureStore


def unused_for(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path / "complete.json", (then, then))


def test_ls_tells_the_states_apart(toy: SimpleNamespace) -> None:
    whole, broken = toy.write(5), toy.write(6)
    (broken.path / broken.commits[0].files[0].path).unlink()
    half = toy.catalogue.writer(toy.identity(), [toy.image(7)] * 2, toy.layers, format=toy.format)
    stores = {entry.key: entry for entry in entries(toy.catalogue)}
    assert (stores[whole.key].state, stores[whole.key].note) == ("complete", "")
    assert stores[broken.key].state == "damaged"
    assert "missing" in stores[broken.key].note
    assert (stores[half.key].state, stores[half.key].note) == ("unfinished", "0 of 1 row blocks")
    assert stores[whole.key].nbytes == folder_bytes(whole.path) >= whole.nbytes


def test_info_shows_every_field(toy: SimpleNamespace) -> None:
    store = toy.write(5)
    description = info(store.path)
    assert description.fields["backbone.weights_sha256"] == "0" * 64
    assert description.fields["target_size"] == 512
    assert description.dtypes == dict.fromkeys(toy.layers.names, "float32")
    assert description.entry.spec.n_rows == 5


def test_a_store_is_named_by_path_or_prefix(toy: SimpleNamespace) -> None:
    one, two = toy.write(3), toy.write(4)
    assert resolve(toy.catalogue, one.key[:10]) == one.path
    assert resolve(toy.catalogue, str(two.path)) == two.path
    with pytest.raises(BadRequest, match="no store 'zz'"):
        resolve(toy.catalogue, "zz")
    with pytest.raises(BadRequest, match="no store ''"):
        resolve(toy.catalogue, "")
    by_first = {}
    while True:  # two keys that begin alike
        store = toy.write([toy.image(i) for i in range(100 + len(by_first), 101 + len(by_first))])
        if by_first.setdefault(store.key[0], store.key) != store.key:
            break
    with pytest.raises(BadRequest, match=r"names \d stores"):
        resolve(toy.catalogue, store.key[0])


def test_rm_never_removes_what_is_in_use(toy: SimpleNamespace) -> None:
    store = toy.write(5)
    path = store.path
    with pytest.raises(StoreError, match="in use"):
        remove(path)
    del store
    writer = toy.catalogue.writer(toy.identity(), [toy.image(9)], toy.layers, format=toy.format)
    with pytest.raises(StoreError, match="in use"):
        remove(writer.path)
    nbytes = folder_bytes(path)
    assert remove(path) == nbytes
    with pytest.raises(StoreError, match="not a feature store"):
        FeatureStore.open(path)


def test_gc_by_age(toy: SimpleNamespace) -> None:
    old, older, new = (toy.write(n).path for n in (3, 4, 5))
    unused_for(old, 10)
    unused_for(older, 20)
    held = FeatureStore.open(older, mark_used=False)
    plan = collect(toy.catalogue, older_than=5 * 86400, dry_run=True)
    collected = collect(toy.catalogue, older_than=5 * 86400)
    assert [entry.path for entry, _ in plan.removed] == [entry.path for entry, _ in collected.removed] == [old]
    assert [entry.path for entry in collected.in_use] == [held.path]
    assert set(toy.catalogue.paths()) == {older, new}
    FeatureStore.open(older)  # using it makes it young again
    del held
    assert collect(toy.catalogue, older_than=5 * 86400).removed == ()


def test_gc_by_size_takes_the_least_recently_used(toy: SimpleNamespace) -> None:
    paths = [toy.write(n).path for n in (3, 4, 5)]
    for days, path in zip((1, 3, 2), paths, strict=True):
        unused_for(path, days)
    collected = collect(toy.catalogue, max_bytes=folder_bytes(paths[0]) + folder_bytes(paths[2]))
    assert [entry.path for entry, _ in collected.removed] == [paths[1]]
    assert collected.nbytes == collected.removed[0][0].nbytes
    assert collect(toy.catalogue, max_bytes=0).in_use == ()
    assert entries(toy.catalogue) == []


def test_gc_removes_leftovers_but_not_those_of_the_living(toy: SimpleNamespace) -> None:
    path = toy.write(5).path
    abandoned, young = toy.catalogue.root / "tmp.abandoned", toy.catalogue.root / "tmp.young"
    for folder in (abandoned, young):
        folder.mkdir()
        (folder / "file").write_bytes(bytes(100))
    os.utime(abandoned, (0, 0))
    (path / "commit" / "0.json.x.partial").write_bytes(bytes(11))
    writer = toy.catalogue.writer(toy.identity(), [toy.image(9)], toy.layers, format=toy.format)
    (writer.path / "commit" / "0.json.x.partial").write_bytes(bytes(7))
    assert collect(toy.catalogue, dry_run=True).leftovers == 111
    assert collect(toy.catalogue).leftovers == 111
    assert not abandoned.exists()
    assert young.exists()
    assert list(writer.path.rglob("*.partial"))
    assert verify(path).faults == ()


def test_a_file_that_vanishes_while_bytes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `ls` beside an extraction, whose partial files come and go."""
    (tmp_path / "a").write_bytes(b"123")
    monkeypatch.setattr(Path, "rglob", lambda path, _: [path / "a", path / "gone.partial"])
    assert folder_bytes(tmp_path) == 3
