"""Stores in a bucket: one machine's are another's, byte for byte, whatever happens in between."""

import errno
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.store.cloud import bucket as bucket_module
from head2toe.store.cloud import catalogue, lease
from head2toe.store.cloud.catalogue import BucketCatalogue, BucketWriter
from head2toe.store.cloud.mirror import Mirror
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.common.errors import Refused, StoreError
from head2toe.store.format.layout import commit_file
from head2toe.store.management.verify import verify
from head2toe.store.writing import seal
from head2toe.store.writing.writer import StoreWriter
from head2toe.tests.store.cloud.server import Fault, Flaky, every_service
from head2toe.tests.store.conftest import LAYERS, features_of, fill, identity_of, image

Machine = Callable[[str], BucketCatalogue]
IMAGES = [image(i) for i in range(10)]


def begun(catalogue: BucketCatalogue, format: str = "zarr", images: list[str] = IMAGES, **changes: Any) -> StoreWriter:
    return catalogue.writer(identity_of(**changes), images, LAYERS, format=format, rows_per_block=4)


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a store, but those that say when and by whom it was used, as HDF5's index says when it was made."""
    skipped = ("lock", "used", *(("complete.json", "blocks/index") if (path / "blocks").is_dir() else ()))
    found = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(skipped)}


def others(images: list[str]) -> dict[str, np.ndarray]:
    """What another machine computes: the last bits differ."""
    return {name: values + np.float32(2**-12) for name, values in features_of(images).items()}


def unsafe(images: list[str]) -> dict[str, np.ndarray]:
    """Features that float16 does not hold in the last block."""
    found = features_of(images)
    for row, digest in enumerate(images):
        found["head"][row] *= 1e5 if digest in IMAGES[8:] else 1
    return found


def test_what_one_machine_wrote_another_finds(machine: Machine, server: Flaky, format: str) -> None:
    writer = begun(machine("one"), format)
    assert fill(writer) == 10
    store = writer.seal()
    assert len(server.puts("/commit/")) == 3
    found = machine("two").find(identity_of(), IMAGES[::-1])
    assert found is not None
    assert found.path != store.path
    assert contents(found.path) == contents(store.path)
    assert not verify(found.path).faults
    server.log.clear()
    assert machine("two").find(identity_of(), IMAGES) is not None
    assert not server.log, "a store that is complete here needs no network"


def test_listing_is_never_needed(machine: Machine, server: Flaky) -> None:
    writer = begun(machine("one"))
    fill(writer)
    writer.seal()
    assert machine("two").find(identity_of(), IMAGES) is not None
    assert not [path for method, path, _ in server.log if method == "GET" and "list-type" in path]


@every_service
def test_the_first_to_begin_says_how_rows_lie(machine: Machine) -> None:
    one = begun(machine("one"))
    two = machine("two").writer(identity_of(), IMAGES[::-1], LAYERS, format="hdf5", rows_per_block=3)
    assert (two.spec.rows_per_block, two.spec.format, two.images) == (4, "zarr", one.images)


@every_service
def test_blocks_of_another_machine_are_fetched_and_not_computed(machine: Machine) -> None:
    one = begun(machine("one"))
    claimed = one.claim(1)
    assert claimed is not None
    with claimed:
        claimed.put(claimed.missing, features_of([one.images[row] for row in claimed.missing]))
        claimed.commit()
    two = begun(machine("two"))
    assert two.pending() == [0, 2]
    assert fill(two) == 6
    assert fill(one) == 0, "they are fetched"
    assert contents(one.seal().path) == contents(two.seal().path)


@every_service
def test_a_block_is_leased_until_it_is_given_back(machine: Machine) -> None:
    one, two = begun(machine("one")), begun(machine("two"))
    claimed = one.claim(0)
    assert claimed is not None
    assert two.claim(0) is None
    assert "which another machine writes" in two.others()
    claimed.close()
    two._looked.clear()  # type: ignore[attr-defined]
    again = two.claim(0)
    assert again is not None
    again.close()


@pytest.mark.parametrize("clock", [0.0, 3600.0, -3600.0], ids=["right", "an hour ahead", "an hour behind"])
def test_a_lease_that_nobody_renews_is_taken_whatever_the_clocks_say(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, clock: float
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.5)
    monkeypatch.setattr(catalogue, "SECONDS_BETWEEN_LOOKS", 0.0)
    one, two = begun(machine("one")), begun(machine("two"))
    assert one.claim(0) is not None  # and is never heard of again
    now = lease.time.time
    monkeypatch.setattr(lease.time, "time", lambda: now() + clock)
    first = two.claim(0)
    if clock <= 0:
        assert first is None
        time.sleep(0.6)
        first = two.claim(0)
    assert first is not None


@every_service
def test_who_loses_a_race_takes_the_block_of_who_won(machine: Machine, format: str) -> None:
    one, two = begun(machine("one"), format), begun(machine("two"), format)
    claimed = one.claim(0)
    assert claimed is not None
    two._mirror.bucket.remove(f"{two._mirror.folder}/lease/0.json")  # type: ignore[attr-defined] # as if it ran out
    assert fill(two, others) == 10
    claimed.put(claimed.missing, features_of([one.images[row] for row in claimed.missing]))
    claimed.commit()
    assert fill(one) == 0
    mine, theirs = one.seal(), two.seal()
    assert contents(mine.path) == contents(theirs.path)
    np.testing.assert_array_equal(mine.block(0, 0)[:, 0], others([one.images[0]])["stem"][0])
    assert not verify(mine.path).faults


