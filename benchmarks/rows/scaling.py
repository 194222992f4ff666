"""`make bench-scaling`: what a million images and ten million features would take of one to eight machines, on paper.

    python benchmarks/rows/scaling.py
    python benchmarks/rows/scaling.py --images 100000 --features 1000000

Nothing is measured here but what the constants say where they come from. Each step takes as long as the slowest of what
it needs at once (a roofline): arithmetic, decoding, disks, network. Stage two is as `--cluster` does it: each worker
reads its part of the features in every pass, residuals go out to all machines and norms come back. Workers on GPUs
would need a path that computes there; today's compute on processors, and the table shows both.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

GPU_FLOPS = 51e12
"""Of a product in float32 on an H100 (measured: docs/gpu.md), operations a second."""
CORE_FLOPS = 50e9
"""Of the same on a core of a server's processor (assumed)."""
USED = 0.4
"""The share of that which a backbone's convolutions reach (assumed)."""
CORES = 16
"""Cores for each GPU."""
BACKBONE = 8.2e9
"""Operations for an image of 224 pixels through ResNet-50."""
DECODED = 150
"""Images that a core decodes and resizes in a second (assumed: photos of half a megapixel)."""
NETWORK = 12.5e9
"""Bytes a second in and out of a machine (100 Gb/s)."""
DISK = 25e9
"""Bytes a second from the disks of a machine (four of NVMe)."""
CLASSES, ROW_SETS, PASSES = 100, 6, 18
"""Classes; five folds and all rows; passes over the features of a path of 11 λ (counted on the digits)."""

MACHINES = ((1, 1), (1, 8), (8, 8))
"""Machines, and GPUs in each."""


@dataclass(frozen=True)
class Setup:
    """A task and the machines for it.

    Attributes
    ----------
    images, features : int
        n and d; features are stored in float16.
    machines, gpus : int
        How many machines, and GPUs in each.
    """

    images: int
    features: int
    machines: int
    gpus: int

    @property
    def workers(self) -> int:
        """One for each GPU."""
        return self.machines * self.gpus

    @property
    def stored(self) -> float:
        """Bytes of all features."""
        return 2.0 * self.images * self.features

    def extraction(self) -> dict[str, float]:
        """Seconds of stage one, by what takes them."""
        return {
            "backbone": self.images * BACKBONE / (USED * GPU_FLOPS * self.workers),
            "decoding": self.images / (DECODED * CORES * self.workers),
            "writing": self.stored / (NETWORK * self.machines),
        }

    @property
    def residuals(self) -> float:
        """Bytes of residuals that each machine is sent in a pass, in float32."""
        return 4.0 * self.images * CLASSES * ROW_SETS

    @property
    def norms(self) -> float:
        """Bytes of norms that come back from all machines in a pass, in float32."""
        return 4.0 * self.features * ROW_SETS

    def a_pass(self, flops: float) -> dict[str, float]:
        """Seconds of a pass, by what takes them, where a worker does so many operations a second."""
        alone = self.machines == 1
        return {
            "reading": self.stored / (DISK * self.machines),
            "arithmetic": 2.0 * self.images * self.features * CLASSES * ROW_SETS / (flops * self.workers),
            "messages": 0.0 if alone else (self.machines * self.residuals + self.norms) / NETWORK,
        }


def rows(images: int, features: int) -> Iterator[tuple[str, ...]]:
    """Yield the table's rows: for each set of machines what the stages take, and what bounds them."""
    for machines, gpus in MACHINES:
        setup = Setup(images, features, machines, gpus)
        sent = 0.0 if machines == 1 else setup.machines * setup.residuals + setup.norms
        yield (
            f"{machines} × {gpus}",
            bounded(setup.extraction()),
            *(path(setup.a_pass(flops)) for flops in (CORES * CORE_FLOPS, GPU_FLOPS)),
            f"{2 * PASSES * setup.workers:,}" if machines > 1 else "0",
            f"{PASSES * sent / 1e9:,.0f} GB",
        )


def bounded(parts: dict[str, float]) -> str:
    """Say how long the slowest part takes, and which it is."""
    slowest = max(parts, key=lambda name: parts[name])
    return f"{duration(parts[slowest])} ({slowest})"


def path(parts: dict[str, float]) -> str:
    """Say how long all passes take: reading and arithmetic at once, messages before and after."""
    slowest = max(("reading", "arithmetic"), key=lambda name: parts[name])
    return f"{duration(PASSES * (parts[slowest] + parts['messages']))} ({slowest})"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that they are one of."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def table(images: int, features: int) -> str:
    """Make the table in Markdown."""
    head = ("machines × GPUs", "stage one", "path, on processors", "path, on GPUs", "messages", "sent by the head")
    lines = [f"| {' | '.join(cells)} |" for cells in rows(images, features)]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10**6)
    parser.add_argument("--features", type=int, default=10**7)
    o = parser.parse_args()
    print(
        f"A model, no measurement: {o.images:,} images, {o.features:,} features, {2e-12 * o.images * o.features:g} TB"
    )
    print(f"\n{table(o.images, o.features)}")


if __name__ == "__main__":
    main()
