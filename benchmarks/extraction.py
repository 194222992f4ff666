"""Extraction beside a bare forward loop of the same model over the same images: what do taps, pooling and store cost?

    python benchmarks/extraction.py                 # a few minutes on two cores
    python benchmarks/extraction.py --device cuda --batch-size 128

Both decode the same JPEG files with the same threads; both run in turn, round by round; the figure is the median over
the rounds of the ratio of images per second (wall time) and of CPU time. A round takes as many images as the bare loop
does in `--seconds`, so that a fast model is not judged by the milliseconds that a store takes once.
Expected: at least 0.90 images per second of the bare loop's.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.taps import Tap, discover
from head2toe.extract.features.loop import run
from head2toe.extract.features.reader import layer_index
from head2toe.extract.features.views import PLAIN
from head2toe.extract.images.batches import batches
from head2toe.extract.images.sources import ImageFile
from head2toe.extract.stage import store_identity
from head2toe.store.management.catalogue import Catalogue
from PIL import Image

MODELS = ("resnet50", "vit_base_patch16_224", "tf_efficientnet_lite0")


def photographs(folder: Path, n: int, side: int = 300) -> list[ImageFile]:
    """JPEG files with smooth content, so that decoding costs what photographs cost."""
    rng = np.random.default_rng(0)
    files = []
    for i in range(n):
        small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        files.append(ImageFile(folder / f"{i:05d}.jpg"))
        small.resize((side, side), Image.Resampling.BICUBIC).save(files[-1].path, quality=90)
    return files


def bare(images: Sequence[ImageFile], digests: Sequence[str], backbone: Backbone, batch_size: int) -> None:
    """Decode, normalise, forward; nothing is kept."""
    source = dict(zip(digests, images, strict=True))
    with torch.inference_mode():
        for _, batch in batches(digests, source, backbone.preprocessing, batch_size):
            there = batch.to(backbone.device, memory_format=torch.channels_last)
            backbone.model(backbone.preprocessing.normalize(there)).cpu()


def extracted(
    images: Sequence[ImageFile], digests: Sequence[str], backbone: Backbone, taps: Sequence[Tap], batch_size: int
) -> None:
    """The same through `head2toe extract`, into a fresh store."""
    with tempfile.TemporaryDirectory() as root:
        identity = store_identity(backbone, taps, 512, "paper", "float16")
        writer = Catalogue(Path(root)).writer(identity, digests, layer_index(taps, 512))
        run(images, digests, backbone, taps, {(PLAIN, 512): writer}, batch_size=batch_size)
        writer.seal()


def timed(task: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seconds", type=float, default=12, help="length of a bare round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="auto")
    o = parser.parse_args()
    print(f"{'model':24}{'taps':>6}{'images':>8}{'bare img/s':>12}{'extract img/s':>15}{'ratio':>8}{'CPU ratio':>11}")
    for name in o.models:
        with tempfile.TemporaryDirectory() as folder:
            backbone = load_backbone(name, weights="random", device=o.device)
            print(compare(name, backbone, Path(folder), o.seconds, o.rounds, o.batch_size), flush=True)


def compare(name: str, backbone: Backbone, folder: Path, seconds: float, rounds: int, batch_size: int) -> str:
    """A line of the table."""
    taps = discover(backbone, "h2t").taps
    few = photographs(folder, 2 * batch_size)
    digests = [image.digest() for image in few]
    bare(few, digests, backbone, batch_size)
    rate = len(few) / timed(lambda: bare(few, digests, backbone, batch_size))[0]
    n = max(2, round(rate * seconds / batch_size)) * batch_size
    images = photographs(folder, n)
    digests = [image.digest() for image in images]
    measured = []
    for _ in range(rounds):
        plain = timed(lambda: bare(images, digests, backbone, batch_size))
        ours = timed(lambda: extracted(images, digests, backbone, taps, batch_size))
        measured.append((n / plain[0], n / ours[0], plain[0] / ours[0], plain[1] / ours[1]))
    a, b, ratio, cpu = map(statistics.median, zip(*measured, strict=True))
    return f"{name:24}{len(taps):6}{n:8}{a:12.1f}{b:15.1f}{ratio:8.2f}{cpu:11.2f}"


if __name__ == "__main__":
    main()
