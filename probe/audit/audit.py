"""The audit of a run: everything that held-out predictions, features and pixels say of a task's images and labels."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from head2toe.probe.audit.classes import alike_classes, ambiguous_images, outliers
from head2toe.probe.audit.duplicates import duplicate_findings, duplicate_pairs, equal_pairs
from head2toe.probe.audit.findings import Finding, counts, in_order
from head2toe.probe.audit.influence import influence_of
from head2toe.probe.audit.label_errors import LabelQuality, label_quality, usual_probabilities
from head2toe.probe.audit.near_copies import near_copies
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import last_layer
from head2toe.probe.metrics.classification import normalized
from head2toe.store.console.text import class_cell, path_cell

COLUMNS = ("kind", "image", "split", "label", "suggestion", "score", "influence", "advice", "action", "with")
MOST_SOLVED = 1000
FEWEST_LEFT_OUT, MOST_LEFT_OUT = 10, 100
"""Of how many suspected labels, the first, the influence is computed: so many that they make `MOST_SOLVED` with the
classes, for each is a solve of its own, but no fewer and no more than these."""

MOST_NAMED = 3
"""Other images that the table names of a finding."""

GreyVersions = Callable[[], np.ndarray | None]
"""Returns small grey versions (n, s, s) of all rows' images; None where they can't be read any more."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows that a head which had not seen them predicted, and what that says of their labels."""

    split: str
    rows: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    quality: LabelQuality


