"""Training the whole backbone with a fresh linear head: what frozen features are compared with.

How it is done follows the paper's code (google-research/head2toe, `models/finetune.py`, `configs_eval/finetune.py`):
SGD with momentum 0.9, the learning rate falling to zero along a cosine over a set number of steps, no warm-up, no
weight decay, no augmentation. Batch normalisation works as it does in training: by the statistics of the batch, its
running averages (which predictions use) following along. Two things differ: batches are of 32 images instead of 128,
with the paper's learning rates divided by as much; and the head reads the last features as they are, where the code
brings them to unit norm.
"""

import copy
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from head2toe.extract.backbone.backbone import AMP_DTYPES, Backbone
from head2toe.store.common.progress import Progress
from torch import nn

RATES = (0.025, 0.0025)
"""Learning rates that are tried: the paper's .1 and .01 for batches of 128, scaled with the batch (Goyal et al. 2017,
arXiv:1706.02677)."""
BATCH = 32
"""Images that a step learns from, or all there are; drawn without repetition until all were seen."""
MOMENTUM = 0.9


@dataclass(frozen=True)
class Setting:
    """What the folds choose: the learning rate at the start, and the number of steps."""

    rate: float
    steps: int

    def document(self) -> dict[str, float | int]:
        """As a method's settings."""
        return {"learning_rate": self.rate, "steps": self.steps}


@dataclass(frozen=True, eq=False)
class Training:
    """A network trained once.

    Attributes
    ----------
    losses : (steps,) float32 array
        Of every step's batch; fewer, if the training diverged.
    log_probabilities : (m, classes) float32 array
        Of the rows it was to predict.
    seconds : float
        Training and predictions.
    """

    losses: np.ndarray
    log_probabilities: np.ndarray
    seconds: float


def train(
    backbone: Backbone,
    pixels: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    unseen: Iterable[torch.Tensor],
    n_classes: int,
    setting: Setting,
    *,
    seed: int = 0,
    amp: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train a copy of the backbone with a fresh head on some rows, then predict others that it has not seen.

    A training whose loss leaves the finite numbers has diverged: it ends there, and its predictions know nothing (every
    class is as likely as any other).

    Parameters
    ----------
    backbone : Backbone
        Is left as it is.
    pixels : (n, 3, s, s) uint8 array
    labels : (n,) int array
    rows : (k,) int array
        Those to learn from; no other pixel or label is looked at.
    unseen : iterable of (b, 3, s, s) uint8 tensors
        The m rows to predict, in batches; read once.
    seed : int
        Draws the head and the order of the images. On a CPU the same numbers come out again, bit for bit; on CUDA
        deterministic kernels are asked for where there are any.
    amp : bool
        Autocast, as in extraction; with float16 the loss is scaled.
    progress : callable, optional
        Called with steps done and to do.
    """
    start = time.perf_counter()
    with _deterministic(backbone.device):
        network = fresh_network(backbone, n_classes, seed)
        drawn = (rows[batch] for batch in row_batches(len(rows), setting.steps, seed))
        examples = ((pixels[batch], labels[batch]) for batch in drawn)
        losses = _descend(network, backbone, examples, setting, amp, progress)
        predicted = [_predict(network, backbone, batch, amp) for batch in unseen]
    logp = np.concatenate(predicted) if predicted else np.empty((0, n_classes), np.float32)
    if len(losses) < setting.steps or not np.isfinite(logp).all():
        logp = np.full_like(logp, -math.log(n_classes))
    return Training(np.array(losses, np.float32), logp, time.perf_counter() - start)


def fresh_network(backbone: Backbone, n_classes: int, seed: int) -> nn.Module:
    """A copy of a backbone's network, all of it to be trained, with a new linear head as timm initialises it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = copy.deepcopy(backbone.model)
        network.reset_classifier(n_classes)  # type: ignore[operator]
    network.requires_grad_(requires_grad=True)
    return network.to(backbone.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def row_batches(n: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Numbers of the rows that each step learns from: one random order of all n after another, cut into batches."""
    rng, batch = np.random.default_rng(seed), min(BATCH, n)
    order = np.empty(0, np.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, rng.permutation(n)])
        yield order[:batch]
        order = order[batch:]


def _descend(
    network: nn.Module,
    backbone: Backbone,
    examples: Iterable[tuple[np.ndarray, np.ndarray]],
    setting: Setting,
    amp: bool,
    progress: Progress | None,
) -> list[float]:
    """All steps; the loss of each, as far as it is finite."""
    device, losses = backbone.device, []
    optimizer = torch.optim.SGD(network.parameters(), lr=setting.rate, momentum=MOMENTUM)
    scaler = torch.amp.GradScaler(device.type, enabled=amp and device.type == "cuda")
    network.train()
    for step, (x, y) in enumerate(examples):
        for group in optimizer.param_groups:
            group["lr"] = setting.rate * (1 + math.cos(math.pi * step / setting.steps)) / 2
        with _autocast(device, amp):
            scores = network(_input(backbone, torch.from_numpy(x)))
        loss = nn.functional.cross_entropy(scores.float(), torch.from_numpy(y).to(device))
        value = float(loss.detach())
        if not math.isfinite(value):
            break
        losses.append(value)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if progress:
            progress(step + 1, setting.steps)
    return losses


def _predict(network: nn.Module, backbone: Backbone, batch: torch.Tensor, amp: bool) -> np.ndarray:
    """(b, classes) float32 log-probabilities."""
    network.eval()
    with torch.inference_mode(), _autocast(backbone.device, amp):
        scores = network(_input(backbone, batch))
    return torch.log_softmax(scores.float(), dim=1).cpu().numpy()


def _input(backbone: Backbone, batch: torch.Tensor) -> torch.Tensor:
    """(b, 3, s, s) uint8 to what the network takes."""
    images = batch.to(backbone.device, non_blocking=True, memory_format=torch.channels_last)
    return backbone.preprocessing.normalize(images)


def _autocast(device: torch.device, amp: bool) -> torch.autocast:
    return torch.autocast(device.type, AMP_DTYPES[device.type], enabled=amp)


def _deterministic(device: torch.device) -> AbstractContextManager[None]:
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
