"""What a model's files may hold: they can come from anybody, and a hash proves nothing but that a file is whole."""

import hashlib
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from head2toe.extract.options import MOST_VIEWS, SEEDS, single_views
from head2toe.store.common.errors import BadRequest, DataError
from head2toe.store.common.files import explained
from head2toe.store.common.fingerprint import canonical

Check = Callable[[Any], str]
"""Says of a value what it should be and isn't; empty if it is."""

_REMEDY, _OF_A_RUN = "copy or export the model again", "run the task again, which writes it anew"
_LARGEST_LOGIT = 1e20
"""Far beyond what trained heads give, and far below where float32 ends."""
MOST_PIXELS_A_SIDE = 16_384
"""The largest input that a backbone is built for."""


def remedy(file: Path) -> str:
    """Say what to do about a model by its folder or a file of it: that of a run can't be exported from the run."""
    return _OF_A_RUN if any((folder / "result.json").is_file() for folder in file.parents[:3]) else _REMEDY


def fault_of_document(document: Mapping[str, Any]) -> str:
    """Name the first field of `model.json` that is missing or of another kind than `Bundle.save` writes.

    Parameters
    ----------
    document : mapping
        The content of model.json.

    Returns
    -------
    str
        The field, what it should be and what it is, in one line; empty if there is no fault.
    """
    # Of these earlier models say nothing.
    return _DOCUMENT({"pool": ["mean"], "views": {}, "calibration_sha256": None, "certificate": {}, **document})


