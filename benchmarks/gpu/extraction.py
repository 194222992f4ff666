"""Stage one on a GPU: images a second by batch size, precision and what runs beside the forward pass.

    python benchmarks/gpu/extraction.py -o gpu-extraction.json          # a few minutes on a machine with a GPU
    python benchmarks/gpu/extraction.py --device cpu                    # small numbers, to see that it runs

Every row is `head2toe extract` into a fresh store, from images that were made for it: `arrays` are decoded already and
of the network's input size, so that network, copies and store are what takes time; `files` are JPEGs of a folder task.
The network has random weights, for speed alone is looked at. A row is the median of its rounds; all rows of a round
are run in turn, after one that does not count. Ratios are to the row `as by default`.

- `bare`: the forward pass alone, of one batch that is on the device already: the most that can be reached.
- `no writer thread`: features are brought to the host and written before the next batch begins.
- `not pinned`: batches lie in ordinary memory, so that copying them is waited for.

Below, what decoding alone does with threads and with processes, and how the store's files compare with plain ones.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.features import loop
from head2toe.extract.features.precision import Precision, torch_flags
from head2toe.extract.features.reader import FeatureReader, layer_index
from head2toe.extract.features.views import PLAIN
from head2toe.extract.images import batches
from head2toe.extract.images.preprocess import Resizer
from head2toe.extract.images.sources import ImageArray, ImageFile, ImageSource
from head2toe.extract.stage import store_identity
from head2toe.store.common.cores import usable_cores
from head2toe.store.common.errors import Head2ToeError
from head2toe.store.management.catalogue import Catalogue
from PIL import Image

TARGET_SIZE = 512
WRITTEN = 4096
"""Rows that the store's writer alone is given: two row blocks of float16 and more."""
Row = dict[str, Any]


def made_arrays(n: int, side: int) -> list[ImageSource]:
    """Images that are decoded already, of random pixels."""
    rng = np.random.default_rng(0)
    return [ImageArray(f"{i}", rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for i in range(n)]


def made_files(folder: Path, n: int, side: int = 400) -> list[ImageSource]:
    """JPEG files with smooth content, so that decoding costs what photographs cost."""
    rng, files = np.random.default_rng(0), []
    for i in range(n):
        small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i:05d}.jpg", quality=90)
        files.append(ImageFile(folder / f"{i:05d}.jpg"))
    return files


@contextmanager
def not_pinned() -> Iterator[None]:
    """Make batches in ordinary memory."""
    pinning = batches._stacked
    batches._stacked = lambda images, *, pinned: pinning(images, pinned=False)  # noqa: ARG005 (that is the point)
    try:
        yield
    finally:
        batches._stacked = pinning


def extracted(
    images: list[ImageSource],
    backbone: Backbone,
    taps: tuple[Tap, ...],
    batch_size: int,
    precision: Precision,
    *,
    threaded: bool | None = None,
    compiled: bool = False,
) -> dict[str, Any]:
    """Extract into a fresh store; returns seconds, bytes of the store and what was noted."""
    notes: list[str] = []
    digests = [image.digest() for image in images]
    with tempfile.TemporaryDirectory() as root:
        identity = store_identity(backbone, taps, TARGET_SIZE, "paper", "float16", precision=precision)
        writer = Catalogue(Path(root)).writer(identity, digests, layer_index(taps, TARGET_SIZE))
        how: dict[str, Any] = {"precision": precision, "threaded": threaded, "compiled": compiled, "note": notes.append}
        start = time.perf_counter()
        loop.run(images, digests, backbone, taps, {(PLAIN, TARGET_SIZE): writer}, batch_size=batch_size, **how)
        store = writer.seal()
        return {"seconds": time.perf_counter() - start, "bytes": store.nbytes, "notes": notes}


def bare(backbone: Backbone, batch_size: int, n: int, precision: Precision) -> dict[str, Any]:
    """The forward pass alone, of as many images."""
    pixels = torch.zeros((batch_size, 3, backbone.input_size, backbone.input_size), dtype=torch.uint8)
    there = pixels.to(backbone.device, memory_format=torch.channels_last)
    start = time.perf_counter()
    with torch.inference_mode(), precision.computing(backbone.device):
        for _ in range(0, n, batch_size):
            backbone.model(backbone.preprocessing.normalize(there))
    if backbone.device.type == "cuda":
        torch.cuda.synchronize(backbone.device)
    return {"seconds": time.perf_counter() - start, "bytes": 0, "notes": []}


