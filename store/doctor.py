"""What `head2toe doctor` checks of this machine: Python, memory, and what the store root's file system can do.

The file operations that the store's crash safety is made of are not looked up but tried, in a temporary folder there.
"""

import mmap
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from head2toe.store.common.cores import usable_cores
from head2toe.store.common.errors import StoreError
from head2toe.store.common.files import explained, preallocate, sync_folder, write_bytes
from head2toe.store.console.cli import Check
from head2toe.store.console.text import readable
from head2toe.store.writing.file_system import try_flock, try_link

ANOTHER_ROOT = "choose a folder on a local disk with --store DIR or HEAD2TOE_STORE"
"""The remedy for a root that won't do."""

LEAST_DISK, LITTLE_DISK = 10**8, 5 * 10**9
"""Free bytes on the disk below which the check fails, and below which it is noted."""

LITTLE_MEMORY = 2 * 10**9
"""Available bytes of memory below which it is noted."""


def machine_checks() -> list[Check]:
    """Check Python, cores and memory."""
    checks = [Check("python", "ok", f"{platform.python_version()}, {platform.machine()}, {platform.system()}")]
    free, total = available_memory(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{readable(free)} available of {readable(total)}, {usable_cores()} cores"
    little = free < LITTLE_MEMORY
    remedy = "take a smaller --batch-size and --target-size, or end other programs" if little else ""
    return [*checks, Check("memory", "note" if little else "ok", text, remedy)]


def available_memory() -> int:
    """Return the bytes of memory that can be had without swapping.

    The page cache counts as free where the kernel says so (Linux); elsewhere all memory does.
    """
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return 1024 * int(fields["MemAvailable"].split()[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def root_checks(root: Path) -> list[Check]:
    """Check whether stores can be written below `root` (or where it would be made), and how much room there is.

    Everything is tried in a temporary folder there, which is removed again; the root itself is not created.
    """
    existing = next((folder for folder in (root, *root.parents) if folder.exists()), Path("/"))
    note = "" if existing == root else f", not there yet: tried in {existing}"
    try:
        if not existing.is_dir():
            raise StoreError(f"{existing}: is no folder: {ANOTHER_ROOT}")
        with explained(existing), tempfile.TemporaryDirectory(prefix=".doctor.", dir=existing) as folder:
            checks = [Check("store root", "ok", f"{root}{note}")]
            checks += [_try(name, *trial, Path(folder)) for name, trial in TRIALS.items()]
    except StoreError as error:
        return [Check("store root", "FAIL", f"not writable: {error}", ANOTHER_ROOT)]
    return [*checks, _disk_check(existing)]


def _try(name: str, trial: Callable[[Path], None], text: str, folder: Path) -> Check:
    """Try a file operation in a folder."""
    try:
        with explained(folder):
            trial(folder)
    except StoreError as error:
        return Check(name, "FAIL", str(error), ANOTHER_ROOT)
    return Check(name, "ok", text)


def _disk_check(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    state = "FAIL" if free < LEAST_DISK else "note" if free < LITTLE_DISK else "ok"
    remedy = "" if state == "ok" else f"free some (`head2toe store gc`), or {ANOTHER_ROOT}"
    return Check("disk space", state, f"{readable(free)} free", remedy)


def _write(folder: Path) -> None:
    with (folder / "data").open("xb") as file:
        preallocate(file.fileno(), 1 << 16)
        os.pwrite(file.fileno(), b"head2toe", 4096)
        os.fsync(file.fileno())
    sync_folder(folder)


def _mmap(folder: Path) -> None:
    with (folder / "data").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        if view[4096:4104] != b"head2toe":
            raise StoreError("a mapped file shows other bytes than were written")


def _rename(folder: Path) -> None:
    file = folder / "renamed"
    for content in (b"old", b"new"):
        write_bytes(file, content)
    if file.read_bytes() != b"new" or list(folder.glob("*.partial")):
        raise StoreError("a rename does not replace the file of that name")


TRIALS = {
    "write": (_write, "written, reserved and synced"),
    "flock": (lambda folder: try_flock(folder / "lock"), "a lock keeps a second one out"),
    "mmap": (_mmap, "a mapping shows what was written"),
    "link": (lambda folder: try_link(folder / "linked"), "a name that is taken stays as it is"),
    "rename": (_rename, "a file gets its name in one step"),
}
"""The file operations that are tried, in this order (`mmap` reads what `write` wrote), each with what it shows."""
