"""Feature stores and archives that can't be used."""

import json
import os
from pathlib import Path

from click.testing import CliRunner
from head2toe.tests.bad_inputs.bad_input import (
    BadInput,
    both,
    change,
    cut,
    flip,
    one,
    overwrite,
    remove,
    replace,
    write,
)

STORE = "stores/??/*"
DATA = f"{STORE}/data.zarr/pre_logits/c.0.0"
AGAIN = "run photos … --methods linear --fresh"


def archive(here: Path) -> None:
    """Export the store to `archive`."""
    from head2toe.pipeline import main

    key = one(here, STORE).name
    assert CliRunner().invoke(main, ["store", "export", key, "archive"]).exit_code == 0


def linked(here: Path) -> None:
    """Put a link to a file elsewhere in place of one of the archive's."""
    file = next(path for path in sorted((here / "archive").rglob("*")) if path.name == "images.txt")
    file.unlink()
    file.symlink_to("/etc/hostname")


def endless(here: Path) -> None:
    """Put a named pipe in place of a record."""
    one(here, f"{STORE}/commit/0.json").unlink()
    os.mkfifo(one(here, f"{STORE}/commit") / "0.json")


def nested(here: Path) -> None:
    """Nest a record 100,000 levels deep."""
    one(here, f"{STORE}/spec.json").write_text("[" * 100_000, encoding="utf-8")


def huge(here: Path) -> None:
    """Let the store's description claim 2^40 features."""
    file = one(here, f"{STORE}/spec.json")
    document = json.loads(file.read_text(encoding="utf-8"))
    document["layers"][0]["width"] = 1 << 40
    document["crc32c"] = None
    file.write_text(json.dumps(document), encoding="utf-8")


ROWS = (
    BadInput("", "store info 3fa9", 2, "no store '3fa9' below stores: `head2toe store ls` lists those there are"),
    BadInput("", "store rm photos", 2, "no store 'photos' below stores: `head2toe store ls` lists those there are"),
    BadInput(
        "", "store verify nothing", 2, "no store 'nothing' below stores: `head2toe store ls` lists those there are"
    ),
    BadInput(
        "the root of the stores is a file",
        "store ls --store file",
        2,
        "Invalid value for '--store': Directory 'file' is a file.",
        write("file"),
    ),
    BadInput("", "store gc --max-size -1", 2, "Invalid value for '--max-size': -1.0 is not in the range x>=0."),
    BadInput(
        "", "store import photos", 1, "photos: not an archive of a feature store; `head2toe store export` makes one"
    ),
    BadInput("", "store import nothing", 2, "Invalid value for 'SOURCE': Path 'nothing' does not exist."),
    BadInput(
        "an archive of a store that is there",
        "store import archive",
        2,
        "stores/…: this store is there already; `head2toe store rm …` removes it",
        archive,
    ),
    BadInput(
        "an archive to a folder that is there",
        "store export KEY photos",
        2,
        "photos: exists already; name a folder that doesn't",
    ),
    BadInput(
        "an archive with a link in it",
        "store import archive",
        1,
        (
            "archive/store/images.txt: a link or special file, which import doesn't follow: if it is a link "
            "of your own, make a plain copy with `cp -rL archive NEW_FOLDER` and import that"
        ),
        both(archive, remove("stores"), linked),
    ),
    BadInput(
        "an archive of a newer version",
        "store import archive",
        1,
        "archive: written by a newer head2toe (archive format 9): upgrade head2toe",
        both(
            archive,
            remove("stores"),
            replace("archive/features.zarr/zarr.json", '"format_version": 1', '"format_version": 9'),
        ),
    ),
    BadInput(
        "a block of features is cut short",
        AGAIN,
        1,
        (
            "stores/…/data.zarr/pre_logits/c.0.0: truncated or overwritten (100 bytes instead of 12288): run "
            "`head2toe store verify --repair …`, then extract again"
        ),
        cut(DATA, 100),
    ),
    BadInput(
        "a block of features is missing",
        AGAIN,
        1,
        ("stores/…/data.zarr/pre_logits/c.0.0: missing: run `head2toe store verify --repair …`, then extract again"),
        remove(DATA),
    ),
    BadInput(
        "a bit of the features has changed",
        AGAIN,
        1,
        (
            "stores/…/data.zarr/pre_logits/c.0.0: row block 0: the content isn't what was written (CRC-32C): "
            "run `head2toe store verify --repair …`, then extract again"
        ),
        flip(DATA, 900),
    ),
    BadInput(
        "a record is missing",
        AGAIN,
        1,
        (
            "stores/…/commit/0.json: missing, though the store was complete: run `head2toe store verify "
            "--repair …`, then extract again"
        ),
        remove(f"{STORE}/commit/0.json"),
    ),
    BadInput(
        "a record is no JSON",
        AGAIN,
        1,
        ("stores/…/commit/0.json: damaged (not JSON): run `head2toe store verify --repair …`, then extract again"),
        overwrite(f"{STORE}/commit/0.json", "{"),
    ),
    BadInput(
        "a record is a named pipe",
        AGAIN,
        1,
        (
            "stores/…/commit/0.json: damaged (no regular file): run `head2toe store verify --repair …`, then "
            "extract again"
        ),
        endless,
    ),
    BadInput(
        "a record of other numbers",
        AGAIN,
        1,
        (
            "stores/…/commit/0.json: damaged (not what was written): run `head2toe store verify --repair …`, "
            "then extract again"
        ),
        change(f"{STORE}/commit/0.json", rows=7),
    ),
    BadInput(
        "a description nested 100,000 levels deep",
        "store info KEY",
        1,
        "stores/…/spec.json: damaged (not JSON): remove it with `head2toe store rm …` and extract again",
        nested,
    ),
    BadInput(
        "a description of 2^40 features",
        "store info KEY",
        1,
        (
            "stores/…/commit/0.json: bad or missing field (data.zarr/pre_logits/c.0.0 is too short for its "
            "layer): run `head2toe store verify --repair …`, then extract again"
        ),
        huge,
    ),
    BadInput(
        "a description that is missing (a copy cut short)",
        "store info KEY",
        1,
        (
            "stores/…/spec.json: missing, as after a copy that was cut short: remove it with `head2toe store "
            "rm …` and extract again"
        ),
        remove(f"{STORE}/spec.json"),
    ),
    BadInput(
        "a store of a newer version",
        "store info KEY",
        1,
        "stores/…/spec.json: written by a newer head2toe (format 9, this one reads 1): upgrade head2toe",
        change(f"{STORE}/spec.json", format_version=9, crc32c=None),
    ),
    BadInput(
        "the same, when it is needed",
        AGAIN,
        1,
        "stores/…/spec.json: written by a newer head2toe (format 9, this one reads 1): upgrade head2toe",
        change(f"{STORE}/spec.json", format_version=9, crc32c=None),
    ),
    BadInput(
        "the list of images is cut short",
        AGAIN,
        1,
        ("stores/…/images.txt: it isn't what was written: remove it with `head2toe store rm …` and extract again"),
        cut(f"{STORE}/images.txt", 100),
    ),
    BadInput(
        "a store that was never finished",
        "store export KEY archive",
        1,
        "stores/…: not finished (never sealed); run the extraction again, which takes up where it stopped",
        remove(f"{STORE}/complete.json"),
    ),
)
