"""A model.json of any content with the right hash is read, or refused in one line that names the field."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from head2toe.extract.deploy.bundle import ARRAYS, CALIBRATION, HEAD, MODEL, Bundle, KeptLayer
from head2toe.extract.deploy.bundle_document import sealed, sha256
from head2toe.extract.uncertainty.calibration import KINDS, Calibration
from head2toe.extract.uncertainty.novelty import Novelty
from head2toe.store.common.errors import DataError


def bundle() -> Bundle:
    """One layer, three features, two classes."""
    tap = {"module": "act1", "side": "out", "call": 0, "shape": [8, 4, 4], "layout": "NCHW", "prefix": 0}
    return Bundle(
        backbone={
            "name": "test_resnet",
            "architecture": "test_resnet",
            "weights": "random:0",
            "weights_sha256": "0" * 64,
        },
        preprocessing={
            "input_size": 32,
            "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "crop_mode": "squash",
            "crop_pct": 1.0,
        },
        tokens="paper",
        precision="float32",
        classes=("a", "b"),
        layers=(KeptLayer("act1", tap, 8, 8, "float16", 3),),
        unit=False,
        columns=np.array([0, 2, 5], np.int32),
        mean=np.zeros(3, np.float32),
        scale=np.ones(3, np.float32),
        coef=np.zeros((3, 2), np.float32),
        intercept=np.zeros(2, np.float32),
        method="head2toe",
    )


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change model.json of a bundle, and give it the hash of what it holds now."""
    document = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    del document["sha256"]
    change(document)
    (folder / MODEL).write_text(json.dumps(sealed(document)), encoding="utf-8")


