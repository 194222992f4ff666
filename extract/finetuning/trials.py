"""A costly method's trainings: every setting over the folds, then the chosen one on all training rows, each kept.

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
from head2toe.extract.backbone.cost import TRAINING, forward_flops, nbytes
from head2toe.extract.features.extraction import Extraction
from head2toe.extract.finetuning import training as finetuning
from head2toe.extract.finetuning.pixels import decoded
from head2toe.extract.finetuning.training import BATCH, RATES, Setting, Training
from head2toe.extract.images.batches import batches
from head2toe.extract.options import ExtractOptions
from head2toe.extract.tasks.task import Task
from head2toe.store.common.arrays_file import read_arrays, write_arrays
from head2toe.store.common.fingerprint import code_fingerprint, fingerprint
from head2toe.store.common.progress import progress

CODE = ("extract/images", "extract/backbone", "extract/finetuning", "extract/features/loop.py")
"""What the numbers of a training depend on: how images are decoded and scaled, the network, and how it is trained."""


@dataclass(eq=False)
class Trials:
    """The trainings of one method on one task; a context, for the decoded images are given back at its end.

    Attributes
    ----------
    method : str
        `finetune` or `scratch`.
    backbone : Backbone
        The network that trainings start from.
    task : Task
    digests : tuple of str
        Content hashes of all images, in the task's order.
    settings : tuple of Setting
        To be compared.
    folder : Path
        Where trainings are kept.
    fresh : bool
        Train again what is kept already.
    kept : list of dict
        What was trained or recalled so far, as JSON: setting, fold (None for all rows), steps done, last loss,
        seconds, file, whether recalled.
    """

    method: str
    backbone: Backbone
    task: Task
    digests: tuple[str, ...]
    settings: tuple[Setting, ...]
    folder: Path
    seed: int = 0
    amp: bool = False
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
        """The trials that go with an extraction: its task, backbone, preprocessing, precision and seed."""
        o = options
        backbone = load_backbone(
            extraction.backbone,
            weights="random" if method == "scratch" else o.weights,
            input_size=o.input_size,
            preprocess=o.preprocess,
            device=o.device,
            seed=o.seed,
        )
        settings = tuple(Setting(rate, n) for rate in RATES for n in steps)
        task, digests = extraction.task, extraction.digests
        return cls(method, backbone, task, digests, settings, folder, o.seed, o.amp, o.batch_size, fresh)

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def over_folds(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Every setting, and its out-of-fold log-probabilities (n, classes) float32; NaN for rows that always train.

        A fold's network is trained on the rows that the fold does not hold out, and predicts those it does.
        """
        for setting in self.settings:
            logp = np.full((self.task.n_train, len(self.task.classes)), np.nan, np.float32)
            for fold in range(self.task.n_folds):
                held_out, rows = np.flatnonzero(self.task.folds == fold), np.flatnonzero(self.task.folds != fold)
                logp[held_out] = self._training(setting, rows, held_out, fold).log_probabilities
            yield setting.document(), logp

    def refit(self, settings: Mapping[str, Any]) -> np.ndarray:
        """Log-probabilities (m, classes) of the test rows by a network trained on all training rows.

        Where there are no test rows there is nothing to train for: a fine-tuned network is not kept.
        """
        n, total = self.task.n_train, len(self.digests)
        if n == total:
            return np.empty((0, len(self.task.classes)), np.float32)
        setting = Setting(settings["learning_rate"], settings["steps"])
        return self._training(setting, np.arange(n), np.arange(n, total), None).log_probabilities

    @property
    def seconds(self) -> float:
        """Of all trainings, recalled ones as they took when they ran."""
        return float(sum(one["seconds"] for one in self.kept))

    @property
    def flops(self) -> float:
        """Of all trainings: steps forward and backward, and forward for what the folds hold out."""
        images = sum(TRAINING * one["images"] + one["held_out"] for one in self.kept)
        return images * self._cost[0]

    @property
    def nbytes(self) -> int:
        """Of the trained network."""
        return self._cost[1]

    @cached_property
    def _cost(self) -> tuple[float, int]:
        network = finetuning.fresh_network(self.backbone, len(self.task.classes), self.seed).eval()
        return forward_flops(network, self.backbone.input_size, self.backbone.device), nbytes(network)

    @cached_property
    def _pixels(self) -> np.ndarray:
        """Training images, decoded once and only if something is to be trained."""
        with progress("decoding", unit="img") as report:
            images = self.task.images[: self.task.n_train]
            return self._stack.enter_context(decoded(images, self.backbone.preprocessing, progress=report))

    def _training(self, setting: Setting, rows: np.ndarray, unseen: np.ndarray, fold: int | None) -> Training:
        """Train, or recall what was trained; either way `kept` knows of it."""
        file = self.folder / f"{self.task.name}-{self.method}-{self._key(setting, rows, unseen)[:16]}.npz"
        recalled = file.is_file() and not self.fresh
        training = load(file) if recalled else self._train(setting, rows, unseen, fold)
        if not recalled:
            save(file, training, {"method": self.method, "fold": fold, **setting.document()})
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

    def _train(self, setting: Setting, rows: np.ndarray, unseen: np.ndarray, fold: int | None) -> Training:
        where = "all rows" if fold is None else f"fold {fold + 1} of {self.task.n_folds}"
        pixels = self._pixels  # decoded before the training's progress begins
        with progress(f"{self.method}, rate {setting.rate:g}, {where}", unit="step") as report:
            return finetuning.train(
                self.backbone,
                pixels,
                self.task.labels,
                rows,
                self._batches(unseen),
                len(self.task.classes),
                setting,
                seed=self.seed,
                amp=self.amp,
                progress=report,
            )

    def _batches(self, rows: np.ndarray) -> Iterator[torch.Tensor]:
        """Images of some rows; test images are decoded here, for they are looked at once."""
        if rows[0] < self.task.n_train:
            for start in range(0, len(rows), self.batch_size):
                yield torch.from_numpy(self._pixels[rows[start : start + self.batch_size]])
            return
        source = {str(row): self.task.images[row] for row in rows}
        for _, batch in batches(list(source), source, self.backbone.preprocessing, self.batch_size):
            yield batch

    def _key(self, setting: Setting, rows: np.ndarray, unseen: np.ndarray) -> str:
        """A hash of everything a training depends on, this code included; the method's name is not among it."""
        return fingerprint(
            {
                "architecture": self.backbone.architecture,
                "weights": self.backbone.weights_sha256,
                "preprocessing": self.backbone.preprocessing.describe(),
                "precision": f"amp, {self.backbone.device.type}" if self.amp else "float32",
                "setting": setting.document(),
                "classes": len(self.task.classes),
                "learned": [[self.digests[row] for row in rows], self.task.labels[rows].tolist()],
                "predicted": [self.digests[row] for row in unseen],
                "seed": self.seed,
                "code": code_fingerprint(*CODE),
            }
        )


def save(file: Path, training: Training, header: Mapping[str, Any]) -> None:
    """Write what a training left, whole or not at all."""
    said = {**header, "seconds": training.seconds}
    write_arrays(file, said, losses=training.losses, log_probabilities=training.log_probabilities)


def load(file: Path) -> Training:
    """Read what `save` wrote. Raises DataError for anything else."""
    with read_arrays(file, "a training", "remove it and run the command again") as (header, arrays):
        return Training(arrays["losses"], arrays["log_probabilities"], header["seconds"])
