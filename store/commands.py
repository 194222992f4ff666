"""The commands `head2toe store …`, which call the catalogue, its maintenance and its archive.

What they need is imported by the command that needs it, so that `head2toe --help` imports neither zarr nor h5py.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from head2toe.store.console.cli import Folder, echo, json_option, show

if TYPE_CHECKING:
    from head2toe.store.management.catalogue import Catalogue

_FROM_0 = click.FloatRange(min=0)


def root_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all store commands share, `--store` and `--json`."""
    words = "Folder or bucket (s3://…) of the stores.  [default: $HEAD2TOE_STORE, else the cache]"
    option = click.option("--store", "root", type=Folder(), help=words)
    return option(json_option(command))


def _named(catalogue: "Catalogue", name: str) -> Path:
    """Return the folder of a store by its name; one that a bucket alone has is fetched."""
    from head2toe.store.management.maintenance import resolve

    catalogue.bring(name)
    return resolve(catalogue, name)


@click.group()
def store() -> None:
    """Look after feature stores. A store is named by its path or the beginning of its key.

    Example: head2toe store ls
    """


@store.command("ls")
@root_option
def store_ls(root: Path | str | None, as_json: bool) -> None:
    """List all stores: backbone, size, last use, state.

    Example: head2toe store ls
    """
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.management.listing import entries_text, entry_document
    from head2toe.store.management.maintenance import entries

    catalogue = catalogue_of(root)
    stores, elsewhere = entries(catalogue), catalogue.elsewhere()
    if as_json:
        document: dict[str, Any] = {"root": str(catalogue.root), "stores": [entry_document(store) for store in stores]}
        show(document | ({"elsewhere": elsewhere} if elsewhere else {}))
        return
    echo(entries_text(stores) if stores else f"no stores below {catalogue.root}")
    for key, blocks in elsewhere.items():
        echo(f"{key[:12]}  in the bucket alone: {blocks} row blocks")


@store.command("info")
@click.argument("name")
@root_option
def store_info(name: str, root: Path | str | None, as_json: bool) -> None:
    """Show every field of a store's key, and what was recorded beside it.

    Example: head2toe store info 3fa9
    """
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.management.listing import info_document, info_text
    from head2toe.store.management.maintenance import info

    description = info(_named(catalogue_of(root), name))
    if as_json:
        show(info_document(description))
    else:
        echo(info_text(description))


@store.command("verify")
@click.argument("names", nargs=-1)
@click.option("--repair", is_flag=True, help="Mark bad blocks: the next extraction writes them anew.")
@root_option
def store_verify(names: tuple[str, ...], repair: bool, root: Path | str | None, as_json: bool) -> None:
    """Read every byte and compare it with the records; all stores if none is named. Exit code 1 if something is wrong.

    Example: head2toe store verify --repair
    """
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.common.errors import StoreError
    from head2toe.store.console.progress import progress
    from head2toe.store.management.listing import verification_document, verification_text
    from head2toe.store.management.verify import verify

    catalogue, verifications, unreadable = catalogue_of(root), [], []
    paths = [_named(catalogue, name) for name in names] or list(catalogue.paths())
    for path in paths:
        try:
            with progress(f"verifying {path.name[:12]}", unit="B") as report:
                verifications.append(verify(path, repair=repair, progress=report))
        except StoreError as error:  # one whose spec can't be read, or that is in use, hides no other
            unreadable.append(str(error))
    if as_json:
        show({"stores": list(map(verification_document, verifications)), "unreadable": unreadable})
    elif verifications or not paths:
        echo("\n".join(map(verification_text, verifications)) or f"no stores below {catalogue.root}")
    for message in unreadable:
        echo(f"Error: {message}", err=True)
    if unreadable or any(verification.faults for verification in verifications):
        sys.exit(1)


@store.command("gc")
@click.option("--older-than", type=_FROM_0, metavar="DAYS", help="Also remove stores last used longer ago.")
@click.option("--max-size", type=_FROM_0, metavar="GB", help="Also remove the least recently used, down to this size.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed.")
@root_option
def store_gc(
    older_than: float | None, max_size: float | None, dry_run: bool, root: Path | str | None, as_json: bool
) -> None:
    """Remove what killed processes left and, on request, whole stores; never one in use.

    Example: head2toe store gc --max-size 50 --dry-run
    """
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.management.listing import collected_document, collected_text
    from head2toe.store.management.maintenance import collect

    collected = collect(
        catalogue_of(root),
        older_than=None if older_than is None else older_than * 86400,
        max_bytes=None if max_size is None else max_size * 1e9,
        dry_run=dry_run,
    )
    if as_json:
        show(collected_document(collected))
    else:
        echo(collected_text(collected, dry_run=dry_run))


@store.command("rm")
@click.argument("names", nargs=-1, required=True)
@root_option
def store_rm(names: tuple[str, ...], root: Path | str | None, as_json: bool) -> None:
    """Remove stores; of a bucket's, the copies on this machine. One that is in use stays.

    Example: head2toe store rm 3fa9
    """
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.console.text import readable
    from head2toe.store.management.maintenance import remove, resolve

    catalogue = catalogue_of(root)
    paths = [resolve(catalogue, name) for name in names]
    freed = {str(path): remove(path) for path in dict.fromkeys(paths)}
    if as_json:
        show({"removed": freed})
    else:
        echo("\n".join(f"removed {path} ({readable(nbytes)})" for path, nbytes in freed.items()))


@store.command("export")
@click.argument("name")
@click.argument("target", type=click.Path(path_type=Path))
@root_option
def store_export(name: str, target: Path, root: Path | str | None, as_json: bool) -> None:
    """Write a compressed, sharded copy of a store, for an archive or object storage.

    Example: head2toe store export 3fa9 digits.archive
    """
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.console.progress import progress
    from head2toe.store.console.text import readable
    from head2toe.store.management.archive import export_store

    with progress("exporting", unit="layer") as report:
        nbytes = export_store(_named(catalogue_of(root), name), target, progress=report)
    if as_json:
        show({"target": str(target), "bytes": nbytes})
    else:
        echo(f"exported {target} ({readable(nbytes)})")


@store.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@root_option
def store_import(source: Path, root: Path | str | None, as_json: bool) -> None:
    """Put an exported store back, byte for byte.

    Example: head2toe store import digits.archive
    """
    from head2toe.store.cloud.catalogue import catalogue_of
    from head2toe.store.console.progress import progress
    from head2toe.store.management.archive import import_store

    catalogue = catalogue_of(root)
    catalogue.require_folder("store import")
    with progress("importing", unit="layer") as report:
        imported = import_store(catalogue, source, progress=report)
    if as_json:
        show({"key": imported.key, "store": str(imported.path)})
    else:
        echo(f"imported {imported.path}")
