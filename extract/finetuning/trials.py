"""The trainings of a method that trains the backbone: every setting over the folds, then the chosen one on all rows.

A training takes minutes to hours. What it leaves (predictions, losses) is written as soon as it ends, under a name made
of everything it depends on, and recalled when the same command is run again, be it after an interruption.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.cost import PASSES_A_STEP, forward_flops, nbytes
from head2toe.extract.features.extraction import Extraction
from head2toe.extract.features.precision import Precision
from head2toe.extract.finetuning.pixels import decoded
from head2toe.extract.finetuning.training import BATCH, RATES, Training, TrainingSetting, fresh_network, train
from head2toe.extract.images.batches import batches
from head2toe.extract.options import ExtractOptions
from head2toe.extract.tasks.task import Task
from head2toe.store.common.fingerprint import code_fingerprint, fingerprint
from head2toe.store.console.progress import progress

TRAINING_CODE = ("extract/images", "extract/weights", "extract/backbone", "extract/finetuning")
"""The code that a training's numbers depend on: how images are decoded and scaled, the network, how it is trained."""


@dataclass(eq=False)
class Trials:
    """The trainings of one method on one task; a context manager, for it drops the decoded images at its end.

    Attributes
    ----------
    method : str
        `finetune` or `scratch`.
    backbone : Backbone
        The network that trainings start from.
    task : Task
        What is learned.
    digests : tuple of str
        Content hashes of all images, in the task's order.
    settings : tuple of TrainingSetting
        What is compared.
    folder : Path
        Where trainings are kept.
    seed : int
        Draws the heads and the order of the images.
    amp : bool or str
        Whether the network computes in half precision, and in which (see `Precision.of`).
    tf32 : bool
        Whether a GPU may use TF32.
    batch_size : int
        Images that are predicted at once; a step learns from `BATCH`.
    fresh : bool
        Whether to train again what is kept already.
    kept : list of dict
        What was trained or recalled so far, as JSON: setting, fold (None for all rows), steps done, last loss,
        seconds, file, whether recalled.
    """

    method: str
    backbone: Backbone
    task: Task
    digests: tuple[str, ...]
    settings: tuple[TrainingSetting, ...]
    folder: Path
    seed: int = 0
    amp: bool | str = False
    tf32: bool = False
    batch_size: int = 32
    fresh: bool = False
    kept: list[dict[str, Any]] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def of(
        cls,
        method: str,
        extraction: Extraction,
        options: ExtractOptions,
        steps: Sequence[int],
        *,
        folder: Path,
        fresh: bool,
    ) -> "Trials":
        """Set up the trainings that go with an extraction.

        Parameters
        ----------
        method : str
            `finetune`, or `scratch`, which starts from random weights.
        extraction : Extraction
            Whose task is learned, and by which backbone.
        options : ExtractOptions
            The extraction's options: weights, preprocessing, precision, device, batch size and seed.
        steps : sequence of int
            Numbers of steps to compare, each at every learning rate of `RATES`.
        folder : Path
            Where trainings are kept.
        fresh : bool
            Whether to train again what is kept already.

        Raises
        ------
        Head2ToeError
            The backbone can't be loaded.
        """
        backbone = load_backbone(
            extraction.backbone,
            weights="random" if method == "scratch" else options.networks[0][1],
            input_size=options.input_size,
            preprocess=options.preprocess,
            device=options.devices[0],
            seed=options.seed,
        )
        return cls(
            method,
            backbone,
            extraction.task,
            extraction.digests,
            tuple(TrainingSetting(rate, n) for rate in RATES for n in steps),
            folder,
            seed=options.seed,
            amp=options.amp,
            tf32=options.tf32,
            batch_size=options.batch_size_on(backbone.device.type),
            fresh=fresh,
        )

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def over_folds(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Train every setting on every fold: on the rows that the fold does not hold out, to predict those it does.

        Yields
        ------
        settings : dict
            The setting, as JSON.
        log_probabilities : (n_train, classes) float32 array
            Out-of-fold predictions; NaN for rows that no fold holds out.
        """
        for setting in self.settings:
            logp = np.full((self.task.n_train, len(self.task.classes)), np.nan, np.float32)
            for fold in range(self.task.n_folds):
                held_out, rows = np.flatnonzero(self.task.folds == fold), np.flatnonzero(self.task.folds != fold)
                logp[held_out] = self._training(setting, rows, held_out, fold).log_probabilities
            yield setting.document(), logp

    def refit(self, settings: Mapping[str, Any]) -> np.ndarray:
        """Train on all training rows, and predict the test rows.

        Where there are no test rows nothing is trained: the network itself would not be kept.

        Parameters
        ----------
        settings : mapping
            The chosen setting, as `over_folds` yields it.

        Returns
        -------
        (m, classes) float32 array
            Log-probabilities of the test rows.
        """
        n, total = self.task.n_train, len(self.digests)
        if n == total:
            return np.empty((0, len(self.task.classes)), np.float32)
        return self._training(TrainingSetting.of(settings), np.arange(n), np.arange(n, total), None).log_probabilities

    @property
    def seconds(self) -> float:
        """How long all trainings took; recalled ones count as they took when they ran."""
        return float(sum(training["seconds"] for training in self.kept))

    @property
    def flops(self) -> float:
        """Floating-point operations of all trainings: steps forward and backward, forward for what folds hold out."""
        images: int = sum(PASSES_A_STEP * training["images"] + training["held_out"] for training in self.kept)
        return images * self._cost[0]

    @property
    def nbytes(self) -> int:
        """The size of the trained network in bytes."""
        return self._cost[1]

    @cached_property
    def _cost(self) -> tuple[float, int]:
        """Floating-point operations of one image's forward pass, and the bytes of the network."""
        network = fresh_network(self.backbone, len(self.task.classes), self.seed).eval()
        return forward_flops(network, self.backbone.input_size, self.backbone.device), nbytes(network)

    @cached_property
    def _pixels(self) -> np.ndarray:
        """The training images, decoded once and only if something is to be trained."""
        with progress("decoding", unit="img") as report:
            images = self.task.images[: self.task.n_train]
            return self._stack.enter_context(decoded(images, self.backbone.preprocessing, progress=report))

    def _training(self, setting: TrainingSetting, rows: np.ndarray, unseen: np.ndarray, fold: int | None) -> Training:
        """Train on some rows to predict others, or recall the training; either way it is added to `kept`."""
        file = self.folder / f"{self.task.name}-{self.method}-{self._key(setting, rows, unseen)[:16]}.npz"
        recalled = file.is_file() and not self.fresh
        training = Training.load(file) if recalled else self._train(setting, rows, unseen, fold)
        if not recalled:
            training.save(file, {"method": self.method, "fold": fold, **setting.document()})
        steps = len(training.losses)
        self.kept.append(
            {
                **setting.document(),
                "fold": fold,
                "steps_done": steps,
                "loss": float(training.losses[-1]) if steps else None,
                "images": steps * min(BATCH, len(rows)),
                "held_out": 0 if fold is None else len(unseen),
                "seconds": training.seconds,
                "file": str(file),
                "recalled": recalled,
            }
        )
        return training

    def _train(self, setting: TrainingSetting, rows: np.ndarray, unseen: np.ndarray, fold: int | None) -> Training:
        where = "all rows" if fold is None else f"fold {fold + 1} of {self.task.n_folds}"
        pixels = self._pixels  # decoded before the training's progress begins
        with progress(f"{self.method}, rate {setting.rate:g}, {where}", unit="step") as report:
            return train(
                self.backbone,
                pixels,
                self.task.labels,
                rows,
                self._batches(unseen),
                len(self.task.classes),
                setting,
                seed=self.seed,
                amp=self.amp,
                tf32=self.tf32,
                progress=report,
            )

    def _batches(self, rows: np.ndarray) -> Iterator[torch.Tensor]:
        """Yield the images of some rows, batch by batch; test images are decoded here, for they are looked at once."""
        if rows[0] < self.task.n_train:
            for start in range(0, len(rows), self.batch_size):
                yield torch.from_numpy(self._pixels[rows[start : start + self.batch_size]])
            return
        source = {str(row): self.task.images[row] for row in rows}
        for _, batch in batches(list(source), source, self.backbone.preprocessing, self.batch_size):
            yield batch

    def _key(self, setting: TrainingSetting, rows: np.ndarray, unseen: np.ndarray) -> str:
        """Return a hash of everything a training depends on, this code included; the method's name is no part of it."""
        return fingerprint(
            {
                "architecture": self.backbone.architecture,
                "weights": self.backbone.weights_sha256,
                "preprocessing": self.backbone.preprocessing.describe(),
                "precision": Precision.of(self.backbone.device.type, amp=self.amp, tf32=self.tf32).name,
                "setting": setting.document(),
                "classes": len(self.task.classes),
                "learned": [[self.digests[row] for row in rows], self.task.labels[rows].tolist()],
                "predicted": [self.digests[row] for row in unseen],
                "seed": self.seed,
                "code": code_fingerprint(*TRAINING_CODE),
            }
        )
