"""The image classifier in scikit-learn's style: images and labels in memory as a task, and a model's predictions.

How a head is trained is the business of `pipeline.py`, which derives `Head2Toe` from the class here. It imports this
file when `Head2Toe` is asked for, and not before: the command line should not wait for scikit-learn.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.images.sources import ImageArray, ImageFile, ImageSource, with_limit
from head2toe.extract.options import MAX_PIXELS
from head2toe.store.common.cores import named_devices
from head2toe.store.common.errors import BadRequest
from sklearn.base import BaseEstimator, ClassifierMixin

if TYPE_CHECKING:
    from head2toe.extract.deploy.deployed import Deployed
    from head2toe.extract.deploy.predict import Prediction
    from head2toe.extract.tasks.task import Task


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Extraction, selection and a head as an estimator in scikit-learn's style.

    It trains on the training rows of a task (whose test rows its report looks at once), or on images and labels; the
    run's folder is below `output`, as ever. Predictions come from the deployed network, and need no store.

    Parameters
    ----------
    method : str
        A method that leaves a model: `head2toe`, `head2toe-paper`, `l21`, `linear`, `all-l2`, …
    metric : str
        The metric that the folds choose by.
    **options
        See `head2toe.pipeline.Options`; `Head2Toe(backbone="resnet50", input_size=160)`.

    Attributes
    ----------
    classes_ : (classes,) array
        Labels in the order of the probabilities.
    bundle_ : Bundle
        The model.
    result_ : RunResult
        What the folds and the test say of it; not there in one that was loaded or unpickled.
    """

    bundle_: Bundle
    classes_: np.ndarray
    result_: Any

    def __init__(self, method: str = "head2toe", metric: str = "accuracy", **options: Any) -> None:
        self.method = method
        self.metric = metric
        self.options = options

    # scikit-learn reads an estimator's parameters off the constructor's signature, where `**options` names none; these
    # two methods add the options that were given, and those that are set later.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters: method, metric and the options that were given."""
        return {**super().get_params(deep), **self.options}

    def set_params(self, **params: Any) -> Self:
        """Change some of the constructor's parameters; `fit` refuses an option that there is not."""
        named = {name: value for name, value in params.items() if name in self._get_param_names()}
        super().set_params(**named)
        self.options = {**self.options, **{name: value for name, value in params.items() if name not in named}}
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the network, which is built again, and the run, which holds stores open."""
        return {name: value for name, value in super().__getstate__().items() if name not in ("_network", "result_")}

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
        """Train the method on a task, and return its model."""
        raise NotImplementedError

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of every class.

        Parameters
        ----------
        X : str, Path or sequence
            A folder, which stands for all its images, or images as for `fit`.

        Returns
        -------
        (n, classes) float32 array
            Probabilities, in the order of `classes_`.

        Raises
        ------
        Head2ToeError
            The classifier is not fitted, an image can't be read, or the backbone can't be loaded.
        """
        return np.stack([one.probabilities for one in self._predictions(X) if one.probabilities is not None])

    def predict_set(self, X: Any, coverage: float = 0.95) -> list[np.ndarray]:
        """Return for every image the classes that hold the true one with a probability of `coverage`.

        Parameters
        ----------
        X : str, Path or sequence
            As for `predict_proba`.
        coverage : float
            Between 0 and 1. docs/uncertainty.md says what is guaranteed.

        Returns
        -------
        list of arrays
            Some of `classes_`, the most probable first; all of them where the model can't tell.

        Raises
        ------
        Head2ToeError
            As `predict_proba`; or the coverage makes no sense, or the model keeps no scores of held-out rows.
        """
        from head2toe.extract.uncertainty.calibration import least_probability
        from head2toe.extract.uncertainty.prediction_sets import prediction_sets

        self._require_fitted()
        least, _ = least_probability(self.bundle_, coverage)
        probabilities = self.predict_proba(X)
        ranked = np.argsort(-probabilities, axis=1, kind="stable")
        members = np.take_along_axis(prediction_sets(probabilities, least), ranked, axis=1)
        return [self.classes_[order[inside]] for order, inside in zip(ranked, members, strict=True)]

    def predict_ood(self, X: Any) -> np.ndarray:
        """Return how unlike the training images each image is (n,), of `NoveltyScore`; else as of `predict_set`."""
        from head2toe.extract.uncertainty.calibration import calibration_of

        self._require_fitted()
        calibration_of(self.bundle_)
        return np.array([one.ood for one in self._predictions(X, ood=True)], np.float64)  # None is NaN

    def _predictions(self, X: Any, *, ood: bool = False) -> "Iterator[Prediction]":
        from head2toe.extract.deploy.predict import predict

        images = with_limit(sources(X), self.options.get("max_pixels", MAX_PIXELS))
        return predict(self._deployed(), images, batch_size=self.options.get("batch_size") or 32, ood=ood)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of every image (n,). Parameters and errors are those of `predict_proba`."""
        best = self.predict_proba(X).argmax(axis=1)
        classes: np.ndarray = self.classes_[best]
        return classes

    def score(self, X: Any, y: Any = None) -> float:
        """Return the accuracy on images and labels or, without y, on the test rows of a task (its name or folder)."""
        if y is None:
            from head2toe.extract.tasks.registry import load_task

            task = load_task(
                str(X),
                seed=self.options.get("seed", 0),
                path_column=self.options.get("path_column"),
                label_column=self.options.get("label_column"),
            )
            X, y = task.images[task.n_train :], np.asarray(task.classes)[task.test_labels]
        predicted, labels = self.predict(X), np.asarray(y)
        if not (_numbers(predicted) and _numbers(labels)):  # as numbers 1 and 1.0 are one class, as text they aren't
            predicted, labels = predicted.astype(str), labels.astype(str)
        return float(np.mean(predicted == labels))

    def save(self, folder: str | Path) -> Path:
        """Write the model as a bundle, which `head2toe predict`, `info` and `export` read; see `Bundle.save`."""
        self._require_fitted()
        return self.bundle_.save(Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return a fitted classifier from a bundle; its classes are text. See `Bundle.load`."""
        loaded = cls()
        loaded.bundle_ = Bundle.load(Path(folder))
        loaded.classes_ = np.asarray(loaded.bundle_.classes)
        return loaded

    def _require_fitted(self) -> None:
        if not hasattr(self, "bundle_"):
            raise BadRequest(f"this {type(self).__name__} is not fitted: call fit, or load a model")

    def _deployed(self) -> "Deployed":
        from head2toe.extract.deploy.deployed import load

        self._require_fitted()
        if "_network" not in self.__dict__:
            weights = self.options.get("weights")
            from_file = self.bundle_.backbone["weights"].startswith("file:")
            device = named_devices(self.options.get("device", "auto"))[0]
            self._network: Deployed = load(self.bundle_, device=device, weights=weights if from_file else None)
        return self._network


