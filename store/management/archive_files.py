"""Which files a store consists of, and whether an archive from anywhere holds plain files of sensible sizes alone."""

import os
import shlex
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import explained, make_folders, share
from head2toe.store.format.commits import Commit, Place
from head2toe.store.format.damage import damaged
from head2toe.store.format.layout import Spec, commit_file, images_file, seal_file, spec_file
from head2toe.store.management.verify import index_files


def archive_damaged(source: Any, what: str) -> StoreError:
    """Make the error that reports a damaged archive: where it is, and what is wrong in a few words."""
    return StoreError(f"{source}: the archive is damaged ({what}): get it anew")


def require_plain(source: Path) -> None:
    """Check that an archive holds nothing but files and folders.

    A link may lead out of the archive, to a private file or one without an end, and a pipe or device never ends.

    Raises
    ------
    StoreError
        There is a link or another special file; the message names it.
    """
    with explained(source):
        for folder, folders, files in os.walk(source):  # which follows no link but `source` itself
            for name in (*folders, *files):
                file = Path(folder, name)
                mode = file.lstat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise StoreError(
                        f"{file}: a link or special file, which import doesn't follow: if it is a link of your own, "
                        f"make a plain copy with `cp -rL {shlex.quote(str(source))} NEW_FOLDER` and import that"
                    )


def file_names(path: Path, spec: Spec, commits: Sequence[Commit]) -> list[str]:
    """List all files of a complete store by their names relative to it: records, data and the format's metadata.

    Raises
    ------
    StoreError
        The record of the metadata can't be read.
    """
    records = [images_file(path), spec_file(path), seal_file(path)]
    records += [commit_file(path, block) for block in range(spec.n_blocks)]
    data = [file.path for commit in commits for file in commit.files]
    return [
        *(file.relative_to(path).as_posix() for file in records),
        *data,
        *(file.path for file in index_files(path, spec)),
    ]


def gaps(spec: Spec, commit: Commit, name: str) -> list[tuple[int, int]]:
    """List the byte ranges [start, stop) of a data file that no layer covers, in order."""
    size = next(file.nbytes for file in commit.files if file.path == name)
    covered = sorted(
        (place.offset, place.offset + _layer_bytes(spec, place, width))
        for place, width in zip(commit.places, spec.layers.widths, strict=True)
        if place.file == name
    )
    starts = [0, *(stop for _, stop in covered)]
    stops = [*(start for start, _ in covered), size]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]


def check_sizes(around: Path, spec: Spec, commit: Commit) -> None:
    """Check that what an archive holds around a block's features is as long as the block's record says it must be.

    Parameters
    ----------
    around : Path
        The archive's folder of all bytes that aren't features.
    spec, commit
        Of the store and the block.

    Raises
    ------
    StoreError
        It isn't.
    """
    for file in commit.files:
        with explained(around / file.path):
            size = (around / file.path).stat().st_size
        if size != sum(stop - start for start, stop in gaps(spec, commit, file.path)):
            raise damaged(around / file.path, "not of the size that its record says")


def copy_file(folder: Path, name: str, target: Path) -> None:
    """Copy one file of a folder into another folder, under the same name, with the folders that it needs."""
    make_folders((target / name).parent)
    with explained(folder / name):
        source = (folder / name).open("rb")
    with source, (target / name).open("wb") as copy:
        share(copy.fileno(), (target / name).parent)
        shutil.copyfileobj(source, copy)


def _layer_bytes(spec: Spec, place: Place, width: int) -> int:
    return width * spec.rows_per_block * np.dtype(place.dtype).itemsize