def read_arrays(
    file: Path, digest: str, complete: Collection[frozenset[str]], dtypes: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Read a file of this sha256 that holds one of these sets of arrays, of these dtypes; DataError for any other."""
    if not file.is_file():
        raise DataError(f"{file}: missing: {remedy(file)}")
    with explained(file):
        content = file.read_bytes()
    if sha256(content) != digest:
        raise DataError(f"{file}: damaged (not the {file.stem} that model.json was written with): {remedy(file)}")
    try:
        arrays = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise DataError(f"{file}: not a safetensors file ({error}): {remedy(file)}") from error
    if frozenset(arrays) not in complete:
        expected = " or ".join(", ".join(sorted(names)) for names in complete)
        raise DataError(f"{file}: holds {', '.join(sorted(arrays))} instead of {expected}")
    for name, array in arrays.items():
        if array.dtype != dtypes[name]:
            raise DataError(f"{file}: {name} is {array.dtype} instead of {dtypes[name]}: {remedy(file)}")
    return arrays


@contextmanager
def named(folder: Path) -> Iterator[None]:
    """Name the folder in the error about a model whose parts don't fit together, and what to do."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{folder}: {error}: {remedy(folder)}") from error


def fault_of_parts(bundle: Any) -> str | None:
    """Say what of a `Bundle` doesn't fit together, if anything."""
    k, n_classes = sum(layer.kept for layer in bundle.layers), len(bundle.classes)
    shapes = {"columns": (k,), "mean": (k,), "scale": (k,), "coef": (k, n_classes), "intercept": (n_classes,)}
    whole = bundle.coef_whole
    if whole is not None and not bundle.views:
        return "coef_whole is there, and no views are"
    for name, shape in (shapes if whole is None else shapes | {"coef_whole": (k, n_classes)}).items():
        array = getattr(bundle, name)
        if array.shape != shape:
            return f"{name} has the shape {array.shape} instead of {shape}"
        if not np.isfinite(array).all():
            return f"{name} holds NaN or infinity"
    for layer, columns in zip(bundle.layers, bundle.features_by_layer, strict=True):
        if layer.kept < 1 or columns[0] < 0 or columns[-1] >= layer.width or (np.diff(columns) < 1).any():
            return f"the columns of layer {layer.name} are not ascending positions below {layer.width}"
        if columns[-1] >= (n := sum(width for _, width in bundle.blocks_of(layer))):
            return f"the columns of layer {layer.name} go beyond the {n} features that its tap gives"
    size = np.abs(bundle.coef.astype(float)) + (0 if whole is None else np.abs(whole.astype(float)))
    if fault := _fault_of_head(bundle.mean, bundle.scale, size, bundle.intercept):
        return fault
    return None if bundle.calibration is None else bundle.calibration.fault(k)


def _fault_of_head(mean: np.ndarray, scale: np.ndarray, size: np.ndarray, intercept: np.ndarray) -> str:
    """Say what no training leaves in a head's numbers: a negative scale, or weights of which only overflow can come.

    `size` (k, classes) float64 holds the absolute values of all coefficients.
    """
    if (scale < 0).any():
        return "scale holds negative numbers"
    with np.errstate(over="ignore"):
        inputs = np.maximum(np.abs(mean.astype(float) * scale), 1.0)  # of a feature that is 0, or 1 off its mean
        logits = size.T @ inputs + np.abs(intercept)
    largest = float(logits.max(initial=0.0))
    return "" if largest <= _LARGEST_LOGIT else f"its weights give scores of {largest:.0e}, which overflow"


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add the hash of its canonical JSON to a document."""
    return {**document, "sha256": sha256(canonical(document).encode())}


def sha256(content: bytes) -> str:
    """Hash the content of a file, in hex."""
    return hashlib.sha256(content).hexdigest()


def _is(expected: str, holds: Callable[[Any], bool]) -> Check:
    def check(value: Any) -> str:
        return "" if holds(value) else f"should be {expected}, not {_shown(value)}"

    return check


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _integer(least: int, most: int = 2**31 - 1) -> Check:
    return _is(
        f"an integer from {least} to {most}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
    )


def _one_of(*choices: str) -> Check:
    return _is(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices)


def _list_of(check: Check, least: int = 0, most: int = 2**31 - 1) -> Check:
    def check_all(value: Any) -> str:
        if not isinstance(value, list) or not least <= len(value) <= most:
            return f"should be a list of {least} to {most} entries, not {_shown(value)}"
        faults = (f"[{i}] {fault}" for i, entry in enumerate(value) if (fault := check(entry)))
        return next(faults, "")

    return check_all


def _record(**fields: Check) -> Check:
    def check_all(value: Any) -> str:
        if not isinstance(value, Mapping):
            return f"should be an object, not {_shown(value)}"
        for name, check in fields.items():
            if name not in value:
                return f"{name} is missing"
            if fault := check(value[name]):
                return f"{name} {fault}" if not fault.startswith("[") else f"{name}{fault}"
        return ""

    return check_all


def _only(record: Check, *names: str) -> Check:
    """A record that has no other fields."""

    def check(value: Any) -> str:
        if fault := record(value):
            return fault
        others = sorted(set(value) - set(names))
        return f"{others[0]!r} is no field of it" if others else ""

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


_TEXT = _is("text", lambda value: isinstance(value, str))
_FLAG = _is("true or false", lambda value: isinstance(value, bool))
_NUMBER = _is("a finite number", _is_number)
_POSITIVE = _is("a number above 0", lambda value: _is_number(value) and value > 0)
_OBJECT = _is("an object", lambda value: isinstance(value, Mapping))
_SHA256 = _is("a sha256 in hex", lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value)))
_PRECISION = _is(
    "float32, or amp or tf32 and a device",
    lambda value: (
        isinstance(value, str)
        and bool(re.fullmatch(r"float32|tf32, \w+|amp, \w+(, (float16|bfloat16))?(, tf32)?", value))
    ),
)
_TEXTS = _is(
    "an object of texts",
    lambda value: isinstance(value, Mapping) and all(isinstance(entry, str) for entry in value.values()),
)


def _classes(value: Any) -> str:
    fault = _list_of(_TEXT, least=1)(value)
    return fault or ("" if len(set(value)) == len(value) else "should be distinct names")


_TAP = {
    "module": _TEXT,
    "side": _one_of("in", "out"),
    "call": _integer(0),
    "shape": _list_of(_integer(1), least=1, most=8),
    "layout": _one_of("NCHW", "NHWC", "NLC", "NC"),
    "prefix": _integer(0),
}
_AXES = {"NCHW": 3, "NHWC": 3, "NLC": 2, "NC": 1}


def _tap(value: Any) -> str:
    if fault := _only(_record(**_TAP), *_TAP)(value):
        return fault
    axes, layout = len(value["shape"]), value["layout"]
    return "" if axes == _AXES[layout] else f"shape should have {_AXES[layout]} axes for {layout}, not {axes}"


_LAYER = {
    "name": _TEXT,
    "tap": _tap,
    "target_size": _integer(1),
    "width": _integer(1),
    "dtype": _one_of("float16", "float32"),
    "kept": _integer(1),
}
_PREPROCESSING = {
    "input_size": _integer(1, MOST_PIXELS_A_SIDE),
    "interpolation": _one_of("bicubic", "bilinear", "box", "hamming", "lanczos", "nearest"),
    "mean": _list_of(_NUMBER, least=3, most=3),
    "std": _list_of(_POSITIVE, least=3, most=3),
    "crop_mode": _one_of("squash", "center", "border"),
    "crop_pct": _POSITIVE,
}
_NAMES = _list_of(_is("a view", lambda value: isinstance(value, str) and _is_view(value)), least=1, most=MOST_VIEWS)


def _views(value: Any) -> str:
    return "" if value == {} else _only(_record(names=_NAMES, seed=_integer(0, SEEDS - 1)), "names", "seed")(value)


def _is_view(name: str) -> bool:
    try:
        return single_views([name]) == (name,)
    except BadRequest:
        return False


_IMAGE = _record(image=_TEXT, sha256=_SHA256, label=_TEXT)


def _certificate(value: Any) -> str:
    known = _record(run=_TEXT, forgotten=_list_of(_IMAGE, least=1), training=_record(images=_integer(1)))
    return "" if value == {} else known(value)


_DOCUMENT = _record(
    head_sha256=_SHA256,
    calibration_sha256=lambda value: "" if value is None else _SHA256(value),
    backbone=_record(name=_TEXT, architecture=_TEXT, weights=_TEXT, weights_sha256=_SHA256),
    preprocessing=_only(_record(**_PREPROCESSING), *_PREPROCESSING),
    tokens=_one_of("paper", "cls", "cls+paper", "mean", "cls+mean"),
    pool=_list_of(_one_of("mean", "std", "max"), least=1, most=3),
    precision=_PRECISION,
    classes=_classes,
    layers=_list_of(_only(_record(**_LAYER), *_LAYER)),
    unit=_FLAG,
    method=_TEXT,
    settings=_OBJECT,
    metrics=_OBJECT,
    task=_OBJECT,
    versions=_TEXTS,
    views=_views,
    certificate=_certificate,
)
