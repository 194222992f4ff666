"""What every store backend must do: write, seal, find, and give back the numbers it was given."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from head2toe.store.common.errors import BadRequest, DataError, StoreError
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec
from head2toe.store.management.catalogue import create_store
from head2toe.store.reading.design import ArrayDesign, Design
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.reading.store_lock import Lock
from head2toe.store.writing.writer import NonFinite


def matrix(toy: SimpleNamespace, images: list[str]) -> np.ndarray:
    """(n, d), as an array."""
    return np.concatenate(list(toy.features(images).values()), axis=1)


def streamed(design: Design, **options: Any) -> np.ndarray:
    """(n, d), put together from the stream."""
    return np.concatenate([np.array(block.values) for block in design.stream(**options)]).T


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(("n", "rows_per_block"), [(1, 4), (4, 4), (10, 4), (9, 64), (5, 1)])
def test_gives_back_what_it_was_given(toy: SimpleNamespace, n: int, rows_per_block: int, dtype: str) -> None:
    store = toy.write(n, rows_per_block=rows_per_block, dtype=dtype)
    design = DesignMatrix.of([store], store.images)
    expected = matrix(toy, list(store.images))
    assert design.shape == expected.shape
    assert set(store.dtypes) == {dtype}
    np.testing.assert_array_equal(streamed(design), expected)
    np.testing.assert_array_equal(streamed(design, max_bytes=1), expected)
    np.testing.assert_array_equal(design.columns(np.arange(expected.shape[1])), expected.T)


def test_any_rows_and_columns_in_any_order(toy: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    store = toy.write(23)
    expected = matrix(toy, list(store.images))
    full = DesignMatrix.of([store], store.images)
    for _ in range(20):
        rows = rng.integers(0, 23, rng.integers(1, 40))
        columns = rng.integers(0, expected.shape[1], rng.integers(0, 30))
        view = full.take(rows)
        np.testing.assert_array_equal(streamed(view, max_bytes=int(rng.integers(1, 4000))), expected[rows])
        np.testing.assert_array_equal(view.columns(columns), expected[rows][:, columns].T)
        again = rng.integers(0, len(rows), 5)
        np.testing.assert_array_equal(streamed(view.take(again)), expected[rows][again])
    for rows in (slice(3, 20), np.arange(4, 8), np.arange(23) % 2 == 0):
        np.testing.assert_array_equal(streamed(full.take(rows)), expected[rows])
    assert full.columns([]).shape == (0, 23)


def test_blocks_come_in_column_order_within_layers_and_read_only(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    design = DesignMatrix.of([store], store.images)
    at = 0
    for block in design.stream(max_bytes=4 * 10 * 4):
        assert block.start == at
        assert block.values.shape == (block.stop - block.start, 10)
        assert block.values.dtype == np.float32
        assert len(set(design.layers.layer_of(np.arange(block.start, block.stop)))) == 1
        assert not block.values.flags.writeable
        at = block.stop
    assert at == design.shape[1]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_spans_of_columns_are_streamed_alone(toy: SimpleNamespace, dtype: str) -> None:
    store = toy.write(10, dtype=dtype)
    design = DesignMatrix.of([store], store.images)
    expected, d = matrix(toy, list(store.images)), design.shape[1]
    for source in (design, store, ArrayDesign(expected, design.layers)):
        for first, last in ((0, d), (0, 1), (d - 1, d), (2, d - 1), (5, 11)):
            blocks = list(source.stream(max_bytes=4 * 10 * 3, within=(first, last)))
            assert (blocks[0].start, blocks[-1].stop) == (first, last)
            np.testing.assert_array_equal(
                streamed(source, max_bytes=4 * 10 * 3, within=(first, last)), expected[:, first:last]
            )
        assert not list(source.stream(within=(3, 3)))


def test_float32_in_one_block_is_not_copied(toy: SimpleNamespace) -> None:
    store = toy.write(30, rows_per_block=64)
    for design in (DesignMatrix.of([store], store.images), DesignMatrix.of([store], store.images[5:20])):
        for number, block in enumerate(design.stream()):
            assert np.shares_memory(block.values, store.block(number, 0))


def test_stores_side_by_side(toy: SimpleNamespace) -> None:
    small, large = toy.write(9, target_size=2), toy.write(12, target_size=8, dtype="float16")
    images = [toy.image(i) for i in (7, 0, 3, 3)]
    design = DesignMatrix.of([small, large], images)
    expected = matrix(toy, images)
    np.testing.assert_array_equal(streamed(design), np.hstack([expected, expected]))
    assert design.layers.names[0] == "target_size=2/stem"
    assert design.layers.names[-1] == "target_size=8/head"
    with pytest.raises(BadRequest, match="different stores"):
        DesignMatrix.of([small, small], images)
    with pytest.raises(DataError, match="holds no image"):
        DesignMatrix.of([small, large], [toy.image(10)])


def test_found_by_identity_and_images_in_any_order(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    find = toy.catalogue.find
    assert find(toy.identity(), store.images).key == store.key
    assert find(toy.identity(), store.images[::-1]).key == store.key
    assert find(toy.identity(), store.images[3:5]).key == store.key
    assert find(toy.identity(), [*store.images, toy.image(99)]) is None
    assert find(toy.identity(input_size=224), store.images) is None
    np.testing.assert_array_equal(store.rows_of(store.images[::-1]), np.arange(10)[::-1])


def test_the_key_depends_on_the_set_of_images_and_on_every_field(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(6)]
    writer = toy.catalogue.writer(toy.identity(), [*images, images[0]], toy.layers, rows_per_block=4, format=toy.format)
    assert writer.n_rows == 6
    same = toy.catalogue.writer(toy.identity(), images[::-1], toy.layers, format=toy.format)
    assert (same.key, same.images) == (writer.key, writer.images)
    other = toy.catalogue.writer(toy.identity(tokens="cls"), images, toy.layers, format=toy.format)
    assert other.key != writer.key


def test_versions_are_recorded_and_not_part_of_the_key(toy: SimpleNamespace) -> None:
    request = (toy.identity(), [toy.image(0)], toy.layers)
    writer = toy.catalogue.writer(*request, format=toy.format, provenance={"versions": {"torch": "2.9", "timm": "1.0"}})
    assert toy.catalogue.writer(*request, provenance={"versions": {"torch": "3.0"}}).key == writer.key
    toy.fill(writer)
    store = writer.seal()
    assert store.version_changes({"torch": "2.9", "timm": "1.0", "numpy": "2.4"}) == {}
    assert store.version_changes({"torch": "3.0", "timm": "1.0"}) == {"torch": ("2.9", "3.0")}


def test_the_nearest_store_and_what_differs(toy: SimpleNamespace) -> None:
    assert toy.catalogue.nearest(toy.identity(), [toy.image(0)]) is None
    store = toy.write(5)
    backbone = toy.identity()["backbone"] | {"tag": "b"}
    near, fields = toy.catalogue.nearest(toy.identity(backbone=backbone, tokens="cls"), [*store.images, toy.image(77)])
    assert near.key == store.key
    assert fields == ("backbone.tag", "tokens", "images")


def test_resumes_where_it_was_left(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(10)]
    start = {"format": toy.format, "rows_per_block": 4}
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, **start)
    with writer.claim(1) as block:
        block.put(block.missing, toy.features([images[row] for row in block.missing]))
        block.commit()
    with writer.claim(0) as block:  # left without commit
        block.put([0, 2], toy.features([images[0], images[2]]))
    with pytest.raises(StoreError, match="2 of 3 row blocks missing"):
        writer.seal()
    with pytest.raises(StoreError, match="not finished"):
        FeatureStore.open(writer.path)
    assert toy.catalogue.find(toy.identity(), images) is None
    again = toy.catalogue.writer(toy.identity(), images, toy.layers, **start)
    assert again.pending() == [0, 2]
    assert toy.fill(again) == 6
    np.testing.assert_array_equal(streamed(DesignMatrix.of([again.seal()], images)), matrix(toy, images))
    assert again.seal().key == writer.key  # any number of times
    assert not list(writer.path.rglob("*.partial"))


def test_a_block_is_claimed_once(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(8)]
    one, two = (
        toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4) for _ in "ab"
    )
    mine = one.claim(0)
    assert two.claim(0) is None
    assert one.claim(0) is None
    mine.close()
    with two.claim(0) as block:
        block.put(block.missing, toy.features(images[:4]))
        block.commit()
    assert one.claim(0) is None


def test_committed_between_the_look_and_the_lock(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [toy.image(i) for i in range(4)]
    slow, fast = (toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format) for _ in "ab")
    take = Lock.take

    def delayed(*arguments: object, **options: object) -> Lock | None:
        monkeypatch.setattr(Lock, "take", take)
        toy.fill(fast)  # while `slow` has seen no record, and has no lock yet
        return take(*arguments, **options)

    monkeypatch.setattr(Lock, "take", delayed)
    assert slow.claim(0) is None


def test_who_loses_the_race_to_create_uses_the_winners(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(4)]
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format)
    toy.fill(writer)
    create_store(toy.catalogue.root, writer.path, replace(writer.spec, images=tuple(images[::-1])))
    assert Spec.read(writer.path).images == tuple(images)
    assert writer.pending() == []
    assert not list(toy.catalogue.root.glob("tmp.*"))


def test_non_finite_features_are_refused_by_name(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(4)]
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4)
    bad = toy.features(images)
    bad["head"][2, 1] = np.nan
    with pytest.raises(NonFinite, match="'head': NaN or infinity for row 2") as caught, writer.claim(0) as block:
        block.put(range(4), bad)
    assert (caught.value.layer, caught.value.rows, caught.value.images) == ("head", (2,), (images[2],))
    assert writer.pending() == [0]


def test_incomplete_or_misshapen_blocks_are_refused(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(4)]
    writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4)
    some = toy.features(images)
    with writer.claim(0) as block:
        with pytest.raises(DataError, match="aren't of block"):
            block.put([4], toy.features(images[:1]))
        with pytest.raises(DataError, match="layers don't agree"):
            block.put(range(4), {name: some[name] for name in ("stem", "head")})
        with pytest.raises(DataError, match="shape"):
            block.put(range(3), some)
        block.put([1, 0], toy.features([images[1], images[0]]))
        with pytest.raises(StoreError, match="lacks 2 rows, the first is 2"):
            block.commit()


def test_many_layers_with_long_names(toy: SimpleNamespace) -> None:
    layers = LayerIndex(tuple(f"backbone.stages.{i}.blocks/åø {'x' * 100}" for i in range(700)), (1,) * 700)
    store = toy.write(3, layers=layers, taps=list(layers.names))
    np.testing.assert_array_equal(
        DesignMatrix.of([store], store.images).columns([699])[0],
        toy.features(store.images, layers)[layers.names[-1]][:, 0],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "no images"),
        ({"images": ["not a hash"]}, "sha256"),
        ({"identity": {"dtype": "bfloat16"}}, "dtype 'bfloat16'"),
        ({"identity": {"dtype": "float32", "x": object()}}, "plain JSON"),
        ({"format": "parquet"}, "no store format 'parquet'"),
        ({"layers": LayerIndex(("x" * 300,), (1,))}, "too long"),
    ],
)
def test_senseless_requests(toy: SimpleNamespace, change: dict, message: str) -> None:
    request = {"identity": toy.identity(), "images": [toy.image(0)], "layers": toy.layers} | change
    with pytest.raises(BadRequest, match=message):
        toy.catalogue.writer(**request)
    assert not toy.catalogue.root.exists()
