"""Random numbers of a network's own: seeded for a while, with torch's global generator left as it was."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator for the time of a block, and put it back as it was.

    Initial weights are drawn from the one generator that all threads share, so blocks run one at a time: threads that
    build a network from the same seed at once get the same network. Generators of CUDA devices are not touched, since
    networks are built on the CPU.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.
    """
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
