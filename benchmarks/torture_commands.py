"""Kill whole commands with SIGKILL and SIGTERM at random moments, and see that the same commands work afterwards.

    python benchmarks/torture_commands.py                # 40 kills
    python benchmarks/torture_commands.py --kills 200    # as in `make test-slow`

`run --save-model`, `export`, `predict`, `report`, `store export`, `import`, `gc` and `verify --repair` run in processes
that are forked from one that has imported everything, on the smallest network; `audit`, `forget`, `suggest`,
`predict --coverage`, `curve` and `try` in every third round. After each kill the same command must end well, write
what it wrote without a kill, byte for byte, and leave no partial file; after SIGTERM there must be none either, and the
exit code must be 143.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# No threads: the commands are forked.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import timm  # noqa: F401 - here, and the other heavy ones: not in every fork again
from head2toe.extract.deploy import export, predict  # noqa: F401
from head2toe.extract.deploy.bundle import Bundle
from head2toe.extract.uncertainty import suggestion  # noqa: F401
from head2toe.pipeline import main as head2toe
from head2toe.probe import experiment  # noqa: F401
from head2toe.probe.audit import audit, page  # noqa: F401
from head2toe.probe.forgetting import forget  # noqa: F401
from head2toe.probe.planning import backbone_trials, curve_chart, learning_curve  # noqa: F401
from head2toe.probe.report import run_page  # noqa: F401
from PIL import Image

NETWORK = ["--backbone", "test_resnet", "--weights", "random", "--input-size", "32", "--target-size", "16"]
NETWORK += ["--taps", "pre_logits,act1"]
RUN = ["run", "task", *NETWORK, "--methods", "linear", "--output", "results", "--save-model", "model"]
TRY = [
    "try",
    "task",
    *NETWORK[:-2],
    "--backbone",
    "test_vit",
    "--images",
    "12",
    "--store",
    "tried",
    "--output",
    "tried",
]
CURVE = ["curve", "task", *NETWORK, "--methods", "linear", "--sizes", "8,12,16", "--output", "curved", "-o", "c.svg"]
IMAGE = "task/train/dark/3.png"
RARELY = 3
"""Of so many rounds one has the commands that come in pairs with others, or take long."""
WRITTEN = {
    "export": ["copy/model.json", "copy/head.safetensors"],
    "predict": ["p.csv"],
    "audit": ["audit.html"],
    "forget": ["without/head.safetensors", "without/calibration.safetensors"],
    "suggest": ["next.csv"],
    "predict coverage": ["sets.csv"],
    "curve": ["c.svg"],
}
"""What commands write, the same whatever came before; a report and a model that forgot say how long it took."""


class Torture:
    """Commands that are killed in a folder with a task, its store, a result and a model."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        os.chdir(folder)
        os.environ["HEAD2TOE_STORE"] = str(folder / "stores")
        pixels = np.random.default_rng(0)
        for split, n in (("train", 8), ("test", 3)):
            for label, name in enumerate(("dark", "light")):
                (folder / "task" / split / name).mkdir(parents=True)
                for i in range(n):
                    image = pixels.integers(0, 128, (24, 24, 3), np.uint8) + np.uint8(120 * label)
                    Image.fromarray(image).save(folder / "task" / split / name / f"{i}.png")
        self._require("run", RUN)
        (store,) = folder.glob("stores/??/*")
        self.key = store.name
        self._require("store export", ["store", "export", self.key[:12], "archive"])
        self.run_folder = next(folder.glob("results/task-*"))
        self.commands: dict[str, tuple[list[str], Callable[[], None]]] = {
            "run": ([*RUN, "--fresh"], lambda: None),
            "run anew": (RUN, self._without_results),
            "export": (["export", str(self.run_folder), "--method", "linear", "-o", "copy"], lambda: None),
            "export torch": (["export", "model", "--format", "torch", "-o", "model.pt2"], lambda: None),
            "predict": (["predict", "model", "task", "-o", "p.csv", "--batch-size", "1"], lambda: None),
            "report": (["report", str(self.run_folder), "-o", "report.html"], lambda: None),
            "store export": (["store", "export", self.key[:12], "again"], lambda: remove(folder / "again")),
            "store import": (["store", "import", "archive"], lambda: remove(store)),
            "store gc": (["store", "gc"], lambda: None),
            "store verify": (["store", "verify", self.key[:12], "--repair"], lambda: None),
        }
        self.rare: dict[str, tuple[list[str], Callable[[], None]]] = {
            "audit": (["audit", str(self.run_folder), "-o", "audit.html"], lambda: None),
            "forget": (
                ["forget", str(self.run_folder), "--method", "linear", "--image", IMAGE, "-o", "without"],
                lambda: remove("without"),
            ),
            "suggest": (["suggest", "model", "task", "-k", "3", "-o", "next.csv"], lambda: None),
            "predict coverage": (["predict", "model", "task", "--coverage", "0.9", "-o", "sets.csv"], lambda: None),
            "curve": (CURVE, lambda: remove("curved")),
            "try": (TRY, lambda: remove("tried")),
        }
        self.written: dict[str, bytes] = {}

    def run(self, kills: int) -> bool:
        """Kill so many commands, in turns; returns whether everything went well."""
        times: dict[str, float] = {}
        rounds = 0
        while self.counts["kills"] < kills and not self.failures:
            rounds += 1
            for name, (words, prepare) in (self.commands | (self.rare if rounds % RARELY == 1 else {})).items():
                prepare()
                if name not in times:
                    times[name] = self._require(name, words)
                    self._compare(name)
                    prepare()
                self._kill(name, words, self.rng.uniform(0, times[name]))
                if name == "store import" and not any(self.folder.glob("stores/??/*/complete.json")):
                    self._require(name, words)
                elif name != "store import":
                    if name == "store export":
                        prepare()
                    self._require(name, words)
                    self._compare(name)
                self._check(name)
                if self.failures or self.counts["kills"] >= kills:
                    break
        return not self.failures

    def _kill(self, name: str, words: list[str], after: float) -> None:
        number = self.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        pid = self._start(words)
        time.sleep(after)
        os.kill(pid, number)
        _, status = os.waitpid(pid, 0)
        self.counts["kills"] += 1
        self.counts[name] += 1
        code = os.waitstatus_to_exitcode(status)
        if number == signal.SIGTERM and code not in (0, 143, -signal.SIGTERM):  # the last: it had not begun
            self.failures.append(f"{name} ended with {code} after SIGTERM: {self._output()}")
        if number == signal.SIGTERM and code == 143 and self._partials():
            self.failures.append(f"{name} left {self._partials()} after SIGTERM")
            return
        self.counts["too late"] += code == 0

    def _require(self, name: str, words: list[str]) -> float:
        """Run a command, which must end well; returns its seconds."""
        start = time.monotonic()
        _, status = os.waitpid(self._start(words), 0)
        if status:
            self.failures.append(f"{name}: exit code {os.waitstatus_to_exitcode(status)}: {self._output()}")
        return time.monotonic() - start

    def _check(self, name: str) -> None:
        """Everything that is there is whole."""
        if not name.startswith(("store import", "store gc", "store verify")) and self._partials():
            self.failures.append(f"{name} did not remove {self._partials()}")
        for folder in (self.folder / "model", self.folder / "copy", self.folder / "without"):
            if folder.exists():
                Bundle.load(folder)

    def _compare(self, name: str) -> None:
        """What a command writes is what it wrote the first time."""
        for file in WRITTEN.get(name, []):
            if not (self.folder / file).is_file():
                self.failures.append(f"{name} wrote no {file}")
            elif self.written.setdefault(f"{name}: {file}", now := (self.folder / file).read_bytes()) != now:
                self.failures.append(f"{name} wrote another {file}")

    def _partials(self) -> list[str]:
        return sorted(str(file) for file in self.folder.glob("**/*.partial") if "stores" not in file.parts)

    def _start(self, words: list[str]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            output = os.open(self.folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            head2toe(words)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _output(self) -> str:
        return " ".join((self.folder / "output.txt").read_text(errors="replace").split())[-500:]

    def _without_results(self) -> None:
        remove(self.folder / "model")
        for folder in self.folder.glob("results/task-*"):
            remove(folder)


def remove(path: Path | str) -> None:
    """Remove a folder, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def main() -> int:
    """Run the torture; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="in all (default 40)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: from the clock)")
    options = parser.parse_args()
    seed = time.time_ns() % 10**9 if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    here, start = Path.cwd(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="head2toe-torture-") as folder:
        torture = Torture(Path(folder), random.Random(seed))
        well = not torture.failures and torture.run(options.kills)
        os.chdir(here)
    counts = ", ".join(f"{name} {count}" for name, count in torture.counts.items())
    print(f"{counts} ({time.monotonic() - start:.0f} s)", *torture.failures, sep="\n")
    print("survived" if well else "FAILED", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
