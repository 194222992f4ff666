"""Training the whole backbone with a fresh linear head: what frozen features are compared with.

How it is done follows the paper's code (google-research/head2toe, `models/finetune.py`, `configs_eval/finetune.py`):
SGD with momentum 0.9, the learning rate falling to zero along a cosine over a set number of steps, no warm-up, no
weight decay, no augmentation. Batch normalisation works as it does in training: it uses the statistics of the batch and
updates its running averages, which predictions use. Two things differ: batches are of 32 images instead of 128,
with the paper's learning rates divided by as much; and the head reads the last features as they are, where the code
brings them to unit norm.
"""

import copy
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head2toe.extract.backbone.backbone import Backbone
from head2toe.extract.features.precision import Precision
from head2toe.extract.weights.seeding import seeded
from head2toe.store.common.arrays_file import read_arrays, write_arrays
from head2toe.store.console.progress import Progress
from torch import nn

RATES = (0.025, 0.0025)
"""Learning rates that are tried: the paper's .1 and .01 for batches of 128, scaled with the batch (Goyal et al. 2017,
arXiv:1706.02677)."""
BATCH = 32
"""Images that a step learns from, or all there are; drawn without repetition until all were seen."""
MOMENTUM = 0.9


@dataclass(frozen=True)
class TrainingSetting:
    """What the folds choose of a training.

    Attributes
    ----------
    rate : float
        The learning rate at the start.
    steps : int
        The number of steps.
    """

    rate: float
    steps: int

    def document(self) -> dict[str, float | int]:
        """Return the setting as JSON, as a method's settings are recorded."""
        return {"learning_rate": self.rate, "steps": self.steps}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TrainingSetting":
        """Return the setting that `document` made this of."""
        return cls(document["learning_rate"], document["steps"])


@dataclass(frozen=True, eq=False)
class Training:
    """What the training of a network left; the network itself is not kept.

    Attributes
    ----------
    losses : (steps,) float32 array
        The loss of each step's batch; fewer, if the training diverged.
    log_probabilities : (m, classes) float32 array
        Predictions for the rows that were to be predicted.
    seconds : float
        How long training and predictions took.
    """

    losses: np.ndarray
    log_probabilities: np.ndarray
    seconds: float

    def save(self, file: Path, header: Mapping[str, Any]) -> None:
        """Write the training, whole or not at all.

        Parameters
        ----------
        file : Path
            What to write; its folder is made if it is missing.
        header : mapping
            What was trained, as JSON, for people who open the file.

        Raises
        ------
        StoreError
            The file can't be written.
        """
        arrays = {"losses": self.losses, "log_probabilities": self.log_probabilities}
        write_arrays(file, {**header, "seconds": self.seconds}, **arrays)

    @classmethod
    def load(cls, file: Path) -> "Training":
        """Read what `save` wrote.

        Raises
        ------
        DataError
            The file is missing, damaged, or something else.
        """
        with read_arrays(file, "a training", "remove it and run the command again") as (header, arrays):
            return cls(arrays["losses"], arrays["log_probabilities"], header["seconds"])


