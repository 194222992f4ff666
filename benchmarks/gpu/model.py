"""`make bench-gpu-model`: what stage two would ask of a GPU, counted on the stand-in for CuPy, and a model of the time.

    python benchmarks/gpu/model.py                              digits: the selection, and the heads of two methods
    python benchmarks/gpu/model.py --task FOLDER --methods ''   another task, the selection alone
    python benchmarks/gpu/model.py --lines 20                   and which lines ask for most
    python benchmarks/gpu/model.py -o counts.json               the counts as JSON, too

Nothing here was measured on a GPU. Launches, library calls, waits and bytes are counted; seconds are these counts times
costs that are taken for granted (tests/cupy_double/cupy/_counting.py). The roofline is what the device's own memory and
arithmetic would take: where the host's share is larger, the GPU would wait for the host.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "cupy_double"))  # before anything asks for CuPy

from cupy import _counting
from cupy._counting import FLOPS, HBM, LAUNCH, LIBRARY, PCIE, SYNC, Counts, region
from head2toe.pipeline import Options, experiment_on, extract
from head2toe.probe.choice import sweep
from head2toe.probe.heads import crossval
from head2toe.select.compute import device_memory
from head2toe.select.solver import path, processes

HEAD = ("stage", "times", "launches", "library", "waits", "MB up", "MB down", "host", "PCIe", "roofline")

MODEL = (
    f"A model, no measurement: {1e6 * LAUNCH:g} µs a launch, {1e6 * LIBRARY:g} µs a library call, {1e6 * SYNC:g} µs a "
    f"wait (host); {PCIE / 1e9:g} GB/s over PCIe from pinned memory; roofline: the larger of {HBM / 1e12:g} TB/s and "
    f"{FLOPS / 1e12:g} TFLOP/s in float32."
)


class Stages:
    """Counts by stage; a stage may lie within another."""

    def __init__(self) -> None:
        self.counts: dict[str, Counts] = {}
        self.times: dict[str, int] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        self.times[stage] = self.times.get(stage, 0) + 1
        with region(self.counts.setdefault(stage, Counts())):
            yield

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Count what a function of a module or a class asks for."""
        function: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.of(stage):
                return function(*args, **kwargs)

        setattr(owner, name, watched)

    def document(self) -> dict[str, dict[str, int]]:
        """What was counted in each stage."""
        return {
            stage: {"calls": c.calls, "waits": c.syncs, "bytes up": c.bytes_up, "bytes down": c.bytes_down}
            for stage, c in self.counts.items()
        }

    def rows(self) -> Iterator[tuple[str, ...]]:
        for stage, c in self.counts.items():
            seconds = (c.host_seconds, c.transfer_seconds, c.device_seconds)
            counted = (self.times[stage], c.launches, c.library, c.syncs)
            bytes_ = (c.bytes_up / 1e6, c.bytes_down / 1e6)
            yield (
                stage,
                *(f"{n:,}" for n in counted),
                *(f"{n:,.1f}" for n in bytes_),
                *(f"{1e3 * s:,.2f} ms" for s in seconds),
            )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--target-size", type=int, default=512)
    parser.add_argument("--methods", default="linear,head2toe", help="whose heads to count, too; '' for none")
    parser.add_argument("--device-memory", type=float, default=0.8)
    parser.add_argument("--lines", type=int, default=0, help="how many lines of the package to name")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file for the counts")
    return parser.parse_args()


def main() -> None:
    given, stages = arguments(), Stages()
    _counting.trace = bool(given.lines)
    methods = tuple(filter(None, given.methods.split(",")))
    settings = {"input_size": given.input_size, "target_sizes": (given.target_size,)}
    extract(given.task, Options(device="cpu", **settings))  # stage one is torch's: it is no part of this
    options = Options(
        device="cuda", device_memory=given.device_memory, methods=methods or ("l21",), fresh=True, **settings
    )
    stages.watch(device_memory.DeviceMemory, "_upload", "  of which uploads")
    stages.watch(path, "moments", "  of which moments")
    stages.watch(path, "dual_norms", "  of which passes")
    stages.watch(processes.WorkerPool, "solve", "  of which subproblems")
    stages.watch(crossval, "fold_bases", "  of which eigenbases")
    with stages.of("(start)"):
        experiment = experiment_on(given.task, options)
    start = time.perf_counter()
    with stages.of("selection"):
        (selected,) = experiment.select("exact")
    seconds = time.perf_counter() - start
    for method in methods:
        with stages.of(f"heads of {method}"):
            sweep.evaluate(method, experiment.data)
    (selection,) = selected.selections.values()
    print(f"{given.task}: {experiment.task.n_train} training rows, {selection.n_features:,} features")
    print(f"the selection on the stand-in took {seconds:.1f} s of this CPU, subproblems included\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in stages.rows():
        print(f"| {' | '.join(row)} |")
    if given.output is not None:
        given.output.write_text(json.dumps(stages.document(), indent=2) + "\n", encoding="utf-8")
    print(f"\n{MODEL}")
    for stage in ("selection", *(f"heads of {method}" for method in methods)) if given.lines else ():
        print(f"\n{stage}, launches, calls and waits by line:")
        for line, number in stages.counts[stage].lines.most_common(given.lines):
            print(f"  {number:9,} {line}")


if __name__ == "__main__":
    main()
