"""`Head2Toe` behaves as scikit-learn's classifiers do, on folders, paths and arrays, and its model is a bundle."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.pipeline import Head2Toe
from head2toe.store.common.errors import BadRequest, DataError, Head2ToeError
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted


def listed(folder: Path) -> tuple[list[Path], list[str]]:
    paths = sorted(folder.rglob("*.png"))
    return paths, [path.parent.name for path in paths]


def test_a_folder_is_learned_and_the_model_saved(image_folder: Path, tmp_path: Path, small: dict[str, Any]) -> None:
    model = Head2Toe(method="linear", **small).fit(image_folder)
    paths, labels = listed(image_folder / "test")
    assert model.score(image_folder) == pytest.approx(model.result_.methods[0].test_accuracy)
    assert model.score(paths, labels) == model.score(image_folder)
    probabilities = model.predict_proba(paths)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (model.predict(paths) == model.classes_[probabilities.argmax(axis=1)]).all()

    again = Head2Toe.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(paths), probabilities)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(paths), probabilities)


def test_images_and_labels_in_memory(image_folder: Path, small: dict[str, Any]) -> None:
    paths, names = listed(image_folder / "train")
    numbers = np.unique(names, return_inverse=True)[1] * 10
    by_path = Head2Toe(**small).fit(paths, numbers)
    assert by_path.classes_.tolist() == [0, 10, 20]
    assert set(by_path.predict(paths)) <= {0, 10, 20}
    assert by_path.score(paths, numbers) > 0.8
    assert by_path.score(paths, numbers.astype(float)) == by_path.score(paths, numbers)
    assert by_path.result_.methods[0].test_accuracy is None, "there are no test rows to look at"
    pixels = [np.asarray(Image.open(path)) for path in paths]
    # The same pixels from memory: other sources, the same numbers.
    by_array = Head2Toe(method="linear", **small).fit(pixels, numbers)
    np.testing.assert_allclose(by_array.predict_proba(paths), by_array.predict_proba(pixels), atol=1e-5)


def test_scikit_learn_takes_it_for_a_classifier(image_folder: Path, small: dict[str, Any]) -> None:
    model = Head2Toe(method="linear", **small)
    assert is_classifier(model)
    assert clone(model.set_params(seed=3)).get_params() == {
        "method": "linear",
        "metric": "accuracy",
        "seed": 3,
        **small,
    }
    paths, labels = listed(image_folder / "train")
    scores = cross_val_score(model, np.asarray(paths, dtype=object), labels, cv=2)
    assert len(scores) == 2
    assert np.isfinite(scores).all()


def test_its_parameters_are_those_that_were_given(small: dict[str, Any]) -> None:
    model = Head2Toe(metric="log_loss", **small)
    assert model.get_params() == {"method": "head2toe", "metric": "log_loss", **small}
    assert model.set_params(method="l21", seed=3, input_size=48) is model
    expected = {**small, "method": "l21", "metric": "log_loss", "seed": 3, "input_size": 48}
    assert model.get_params() == expected
    twin = clone(model)
    assert twin.get_params() == expected
    twin.set_params(seed=4)
    assert model.get_params() == expected, "a clone has options of its own"


def test_it_shows_what_differs_from_the_defaults() -> None:
    assert repr(Head2Toe()) == "Head2Toe()"
    assert repr(Head2Toe(metric="log_loss", seed=3)) == "Head2Toe(metric='log_loss', seed=3)"
    assert "input_size" in Head2Toe(input_size=96)._repr_html_()


def test_its_tags_say_that_it_takes_images_of_any_kind_and_needs_no_labels() -> None:
    tags = get_tags(Head2Toe())
    assert tags.estimator_type == "classifier"
    assert (tags.target_tags.required, tags.input_tags.two_d_array, tags.input_tags.string) == (False, False, True)


def test_a_search_through_a_pipeline_sets_its_options(image_folder: Path, small: dict[str, Any]) -> None:
    paths, labels = listed(image_folder / "train")
    pipeline = make_pipeline(FunctionTransformer(), Head2Toe(method="linear", **small))
    search = GridSearchCV(pipeline, {"head2toe__seed": [0, 1]}, cv=2).fit(np.asarray(paths, dtype=object), labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.named_steps["head2toe"]
    assert best.get_params() == {"method": "linear", "metric": "accuracy", **small, **{"seed": best.options["seed"]}}
    assert set(search.predict(paths)) <= set(labels)
    check_is_fitted(best)


def test_another_process_unpickles_it_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(Head2Toe(seed=3)))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')))"
    shown = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert shown.stdout == "Head2Toe(seed=3)\n"


def test_what_makes_no_sense_is_said_in_one_line(image_folder: Path, small: dict[str, Any]) -> None:
    paths, labels = listed(image_folder / "train")
    wrong: list[tuple[type[Head2ToeError], Any]] = [
        (BadRequest, lambda: Head2Toe().predict(paths)),
        (BadRequest, lambda: Head2Toe().fit(image_folder, labels)),
        (BadRequest, lambda: Head2Toe().fit(paths)),
        (BadRequest, lambda: Head2Toe().fit(paths, labels[1:])),
        (BadRequest, lambda: Head2Toe().fit(paths, [None, *labels[1:]])),
        (BadRequest, lambda: Head2Toe().fit(paths, [float("nan")] * len(labels))),
        (BadRequest, lambda: Head2Toe().fit(paths, np.eye(len(labels)))),
        (BadRequest, lambda: Head2Toe().fit(paths, np.array([1, *labels[1:]], dtype=object))),
        (BadRequest, lambda: Head2Toe().fit([np.zeros((0, 8), np.uint8)] * 20, labels[:20])),
        (BadRequest, lambda: Head2Toe().fit([], [])),
        (BadRequest, lambda: Head2Toe().fit([np.zeros((8, 8))] * 20, labels[:20])),
        (DataError, lambda: Head2Toe().fit(paths[:5], labels[:5])),
        (DataError, lambda: Head2Toe().fit(paths[:11], ["a"] * 11)),
        (BadRequest, lambda: Head2Toe(colour="red").fit(paths, labels)),
        (BadRequest, lambda: Head2Toe(method="knn", **small).fit(paths, labels)),
    ]
    for error, act in wrong:
        with pytest.raises(error) as raised:
            act()
        assert "\n" not in str(raised.value)


def test_continuous_labels_are_refused_as_such() -> None:
    images = [np.full((8, 8), i, np.uint8) for i in range(12)]
    with pytest.raises(BadRequest, match=r"labels look continuous \(0\.0909091\)"):
        Head2Toe().fit(images, np.linspace(0, 1, 12))
