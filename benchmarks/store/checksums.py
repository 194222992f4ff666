"""What it costs to compare the store's files with their checksums on the way: checked over unchecked.

    python benchmarks/store/checksums.py --repeats 15     # twenty minutes, for figures worth keeping

Medians of pairs taken in turn: of first passes in fresh processes, whose first reading of every file compares it, from
disk and from memory, and of later gathers, which only look whether a file is the one that was compared.
"""

import argparse
import json
import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a ratio of CPU times wants one thread

import numpy as np
from head2toe.store.reading import mapping
from ways import BY_NAME, Ours, OursHalf, OursHdf5, Way, drop_cache, in_a_process, layers_of, parser_of, written

OURS = (Ours, OursHdf5, OursHalf)
GATHERED = (10, 100, 1000)
"""Columns of a gather."""


def measure(words: list[str], repeats: int) -> None:
    """Print the tables, of stores that words of the command line describe."""
    columns = "".join(f"{name:>10}" for name in ("cold wall", "cold CPU", "warm wall", "warm CPU"))
    print(f"{'first pass of a process, checked / not':42}{columns}")
    for way in OURS:
        ratios: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for pair, cold in ((pair, cold) for pair in range(repeats) for cold in ratios):
            times = {}
            for checked in in_turn(pair):
                flags = [flag for flag, on in (("--from-disk", cold), ("--checked", checked)) if on]
                times[checked] = np.array(in_a_process(__file__, words, "--first", way.__name__, *flags))
            ratios[cold].append(times[True] / times[False])
        medians = np.concatenate([np.median(of_pairs, axis=0) for of_pairs in ratios.values()])
        print(f"{way.title():42}" + "".join(f"{ratio:10.2f}" for ratio in medians), flush=True)
    print(f"{'later gathers of so many columns, warm CPU':42}" + "".join(f"{count:10}" for count in GATHERED))
    for way in OURS:
        medians = in_a_process(__file__, words, "--gathers", way.__name__, f"--repeats={repeats}")
        print(f"{way.title():42}" + "".join(f"{ratio:10.3f}" for ratio in medians), flush=True)


def in_turn(pair: int) -> tuple[bool, bool]:
    """Which of a pair comes first, checked or not."""
    return (True, False) if pair % 2 else (False, True)


def first_pass(way: type[Way], options: argparse.Namespace) -> list[float]:
    """Seconds (wall, CPU) of X @ W in a fresh process, whose first pass compares every file with its checksum."""
    layers = layers_of(options)
    reader, W = way(options.root, layers, options.rows), np.ones((layers.n_features, options.heads), np.float32)
    if not options.checked:
        mapping.running = lambda *_: None
        mapping.check = lambda *_: None
    if options.from_disk:
        drop_cache(options.root)
    start, cpu = time.perf_counter(), time.process_time()
    reader.xw(W)
    return [time.perf_counter() - start, time.process_time() - cpu]


def repeated_gathers(way: type[Way], options: argparse.Namespace) -> list[float]:
    """Cost of the second and later gathers of a process, checked over unchecked: medians of pairs, as in `GATHERED`."""
    layers = layers_of(options)
    reader = way(options.root, layers, options.rows)
    checked = mapping._are_checked
    rng, medians = np.random.default_rng(2), []
    for count in GATHERED:
        columns = np.sort(rng.choice(layers.n_features, min(count, layers.n_features // 5), replace=False))
        reader.gather(columns)  # the first gather compares them with their checksums
        at_once = max(1, 2000 // count)  # so that a measurement takes long enough to be one
        ratios = []
        for pair in range(6 * options.repeats):
            times = {}
            for compared in in_turn(pair):
                mapping._are_checked = checked if compared else lambda *_: True
                start = time.process_time()
                for _ in range(at_once):
                    reader.gather(columns)
                times[compared] = time.process_time() - start
            ratios.append(times[True] / times[False])
        mapping._are_checked = checked
        medians.append(float(np.median(ratios)))
    return medians


def main() -> int:
    """Parse the command line and run."""
    parser = parser_of(__doc__)
    parser.add_argument("--first", choices=BY_NAME, help=argparse.SUPPRESS)
    parser.add_argument("--gathers", choices=BY_NAME, help=argparse.SUPPRESS)
    parser.add_argument("--from-disk", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--checked", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        print(json.dumps(first_pass(BY_NAME[options.first], options)))
    elif options.gathers:
        print(json.dumps(repeated_gathers(BY_NAME[options.gathers], options)))
    else:
        shape = options.rows, layers_of(options).n_features
        X = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        with written(options, X, OURS) as (_, words):
            measure(words, options.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