def kinds(
    sources: dict[str, list[ImageSource]], backbone: Backbone, taps: tuple[Tap, ...], o: argparse.Namespace
) -> dict[str, tuple[int, Callable[[], dict[str, Any]]]]:
    """Every row by its name: how many images, and what is timed."""
    device, default = backbone.device.type, o.batch_sizes[-1]
    plain = Precision.of(device)
    arrays, files = sources["arrays"], sources["files"]
    rows: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {}

    def add(
        name: str, images: list[ImageSource], batch: int = default, precision: Precision = plain, **how: Any
    ) -> None:
        rows[name] = (len(images), partial(extracted, images, backbone, taps, batch, precision, **how))

    def unpinned() -> dict[str, Any]:
        with not_pinned():
            return extracted(arrays, backbone, taps, default, plain)

    rows[f"bare, batches of {default}"] = (len(arrays), partial(bare, backbone, default, len(arrays), plain))
    for batch in o.batch_sizes:
        add(f"arrays, batches of {batch}", arrays, batch)
        add(f"arrays, batches of {batch}, writer thread", arrays, batch, threaded=True)
        add(f"arrays, batches of {batch}, no writer thread", arrays, batch, threaded=False)
    rows["arrays, not pinned"] = (len(arrays), unpinned)
    for amp in ("float16", "bfloat16"):
        add(f"arrays, --amp {amp}", arrays, precision=Precision.of(device, amp=amp))
    if device == "cuda":
        add("arrays, --tf32", arrays, precision=Precision.of(device, tf32=True))
    if o.compile:
        add("arrays, --compile", arrays, compiled=True)
    add("files", files)
    add("files, --amp float16", files, precision=Precision.of(device, amp="float16"))
    return rows


def measured(
    rows: dict[str, tuple[int, Callable[[], dict[str, Any]]]],
    rounds: int,
    until: float,
    save: Callable[[list[Row]], None],
) -> list[Row]:
    """Run every row in turn, round by round, until a time on the clock; the first round does not count.

    What is known is saved after every row: a machine with a GPU may be lent for minutes.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    table: dict[str, Row] = {}
    for round_ in range(rounds + 1):
        for name, (n, work) in rows.items():
            if time.monotonic() > until and seconds[name]:
                continue
            try:
                found = work()
            except Head2ToeError as error:  # no compiler, for one: the other rows are of use all the same
                table[name] = {"row": name, "error": str(error)}
                continue
            if round_ or rounds == 0:
                seconds[name].append(found["seconds"])
            took = statistics.median(seconds[name] or [found["seconds"]])
            table[name] = {
                "row": name,
                "images": n,
                "rounds": len(seconds[name]),
                "images/s": n / took,
                "MB/s": found["bytes"] / took / 1e6,
                "notes": found["notes"],
            }
            save(list(table.values()))
    return list(table.values())


def _decoded(path: Path, resize: Resizer) -> int:
    return resize(ImageFile(path).load()).shape[-1]


def decoding(files: list[ImageSource], resize: Resizer, workers: list[int]) -> list[Row]:
    """Images a second that threads and processes decode and resize, without any network."""
    paths, table = [file.path for file in files if isinstance(file, ImageFile)], []
    for n in workers:
        pools: dict[str, Callable[[], Executor]] = {
            "threads": partial(ThreadPoolExecutor, n),
            "processes": partial(ProcessPoolExecutor, n, mp_context=get_context("forkserver")),
        }
        for kind, pool in pools.items():
            with pool() as executor:
                list(executor.map(partial(_decoded, resize=resize), paths[: 4 * n]))  # started, and imported
                start = time.perf_counter()
                list(executor.map(partial(_decoded, resize=resize), paths, chunksize=8))
            table.append({"row": f"decoding, {n} {kind}", "images/s": len(paths) / (time.perf_counter() - start)})
    return table


def writing(features: np.ndarray, images: list[ImageSource], backbone: Backbone, taps: tuple[Tap, ...]) -> list[Row]:
    """What the store's writer alone does with features that are there, beside a plain file that is made durable."""
    digests, layers = [image.digest() for image in images], layer_index(taps, TARGET_SIZE)
    with tempfile.TemporaryDirectory() as root:
        identity = store_identity(backbone, taps, TARGET_SIZE, "paper", "float16")
        writer = Catalogue(Path(root)).writer(identity, digests, layers)
        start = time.perf_counter()
        for block in writer.pending():
            claim = writer.claim(block)
            assert claim is not None, "nobody else writes here"
            with claim:
                for first in range(0, len(claim.missing), len(features)):
                    rows = claim.missing[first : first + len(features)]
                    of_layers = {name: features[: len(rows), layers.columns(name)] for name in layers.names}
                    claim.put(rows, of_layers)
                claim.commit()
        nbytes = writer.seal().nbytes
        took = time.perf_counter() - start
        content = np.zeros(nbytes, np.uint8)
        start = time.perf_counter()
        with (Path(root) / "plain").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        plain = time.perf_counter() - start
    return [
        {"row": "the store's writer alone", "images/s": len(images) / took, "MB/s": nbytes / took / 1e6},
        {"row": "a plain file of that size, synced", "images/s": len(images) / plain, "MB/s": nbytes / plain / 1e6},
    ]


