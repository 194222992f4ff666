"""Models and results that can't be used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from head2toe.extract.deploy.bundle_document import sealed
from head2toe.tests.bad_inputs.bad_input import (
    BadInput,
    Make,
    change,
    cut,
    flip,
    one,
    overwrite,
    photo,
    remove,
    replace,
    write,
)

RESULT = "results/*/result.json"


def forged(set_: Callable[[dict[str, Any]], object]) -> Make:
    """A model.json with another value in it, and the hash of what it holds now."""

    def make(here: Path) -> None:
        file = here / "model/model.json"
        document = json.loads(file.read_text(encoding="utf-8"))
        del document["sha256"]
        set_(document)
        file.write_text(json.dumps(sealed(document)), encoding="utf-8")

    return make


def unsealed(here: Path) -> None:
    """Take the seal and a method's values out of a result."""
    file = one(here, RESULT)
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({"schema_version": document["schema_version"]}), encoding="utf-8")


MODELS = (
    BadInput(
        "",
        "predict nowhere photos",
        2,
        "no model in nowhere: expected a folder with model.json, as `head2toe export` writes it",
    ),
    BadInput(
        "", "info photos", 2, "no model in photos: expected a folder with model.json, as `head2toe export` writes it"
    ),
    BadInput(
        "",
        "export nowhere -o copy",
        2,
        "no model in nowhere: expected a folder with model.json, as `head2toe export` writes it",
    ),
    BadInput("", "predict model", 2, "Missing argument 'IMAGES...'."),
    BadInput(
        "",
        "predict model gone.png",
        2,
        "no image 'gone.png': expected a file, a folder with images, a glob pattern, or -",
    ),
    BadInput(
        "",
        "predict model 'gone/*.png'",
        2,
        "no image 'gone/*.png': expected a file, a folder with images, a glob pattern, or -",
    ),
    BadInput(
        "a folder without images",
        "predict model empty",
        2,
        (
            "no image 'empty': expected a file, a folder with images, a glob pattern, or -; 1 file of empty "
            "is left out (.txt 1)"
        ),
        write("empty/notes.txt"),
    ),
    BadInput(
        "an empty list of images",
        "predict model -",
        2,
        "no image: the list is empty; expected files, folders with images, or glob patterns",
    ),
    BadInput("", "predict model photos --top-k 0", 2, "Invalid value for '--top-k': 0 is not in the range x>=1."),
    BadInput(
        "",
        "predict model photos -o out.txt",
        2,
        "out.txt: the suffix says no format: use .csv, .parquet, .jsonl, .ndjson or --format",
    ),
    BadInput(
        "",
        "predict model photos --coverage 95",
        2,
        "coverage 95: expected a share between 0 and 1, such as 0.95",
    ),
    BadInput(
        "a model of an earlier version",
        "predict model photos --coverage 0.9",
        2,
        (
            "the model keeps no scores of held-out rows, which prediction sets and ood need: make it again with this "
            "version of head2toe (head2toe run TASK --save-model DIR)"
        ),
        forged(lambda model: model.pop("calibration_sha256")),
    ),
    BadInput(
        "a model whose scores have changed",
        "predict model photos",
        1,
        (
            "model/calibration.safetensors: damaged (not the calibration that model.json was written with): copy or "
            "export the model again"
        ),
        flip("model/calibration.safetensors", -1),
    ),
    BadInput("", "predict model photos --format parquet", 2, "Parquet goes to a file: pass -o FILE.parquet"),
    BadInput(
        "`-o` is a folder",
        "predict model photos -o photos.csv",
        2,
        "Invalid value for '-o' / '--output': File 'photos.csv' is a directory.",
        photo("photos.csv/1.png"),
    ),
    BadInput(
        "a folder of `-o` is a file",
        "predict model photos -o file/out.csv",
        1,
        "file: is a file, and no folder: choose another file with -o FILE",
        write("file"),
    ),
    BadInput(
        "",
        "predict results --method l21 photos",
        2,
        "no model in results: expected a folder with model.json, as `head2toe export` writes it",
    ),
    BadInput(
        "",
        "predict RUN --method l21 photos",
        2,
        (
            "results/photos-test_resnet-… holds no model of the method 'l21' (there: linear): choose one of these with "
            "--method, or run the task with --methods l21"
        ),
    ),
    BadInput(
        "`export -o` to a folder of something else",
        "export model -o photos",
        2,
        "photos is there already and no model: choose another folder with -o DIR",
    ),
    BadInput(
        "a model to ONNX where a folder is",
        "export model --format onnx -o photos",
        2,
        "photos: is a folder: choose another file with -o FILE",
    ),
    BadInput(
        "`model.json` is no JSON",
        "info model",
        1,
        "model/model.json: damaged (not JSON): copy or export the model again",
        write("model/model.json", "{"),
    ),
    BadInput(
        "`model.json` is a list",
        "info model",
        1,
        "model/model.json: damaged (not a JSON object): copy or export the model again",
        write("model/model.json", "[]"),
    ),
    BadInput(
        "`model.json` of another program",
        "info model",
        1,
        "model/model.json is no head2toe model (format_name 'x')",
        change("model/model.json", format_name="x"),
    ),
    BadInput(
        "`model.json` of a newer version",
        "info model",
        1,
        "model/model.json: version 9, this is version 3: upgrade head2toe",
        change("model/model.json", format_version=9),
    ),
    BadInput(
        "a value of `model.json` has changed",
        "info model",
        1,
        "model/model.json: damaged (not what was written): copy or export the model again",
        replace("model/model.json", '"dog"', '"cow"'),
    ),
    BadInput(
        "a forged model: `unit` is no boolean",
        "info model",
        1,
        ("model/model.json is no head2toe model (unit should be true or false, not 1): copy or export the model again"),
        forged(lambda model: model.update(unit=1)),
    ),
    BadInput(
        "a forged model: images of 10^9 pixels",
        "info model",
        1,
        (
            "model/model.json is no head2toe model (preprocessing input_size should be an integer from 1 to "
            "16384, not 1000000000): copy or export the model again"
        ),
        forged(lambda model: model["preprocessing"].update(input_size=10**9)),
    ),
    BadInput(
        "a forged model: a layer that the network lacks",
        "predict model photos",
        1,
        "the backbone test_resnet has no 'no.such', which the model reads: is timm another version?",
        forged(lambda model: model["layers"][0]["tap"].update(module="no.such")),
    ),
    BadInput(
        "a forged model: an unknown backbone",
        "predict model photos",
        2,
        "unknown backbone 'resnet5O': did you mean resnet50…?",
        forged(lambda model: model["backbone"].update(name="resnet5O", architecture="resnet5O")),
    ),
    BadInput(
        "a forged model: other weights",
        "predict model photos",
        1,
        (
            "the weights of test_resnet from random:0 are not those of the model: sha256 … instead of "
            "000000000000 (random:0)"
        ),
        forged(lambda model: model["backbone"].update(weights_sha256="0" * 64)),
    ),
    BadInput(
        "a model whose head is missing",
        "info model",
        1,
        "model/head.safetensors: missing: copy or export the model again",
        remove("model/head.safetensors"),
    ),
    BadInput(
        "a model whose head has changed",
        "info model",
        1,
        (
            "model/head.safetensors: damaged (not the head that model.json was written with): copy or export "
            "the model again"
        ),
        flip("model/head.safetensors", 500),
    ),
    BadInput(
        "a model whose head is cut short",
        "predict model photos",
        1,
        (
            "model/head.safetensors: damaged (not the head that model.json was written with): copy or export "
            "the model again"
        ),
        cut("model/head.safetensors", 80),
    ),
)