def setting(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set the field at `path`, such as `layers.0.tap.side`."""

    def change(document: dict[str, Any]) -> None:
        *way, name = [int(part) if part.isdigit() else part for part in path.split(".")]
        at: Any = document
        for part in way:
            at = at[part]
        at[name] = value

    return change


WRONG = {
    "backbone": ["x", None, {}, {"name": 3}],
    "backbone.weights": [None, ["hub"]],
    "backbone.weights_sha256": ["abc", 7],
    "preprocessing": [[], {"input_size": 32}],
    "preprocessing.input_size": [0, -1, 10**9, True, "32", 32.5],
    "preprocessing.mean": [[0.5], "000", [0.5, 0.5, None], [0.5, 0.5, 10**400]],
    "preprocessing.std": [[0.5, 0.5, 0.0], [0.5, 0.5, -1]],
    "preprocessing.interpolation": ["/etc/passwd", 3],
    "preprocessing.more": [1],
    "tokens": ["all", None],
    "precision": ["float64", "amp", 16],
    "pool": ["mean", [], ["median"], ["mean", "std", "max", "mean"], None],
    "classes": ["ab", [], [1, 2], ["a", "a"], None],
    "layers": [{}, None, [3]],
    "layers.0.tap": [None, {"module": "x"}],
    "layers.0.tap.side": ["middle", 0],
    "layers.0.tap.call": [-1, "0"],
    "layers.0.tap.shape": [[], [8, 0], ["8"], 8, [8], [8, 4]],
    "layers.0.tap.layout": ["HWC"],
    "layers.0.tap.more": [1],
    "layers.0.target_size": [0, 2**40, "8"],
    "layers.0.width": [-8, None],
    "layers.0.dtype": ["int8", None],
    "layers.0.kept": [0, True, "3", 2.0],
    "layers.0.more": [1],
    "unit": [1, 0, "false", None],
    "method": [3, None],
    "settings": [[], "x"],
    "task": [None, "x"],
    "versions": [{"torch": 2}, []],
    "head_sha256": [None, "x", 3],
}
WRONG_VIEWS: list[Any] = [
    *(None, [], "flip", {"names": ["flip"]}, {"seed": 0}, {"names": [], "seed": 0}, {"names": "flip", "seed": 0}),
    *({"names": ["flop"], "seed": 0}, {"names": ["crop:2"], "seed": 0}, {"names": ["crop#1:0.5-2"], "seed": 0}),
    *({"names": ["flip"], "seed": -1}, {"names": ["flip"], "seed": "0"}, {"names": ["flip"], "seed": 0, "more": 1}),
]


@pytest.mark.parametrize("value", WRONG_VIEWS, ids=str)
def test_views_of_another_kind_are_refused(value: Any, tmp_path: Path) -> None:
    replace(bundle(), views={"names": ["flip", "crop#2"], "seed": 7}).save(tmp_path)
    assert Bundle.load(tmp_path).views == {"names": ["flip", "crop#2"], "seed": 7}
    forge(tmp_path, setting("views", value))
    with pytest.raises(DataError, match="views"):
        Bundle.load(tmp_path)


def test_a_model_of_a_version_without_views_has_none(tmp_path: Path) -> None:
    bundle().save(tmp_path)
    forge(tmp_path, lambda document: document.pop("views"))
    assert Bundle.load(tmp_path).views == {}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in WRONG.items() for value in values])
def test_a_field_of_another_kind_is_refused_by_name(path: str, value: Any, tmp_path: Path) -> None:
    bundle().save(tmp_path)
    forge(tmp_path, setting(path, value))
    with pytest.raises(DataError, match=path.split(".")[0]) as error:
        Bundle.load(tmp_path)
    assert "\n" not in str(error.value)
    assert "copy or export the model again" in str(error.value)


@pytest.mark.parametrize("name", sorted({path.split(".")[0] for path in WRONG} - {"pool"}))
def test_a_field_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    bundle().save(tmp_path)
    forge(tmp_path, lambda document: document.pop(name))
    with pytest.raises(DataError, match=rf"{name} is missing"):
        Bundle.load(tmp_path)


def test_maps_that_are_not_square_need_the_second_version(tmp_path: Path) -> None:
    """In the first the width gave the windows: a model of then would read other numbers now."""
    square = bundle()
    assert square.format_version == 1
    tap = square.layers[0].tap | {"shape": [4, 7, 9]}
    oblong = replace(square, layers=(replace(square.layers[0], tap=tap, target_size=16, width=24),))
    oblong.save(tmp_path)
    assert json.loads((tmp_path / MODEL).read_text(encoding="utf-8"))["format_version"] == 2
    assert Bundle.load(tmp_path).layers == oblong.layers
    forge(tmp_path, setting("format_version", 1))
    with pytest.raises(DataError, match="maps that are not square were pooled in another way then: train the model ag"):
        Bundle.load(tmp_path)


def test_other_statistics_than_the_mean_need_the_second_version(tmp_path: Path) -> None:
    plain = bundle()
    plain.save(tmp_path / "plain")
    document = json.loads((tmp_path / "plain" / MODEL).read_text(encoding="utf-8"))
    assert document["format_version"] == 1
    assert "pool" not in document
    assert Bundle.load(tmp_path / "plain").pool == ("mean",)
    several = replace(plain, pool=("mean", "max"), layers=(replace(plain.layers[0], width=16, kept=3),))
    several = replace(several, columns=np.array([0, 7, 8], np.int32))
    several.save(tmp_path / "several")
    document = json.loads((tmp_path / "several" / MODEL).read_text(encoding="utf-8"))
    assert (document["format_version"], document["pool"]) == (2, ["mean", "max"])
    read = Bundle.load(tmp_path / "several")
    assert read.pool == ("mean", "max")
    assert read.kept_by_statistic == [{"mean": 2, "max": 1}]
    assert "Of every pooling window it knows mean, max." in (tmp_path / "several" / "README.md").read_text()


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    bundle().save(tmp_path)
    forge(tmp_path, lambda _: None)
    read = Bundle.load(tmp_path)
    assert read.classes == ("a", "b")
    assert read.layers[0].tap["layout"] == "NCHW"


CALIBRATED = Calibration(
    np.array([0.2, 0.9], np.float32),
    Novelty(
        positions=np.array([0, 2], np.int32),
        mean=np.zeros(2, np.float32),
        scale=np.ones(2, np.float32),
        axes=np.eye(2, dtype=np.float16),
        rows=np.ones((3, 2), np.float16),
        distances=np.array([0.1, 0.4], np.float32),
        neighbours=2,
    ),
)
FORGED: list[tuple[str, str, Callable[[np.ndarray], np.ndarray], str]] = [
    *((HEAD, name, lambda array: array.astype(np.float64), f"{name} is float64") for name in ARRAYS),
    (HEAD, "coef", lambda array: array.astype(bool), "coef is bool instead of float32"),
    (HEAD, "columns", lambda array: array.astype(np.uint8), "columns is uint8 instead of int32"),
    (HEAD, "columns", lambda array: array - 1, "columns of layer act1 are not ascending"),
    (HEAD, "scale", lambda array: -array, "scale holds negative numbers"),
    *((HEAD, name, lambda array: array + 1e30, "overflow") for name in ("coef", "coef_whole", "mean", "intercept")),
    (HEAD, "scale", lambda array: array + np.float32(3e38), "overflow"),
    (HEAD, "coef", lambda array: array[:, :1], r"coef has the shape \(3, 1\)"),
    (HEAD, "coef_whole", lambda array: array[:, :1], r"coef_whole has the shape \(3, 1\)"),
    *((HEAD, name, lambda array: array * np.nan, f"{name} holds NaN") for name in ("coef", "coef_whole")),
    *((CALIBRATION, name, lambda array: array.astype(np.float64), f"{name} is float64") for name in KINDS),
    (CALIBRATION, "scale", lambda array: -array, "negative scale or distance"),
    (CALIBRATION, "distances", lambda array: -array, "negative scale or distance"),
]


@pytest.mark.parametrize(("file", "name", "change", "message"), FORGED)
def test_numbers_that_no_training_leaves_are_refused_whatever_hash_they_have(
    file: str, name: str, change: Callable[[np.ndarray], np.ndarray], message: str, tmp_path: Path
) -> None:
    """The model reads features far off their mean, so that the scale matters."""
    usual = replace(
        bundle(),
        calibration=CALIBRATED,
        mean=np.full(3, 100, np.float32),
        coef=np.ones((3, 2), np.float32),
        coef_whole=np.ones((3, 2), np.float32),
        views={"names": ["flip"], "seed": 0},
    )
    usual.save(tmp_path)
    assert Bundle.load(tmp_path).calibration is not None
    arrays = safetensors.numpy.load_file(tmp_path / file)
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    safetensors.numpy.save_file(arrays, tmp_path / file)
    digest = sha256((tmp_path / file).read_bytes())
    forge(tmp_path, setting("head_sha256" if file == HEAD else "calibration_sha256", digest))
    with pytest.raises(DataError, match=message) as error:
        Bundle.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    assert "copy or export the model again" in str(error.value)


def test_weights_of_whole_images_make_a_model_of_version_3(tmp_path: Path) -> None:
    """Readers of before refuse it; without them a model is written as ever."""
    whole = np.arange(6, dtype=np.float32).reshape(3, 2)
    mixed = replace(bundle(), coef_whole=whole, views={"names": ["flip"], "seed": 0})
    for model, version in ((mixed, 3), (replace(mixed, coef_whole=None), 1)):
        read = Bundle.load(model.save(tmp_path))
        assert json.loads((tmp_path / MODEL).read_text())["format_version"] == version
        assert ("coef_whole" in safetensors.numpy.load_file(tmp_path / HEAD)) == (version == 3)
        assert (read.coef_whole is None) == (version == 1)
    with pytest.raises(DataError, match="coef_whole is there, and no views are"):
        replace(bundle(), coef_whole=whole)


def test_weights_of_any_scale_that_training_leaves_are_read(tmp_path: Path) -> None:
    """Features as small as 1e-20 have scales of 1e20, and offsets of 1e6 give scores of their size."""
    small = replace(bundle(), scale=np.full(3, 1e20, np.float32), mean=np.full(3, 1e-18, np.float32))
    for model in (small, replace(bundle(), mean=np.full(3, 1e6, np.float32), coef=np.full((3, 2), 1e4, np.float32))):
        assert Bundle.load(model.save(tmp_path)).mean[0] == model.mean[0]


def test_columns_beyond_what_the_tap_gives_are_refused(tmp_path: Path) -> None:
    bundle().save(tmp_path)
    forge(tmp_path, setting("layers.0.tap.shape", [4, 4, 4]))
    with pytest.raises(DataError, match="beyond the 4 features that its tap gives"):
        Bundle.load(tmp_path)