@contextmanager
def mocked_device(features: np.ndarray, rate: float) -> Iterator[None]:
    """Let a device that only sleeps take the batches: what is left of its rate is what runs beside it."""
    begin = FeatureReader.begin

    def slept(reader: FeatureReader, batch: torch.Tensor) -> Callable[[], Any]:
        time.sleep(len(batch) / rate)
        return lambda: reader._by_size(features[: len(batch)].copy())

    FeatureReader.begin = slept  # type: ignore[method-assign]
    try:
        yield
    finally:
        FeatureReader.begin = begin  # type: ignore[method-assign]


def beside(
    features: np.ndarray, images: list[ImageSource], backbone: Backbone, taps: tuple[Tap, ...], rate: float
) -> list[Row]:
    """Images a second of a mocked device with and without the threads that write, in turn, three times each."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    with mocked_device(features, rate):
        for _ in range(3):
            for threaded, seconds in taken.items():
                found = extracted(images, backbone, taps, len(features), Precision(), threaded=threaded)
                seconds.append(found["seconds"])
    return [
        {
            "row": f"a mocked device of {rate:,.0f} images/s, {'' if threaded else 'no '}writer thread",
            "images/s": len(images) / statistics.median(seconds),
        }
        for threaded, seconds in taken.items()
    ]


def shown(table: list[Row], default: str) -> None:
    """Print the rows as a table to paste."""
    base = next((row["images/s"] for row in table if row["row"] == default and "images/s" in row), None)
    print("\n| | images/s | × | MB/s | |\n|---|---|---|---|---|")
    for row in table:
        if "error" in row:
            print(f"| {row['row']} | | | | {row['error']} |")
            continue
        ratio = f"{row['images/s'] / base:.2f}" if base else ""
        print(
            f"| {row['row']} | {row['images/s']:,.0f} | {ratio} | {f'{mb:,.0f}' if (mb := row.get('MB/s')) else ''} |"
            f" {'; '.join(row.get('notes', []))} |"
        )


def main() -> None:
    """Parse the command line, measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--images", type=int, help="how many arrays (default: 4096, on a CPU 128)")
    parser.add_argument("--files", type=int, help="how many JPEG files (default: 2048, on a CPU 64)")
    parser.add_argument("--input-size", type=int, help="of the network (default: its own, on a CPU 64)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", help="the last one is that of all other rows")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=240, help="no further round begins after that")
    parser.add_argument("--mocked-rate", type=float, default=500, help="images/s of the device that only sleeps")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave --compile out")
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu-extraction.json"))
    o = parser.parse_args()
    cpu = o.device == "cpu"
    o.batch_sizes = o.batch_sizes or ([8, 32] if cpu else [32, 256, 512, 128])
    backbone = load_backbone(
        o.model, weights="random", input_size=o.input_size or (64 if cpu else None), device=o.device
    )
    taps = discover(backbone, "h2t").taps
    cores = usable_cores()
    reader = FeatureReader(backbone, taps, (TARGET_SIZE,))
    few = torch.zeros((o.batch_sizes[-1], 3, backbone.input_size, backbone.input_size), dtype=torch.uint8)
    features = np.concatenate(list(reader(few)[TARGET_SIZE].values()), axis=1)
    card = "CPU" if cpu else torch.cuda.get_device_name(backbone.device)
    about = {"device": card, "cores": cores, "torch": torch.__version__, "threads of torch": torch.get_num_threads()}
    about |= {"model": o.model, "input size": backbone.input_size, "features of an image": features.shape[1]}
    about |= {"flags": torch_flags(Precision.of(backbone.device.type))}

    def save(table: list[Row]) -> None:
        o.output.write_text(json.dumps({**about, "rows": table}, indent=2) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        arrays = made_arrays(o.images or (128 if cpu else 4096), backbone.input_size)
        files = made_files(Path(folder), o.files or (64 if cpu else 2048))
        rows = kinds({"arrays": arrays, "files": files}, backbone, taps, o)
        table = measured(rows, o.rounds, time.monotonic() + o.seconds, save)
        tiny = made_arrays(WRITTEN, 4)
        for further in (
            partial(decoding, files, backbone.preprocessing.resizer(), sorted({1, max(1, cores // 2), cores})),
            partial(writing, features, tiny, backbone, taps),
            partial(beside, features, tiny, backbone, taps, o.mocked_rate),
        ):
            table += further()
            save(table)
    print(", ".join(f"{name} {value}" for name, value in about.items() if name != "flags"))
    shown(table, f"arrays, batches of {o.batch_sizes[-1]}")
    print(f"\nwritten to {o.output}")


if __name__ == "__main__":
    main()
