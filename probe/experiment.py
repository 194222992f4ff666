"""What stage two works on: a task's features, the rows to learn from and those to predict, and the settings.

An experiment selects, probes, and gathers the record of the run. It knows of the extraction no more than
`ExtractedFeatures` says; what needs both rooms, such as the training of whole backbones, stands in pipeline.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic

import numpy as np
from head2toe.probe.choice.finetuned import Trainings, evaluate_trained
from head2toe.probe.choice.halving import notes_on
from head2toe.probe.choice.nested import Split, with_nested
from head2toe.probe.extracted import LabelledTask
from head2toe.probe.heads.linear_model import LinearModel
from head2toe.probe.methods.failures import Failures
from head2toe.probe.methods.outcome import Outcome
from head2toe.probe.methods.probe_data import ProbeData
from head2toe.probe.methods.registry import METHODS, split_notes
from head2toe.probe.metrics.classification import accuracy
from head2toe.probe.options import ProbeOptions
from head2toe.probe.results.record import Run
from head2toe.probe.stage import CODE, evaluate_all
from head2toe.probe.stage_results import E
from head2toe.select.compute.arrays import Arrays
from head2toe.select.options import SelectOptions
from head2toe.select.stage import Selected, TrainingSet, select_features
from head2toe.store.common.fingerprint import code_fingerprint, fingerprint, versions
from head2toe.store.reading.design_matrix import DesignMatrix


@dataclass(frozen=True, eq=False)
class Experiment(Generic[E]):
    """A task's features, the rows to learn from and those to predict, and the settings of stage two.

    Attributes
    ----------
    extractions : tuple of ExtractedFeatures
        One for each backbone; their features stand side by side.
    split : Split
        The whole task, or the part of it that an outer fold leaves.
    select_options : SelectOptions
    probe_options : ProbeOptions
    arrays : Arrays
        Where to compute.
    seed : int
        Of everything that is drawn at random.
    where : str
        Which part of the task this is, for the progress.
    failures : Failures
        The methods that failed, on this part or on another.
    """

    extractions: tuple[E, ...]
    split: Split
    select_options: SelectOptions
    probe_options: ProbeOptions
    arrays: Arrays
    seed: int = 0
    where: str = ""
    failures: Failures = field(default_factory=Failures)

    @classmethod
    def on_all_rows(
        cls,
        extractions: tuple[E, ...],
        select_options: SelectOptions,
        probe_options: ProbeOptions,
        arrays: Arrays,
        seed: int = 0,
    ) -> "Experiment[E]":
        """Work on all rows of the extractions' task, in its own folds."""
        task = extractions[0].task
        split = Split.whole(len(task.images), task.folds)
        return cls(extractions, split, select_options, probe_options, arrays, seed)

    @property
    def task(self) -> LabelledTask:
        """The task, without the images that were skipped."""
        return self.extractions[0].task

    def select(self, recipe: str) -> tuple[Selected, ...]:
        """Rank features for each target size, all backbones side by side, by the rows that are learned from.

        Parameters
        ----------
        recipe : {"exact", "paper"}

        Returns
        -------
        tuple of Selected
            One for each normalisation that was asked for; the paper's recipe knows `unit` alone.
        """
        o, task, rows = self.select_options, self.task, self.split.training
        standardizations = o.standardizations if recipe == "exact" else ("unit",)
        designs = self._designs(rows)
        training = TrainingSet(
            task.name, self._images(rows), task.labels[rows], self.split.folds, n_classes=len(task.classes)
        )
        return tuple(
            select_features(
                training,
                designs,
                {size: [extraction.stores[size].key for extraction in self.extractions] for size in designs},
                o,
                recipe=recipe,
                standardize=standardize,
                seed=self.seed,
                arrays=self.arrays,
                where=f", {standardize}{self.where}" if len(standardizations) > 1 else self.where,
            )
            for standardize in standardizations
        )

    @cached_property
    def selected(self) -> dict[str, tuple[Selected, ...]]:
        """By recipe, the selections that the methods asked for need; where one fails, these methods fail."""
        selected = {}
        for recipe in ("exact", "paper"):
            methods = [method for method in self.probe_options.of_features if recipe in METHODS[method].needs]
            if methods:
                with self.failures.of(*methods):
                    selected[recipe] = self.select(recipe)
        return selected

    @cached_property
    def data(self) -> ProbeData:
        """What the methods are tried on."""
        task, rows = self.task, self.split.rows
        exact = {one.standardize: one.selections for one in self.selected.get("exact", ())}
        usual = self.select_options.standardizations[0]
        return ProbeData(
            designs=self._designs(rows),
            labels=task.labels[rows],
            folds=self.split.folds,
            n_classes=len(task.classes),
            arrays=self.arrays,
            exact=exact.get(usual, {}),
            by_recipe=self.selected["paper"][0].selections if "paper" in self.selected else {},
            standardize=usual,
            seed=self.seed,
            head=self.probe_options.head,
            members=self.probe_options.members,
            further={name: selections for name, selections in exact.items() if name != usual},
            views={view: self._designs(rows, view) for view in self.extractions[0].views},
        )

    def outcomes(self, splits: Sequence[Split] = ()) -> list[Outcome]:
        """Evaluate each method that trains no backbone; what was computed before is recalled.

        A method that fails, on the whole task or on an outer fold, is one of `failures` and has no outcome.

        Parameters
        ----------
        splits : sequence of Split
            Those of `outer_folds`, for nested cross-validation: all work once more for each of them.

        Raises
        ------
        Head2ToeError
            One line saying what is wrong with the run as a whole: see `evaluate_all`.
        """
        data = self.data  # of which the selections may fail already
        outcomes = evaluate_all(
            self._left(self.probe_options.of_features),
            data,
            self._depends_on(),
            metric=self.probe_options.metric,
            rule=self.probe_options.rule,
            folder=self.select_options.output / "outcomes",
            task=self.task.name,
            failures=self.failures,
            fresh=self.select_options.fresh,
            where=self.where,
        )
        outcomes = [self._with_costs(outcome) for outcome in outcomes]
        if not splits:
            return outcomes
        parts = [
            replace(self, split=split, where=f", outer fold {k} of {len(splits)}").outcomes()
            for k, split in enumerate(splits, start=1)
        ]
        left = self._left([outcome.name for outcome in outcomes])
        whole, *parts = [[one for one in part if one.name in left] for part in (outcomes, *parts)]
        return with_nested(whole, splits, parts)

    def _left(self, methods: Sequence[str]) -> list[str]:
        """Those of some methods that have not failed."""
        return [method for method in methods if method not in self.failures.errors]

    def outcome_of(self, method: str, trainings: Trainings) -> Outcome:
        """Evaluate a method that trains the backbone, given its trainings."""
        o = self.probe_options
        return evaluate_trained(method, trainings, self.data, metric=o.metric, rule=o.rule)

    def deployable(self, outcomes: Sequence[Outcome]) -> list[tuple[Outcome, LinearModel, dict[str, float]]]:
        """Find what can predict new images: refits that are a linear model of one backbone.

        Returns
        -------
        list of (Outcome, LinearModel, dict)
            For each the model, and its accuracies on the folds and, if there is one, on the test.
        """
        if len(self.extractions) > 1:
            return []
        models = []
        for outcome in outcomes:
            if outcome.model is None:
                continue
            accuracies = {"cv_accuracy": outcome.chosen.accuracy}
            if len(self.task.test_labels):
                accuracies["test_accuracy"] = accuracy(outcome.test_log_probabilities, self.task.test_labels)
            models.append((outcome, outcome.model, accuracies))
        return models

    def key(self, training_code: str = "") -> str:
        """Name the result: a hash of everything it depends on, this code included.

        Parameters
        ----------
        training_code : str
            Hash of the code that trains whole backbones; it counts where a method does so.
        """
        o, task = self.probe_options, self.task
        settings = [list(o.methods), o.head, o.metric, o.rule, o.members, self.seed, o.nested, list(task.classes)]
        settings.append([image.name for image in task.images])  # by which predictions are found
        trained = [o.finetune_steps, training_code] if o.costly else []
        return fingerprint([self._depends_on(), settings, code_fingerprint(*CODE), *trained])

    def record(
        self,
        argument: str,
        key: str,
        trainings: Mapping[str, Sequence[Mapping[str, Any]]],
        *,
        options: Mapping[str, Any],
        command: str,
    ) -> Run:
        """Gather what was run, for `result.json`.

        Parameters
        ----------
        argument : str
            What was typed to name the task.
        key : str
            The result's, of `key`.
        trainings : dict
            For each method that trains the backbone, its trainings as JSON.
        options : dict
            All settings, as JSON.
        command : str
            The command line that runs the task again.
        """
        task = self.task
        return Run(
            task=task.name,
            argument=argument,
            group=task.group,
            source=task.source,
            classes=task.classes,
            ids=[image.name for image in task.images],
            labels=task.labels,
            folds=task.folds,
            backbones=[extraction.of_network() for extraction in self.extractions],
            options=options,
            command=command,
            versions=versions(),
            seed=self.seed,
            metric=self.probe_options.metric,
            key=key,
            notes=self._notes(trainings),
        )

    def _notes(self, trainings: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
        """The record's further entries, as JSON."""
        first, task, chosen = self.extractions[0], self.task, self.selected.items()
        notes = [*task.notes, *self.probe_options.notes(task.folds), *notes_on(task.n_train), *split_notes(self.data)]
        return {
            "store": str(first.store.path),
            "provenance": dict(task.provenance),
            "skipped": list(first.skipped),
            "notes": notes,
            "selections": {recipe: [entry for one in every for entry in one.document()] for recipe, every in chosen},
            **({"trainings": dict(trainings)} if trainings else {}),
            **({"failures": dict(self.failures.errors)} if self.failures.errors else {}),
        }

    def _images(self, rows: np.ndarray) -> list[str]:
        """Content hashes of the images of some rows."""
        return [self.extractions[0].digests[row] for row in rows]

    def _designs(self, rows: np.ndarray, view: str = "") -> dict[int, DesignMatrix]:
        """For each target size the stores of all backbones side by side, of some rows; of a view, if one is named."""
        images, stores = self._images(rows), [one.views[view] if view else one.stores for one in self.extractions]
        return {size: DesignMatrix.of([of_sizes[size] for of_sizes in stores], images) for size in stores[0]}

    def _with_costs(self, outcome: Outcome) -> Outcome:
        """Add what came before the heads: its selections, and the backbones' passes over the training images."""
        n, n_classes = self.task.n_train, len(self.task.classes)
        used = [one for need in METHODS[outcome.name].needs for one in self.selected[need]]
        return replace(
            outcome,
            seconds=outcome.seconds + sum(selected.cost for selected in used),
            flops=outcome.flops + sum(selected.flops(n, n_classes) for selected in used),
            extraction_flops=n * sum((1 + len(one.views)) * one.network["flops_per_image"] for one in self.extractions),
        )

    def _depends_on(self) -> dict[str, Any]:
        """What the data are made of: rows, labels, folds, features and, by recipe, their selections."""
        rows = self.split.rows
        labelled = [self._images(rows), self.task.labels[rows].tolist(), self.split.folds.tolist()]
        by_size = [sizes for one in self.extractions for sizes in (one.stores, *one.views.values())]
        stores = [store.key for sizes in by_size for store in sizes.values()]
        selections = {
            recipe: [file.name for one in every for _, file in sorted(one.files.items())]
            for recipe, every in self.selected.items()
        }
        return {"rows": fingerprint(labelled), "stores": stores, **self.arrays.identity, **selections}
