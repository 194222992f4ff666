"""Kill writers with SIGKILL at random moments, and see that nothing is lost, repeated or wrong.

    python benchmarks/torture.py                    # 60 kills, 3 writers, both formats
    python benchmarks/torture.py --kills 500 --writers 5 --seed 7

Several processes write one store at once. Each notes in a log when it has claimed a block and when its commit has
returned. After every kill, while the others go on writing, all committed blocks are compared with what they must hold;
a block whose commit had returned must be there, and must never be claimed again; and whoever opens the store gets an
error, or the whole of it. One layer turns out to need float32 at the very end, so that sealing has much to rewrite and
is killed as well. Expected: `0 lost, 0 repeated, 0 wrong`, exit status 0.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no threads: the writers are forked

import numpy as np
from head2toe.store.common.errors import StoreError
from head2toe.store.format.commits import Commit
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.format.layout import Spec
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.management.verify import verify
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.reading.feature_store import FeatureStore
from head2toe.store.writing.writer import StoreWriter

LAYERS = LayerIndex(("stem", "blocks.0/attn", "blocks.0.mlp", "head"), (64, 200, 33, 7))
ROWS_PER_BLOCK = 16
BLOCKS = 40
ROWS = ROWS_PER_BLOCK * BLOCKS - 3  # the last block is not full


def expected(rows: range | np.ndarray) -> dict[str, np.ndarray]:
    """What rows must hold: exact in float16, but for the last one's head, which is beyond it."""
    numbers = np.asarray(rows)[:, None]
    features = {
        name: ((numbers * 31 + np.arange(width) * 7 + layer) % 1013 / 8).astype(np.float32)
        for layer, (name, width) in enumerate(zip(LAYERS.names, LAYERS.widths, strict=True))
    }
    features["head"][numbers[:, 0] == ROWS - 1] = 1e6
    return features


class Torture:
    """One store after another, written by processes that are killed, until there were enough kills."""

    def __init__(self, root: Path, format: str, n_writers: int, rng: random.Random) -> None:
        self.root, self.format, self.n_writers, self.rng = root, format, n_writers, rng
        self.counts: Counter[str] = Counter()

    def run(self, kills: int) -> bool:
        """Returns whether everything went well."""
        while self.counts["kills"] < kills:
            self._one_store(kills)
        return not (self.counts["lost"] or self.counts["repeated"] or self.counts["wrong"])

    def summary(self) -> str:
        """What happened, in one line."""
        c = self.counts
        return (
            f"{self.format}: {c['kills']} kills of {self.n_writers} writers ({c['in sealing']} while sealing), "
            f"{c['stores']} stores of {BLOCKS} blocks finished, {c['checks']} block checks, {c['opens']} opens: "
            f"{c['lost']} lost, {c['repeated']} repeated, {c['wrong']} wrong"
        )

    def _one_store(self, kills: int) -> None:
        number = self.counts["stores"]
        self.identity = {"dtype": "float16", "format": self.format, "number": number}
        self.images = [hashlib.sha256(f"{number} {i}".encode()).hexdigest() for i in range(ROWS)]
        self.log = self.root / f"{self.format}-{number}.log"
        self.log.touch()
        path = self._writer().path
        writers = {self._fork() for _ in range(self.n_writers)}
        while writers:
            time.sleep(self.rng.uniform(0, 0.08))
            writers -= self._ended(writers)
            if writers and self.counts["kills"] < kills:
                victim = self.rng.choice(sorted(writers))
                os.kill(victim, signal.SIGKILL)
                os.waitpid(victim, 0)
                writers.remove(victim)
                self.counts["kills"] += 1
                self.counts["in sealing"] += len(list(path.glob("commit/*.json"))) == BLOCKS
                self._check(path)
                writers.add(self._fork())
        self._check(path)
        self._check_whole(path)
        self.counts["stores"] += 1
        shutil.rmtree(path)

    def _writer(self) -> StoreWriter:
        catalogue = Catalogue(self.root)
        return catalogue.writer(self.identity, self.images, LAYERS, format=self.format, rows_per_block=ROWS_PER_BLOCK)

    def _fork(self) -> int:
        seed = self.rng.random()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self._write(random.Random(seed))
                status = 0
            finally:
                os._exit(status)
        return pid

    def _ended(self, writers: set[int]) -> set[int]:
        """Writers that have finished; one that failed is as bad as a wrong number."""
        ended = set()
        for pid in writers:
            reaped, status = os.waitpid(pid, os.WNOHANG)
            if reaped:
                ended.add(pid)
                self.counts["wrong"] += status != 0
        return ended

    def _write(self, rng: random.Random) -> None:
        """What a writer does: blocks in random order, rows in random batches, then sealing."""
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        writer = self._writer()
        while pending := writer.pending():
            block = rng.choice(pending)
            claimed = writer.claim(block)
            if claimed is None:
                time.sleep(0.001)
                continue
            os.write(log, f"claimed {block}\n".encode())
            with claimed:
                rows = list(claimed.missing)
                rng.shuffle(rows)
                while rows:
                    batch, rows = np.array(rows[:5]), rows[5:]
                    claimed.put(batch, expected(batch))
                    time.sleep(rng.uniform(0, 0.001))
                claimed.commit()
            os.write(log, f"committed {block}\n".encode())
        writer.seal()

    def _check(self, path: Path) -> None:
        """Everything acknowledged is there, once, and right; and nobody can open half a store."""
        acknowledged: Counter[int] = Counter()
        for line in self.log.read_text().splitlines():
            what, block = line.split()
            if what == "committed":
                acknowledged[int(block)] += 1
            self.counts["repeated"] += what == "claimed" and acknowledged[int(block)] > 0
        self.counts["repeated"] += sum(count - 1 for count in acknowledged.values())
        spec = Spec.read(path)
        for block in range(spec.n_blocks):
            if Commit.read(path, spec, block) is None:
                self.counts["lost"] += block in acknowledged
            else:
                self.counts["checks"] += 1
                self.counts["wrong"] += not _block_is_right(path, spec, block)
        self.counts["opens"] += 1
        try:
            store = FeatureStore.open(path)
        except StoreError:
            return
        self.counts["wrong"] += not _store_is_right(store, self.images)

    def _check_whole(self, path: Path) -> None:
        """The finished store: complete, verified, right, and without leftovers."""
        verification = verify(path)
        self.counts["wrong"] += bool(verification.faults) or not verification.complete
        self.counts["wrong"] += not _store_is_right(FeatureStore.open(path), self.images)
        self.counts["wrong"] += any(file.suffix in (".partial", ".wide") for file in path.rglob("*"))


