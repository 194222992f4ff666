"""What `head2toe doctor` looks at on this machine: Python, memory, and what the store root's file system can do.

What can be tried is tried, in a folder there, and not looked up: what the store's crash safety is made of.
"""

import mmap
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from head2toe.store.common.cli import Check
from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import Lock, explained, preallocate, sync_folder, write_bytes
from head2toe.store.common.text import readable

ANOTHER_ROOT = "choose a folder on a local disk with --store DIR or HEAD2TOE_STORE"
LEAST_DISK, LITTLE_DISK = 10**8, 5 * 10**9
LITTLE_MEMORY = 2 * 10**9


def machine_checks() -> list[Check]:
    """Python, cores and memory."""
    checks = [Check("python", "ok", f"{platform.python_version()}, {platform.machine()}, {platform.system()}")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free, total = available_memory(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{readable(free)} available of {readable(total)}, {cores} cores"
    little = free < LITTLE_MEMORY
    remedy = "take a smaller --batch-size and --target-size, or end other programs" if little else ""
    return [*checks, Check("memory", "note" if little else "ok", text, remedy)]


def available_memory() -> int:
    """Bytes that can be had without swapping; the page cache counts as free where the kernel says so (Linux)."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return 1024 * int(fields["MemAvailable"].split()[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def root_checks(root: Path) -> list[Check]:
    """Whether stores can be written below `root` (or where it would be made), and how much room there is.

    Everything is tried in a temporary folder there, which is removed again; the root itself is not created.
    """
    where = next((folder for folder in (root, *root.parents) if folder.exists()), Path("/"))
    there = "" if where == root else f", not there yet: tried in {where}"
    try:
        if not where.is_dir():
            raise StoreError(f"{where}: is no folder: {ANOTHER_ROOT}")
        with explained(where), tempfile.TemporaryDirectory(prefix=".doctor.", dir=where) as folder:
            checks = [Check("store root", "ok", f"{root}{there}")]
            checks += [_tried(name, *trial, Path(folder)) for name, trial in TRIALS.items()]
    except StoreError as error:
        return [Check("store root", "FAIL", f"not writable: {error}", ANOTHER_ROOT)]
    return [*checks, _disk(where)]


def _tried(name: str, trial: Callable[[Path], None], text: str, folder: Path) -> Check:
    try:
        with explained(folder):
            trial(folder)
    except StoreError as error:
        return Check(name, "FAIL", str(error), ANOTHER_ROOT)
    return Check(name, "ok", text)


def _disk(where: Path) -> Check:
    free = shutil.disk_usage(where).free
    state = "FAIL" if free < LEAST_DISK else "note" if free < LITTLE_DISK else "ok"
    remedy = "" if state == "ok" else f"free some (`head2toe store gc`), or {ANOTHER_ROOT}"
    return Check("disk space", state, f"{readable(free)} free", remedy)


def _write(folder: Path) -> None:
    with (folder / "data").open("xb") as file:
        preallocate(file.fileno(), 1 << 16)
        os.pwrite(file.fileno(), b"head2toe", 4096)
        os.fsync(file.fileno())
    sync_folder(folder)


def _flock(folder: Path) -> None:
    with Lock.take(folder / "lock") or _refuse("a fresh file can't be locked"):
        if Lock.take(folder / "lock") is not None:
            _refuse("two locks at once are granted: writers can't keep apart")
    if Lock.take(folder / "lock") is None:
        _refuse("a lock that was given back stays")


def _mmap(folder: Path) -> None:
    with (folder / "data").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        if view[4096:4104] != b"head2toe":
            _refuse("a mapped file shows other bytes than were written")


def _link(folder: Path) -> None:
    write_bytes(folder / "linked", b"first", exclusive=True)
    if write_bytes(folder / "linked", b"second", exclusive=True) or (folder / "linked").read_bytes() != b"first":
        _refuse("a hard link replaced a name that was taken")


def _rename(folder: Path) -> None:
    for content in (b"old", b"new"):
        write_bytes(folder / "renamed", content)
    if (folder / "renamed").read_bytes() != b"new" or list(folder.glob("*.partial")):
        _refuse("a rename does not replace the file of that name")


def _refuse(why: str) -> Lock:
    raise StoreError(why)


TRIALS = {
    "write": (_write, "written, reserved and synced"),
    "flock": (_flock, "a lock keeps a second one out"),
    "mmap": (_mmap, "a mapping shows what was written"),
    "link": (_link, "a name that is taken stays as it is"),
    "rename": (_rename, "a file gets its name in one step"),
}
