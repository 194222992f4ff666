"""float16 where it is safe, and only there."""

from types import SimpleNamespace

import numpy as np
import pytest
from head2toe.store.format.float16 import float32_because
from head2toe.store.reading.design_matrix import DesignMatrix


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_what_is_safe(rng: np.random.Generator) -> None:
    ordinary = rng.standard_normal((50, 40)).astype(np.float32)
    assert float32_because(ordinary) is None
    assert float32_because(np.zeros((3, 4), np.float32)) is None
    assert float32_because(np.full((3, 1000), 0.1, np.float32)) is None  # a dead feature loses nothing
    assert float32_because(ordinary[:, :1] * 1000) is None  # one row doesn't vary


def test_what_is_not(rng: np.random.Generator) -> None:
    ordinary = rng.standard_normal((50, 40)).astype(np.float32)
    large = ordinary.copy()
    large[7, 3] = -65520.0
    assert "6.55e+04" in str(float32_because(large))
    drowned = ordinary.copy()
    drowned[31] = 1000 + 0.1 * drowned[31]
    assert "feature 31 varies less" in str(float32_because(drowned))
    assert "almost nothing" in str(float32_because(ordinary * 1e-6))


def test_what_passes_keeps_what_varies(rng: np.random.Generator) -> None:
    """For all scales and shifts: stored as float16, no feature's error exceeds its standard deviation."""
    for _ in range(200):
        values = rng.standard_normal((1, 30)) * 10.0 ** rng.uniform(-9, 6) + 10.0 ** rng.uniform(-9, 6)
        values = values.astype(np.float32)
        if float32_because(values) is None and np.ptp(values) > 0:
            error = np.abs(values.astype(np.float16).astype(np.float32) - values).max()
            assert error <= values.std() * 1.001


def overflowing(toy: SimpleNamespace, when: str) -> object:
    """A backbone whose layer "head" is beyond float16 for one image, and exact in float32."""

    def extract(images: list[str]) -> dict[str, np.ndarray]:
        features = toy.features(images)
        for row, one in enumerate(images):
            if one == when:
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


def test_sealing_can_be_killed_anywhere(toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every single rename, link and unlink of sealing fail once, as a kill would; then seal again."""
    from head2toe.store.common import files
    from head2toe.store.writing import seal

    class Killed(BaseException):
        pass

    images = [toy.image(i) for i in range(10)]
    expected = np.concatenate(list(overflowing(toy, images[9])(images).values()), axis=1)
    for step in range(40):
        calls = iter(range(1000))

        def die(*_: object, step: int = step, calls: object = calls) -> None:
            if next(calls) == step:
                raise Killed

        identity = toy.identity(dtype="float16", tokens=f"step {step}")
        writer = toy.catalogue.writer(identity, images, toy.layers, format=toy.format, rows_per_block=4)
        toy.fill(writer, overflowing(toy, images[9]))
        with monkeypatch.context() as patch:
            for module, name in (
                (files, "sync_folder"),
                (seal, "write_block"),
                (seal, "write_record"),
                (seal, "_widen"),
            ):
                original = getattr(module, name)

                def wrapped(
                    *arguments: object, original: object = original, die: object = die, **options: object
                ) -> object:
                    die()
                    result = original(*arguments, **options)
                    die()
                    return result

                patch.setattr(module, name, wrapped)
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
