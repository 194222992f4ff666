"""What the functions `select`, `probe` and `run` return."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from head2toe.probe.extracted import ExtractedFeatures
from head2toe.store.common.fingerprint import SEAL

if TYPE_CHECKING:
    from head2toe.probe.results.summary import MethodResult
    from head2toe.select.stage import Selected

E = TypeVar("E", bound=ExtractedFeatures)
"""The record that stage one left: this room asks no more of it than `ExtractedFeatures`."""


@dataclass(frozen=True, eq=False)
class SelectResult(Generic[E]):
    """What `select` leaves.

    Attributes
    ----------
    extractions : tuple of Extraction
        One for each backbone.
    every : tuple of Selected
        For each normalisation of features, the selections by target size.
    """

    extractions: tuple[E, ...]
    every: tuple["Selected", ...]

    @property
    def selected(self) -> "Selected":
        """The selections of the first normalisation."""
        return self.every[0]

    @property
    def extraction(self) -> E:
        """The first backbone's extraction."""
        return self.extractions[0]

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "task": self.extraction.task.name,
            "store": str(self.extraction.store.path),
            "images_extracted": sum(extraction.images_extracted for extraction in self.extractions),
            "selections": [entry for selected in self.every for entry in selected.document()],
            "recalled": all(selected.recalled for selected in self.every),
            "seconds": sum(selected.seconds for selected in self.every),
        }


@dataclass(frozen=True, eq=False)
class RunResult(Generic[E]):
    """What `probe` and `run` leave.

    Attributes
    ----------
    extractions : tuple of Extraction
        One for each backbone.
    record : dict
        What `result.json` holds (docs/results-format.md).
    file : Path
        Where `result.json` is.
    recalled : bool
        Whether an earlier run's result was there already.
    """

    extractions: tuple[E, ...]
    record: dict[str, Any]
    file: Path
    recalled: bool

    @property
    def methods(self) -> tuple["MethodResult", ...]:
        """The figures of every method."""
        from head2toe.probe.results.summary import MethodResult

        return tuple(map(MethodResult.of, self.record["methods"]))

    @property
    def failures(self) -> dict[str, str]:
        """Name every method that failed, with a line saying why; the record has none of their figures."""
        return dict(self.record.get("failures", {}))

    def document(self) -> dict[str, Any]:
        """Return the record and what happened this time, as JSON; without the record's hash, which is of it alone."""
        record = {name: value for name, value in self.record.items() if name != SEAL}
        return record | {
            "result": str(self.file),
            "recalled": self.recalled,
            "images_extracted": sum(extraction.images_extracted for extraction in self.extractions),
        }
