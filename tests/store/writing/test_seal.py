"""Sealing gives a layer one dtype in all blocks, and can be killed anywhere."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.common import files
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.writing import seal


def overflowing(toy: SimpleNamespace, beyond: str) -> Callable[[list[str]], dict[str, np.ndarray]]:
    """A backbone whose layer "head" is beyond float16 for one image, and exact in float32."""

    def extract(images: list[str]) -> dict[str, np.ndarray]:
        features = toy.features(images)
        for row, image in enumerate(images):
            if image == beyond:
                features["head"][row] = 1e6
        return features

    return extract


@pytest.mark.parametrize("late", [0, 5, 9])
def test_a_layer_unsafe_in_one_block_is_float32_in_all(toy: SimpleNamespace, late: int) -> None:
    images = [toy.image(i) for i in range(10)]
    extract = overflowing(toy, images[late])
    writer = toy.catalogue.writer(
        toy.identity(dtype="float16"), images, toy.layers, format=toy.format, rows_per_block=4
    )
    toy.fill(writer, extract)
    before = {file: file.stat().st_ino for file in writer.path.rglob("c.*")}
    store = writer.seal()
    assert store.dtypes == ("float16", "float16", "float16", "float32")
    assert list(store.fallbacks) == ["head"]
    assert "1e+06" in store.fallbacks["head"]
    expected = np.concatenate(list(extract(images).values()), axis=1)
    np.testing.assert_array_equal(DesignMatrix.of([store], images).columns(np.arange(27)).T, expected)
    assert not [file for file in store.path.rglob("*") if file.suffix in (".wide", ".partial")]
    rewritten = {file.parent.name for file, inode in before.items() if file.stat().st_ino != inode}
    assert rewritten <= {"head"}  # no other layer is written twice


class Killed(BaseException):
    """What a kill is in these tests."""


def killed_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Let the beginnings and ends of what sealing is made of raise `Killed`, the `step`-th time that one is reached."""
    calls = iter(range(1000))

    def die() -> None:
        if next(calls) == step:
            raise Killed

    def dying(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            die()
            result = original(*arguments, **options)
            die()
            return result

        return call

    for module, name in ((files, "sync_folder"), (seal, "write_block"), (seal, "write_record"), (seal, "_widen")):
        patch.setattr(module, name, dying(getattr(module, name)))


def test_sealing_can_be_killed_anywhere(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every single rename, link and unlink of sealing fail once, as a kill would; then seal again."""
    images = [toy.image(i) for i in range(10)]
    expected = np.concatenate(list(overflowing(toy, images[9])(images).values()), axis=1)
    for step in range(40):
        identity = toy.identity(dtype="float16", tokens=f"step {step}")
        writer = toy.catalogue.writer(identity, images, toy.layers, format=toy.format, rows_per_block=4)
        toy.fill(writer, overflowing(toy, images[9]))
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            try:
                writer.seal()
            except Killed:
                finished = False
            else:
                finished = True
        store = writer.seal()
        np.testing.assert_array_equal(DesignMatrix.of([store], images).columns(np.arange(27)).T, expected)
        assert not [file for file in store.path.rglob("*") if file.suffix == ".wide"]
        if finished:
            break
    assert finished
    assert step > 5