RESULTS = (
    BadInput(
        "no run so far",
        "report",
        2,
        "no runs below results: run a task first (head2toe run TASK), or name a run's folder",
        remove("results"),
    ),
    BadInput(
        "",
        "report photos",
        2,
        "no run in photos: expected a run's folder or its result.json (`head2toe run` writes it)",
    ),
    BadInput(
        "",
        "report nothing",
        2,
        "no run in nothing: expected a run's folder or its result.json (`head2toe run` writes it)",
    ),
    BadInput("`report -o` is a folder", "report -o photos", 2, "Invalid value for '-o': File 'photos' is a directory."),
    BadInput(
        "a folder of `report -o` is a file",
        "report -o file/report.html",
        1,
        "file: is a file, and no folder: choose another file with -o FILE",
        write("file"),
    ),
    BadInput(
        "`result.json` is no JSON",
        "report RUN",
        1,
        "results/photos-test_resnet-…/result.json: damaged (not JSON): remove it and run the task again",
        overwrite(RESULT, "{"),
    ),
    BadInput(
        "`result.json` is a list",
        "report RUN",
        1,
        ("results/photos-test_resnet-…/result.json: damaged (not a JSON object): remove it and run the task again"),
        overwrite(RESULT, "[]"),
    ),
    BadInput(
        "a digit of `result.json` has changed",
        "report RUN",
        1,
        ("results/photos-test_resnet-…/result.json: damaged (not what was written): remove it and run the task again"),
        replace(RESULT, '"value": 1.0', '"value": 0.9'),
    ),
    BadInput(
        "the same, when it would be recalled",
        "run photos … --methods linear",
        1,
        ("results/photos-test_resnet-…/result.json: damaged (not what was written): remove it and run the task again"),
        replace(RESULT, '"value": 1.0', '"value": 0.9'),
    ),
    BadInput(
        "`result.json` of another version",
        "report RUN",
        1,
        (
            "results/photos-test_resnet-…/result.json: not a result of this version (schema 99, not 1): "
            "remove it and run the task again"
        ),
        change(RESULT, schema_version=99),
    ),
    BadInput(
        "`result.json` without methods",
        "report RUN",
        1,
        "results/photos-test_resnet-…/result.json: damaged (no 'task'): remove it and run the task again",
        unsealed,
    ),
    BadInput(
        "a bit of the predictions has changed",
        "report",
        1,
        (
            "results/photos-test_resnet-…/predictions.parquet: damaged (not what was written): remove it and "
            "run the task again"
        ),
        flip("results/*/predictions.*", 40),
    ),
    BadInput(
        "predictions that were cut short",
        "report",
        1,
        (
            "results/photos-test_resnet-…/predictions.parquet: damaged (not what was written): remove it and "
            "run the task again"
        ),
        cut("results/*/predictions.*", 30),
    ),
)
