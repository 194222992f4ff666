"""The reader of WebDataset shards: tar files of `<key>.jpg` beside `<key>.cls`, which are not unpacked.

The format: https://github.com/webdataset/webdataset. Members of one key (the name up to the first dot after the last
slash) are one sample, whose parts are told by what follows the last dot: `1.left.jpg` is the image of sample `1`.
`.cls` holds the label, a number or a name.
"""

import re
import tarfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from head2toe.extract.images.file_formats import check_content, format_of_suffix, is_readable_format
from head2toe.extract.images.sources import EncodedImage
from head2toe.extract.readers.listing import (
    TRAIN,
    Listing,
    by_split,
    encode_labels,
    is_missing,
    read_class_names,
    split_of,
)
from head2toe.store.common.errors import DataError

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LABEL_SUFFIX = ".cls"
_LONGEST_LABEL = 10_000
"""Bytes of a label, so that no file of another kind is read as one."""


@dataclass
class _Shard:
    """What a shard holds: images and labels by the key of their sample, and the suffixes of all samples.

    Images in formats that WebDataset has no decoder for are others, which count where a sample has none besides.
    """

    images: dict[str, EncodedImage] = field(default_factory=dict)
    other_images: dict[str, EncodedImage] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    suffixes: dict[str, list[str]] = field(default_factory=dict)


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
    rows, notes = [], []
    for file in files:
        shard = _read_shard(file)
        rows += [(splits[file] or TRAIN, image, shard.labels[key]) for key, image in shard.images.items()]
        if others := [key for key in shard.suffixes if key not in shard.images]:
            notes.append(f"{len(others)} samples of {file} have neither image nor label (.cls), such as {others[0]!r}")
    if not rows:
        raise DataError(f"no samples in {path}: expected <key>.jpg (or .png, .webp) and <key>.cls")
    classes, labels = encode_labels((label for _, _, label in rows), read_class_names(root), str(path))
    count = f"{len(files)} shard{'' if len(files) == 1 else 's'}"
    return Listing(
        layout="WebDataset",
        source=f"WebDataset {path.resolve()} ({count})",
        classes=classes,
        notes=tuple(notes),
        **by_split((split, image, label) for (split, image, _), label in zip(rows, labels, strict=True)),
    )


def _split(shard: Path) -> str | None:
    """The split that a shard's path names: `train/0.tar`, `pets-test-000003.tar`."""
    words = re.split(r"[^a-z]+", str(shard).lower())
    return next((split for word in words if (split := split_of(word))), None)


def _read_shard(file: Path) -> _Shard:
    """The samples of a shard in their order. Raises DataError if it is damaged, or a sample lacks image or label."""
    check_content(file)
    shard = _Shard()
    try:
        # "r:": an index of offsets is of no use in a compressed file.
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                _check_member(member, file)
                if member.isreg():
                    _add_member(shard, member, file)
    except (OSError, ValueError, OverflowError, MemoryError, RecursionError, tarfile.TarError) as error:
        why = str(error).partition(chr(10))[0] or type(error).__name__
        raise DataError(f"can't read shard {file} ({why}): expected a whole tar file, not compressed") from error
    found = shard.other_images | shard.images
    shard.images = {
        key: found[key] for key in shard.suffixes if key in shard.images or key in found.keys() & shard.labels
    }
    _check_pairs(shard, file)
    return shard


def _check_pairs(shard: _Shard, file: Path) -> None:
    """Every image has a label, and every label an image. Raises DataError that says what a sample has instead."""
    if missing := shard.labels.keys() - shard.images:
        key = min(missing)
        raise DataError(f"sample {key!r} in {file} has no image, but {', '.join(sorted(shard.suffixes[key]))}")
    if missing := shard.images.keys() - shard.labels:
        key = min(missing)
        unpack = "" if shard.labels else ", or unpack an archive of class folders"
        raise DataError(
            f"sample {key!r} in {file} has no label (.cls), but {', '.join(sorted(shard.suffixes[key]))}: write a "
            f"number or a name into {key}.cls{unpack}"
        )


def _check_member(member: tarfile.TarInfo, file: Path) -> None:
    """A member lies within its file: one that claims to be longer would be read into memory that there is not."""
    if member.issparse():
        raise DataError(f"{member.name!r} in {file} is a sparse file: write the shard anew, by tar without -S")
    if member.size < 0 or (member.isreg() and member.offset_data + member.size > file.stat().st_size):
        raise tarfile.ReadError(f"{member.name[:200]!r} claims {member.size} bytes, which are not there")


def _add_member(shard: _Shard, member: tarfile.TarInfo, file: Path) -> None:
    """Add an image or a label to its sample. Raises DataError if there is one already."""
    folder, slash, name = member.name.rpartition("/")
    stem, dot, extension = name.partition(".")
    if not stem or not dot:
        return  # hidden, or without a suffix: WebDataset takes neither for a part of a sample
    key, suffix = folder + slash + stem, f".{extension.rpartition('.')[2].lower()}"
    shard.suffixes.setdefault(key, []).append(f".{extension}")
    if suffix in _IMAGE_SUFFIXES:
        if key in shard.images:
            raise DataError(
                f"sample {key!r} in {file} has two images: a key ends at the first dot of a name; rename {name!r} if "
                "it is another sample"
            )
        shard.images[key] = _image(member, file)
    elif is_readable_format(format_of_suffix(suffix)):
        shard.other_images.setdefault(key, _image(member, file))
    elif suffix == _LABEL_SUFFIX:
        if member.size > _LONGEST_LABEL:
            raise DataError(f"{member.name!r} in {file} has {member.size} bytes, which is no label")
        label = _read_slice(file, member.offset_data, member.size).decode().strip()
        if is_missing(label):
            raise DataError(f"the label {member.name!r} in {file} is empty or nan")
        if shard.labels.setdefault(key, label) != label:
            raise DataError(f"sample {key!r} in {file} has two labels, {shard.labels[key]!r} and {label!r}")


def _image(member: tarfile.TarInfo, file: Path) -> EncodedImage:
    return EncodedImage(f"{file}:{member.name}", partial(_read_slice, file, member.offset_data, member.size))


def _read_slice(path: Path, offset: int, size: int) -> bytes:
    """`size` bytes of a file from `offset` on. Raises OSError if the file ends before."""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise OSError(f"{path} ends before byte {offset + size}")
    return content
