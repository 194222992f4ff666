"""What an exported file says of itself: classes in order, the input, and what is done to an image before.

It is in the file, and in a `.json` beside it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from head2toe.extract.deploy.deployed import Deployed

INPUT, OUTPUT, NOVELTY = "images", "probabilities", "ood"
"""The names of the graph's input, of its output, and of a further output of ONNX where a model knows of novelty."""

EMBEDDED = "head2toe.json"
"""The extra file of a .pt2 that holds the document."""


def export_document(deployed: Deployed, kind: str) -> dict[str, Any]:
    """Describe the graph from pixels to probabilities as JSON; docs/deploy.md says it field by field."""
    novelty = kind == "onnx" and deployed.novelty is not None
    side = deployed.input_size
    preprocessing = asdict(deployed.preprocessing)
    normalization = {name: list(preprocessing.pop(name)) for name in ("mean", "std")}
    return {
        "format_name": "head2toe export",
        "format_version": 1,
        "classes": list(deployed.classes),
        "input": {"name": INPUT, "shape": ["n", 3, side, side], "dtype": "float32", "range": [0, 1], "colours": "RGB"},
        "output": {"name": OUTPUT, "shape": ["n", len(deployed.classes)], "dtype": "float32"},
        "preprocessing": preprocessing,
        "normalization": normalization | {"in_graph": True},
        "precision": {"features": deployed.precision.name, "graph": "float32"},
        "views": ["plain", "flip"] if deployed.mirrored else ["plain"],
        **({NOVELTY: {"name": NOVELTY, "shape": ["n"], "dtype": "float32", "range": [0, 1]}} if novelty else {}),
        **({} if deployed.held_out is None else {"held_out": [float(p) for p in deployed.held_out]}),
    }


def embedded(document: dict[str, Any]) -> dict[str, str]:
    """Write each field of the document as text: a string as it is, anything else as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in document.items()
    }


def document_file(file: Path) -> Path:
    """Name the `.json` beside an exported file: `model.onnx.json` for `model.onnx`."""
    return file.with_name(f"{file.name}.json")