def test_killed_before_it_was_sent_a_block_is_sent_the_next_time(machine: Machine, server: Flaky) -> None:
    one = machine("one")
    writer = begun(one)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Mirror, "settle", lambda *_, **__: False)
        fill(writer)
    assert not writer.pending()
    assert not server.puts("/commit/")
    assert fill(begun(machine("one"))) == 0
    assert len(server.puts("/commit/")) == 3
    assert machine("two").find(identity_of(), IMAGES) is not None


def test_what_was_not_sent_gives_way_to_what_another_sent(machine: Machine, format: str) -> None:
    writer = begun(machine("one"), format)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Mirror, "settle", lambda *_, **__: False)
        fill(writer)
    two = begun(machine("two"), format)
    fill(two, others)
    assert contents(begun(machine("one"), format).seal().path) == contents(two.seal().path)


@every_service
@pytest.mark.parametrize("killed", [False, True])
def test_every_copy_is_widened_alike(machine: Machine, killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    one = begun(machine("one"), dtype="float16")
    fill(one, unsafe)
    store = one.seal()
    assert store.fallbacks
    found = machine("two").writer(identity_of(dtype="float16"), IMAGES, LAYERS)
    if killed:  # between widening a block and sealing the store
        with monkeypatch.context() as patched:
            patched.setattr(seal, "write_record", _killed)
            with pytest.raises(KeyboardInterrupt):
                found.seal()
    again = machine("two").writer(identity_of(dtype="float16"), IMAGES, LAYERS)
    assert contents(again.seal().path) == contents(store.path)


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_block_that_went_bad_here_is_fetched_again(machine: Machine) -> None:
    writer = begun(machine("one"))
    fill(writer)
    store = writer.seal()
    before = contents(store.path)
    del writer
    file = next((store.path / "data.zarr" / "stem").glob("c*"))
    path, content = store.path, bytearray(file.read_bytes())
    del store
    content[0] ^= 1
    file.write_bytes(content)
    assert verify(path, repair=True).bad_blocks
    writer = begun(machine("one"))
    assert not writer.pending()
    assert contents(writer.seal().path) == before


def test_a_network_that_is_cut_ends_in_one_line_and_what_was_finished_is_sent_next_time(
    machine: Machine, server: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "PATIENCE", 0.5)
    writer = begun(machine("one"))
    server.faults.append(Fault("drop", "PUT", "/(data|commit)/", 1000))
    with pytest.raises(BucketError, match="what was finished is kept, and the same command goes on"):
        fill(writer)
    assert len(writer.pending()) == 2
    server.faults.clear()
    writer = begun(machine("one"))
    assert len(server.puts("/commit/")) == 1
    assert fill(writer) == 6
    writer.seal()


def test_a_full_disk_ends_in_one_line_and_leaves_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = begun(machine("one"))
    fill(writer)
    store = writer.seal()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    two = machine("two")
    with monkeypatch.context() as patched:
        patched.setattr(bucket_module.os, "fsync", full)
        with pytest.raises(
            Refused, match="no space left on its disk: free some, or choose another folder with HEAD2TOE_CACHE"
        ):
            two.find(identity_of(), IMAGES)
    assert not list(two.root.rglob("*.partial"))
    found = machine("two").find(identity_of(), IMAGES)
    assert found is not None
    assert contents(found.path) == contents(store.path)


def test_a_record_that_leads_elsewhere_is_refused(machine: Machine) -> None:
    writer = begun(machine("one"))
    fill(writer)
    mirror = writer._mirror  # type: ignore[attr-defined]
    name = f"{mirror.folder}/commit/0.json"
    document = json.loads(mirror.bucket.read(name))
    for changed, said in (
        ({"objects": dict.fromkeys(document["objects"], "data/../../x")}, "which is no data of its own"),
        ({"objects": {}}, "names files that no block has"),
        ({"record": document["record"] | {"files": []}}, "damaged"),
        ({"bucket_version": 2}, "written by a newer head2toe: upgrade head2toe"),
        ({"format_name": "x"}, "damaged"),
    ):
        mirror.bucket.write(name, document | changed)
        with pytest.raises(StoreError, match=said):
            begun(machine(said[:6]))


@every_service
def test_a_bucket_that_was_emptied_and_begun_anew_is_told(machine: Machine, url: str) -> None:
    one = begun(machine("one"))
    mirror = one._mirror  # type: ignore[attr-defined]
    for name in mirror.bucket.listed():
        mirror.bucket.remove(name.removeprefix(url.split("/", 3)[3] + "/"))
    begun(machine("two"), images=IMAGES[::-1])
    with pytest.raises(BucketError, match="begun it anew: remove the copy with `head2toe store rm"):
        begun(machine("one"))


def test_nothing_of_a_bucket_is_written_where_the_command_runs(machine: Machine, tmp_path: Path) -> None:
    writer = begun(machine("one"))
    assert isinstance(writer, BucketWriter)
    assert commit_file(writer.path, 0).is_relative_to(tmp_path / "one")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
