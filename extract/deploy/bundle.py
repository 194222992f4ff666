"""A model bundle: one folder that holds all it takes to classify images, but for the backbone's own weights.

    model.json                what is read where, of which network, for which classes; where it comes from and how good
    head.safetensors          kept columns, mean, scale, coefficients, intercept
    calibration.safetensors   what held-out rows say of it: prediction sets and novelty are made by them
    README.md                 the model card

It is written and read without torch, and needs no feature store. `docs/deploy.md` says it field by field.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from head2toe.extract.backbone.windows import MEAN, Statistics, column_blocks, height_matters
from head2toe.extract.deploy.bundle_document import (
    fault_of_document,
    fault_of_parts,
    named,
    read_arrays,
    remedy,
    sealed,
    sha256,
)
from head2toe.extract.deploy.model_card import model_card
from head2toe.extract.uncertainty.calibration import COMPLETE, KINDS, Calibration
from head2toe.store.common.errors import BadRequest, DataError, Head2ToeError
from head2toe.store.common.files import PARTIAL, explained, json_bytes, read_json, require_writable
from head2toe.store.common.outputs import holds, holds_only, whole_folder

FORMAT_NAME = "head2toe model"
FORMAT_VERSION = 3
"""The newest version; a model that an earlier one can tell is written as such, for readers of before."""
MODEL, HEAD, CALIBRATION, CARD = "model.json", "head.safetensors", "calibration.safetensors", "README.md"
ARRAYS = {"columns": "int32"} | dict.fromkeys(("mean", "scale", "coef", "coef_whole", "intercept"), "float32")
ALWAYS = frozenset(ARRAYS) - {"coef_whole"}
ANOTHER_FOLDER = "choose another folder"


@dataclass(frozen=True)
class KeptLayer:
    """A layer that the head reads some features of.

    Attributes
    ----------
    name : str
        The tap's name; it may be there twice, at two target sizes.
    tap : dict
        Where the activation is read: `module`, `side`, `call`, `shape`, `layout`, `prefix` (see
        `head2toe.extract.backbone.taps.Tap`).
    target_size, width : int
        What it is pooled to, and how many features that gives.
    dtype : str
        What the features were kept as when the head was trained: "float16" ones are rounded so again before it reads
        them.
    kept : int
        How many of the features are read.
    """

    name: str
    tap: Mapping[str, Any]
    target_size: int
    width: int
    dtype: str
    kept: int

    @property
    def needs_height(self) -> bool:
        """Whether its maps are not square, so that it matters that the height gives the windows."""
        return height_matters(self.tap["shape"], self.target_size, self.tap["layout"])


@dataclass(frozen=True, eq=False)
class Bundle:
    """A linear classifier of images: what it reads of which network, its numbers, and where it comes from.

    The probabilities are softmax(coefᵀ z + intercept), z = (x - mean) * scale, x the kept features of an image. Of one
    in several views z is the mean over them; coef_wholeᵀ z₀, where it is there, is added, z₀ of the whole image.

    Attributes
    ----------
    backbone : dict
        `name` (with the weights' tag, if one was given), `architecture`, `weights` (origin) and `weights_sha256`.
    preprocessing : dict
        The fields of `head2toe.extract.images.preprocess.Preprocessing`.
    tokens, precision : str
        What was kept of sequences; a name of
        `head2toe.extract.features.precision.Precision`.
    pool : tuple of str
        What was kept of every window: several of "mean", "std" and "max".
    classes : tuple of str
        The classes' names in label order.
    layers : tuple of KeptLayer
        The layers with kept features, in column order. None where the folds chose the null model, which reads no
        feature and predicts the frequencies of the classes.
    unit : bool
        Whether the kept part of every layer is brought to unit norm before it is centred and scaled.
    columns : (k,) int32 array
        Positions of the kept features within their layer, ascending, layer after layer.
    mean, scale : (k,) float32 arrays
        What is subtracted from a feature, and what it is multiplied with then.
    coef : (k, classes) float32 array
        The head's coefficients.
    coef_whole : (k, classes) float32 array, optional
        Those of what reads the whole image alone, where other heads of the mean were trained on several views.
    intercept : (classes,) float32 array
        The head's intercepts.
    method : str
        What chose columns and head (`head2toe`, `linear`, …).
    views : dict
        The views of every image that the head was trained on beside the whole (`names`), and the seed of what is drawn
        of them (`seed`); empty where there were none. Its metrics are those of the mean over all of them.
    calibration : Calibration, optional
        What its held-out rows say of it; None for one of earlier versions.
    certificate : dict
        What is proved of a model that was trained again without some images (docs/forget.md); of others, empty.
    settings, metrics, task, versions : dict
        The method's settings; its scores; the task's name, source and numbers of images; versions of the packages.

    Raises
    ------
    DataError
        Its parts do not fit together.
    """

    backbone: Mapping[str, str]
    preprocessing: Mapping[str, Any]
    tokens: str
    precision: str
    classes: tuple[str, ...]
    layers: tuple[KeptLayer, ...]
    unit: bool
    columns: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    method: str
    coef_whole: np.ndarray | None = None
    pool: Statistics = MEAN
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    certificate: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if fault := fault_of_parts(self):
            raise DataError(f"not a model: {fault}")

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that `head.safetensors` holds, by name."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        return {name: np.ascontiguousarray(a, ARRAYS[name]) for name, a in arrays.items() if a is not None}

    @property
    def format_version(self) -> int:
        """The first version of the format that can tell this model."""
        if self.coef_whole is not None:
            return 3
        # Version 1 knows the mean alone, and has windows of maps from the width.
        return 2 if self.pool != MEAN or any(layer.needs_height for layer in self.layers) else 1

    @property
    def features_by_layer(self) -> list[np.ndarray]:
        """The kept positions of every layer, in the order of `layers`."""
        if not self.layers:
            return []
        return np.split(self.columns, np.cumsum([layer.kept for layer in self.layers])[:-1])

    def blocks_of(self, layer: KeptLayer) -> list[tuple[str, int]]:
        """Return the statistics of a layer, block by block, each with its number of features."""
        tap: Any = layer.tap
        tokens: Any = self.tokens
        return list(column_blocks(tap["shape"], layer.target_size, tap["layout"], tokens, tap["prefix"], self.pool))

    @property
    def kept_by_statistic(self) -> list[dict[str, int]]:
        """How many kept features of every layer are which statistic, or "value" of what has no window."""
        counts: list[dict[str, int]] = []
        for layer, columns in zip(self.layers, self.features_by_layer, strict=True):
            blocks = self.blocks_of(layer)
            bounds = np.cumsum([width for _, width in blocks])
            owners = np.bincount(np.searchsorted(bounds, columns, side="right"), minlength=len(blocks))
            counts.append({name: n for (name, _), n in zip(blocks, owners.tolist(), strict=True) if n})
        return counts

    def save(self, folder: Path, *, another: str = ANOTHER_FOLDER) -> Path:
        """Write the folder as a whole: it is the earlier model or this one, whenever the process is killed.

        Parameters
        ----------
        folder : Path
            The folder; one that holds a model already gets this one instead.
        another : str
            How to choose another folder, said where this one can't be written.

        Raises
        ------
        BadRequest
            The folder holds something else.
        StoreError
            It can't be written.
        """
        folder = Path(folder)
        require_model_folder(folder, another)
        document, content = self._document(), {HEAD: safetensors.numpy.save(self.arrays)}
        hashes = {"head_sha256": sha256(content[HEAD])}
        if self.calibration is not None:
            content[CALIBRATION] = safetensors.numpy.save(self.calibration.arrays)
            hashes["calibration_sha256"] = sha256(content[CALIBRATION])
        content[CARD] = model_card(document | hashes, len(content[HEAD])).encode()
        content[MODEL] = json_bytes(sealed(document | hashes))
        if holds(folder, content):  # equal runs at once leave each other's model alone
            return folder
        with whole_folder(folder, tuple(content), another) as partial, explained(folder, another):
            for name, bytes_of_it in content.items():
                (partial / name).write_bytes(bytes_of_it)
        return folder

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read and check what `save` wrote.

        Raises
        ------
        BadRequest
            There is no model in the folder.
        DataError, StoreError
            It is damaged, truncated, or of a newer version.
        """
        folder = Path(folder)
        if not (folder / MODEL).is_file():
            raise BadRequest(f"no model in {folder}: expected a folder with {MODEL}, as `head2toe export` writes it")
        document = read_json(folder / MODEL, remedy=remedy(folder))
        if document.get("format_name") != FORMAT_NAME:
            raise DataError(f"{folder / MODEL} is no {FORMAT_NAME} (format_name {document.get('format_name')!r})")
        if (written := document.get("format_version")) not in range(1, FORMAT_VERSION + 1):
            raise DataError(f"{folder / MODEL}: version {written}, this is version {FORMAT_VERSION}: upgrade head2toe")
        if document != sealed({name: value for name, value in document.items() if name != "sha256"}):
            raise DataError(f"{folder / MODEL}: damaged (not what was written): {remedy(folder)}")
        if fault := fault_of_document(document):
            raise DataError(f"{folder / MODEL} is no {FORMAT_NAME} ({fault}): {remedy(folder)}")
        complete, calibration = (ALWAYS, frozenset(ARRAYS)), None
        arrays = read_arrays(folder / HEAD, document["head_sha256"], complete, ARRAYS)
        if digest := document.get("calibration_sha256"):
            calibration = Calibration.of(read_arrays(folder / CALIBRATION, digest, COMPLETE, KINDS))
        with named(folder):
            bundle = cls._from(document | {"calibration": calibration}, arrays)
        if written == 1 and bundle.format_version > 1:
            raise DataError(
                f"{folder / MODEL}: maps that are not square were pooled in another way then: train the model again"
            )
        return bundle

    def _document(self) -> dict[str, Any]:
        """Return the content of `model.json`, but for its hashes."""
        files = (*ARRAYS, "calibration")
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in files}
        if self.pool == MEAN:
            del plain["pool"]  # version 1 has no such field
        if not self.certificate:
            del plain["certificate"]
        layers = [asdict(layer) for layer in self.layers]
        return {"format_name": FORMAT_NAME, "format_version": self.format_version, **plain, "layers": layers}

    @classmethod
    def _from(cls, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Bundle":
        """Return the bundle of which `model.json` holds the document, and `head.safetensors` the arrays."""
        # Of these models of earlier versions say nothing.
        written = {"pool": MEAN, "views": {}, "certificate": {}, **document}
        values: dict[str, Any] = {name: written[name] for name in cls.__dataclass_fields__ if name not in ARRAYS}
        values["pool"] = tuple(written["pool"])
        values["layers"] = tuple(KeptLayer(**layer) for layer in document["layers"])
        values["classes"] = tuple(document["classes"])
        return cls(**values, **arrays)  # type: ignore[arg-type]


def all_whole(folder: Path) -> bool:
    """Whether every model of a run can be read, of the folder that holds them.

    What is being written is none yet, and what a file manager leaves there, such as `.DS_Store`, none at all.
    """
    models = folder.iterdir() if folder.is_dir() else ()
    try:
        for model in models:
            if model.suffix != PARTIAL and not model.name.startswith("."):
                Bundle.load(model)
    except Head2ToeError:
        return False
    return True


def require_model_folder(folder: Path, another: str = ANOTHER_FOLDER) -> None:
    """Check that a folder can hold a model: it is missing, empty, a model's, or what an interrupted save left.

    Raises
    ------
    BadRequest
        It holds something else.
    StoreError
        It can't be read, or can't be made.
    """
    require_writable(folder, another)
    with explained(folder, another):
        if not folder.exists():
            return
        if not folder.is_dir() or not (
            (folder / MODEL).is_file() or holds_only(folder, (HEAD, CALIBRATION, CARD, MODEL))
        ):
            raise BadRequest(f"{folder} is there already and no model: {another}")
