"""Listing, describing, removing, collecting."""

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from head2toe.store.commands import store
from head2toe.store.common.errors import BadRequest, StoreError
from head2toe.store.common.text import readable
from head2toe.store.format.key import rows_per_block
from head2toe.store.management.catalogue import ENVIRONMENT, Catalogue
from head2toe.store.management.maintenance import collect, entries, folder_bytes, info, remove, resolve
from head2toe.store.management.verify import exclusive, verify
from head2toe.store.reading import feature_store as reader
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.writing.space import remaining


def unused_for(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path / "complete.json", (then, then))


def test_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "a"))
    assert Catalogue().root == tmp_path / "a"
    assert Catalogue(tmp_path / "b").root == tmp_path / "b"
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert Catalogue().root.is_relative_to(tmp_path / "c") or os.name != "posix"
    assert entries(Catalogue(tmp_path / "nothing")) == []


def test_ls_tells_the_states_apart(toy: SimpleNamespace) -> None:
    whole, broken = toy.write(5), toy.write(6)
    (broken.path / broken.commits[0].files[0].path).unlink()
    half = toy.catalogue.writer(toy.identity(), [toy.image(7)] * 2, toy.layers, format=toy.format)
    found = {entry.key: entry for entry in entries(toy.catalogue)}
    assert (found[whole.key].state, found[whole.key].note) == ("complete", "")
    assert found[broken.key].state == "damaged"
    assert "missing" in found[broken.key].note
    assert (found[half.key].state, found[half.key].note) == ("unfinished", "0 of 1 row blocks")
    assert found[whole.key].nbytes == folder_bytes(whole.path) >= whole.nbytes


def test_info_shows_every_field(toy: SimpleNamespace) -> None:
    store = toy.write(5)
    about = info(store.path)
    assert about.fields["backbone.weights_sha256"] == "0" * 64
    assert about.fields["target_size"] == 512
    assert about.dtypes == dict.fromkeys(toy.layers.names, "float32")
    assert about.entry.spec.n_rows == 5


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


def test_gc_looking_for_leftovers_disturbs_no_reader(toy: SimpleNamespace) -> None:
    path = toy.write(5).path
    lock = exclusive(path)
    threading.Timer(0.2, lock.release).start()
    assert FeatureStore.open(path).n_rows == 5


def test_a_store_being_removed_is_not_opened(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy.write(5).path
    monkeypatch.setattr(reader, "_PATIENCE", 2)
    with exclusive(path), pytest.raises(StoreError, match="being removed or repaired"):
        FeatureStore.open(path)


def test_gc_by_age(toy: SimpleNamespace) -> None:
    old, older, new = (toy.write(n).path for n in (3, 4, 5))
    unused_for(old, 10)
    unused_for(older, 20)
    held = FeatureStore.open(older, mark_used=False)
    plan = collect(toy.catalogue, older_than=5 * 86400, dry_run=True)
    done = collect(toy.catalogue, older_than=5 * 86400)
    assert [entry.path for entry, _ in plan.removed] == [entry.path for entry, _ in done.removed] == [old]
    assert [entry.path for entry in done.in_use] == [held.path]
    assert set(toy.catalogue.paths()) == {older, new}
    FeatureStore.open(older)  # using it makes it young again
    del held
    assert collect(toy.catalogue, older_than=5 * 86400).removed == ()


def test_gc_by_size_takes_the_least_recently_used(toy: SimpleNamespace) -> None:
    paths = [toy.write(n).path for n in (3, 4, 5)]
    for days, path in zip((1, 3, 2), paths, strict=True):
        unused_for(path, days)
    done = collect(toy.catalogue, max_bytes=folder_bytes(paths[0]) + folder_bytes(paths[2]))
    assert [entry.path for entry, _ in done.removed] == [paths[1]]
    assert done.nbytes == done.removed[0][0].nbytes
    assert collect(toy.catalogue, max_bytes=0).in_use == ()
    assert entries(toy.catalogue) == []


@pytest.mark.parametrize(("flag", "value", "code"), [
    ("--older-than", "-1", 2), ("--older-than", "nan", 0), ("--max-size", "-1", 2), ("--max-size", "nan", 0),
    ("--max-size", "inf", 0),
])  # fmt: skip
def test_gc_removes_nothing_for_a_limit_that_is_none(toy: SimpleNamespace, flag: str, value: str, code: int) -> None:
    path = toy.write(10).path  # closed again, so that nothing keeps it but the limit
    result = CliRunner().invoke(store, ["gc", flag, value, "--store", str(toy.catalogue.root)])
    assert result.exit_code == code, result.output
    assert path.is_dir()


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
    assert verify(path).problems == ()


def test_verify_reports_progress(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    seen: list[tuple[int, int]] = []
    found = verify(store.path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (found.nbytes, found.nbytes)
    assert found.nbytes >= store.nbytes


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


def test_a_file_that_vanishes_while_bytes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `ls` beside an extraction, whose partial files come and go."""
    (tmp_path / "a").write_bytes(b"123")
    monkeypatch.setattr(Path, "rglob", lambda path, _: [path / "a", path / "gone.partial"])
    assert folder_bytes(tmp_path) == 3


def test_a_backbone_may_be_a_word(toy: SimpleNamespace) -> None:
    toy.write(10, backbone="mine")
    result = CliRunner().invoke(store, ["ls", "--store", str(toy.catalogue.root)])
    assert result.exit_code == 0, result.output
    assert "mine" in result.stdout


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_estimate_is_enough_and_not_much_more(toy: SimpleNamespace, dtype: str) -> None:
    store = toy.write(150, dtype=dtype, rows_per_block=rows_per_block(dtype, 150))
    guess = remaining(store.spec, range(store.spec.n_blocks))
    files = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    assert files <= guess.nbytes <= files + 150_000
    assert guess.scratch == 150 * 27 * 4


def test_bytes_as_people_say_them() -> None:
    assert [readable(n) for n in (0, 999, 1000, 1.25e9, 3e12)] == ["0 bytes", "999 bytes", "1.0 kB", "1.2 GB", "3.0 TB"]