def _numbers(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf"


def sources(X: Any) -> list[ImageSource]:
    """Return images as the rest of the package knows them.

    Parameters
    ----------
    X : str, Path or sequence
        A folder, which stands for all its images; or paths, arrays (h, w) or (h, w, 3) uint8, or image sources.

    Raises
    ------
    BadRequest
        There is none, or one is nothing of the kind.
    """
    if isinstance(X, str | Path):
        from head2toe.extract.deploy.predict import find_images

        return list(find_images([str(X)]))
    images = [_source(number, x) for number, x in enumerate(X)]
    if not images:
        raise BadRequest("no images: X is empty")
    return images


def _source(number: int, x: Any) -> ImageSource:
    if isinstance(x, str | Path):
        return ImageFile(Path(x))
    fits = isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim in (2, 3) and x.shape[2:] in ((), (3,))
    if fits and x.size:
        return ImageArray(f"image {number}", x)
    if hasattr(x, "digest") and hasattr(x, "load"):
        source: ImageSource = x
        return source
    kind = f"{x.dtype} array of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
    raise BadRequest(f"image {number} is a {kind}: pass paths, or uint8 arrays (h, w) or (h, w, 3)")


def task_of(X: Sequence[Any], y: Any, seed: int, how: str = "auto") -> tuple["Task", np.ndarray]:
    """Make a task without test rows of images and labels in memory, with folds drawn by class.

    Parameters
    ----------
    X : sequence of length n
        Images; see `sources`.
    y : sequence of length n
        Their labels, of any kind that sorts.
    seed : int
        Draws the folds.
    how : str
        Which folds: see `choose_folds`.

    Returns
    -------
    Task
        Its classes are the labels as text.
    (classes,) array
        The labels' own values, in the same order.

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
    if classes.dtype.kind == "f" and (classes != np.floor(classes)).any():
        shown = next(value for value in classes.tolist() if value != np.floor(value))
        raise BadRequest(f"the labels look continuous ({shown:g}): this is a classifier; give classes, such as ranges")
    labels = labels.astype(np.int64)
    rows = list(zip(images, labels.tolist(), strict=True))
    listing = Listing("images", "images in memory", tuple(map(str, classes)), train=rows, test=[])
    folds, notes = choose_folds(listing, how, seed), fold_notes(listing, how)
    task = Task("images", listing.classes, tuple(images), labels, folds, listing.source, notes=notes)
    return checked(task, tested=False), classes