def train(
    backbone: Backbone,
    pixels: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    unseen: Iterable[torch.Tensor],
    n_classes: int,
    setting: TrainingSetting,
    *,
    seed: int = 0,
    amp: bool | str = False,
    tf32: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train a copy of the backbone with a fresh head on some rows, then predict others that it has not seen.

    A training whose loss is no longer finite has diverged: it ends there, and every class is predicted to be as likely
    as any other.

    Parameters
    ----------
    backbone : Backbone
        The network to start from, which is left as it is.
    pixels : (n, 3, s, s) uint8 array
        The images.
    labels : (n,) int array
        Their labels.
    rows : (k,) int array
        The rows to learn from; no other pixel or label is looked at.
    unseen : iterable of (b, 3, s, s) uint8 tensors
        The m images to predict, in batches; read once.
    n_classes : int
        The number of classes.
    setting : TrainingSetting
        Learning rate and number of steps.
    seed : int
        Draws the head and the order of the images. On a CPU the same numbers come out again, bit for bit; on CUDA
        deterministic kernels are asked for where there are any.
    amp : bool or str
        Autocast, as in extraction; with float16 the loss is scaled.
    tf32 : bool
        Whether a GPU may use TF32, as in extraction.
    progress : callable, optional
        Called with how many steps are done, and how many there are.

    Returns
    -------
    Training
        The losses, and the log-probabilities of the images to predict, in their order.
    """
    start = time.perf_counter()
    precision = Precision.of(backbone.device.type, amp=amp, tf32=tf32)
    with _deterministic(backbone.device):
        network = fresh_network(backbone, n_classes, seed)
        drawn = (rows[batch] for batch in row_batches(len(rows), setting.steps, seed))
        examples = ((pixels[batch], labels[batch]) for batch in drawn)
        losses = _take_steps(network, backbone, examples, setting, precision, progress)
        predictions = [_predict(network, backbone, batch, precision) for batch in unseen]
    logp = np.concatenate(predictions) if predictions else np.empty((0, n_classes), np.float32)
    if len(losses) < setting.steps or not np.isfinite(logp).all():
        logp = np.full_like(logp, -math.log(n_classes))
    return Training(np.array(losses, np.float32), logp, time.perf_counter() - start)


def fresh_network(backbone: Backbone, n_classes: int, seed: int) -> nn.Module:
    """Copy a backbone's network, all of it to be trained, with a new linear head as timm initialises it.

    Parameters
    ----------
    backbone : Backbone
        Whose network.
    n_classes : int
        How many outputs the head has.
    seed : int
        Draws the head; the caller's random numbers are left alone.
    """
    network: Any
    with seeded(seed):
        network = copy.deepcopy(backbone.model)
        network.reset_classifier(n_classes)
    network.requires_grad_(requires_grad=True)
    trainable: nn.Module = network.to(backbone.device, memory_format=torch.channels_last)
    return trainable


def row_batches(n: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the rows that each step learns from: one random order of all n after another, cut into batches.

    Parameters
    ----------
    n : int
        The number of rows.
    steps : int
        How many batches.
    seed : int
        Draws the orders.

    Yields
    ------
    (min(BATCH, n),) int64 array
        Numbers below n.
    """
    rng, batch = np.random.default_rng(seed), min(BATCH, n)
    order = np.empty(0, np.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, rng.permutation(n)])
        yield order[:batch]
        order = order[batch:]


def _take_steps(
    network: nn.Module,
    backbone: Backbone,
    examples: Iterable[tuple[np.ndarray, np.ndarray]],
    setting: TrainingSetting,
    precision: Precision,
    progress: Progress | None,
) -> list[float]:
    """Take all steps, or those until the loss is no longer finite; returns the loss of each."""
    device, losses = backbone.device, []
    optimizer = torch.optim.SGD(network.parameters(), lr=setting.rate, momentum=MOMENTUM)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.half == "float16")
    network.train()
    for step, (x, y) in enumerate(examples):
        for group in optimizer.param_groups:
            group["lr"] = setting.rate * (1 + math.cos(math.pi * step / setting.steps)) / 2
        with precision.computing(device):
            scores = network(_input(backbone, torch.from_numpy(x)))
        loss = nn.functional.cross_entropy(scores.float(), torch.from_numpy(y).to(device))
        value = float(loss.detach())
        if not math.isfinite(value):
            break
        losses.append(value)
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(loss))
        scaler.step(optimizer)
        scaler.update()
        if progress:
            progress(step + 1, setting.steps)
    return losses


def _predict(network: nn.Module, backbone: Backbone, batch: torch.Tensor, precision: Precision) -> np.ndarray:
    """Return log-probabilities (b, classes) float32 of a batch (b, 3, s, s) uint8."""
    network.eval()
    with torch.inference_mode(), precision.computing(backbone.device):
        scores = network(_input(backbone, batch))
    return torch.log_softmax(scores.float(), dim=1).cpu().numpy()


def _input(backbone: Backbone, batch: torch.Tensor) -> torch.Tensor:
    """Turn a batch (b, 3, s, s) uint8 into what the network takes, on its device."""
    images = batch.to(backbone.device, non_blocking=True, memory_format=torch.channels_last)
    return backbone.preprocessing.normalize(images)


def _deterministic(device: torch.device) -> AbstractContextManager[None]:
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
