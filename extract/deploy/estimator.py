"""What is scikit-learn about the `Head2Toe` estimator: images and labels in memory as a task, a model's predictions.

How a head is trained is the business of `pipeline.py`, whose class fills in `_train`. Torch and scikit-learn are
imported by the methods that need them, so that the command line, which imports that file, answers at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.images.sources import ImageArray, ImageFile, ImageSource
from head2toe.store.common.errors import BadRequest

if TYPE_CHECKING:
    from head2toe.extract.deploy.deployed import Deployed
    from head2toe.extract.tasks.task import Task


class ImageClassifier:
    """A classifier of images. Parameters are `method`, `metric` and whatever `Options` knows."""

    bundle_: Bundle
    classes_: np.ndarray

    def __init__(self, method: str = "head2toe", metric: str = "accuracy", **options: Any) -> None:
        self.method = method
        self.metric = metric
        self.options = options

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """The constructor's parameters, as scikit-learn asks for them."""
        return {"method": self.method, "metric": self.metric, **self.options}

    def set_params(self, **params: Any) -> Self:
        """Change some of the constructor's parameters."""
        self.method, self.metric = params.pop("method", self.method), params.pop("metric", self.metric)
        self.options = {**self.options, **params}
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=False, string=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "bundle_")

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({said})"

    def __getstate__(self) -> dict[str, Any]:
        """Without the network, which is built again, and the run, which holds stores open."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_network", "result_")}

    def fit(self, X: Any, y: Any = None) -> Self:
        """Extract, select and train.

        Parameters
        ----------
        X : str, Path or sequence
            A task's name or folder; or images: paths, or uint8 arrays (h, w) or (h, w, 3).
        y : sequence of length n, optional
            Labels of the images, of any kind that sorts; none with a task, which brings its own.

        Raises
        ------
        Head2ToeError
            One line saying what is wrong with the request, the images or the labels.
        """
        if isinstance(X, str | Path):
            if y is not None:
                raise BadRequest(f"{X} is a task and brings its labels: leave y out, or pass a list of images")
            task: Task | str = str(X)
            names = None
        else:
            task, names = task_of(X, y, self.options.get("seed", 0), str(self.options.get("folds", "auto")))
        self.__dict__.pop("_network", None)
        self.bundle_ = self._train(task)
        self.classes_ = np.asarray(self.bundle_.classes) if names is None else names
        return self

    def _train(self, task: "Task | str") -> Bundle:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes) float32, in the order of `classes_`; a folder X is all its images."""
        from head2toe.extract.deploy.predict import predict

        found = predict(self._deployed(), sources(X), batch_size=self.options.get("batch_size", 32))
        return np.stack([one.probabilities for one in found if one.probabilities is not None])

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of every image (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def score(self, X: Any, y: Any = None) -> float:
        """Accuracy on images and labels, or on the test rows of a task (its name or folder, and no y)."""
        if y is None:
            from head2toe.extract.tasks.registry import load_task

            task = load_task(
                str(X),
                seed=self.options.get("seed", 0),
                path_column=self.options.get("path_column"),
                label_column=self.options.get("label_column"),
            )
            X, y = task.images[task.n_train :], np.asarray(task.classes)[task.test_labels]
        predicted, wanted = self.predict(X), np.asarray(y)
        if not (_numbers(predicted) and _numbers(wanted)):  # as numbers 1 and 1.0 are one class, as text they aren't
            predicted, wanted = predicted.astype(str), wanted.astype(str)
        return float(np.mean(predicted == wanted))

    def save(self, folder: str | Path) -> Path:
        """Write the model as a bundle: what `head2toe predict`, `info` and `export` read."""
        self._fitted()
        return self.bundle_.save(Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """A fitted classifier from a bundle; its classes are text. Errors as of `Bundle.load`."""
        loaded = cls()
        loaded.bundle_ = Bundle.load(Path(folder))
        loaded.classes_ = np.asarray(loaded.bundle_.classes)
        return loaded

    def _fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise BadRequest(f"this {type(self).__name__} is not fitted: call fit, or load a model")

    def _deployed(self) -> "Deployed":
        from head2toe.extract.deploy.deployed import load

        self._fitted()
        if "_network" not in self.__dict__:
            weights = self.options.get("weights")
            from_file = self.bundle_.backbone["weights"].startswith("file:")
            device = self.options.get("device", "auto")
            self._network: Deployed = load(self.bundle_, device=device, weights=weights if from_file else None)
        return self._network


def _numbers(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf"


def sources(X: Any) -> list[ImageSource]:
    """Images as the rest of this package knows them: a folder's, or those of a sequence of paths, arrays or sources.

    Raises
    ------
    BadRequest
        There is none, or one is nothing of the kind.
    """
    if isinstance(X, str | Path):
        from head2toe.extract.deploy.predict import find_images

        return list(find_images([str(X)]))
    found = [_source(number, x) for number, x in enumerate(X)]
    if not found:
        raise BadRequest("no images: X is empty")
    return found


def _source(number: int, x: Any) -> ImageSource:
    if isinstance(x, str | Path):
        return ImageFile(Path(x))
    fits = isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim in (2, 3) and x.shape[2:] in ((), (3,))
    if fits and x.size:
        return ImageArray(f"image {number}", x)
    if hasattr(x, "digest") and hasattr(x, "load"):
        return x
    what = f"{x.dtype} array of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
    raise BadRequest(f"image {number} is a {what}: pass paths, or uint8 arrays (h, w) or (h, w, 3)")


def task_of(X: Sequence[Any], y: Any, seed: int, how: str = "auto") -> tuple["Task", np.ndarray]:
    """A task without test rows of images and labels in memory, and the labels' own values.

    Folds are drawn by class, as of `choose_folds`, whose `how` is.

    Raises
    ------
    BadRequest, DataError
        No labels, or not as many as images; too few images or classes.
    """
    from head2toe.extract.readers.listing import Listing
    from head2toe.extract.readers.splits import choose_folds, fold_notes
    from head2toe.extract.tasks.task import Task, checked

    images = sources(X)
    if y is None or len(y) != len(images):
        raise BadRequest(f"{len(images)} images and {'no' if y is None else len(y)} labels: every image needs one")
    if np.ndim(y) != 1:
        raise BadRequest(f"labels of shape {np.shape(y)}: pass one for each image")
    if missing := [row for row, label in enumerate(y) if label is None or label != label]:
        raise BadRequest(f"image {missing[0]} has no label ({len(missing)} have none): every image needs one")
    try:
        classes, labels = np.unique(np.asarray(y), return_inverse=True)
    except TypeError as error:
        raise BadRequest(f"labels of several kinds can't be sorted ({error}): make them all text or numbers") from error
    labels = labels.astype(np.int64)
    rows = list(zip(images, labels.tolist(), strict=True))
    listing = Listing("images", "images in memory", tuple(map(str, classes)), train=rows, test=[])
    folds, notes = choose_folds(listing, how, seed), fold_notes(listing, how)
    task = Task("images", listing.classes, tuple(images), labels, folds, listing.source, notes=notes)
    return checked(task, tested=False), classes
