"""Sealing: from "all blocks are committed" to a complete store that anyone may open.

A layer that is unsafe for float16 in one block is stored as float32 in all: sealing widens the blocks that were
committed before that was known. Every float16 is a float32, so that no number changes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from head2toe.store.common.files import ANOTHER_ROOT, PARTIAL, crc32c, explained
from head2toe.store.format.backends import backend
from head2toe.store.format.commits import Commit, read_commits
from head2toe.store.format.damage import damaged
from head2toe.store.format.key import FORMAT_VERSION
from head2toe.store.format.layout import Spec, lock_file, seal_file
from head2toe.store.format.records import write_record
from head2toe.store.reading.mapping import check, view
from head2toe.store.reading.store_lock import Lock, holder
from head2toe.store.writing.block_file import sync_folders, write_block
from head2toe.store.writing.waiting import Waiting

_WIDE = ".wide"


def seal(path: Path, spec: Spec) -> None:
    """Give each layer one dtype in all blocks, write the format's own metadata, and mark the store complete.

    Several processes may call it, any number of times, and be killed: a step is done again, or skipped if it was done.

    Raises
    ------
    StoreError
        Blocks are missing or damaged, or the disk refuses.
    """
    if seal_file(path).is_file():
        return
    if seal_file(path).is_dir():
        raise damaged(seal_file(path), "damaged (a folder, no file)")
    read_commits(path, spec)  # complain before waiting
    with explained(path, ANOTHER_ROOT):
        file, waiting = lock_file(path, "seal"), Waiting()
        while (lock := Lock.take(file)) is None:
            waiting.pause(0.1, lambda: f"store {spec.key[:12]} to be sealed by {holder(file)}")
        with lock:
            if seal_file(path).is_file():
                return
            for leftover in path.rglob(f"*{PARTIAL}"):  # all blocks are there: nobody is writing any more
                leftover.unlink(missing_ok=True)
            _finish_widening(path, read_commits(path, spec))
            for commit, dtypes in _too_narrow(read_commits(path, spec)):
                _widen(path, spec, commit, dtypes)
            commits = read_commits(path, spec)
            for commit in commits:
                commit.check_sizes(path)
            index = backend(spec.format).index(path, spec, commits)
            write_record(seal_file(path), _summary(path, spec, commits, index))


def _too_narrow(commits: Sequence[Commit]) -> list[tuple[Commit, list[str]]]:
    """List the commits whose dtypes aren't yet what the store as a whole needs, each with the dtypes that are."""
    columns = zip(*([place.dtype for place in commit.places] for commit in commits), strict=True)
    wanted = ["float32" if "float32" in dtypes else "float16" for dtypes in columns]
    return [(commit, wanted) for commit in commits if [place.dtype for place in commit.places] != wanted]


def _widen(path: Path, spec: Spec, commit: Commit, dtypes: list[str]) -> None:
    """Rewrite a block with some layers in float32.

    Its files are written beside the old ones, the record is replaced, and only then do the files take their names:
    if files that stand beside the old ones are as long as the record says, just the renaming is left to do.
    """
    places = dict(zip(spec.layers.names, commit.places, strict=True))
    records = {file.path: file for file in commit.files}
    widths = dict(zip(spec.layers.names, spec.layers.widths, strict=True))
    n_rows = len(spec.block_rows(commit.block))

    def layer(name: str) -> np.ndarray:
        place = places[name]
        shape = (widths[name], spec.rows_per_block)
        return view(path / place.file, records[place.file].nbytes, place.offset, shape, place.dtype)[:, :n_rows]

    for name, dtype in zip(spec.layers.names, dtypes, strict=True):
        if places[name].dtype != dtype:  # or else a new checksum would make damage look right
            check(path / places[name].file, records[places[name].file].crc32c, commit.block)
    files, wide_places = write_block(path, spec, commit.block, dtypes, layer, suffix=_WIDE, instead_of=commit)
    widened = replace(commit, files=files, places=wide_places, generation=commit.generation + 1)
    widened.write(path, spec, exclusive=False)
    _finish_widening(path, [widened])


def _finish_widening(path: Path, commits: Sequence[Commit]) -> None:
    """Give widened files their names if the record speaks of them; those of a killed attempt are removed.

    Widening only ever makes files larger, so that a file of the size in the record is the one that the record means.
    """
    for commit in commits:
        renamed = []
        for file in commit.files:
            wide = path / (file.path + _WIDE)
            if not wide.is_file():
                continue
            same = wide.stat().st_size == file.nbytes
            if same and not commit.places_of(file.path):  # the checksums of features, which widening makes no larger
                same = crc32c(wide) == file.crc32c
            if same:
                renamed.append(wide.replace(path / file.path))
            else:
                wide.unlink()
        sync_folders(renamed)


def _summary(path: Path, spec: Spec, commits: Sequence[Commit], index: Sequence[str]) -> dict[str, object]:
    """Return what complete.json says: the metadata files with size and CRC-32C, and a summary of the commits."""
    dtypes = [place.dtype for place in commits[0].places]
    return {
        "format_version": FORMAT_VERSION,
        "key": spec.key,
        "layers": dict(zip(spec.layers.names, dtypes, strict=True)),
        "float32_because": {name: reason for commit in commits for name, reason in commit.float32_because.items()},
        "index": [[name, (path / name).stat().st_size, crc32c(path / name)] for name in index],
        "reused": sum(commit.reused for commit in commits),
    }
