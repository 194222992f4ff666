"""What is said of a damaged store: the file, what is wrong with it, and a command that works when it is typed."""

import os
import shlex
import shutil
from pathlib import Path

import platformdirs
from head2toe.store.common.errors import Damaged
from head2toe.store.common.files import expanded

ENVIRONMENT = "HEAD2TOE_STORE"
"""The environment's variable that names the root."""

_HASH = frozenset("0123456789abcdef")


def default_root() -> Path:
    """Return the root of all stores where none is asked for: $HEAD2TOE_STORE, else the platform's cache folder."""
    chosen = os.environ.get(ENVIRONMENT) or platformdirs.user_cache_path("head2toe") / "stores"
    return expanded(chosen).absolute()


def is_key(name: str) -> bool:
    """Tell whether a name is a sha256 in hex, as those of all stores' folders are."""
    return len(name) == 64 and _HASH.issuperset(name)


def store_name(path: Path) -> str:
    """Name a store as a command finds it: by the beginning of its key below the default root, else by its path."""
    path = path.absolute()
    short = is_key(path.name) and path.parent.parent == default_root()
    return path.name[:12] if short else shlex.quote(str(path))


def list_command(root: Path) -> str:
    """Return the command that lists the stores below a root."""
    return "`head2toe store ls`" if root == default_root() else f"`head2toe store ls --store {shlex.quote(str(root))}`"


def remedy(file: Path, *, repairable: bool = True) -> str:
    """Say what to do about a damaged file of a store.

    Parameters
    ----------
    file : Path
        The store's folder, or a file below it.
    repairable : bool
        Whether extracting again can fill in what is missing; otherwise the store must be removed.
    """
    folders = (file, *file.parents)
    store = next((path for path in folders if is_key(path.name)), None)
    store = store or next((path for path in folders if (path / "spec.json").is_file()), file.parent)
    if repairable:
        return f"run `head2toe store verify --repair {store_name(store)}`, then extract again"
    return f"remove it with `head2toe store rm {store_name(store)}` and extract again"


def damaged(file: Path, what: str, *, repairable: bool = True) -> Damaged:
    """Make the error that reports a damaged file of a store; see `remedy`."""
    return Damaged(file, what, remedy(file, repairable=repairable))


def take_away(file: Path) -> None:
    """Remove a file of a store, or the folder that lies in its place; nothing happens if there is neither."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