def _block_is_right(path: Path, spec: Spec, block: int) -> bool:
    """Whether a committed block holds what it must; somebody may be sealing, i.e. replacing it, at the same time."""
    for _ in range(50):
        commit = Commit.read(path, spec, block)
        rows = spec.block_rows(block)
        try:
            for place, (name, values) in zip(commit.places, expected(rows).items(), strict=True):
                size = next(file.nbytes for file in commit.files if file.path == place.file)
                both = (path / place.file, path / f"{place.file}.wide")
                file = next(one for one in both if one.is_file() and one.stat().st_size == size)
                raw = np.fromfile(file, place.dtype, values.shape[1] * spec.rows_per_block, offset=place.offset)
                found = raw.reshape(values.shape[1], -1)[:, : len(rows)].T
                if not np.array_equal(found, values):
                    raise ValueError(name)
        except (OSError, StopIteration, ValueError):
            if Commit.read(path, spec, block) == commit and not (path / "complete.json").exists():
                time.sleep(0.01)
            continue
        return True
    return False


def _store_is_right(store: FeatureStore, images: list[str]) -> bool:
    design = DesignMatrix.of([store], images)
    values = np.concatenate(list(expected(range(ROWS)).values()), axis=1)
    return store.dtypes[-1] == "float32" and np.array_equal(design.columns(np.arange(LAYERS.n_features)).T, values)


def main() -> int:
    """Run the torture for each format; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="for each format (default 60)")
    parser.add_argument("--writers", type=int, default=3, help="at once (default 3)")
    parser.add_argument("--formats", nargs="+", default=["zarr", "hdf5"], choices=["zarr", "hdf5"])
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: from the clock)")
    parser.add_argument("--root", type=Path, default=None, help="folder to work in (default: a temporary one)")
    options = parser.parse_args()
    seed = time.time_ns() % 10**9 if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    well = True
    with tempfile.TemporaryDirectory(prefix="head2toe-torture-", dir=options.root) as folder:
        for format in options.formats:
            torture = Torture(Path(folder), format, options.writers, random.Random(seed))
            start = time.monotonic()
            well &= torture.run(options.kills)
            print(f"{torture.summary()} ({time.monotonic() - start:.0f} s)", flush=True)
    print("survived" if well else "FAILED", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