@dataclass(frozen=True, eq=False)
class Audit:
    """An audit.

    Attributes
    ----------
    task : str
    method : str
        Whose predictions judge.
    names : sequence of str
        The names of all n images, training rows first.
    classes : sequence of str
    data : ProbeData
        Features and labels.
    outcome : Outcome
        What the method left.
    grey : callable
        See `GreyVersions`.
    notes : list of str
        What could not be looked at, and why; complete once the findings are made.
    digests : sequence of str, optional
        The content hash of every image.
    """

    task: str
    method: str
    names: Sequence[str]
    classes: Sequence[str]
    data: ProbeData
    outcome: Outcome
    grey: GreyVersions
    notes: list[str]
    digests: Sequence[str] = ()

    @cached_property
    def judged(self) -> tuple[Judged, ...]:
        """The training rows that a fold held out and, where there are any, the test rows."""
        n, labels, logp = self.data.n_train, self.data.labels, self.outcome.fold_log_probabilities
        held = np.flatnonzero((self.data.folds >= 0) & ~np.isnan(logp).any(axis=1))
        train = np.exp(normalized(logp[held]))
        usual = usual_probabilities(train, labels[held])
        parts = [Judged("train", held, train, labels[held], label_quality(train, labels[held], usual))]
        if len(self.data.test_labels):
            test, given = np.exp(normalized(self.outcome.test_log_probabilities)), self.data.test_labels
            rows = np.arange(n, len(labels))
            parts.append(Judged("test", rows, test, given, label_quality(test, given, usual)))
        return tuple(parts)

    @cached_property
    def findings(self) -> list[Finding]:
        """All findings, in order."""
        size, columns = last_layer(self.data)
        features = self.data.designs[size].columns(columns).T
        given = [self.classes[label] for label in self.data.labels]
        n = self.data.n_train
        findings = [one for part in self.judged for one in self._of_labels(part)]
        pairs, thumbnails = equal_pairs(self.digests), self.grey()
        if thumbnails is None:
            self.notes.append("the images can't be read any more: near-duplicates were not looked for")
        else:
            pairs = [*pairs, *(pair for pair in duplicate_pairs(features, thumbnails) if not self._equal(*pair[:2]))]
            pairs += near_copies(features, thumbnails, {(i, j) for i, j, _ in pairs})
        findings += duplicate_findings(pairs, self.names, given, n)
        train = self.judged[0]
        findings += alike_classes(train.probabilities, train.labels, self.classes)
        for part in self.judged:
            names = [self.names[row] for row in part.rows]
            findings += ambiguous_images(part.probabilities, part.labels, names, self.classes, part.split)
        return in_order(findings + outliers(features, self.names, given, n))

    def _equal(self, i: int, j: int) -> bool:
        """Whether two rows are of the same bytes."""
        return bool(self.digests) and self.digests[i] == self.digests[j]

    def document(self) -> dict[str, Any]:
        """Return the audit as JSON: how many findings of every kind, the findings, and all labels as they rank."""
        findings = [finding.document() for finding in self.findings]
        return {
            "task": self.task,
            "method": self.method,
            "rows": {part.split: len(part.rows) for part in self.judged},
            "counts": dict(counts(self.findings)),
            "notes": self.notes,
            "findings": findings,
            "labels": list(self._ranked_labels()),
        }

    def as_csv(self, *, safe: bool = False) -> str:
        """Return findings as comma-separated values, an image a row, and after them every other label as it ranks.

        Where it has to be safe, a class whose name a spreadsheet would run has an apostrophe in front. It becomes a
        file of decisions: `--apply` reads the columns `image`, `action`, which is empty as yet, and, for `relabel`,
        `suggestion`.
        """
        text, named = io.StringIO(), partial(class_cell, safe=safe)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in self.findings:
            influence = "" if one.influence is None else f"{one.influence:.3f}"
            for image, label in zip(one.images or ("",), one.labels if one.images else ("",), strict=True):
                others = [path_cell(name) for name in one.images if name != image]
                others = others if one.images else [named(label) for label in one.labels]
                advice = "keep" if one.action == "remove" and image in one.kept else one.action
                classes = (named(label), named(one.suggestion or ""))
                row = (one.kind, path_cell(image), one.split, *classes, one.score, influence)
                more = [f"and {len(others) - MOST_NAMED} more"] if len(others) > MOST_NAMED else []
                writer.writerow((*row, advice, "", "; ".join(others[:MOST_NAMED] + more)))
        shown = {one.images[0] for one in self.findings if one.kind == "label"}
        for entry in self._ranked_labels():
            if entry["image"] not in shown:
                ranked = (entry["split"], named(entry["label"]), named(entry["suggestion"]), entry["score"])
                writer.writerow(("", path_cell(entry["image"]), *ranked, "", "", "", ""))
        return text.getvalue()

    def _of_labels(self, part: Judged) -> Iterable[Finding]:
        """Findings about labels, with the influence of the first of the training rows."""
        quality = part.quality
        suspected = [i for i in quality.ranking if quality.suspected[i]]
        influence: dict[int, float] = {}
        if part.split == "train":
            most = min(max(MOST_SOLVED // len(self.classes), FEWEST_LEFT_OUT), MOST_LEFT_OUT)
            first = part.rows[suspected[:most]]
            found, note = influence_of(self.outcome, self.data, first)
            influence = dict(zip(first.tolist(), found, strict=False))
            self.notes.extend([note] if note else [])
        for i in suspected:
            row, suggestion = int(part.rows[i]), self.classes[quality.suggestion[i]]
            labels, score = (self.classes[part.labels[i]],), round(float(quality.score[i]), 4)
            finding = Finding("label", (self.names[row],), part.split, labels, suggestion, score, "relabel")
            yield replace(finding, influence=influence.get(row))

    def _ranked_labels(self) -> Iterable[dict[str, Any]]:
        """Every label, the most suspicious of a split first."""
        for part in self.judged:
            quality = part.quality
            for i in quality.ranking:
                yield {
                    "image": self.names[part.rows[i]],
                    "split": part.split,
                    "label": self.classes[part.labels[i]],
                    "suggestion": self.classes[quality.suggestion[i]],
                    "probability": round(float(quality.given[i]), 4),
                    "score": round(float(quality.score[i]), 4),
                    "suspected": bool(quality.suspected[i]),
                }
