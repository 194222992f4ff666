"""The reader of WebDataset shards: tar files of `<key>.jpg` beside `<key>.cls`, which are not unpacked.

The format: https://github.com/webdataset/webdataset. Members of one key (the name up to the first dot after the last
slash) are one sample; `.cls` holds the label, a number or a name.
"""

import re
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from head2toe.extract.images.sources import EncodedImage
from head2toe.extract.readers.listing import TRAIN, Listing, by_split, encode_labels, read_class_names, split_of
from head2toe.store.common.errors import DataError

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LABEL_SUFFIX = ".cls"


def shards(folder: Path) -> list[Path]:
    """Return the tar files of a folder and of its subfolders (`train/0.tar`) in the order of their paths.

    Hidden files are left out.
    """
    files = (path for pattern in ("*.tar", "*/*.tar") for path in folder.glob(pattern) if path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def read(path: Path) -> Listing:
    """Read one shard, or a folder of shards with the split in their names (`x-train-0000.tar`, `test/0.tar`).

    Raises
    ------
    DataError
        A shard is damaged, a sample lacks its image or label, or a shard's name says no split while others' do.
    """
    files = [path] if path.is_file() else shards(path)
    root = path.parent if path.is_file() else path
    splits = {file: _split(file.relative_to(root)) for file in files}
    if set(splits.values()) - {None} and (unnamed := [file for file, split in splits.items() if split is None]):
        raise DataError(f"shard {unnamed[0]} has no split in its name (train, val or test), but other shards have")
    rows = [(splits[file] or TRAIN, *sample) for file in files for sample in _samples(file)]
    if not rows:
        raise DataError(f"no samples in {path}: expected <key>.jpg (or .png, .webp) and <key>.cls")
    classes, labels = encode_labels((label for _, _, label in rows), read_class_names(root), str(path))
    count = f"{len(files)} shard{'' if len(files) == 1 else 's'}"
    return Listing(
        layout="WebDataset",
        source=f"WebDataset {path.resolve()} ({count})",
        classes=classes,
        **by_split((split, image, label) for (split, image, _), label in zip(rows, labels, strict=True)),
    )


def _split(shard: Path) -> str | None:
    """The split that a shard's path names: `train/0.tar`, `pets-test-000003.tar`."""
    words = re.split(r"[^a-z]+", str(shard).lower())
    return next((split for word in words if (split := split_of(word))), None)


def _samples(shard: Path) -> Iterator[tuple[EncodedImage, str]]:
    """Image and label of each sample of a shard, in its order."""
    images: dict[str, EncodedImage] = {}
    labels: dict[str, str] = {}
    try:
        # "r:": an index of offsets is of no use in a compressed file.
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if not member.isreg():
                    continue
                folder, slash, name = member.name.rpartition("/")
                stem, dot, extension = name.partition(".")
                key, extension = folder + slash + stem, (dot + extension).lower()
                if extension in _IMAGE_SUFFIXES:
                    if key in images:
                        raise DataError(f"sample {key!r} in {shard} has two images")
                    read_member = partial(_read_slice, shard, member.offset_data, member.size)
                    images[key] = EncodedImage(f"{shard}:{member.name}", read_member)
                elif extension == _LABEL_SUFFIX:
                    labels[key] = _read_slice(shard, member.offset_data, member.size).decode().strip()
    except (OSError, tarfile.TarError, UnicodeDecodeError) as error:
        why = str(error).partition(chr(10))[0]
        raise DataError(f"can't read shard {shard} ({why}): expected a whole tar file, not compressed") from error
    for missing, what in ((labels.keys() - images, "image"), (images.keys() - labels, "label (.cls)")):
        if missing:
            raise DataError(f"sample {min(missing)!r} in {shard} has no {what}")
    return ((image, labels[key]) for key, image in images.items())


def _read_slice(path: Path, offset: int, size: int) -> bytes:
    """`size` bytes of a file from `offset` on. Raises OSError if the file ends before."""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise OSError(f"{path} ends before byte {offset + size}")
    return content
