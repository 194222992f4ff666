"""What a method gets wrong: its confusion matrix, and the images of its most confident mistakes."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from head2toe.probe.report import confusion_matrix
from head2toe.probe.results.predictions import Predictions

Thumbnail = Callable[[str], bytes | None]
"""Takes an image's name and returns the bytes of a small JPEG, or None if the image can't be had."""
MISTAKES = 12
CONFUSIONS = 10


def judged(predicted: Predictions) -> np.ndarray:
    """Return the rows that count, (m,) int64: the test's or else all, each predicted by a head that had not seen it."""
    return np.flatnonzero(predicted.test if predicted.test.any() else ~predicted.test)


def data_url(jpeg: bytes | None) -> str | None:
    """Return a JPEG as a URL that holds it whole; None for none."""
    return None if jpeg is None else f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def confusion(classes: Sequence[str], predicted: Predictions, method: str) -> dict[str, Any]:
    """Count which classes are taken for which.

    Returns
    -------
    dict
        The chart (`svg`), the pairs that are confused most often (`top`: classes `true` and `predicted`, `count` images
        `of` those of the true class), and whether the chart has numbers in its cells (`numbers`) and names at its sides
        (`names`).
    """
    rows = judged(predicted)
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (predicted.labels[rows], predicted.predicted[rows]), 1)
    of_class = counts.sum(axis=1)
    off_diagonal = [(int(counts[i, j]), i, j) for i, j in np.argwhere(counts * ~np.eye(len(classes), dtype=bool))]
    top = [
        {"true": classes[i], "predicted": classes[j], "count": n, "of": int(of_class[i])}
        for n, i, j in sorted(off_diagonal, key=lambda cell: (-cell[0], cell[1], cell[2]))[:CONFUSIONS]
    ]
    pairs = "; ".join(f"{pair['count']} of {pair['true']} taken for {pair['predicted']}" for pair in top)
    title = f"Confusion matrix of {method}"
    description = f"{len(rows)} images. Most often: {pairs or 'nothing was confused'}."
    return {
        "svg": confusion_matrix.draw("confusion", title, counts, classes, description),
        "top": top,
        "numbers": len(classes) <= confusion_matrix.CELL_TEXT,
        "names": len(classes) <= confusion_matrix.NAMED_CLASSES,
    }


def most_confident(classes: Sequence[str], predicted: Predictions, thumbnail: Thumbnail) -> dict[str, Any]:
    """Find the wrong predictions that were made with the highest probability, and their images.

    Returns
    -------
    dict
        The mistakes to be shown (`shown`: the image's `id`, the classes `true` and `predicted`, their probabilities
        `for_true` and `confidence`, and `src`, a data URL or None), and the numbers of images that were judged (`of`),
        that are wrong (`wrong`), and of those shown that can't be had (`gone`).
    """
    rows = judged(predicted)
    wrong = rows[predicted.labels[rows] != predicted.predicted[rows]]
    confidence = predicted.probabilities.max(axis=1)
    shown = []
    for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]:
        image = thumbnail(predicted.ids[row])
        label = predicted.labels[row]
        shown.append(
            {
                "id": predicted.ids[row],
                "true": classes[label],
                "predicted": classes[predicted.predicted[row]],
                "confidence": float(confidence[row]),
                "for_true": float(predicted.probabilities[row, label]),
                "src": data_url(image),
            }
        )
    return {"shown": shown, "wrong": len(wrong), "of": len(rows), "gone": sum(m["src"] is None for m in shown)}
