"""Tasks in a bucket: what lies at a URL is copied, and read as the same files on this machine would be."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from head2toe.extract.images.sources import EncodedImage, ImageFile, ImageSource
from head2toe.extract.readers import formats, manifest
from head2toe.extract.readers.listing import CLASS_FILES, Listing, Row
from head2toe.extract.readers.tables import Columns
from head2toe.store.cloud.folders import copied_file, copied_folder
from head2toe.store.common.errors import BadRequest, DataError


def name_of(url: str) -> str:
    """Return the name of a task at a URL: that of its file or folder."""
    path = PurePosixPath(url)
    return path.stem if _is_file(url) else path.name


def read(url: str, columns: Columns | None = None) -> Listing:
    """Read the images and labels at a URL, in whichever format of `head2toe.extract.readers.formats` they are.

    Of a manifest (.csv, .tsv, .parquet) only the images that it names are copied, of a shard (.tar) that alone; any
    other URL is a folder's, of which all is copied.

    Parameters
    ----------
    url : str
        `s3://bucket/pets`, `gs://bucket/pets/train-0000.tar`, …
    columns : Columns, optional
        The columns that the user named, for formats that have any.

    Returns
    -------
    Listing
        Images are named by their URLs.

    Raises
    ------
    BadRequest, DataError, MissingExtra
        As of `head2toe.extract.readers.formats.read`, or of the URL: it makes no sense, or nothing is there.
    BucketError
        The bucket refuses, or does not answer.
    Refused
        The copy can't be written.
    """
    if _is_file(url):
        path, base = copied_file(url, beside=CLASS_FILES), url.rpartition("/")[0]
        folder = path.parent
    else:
        path, base = copied_folder(url), url.rstrip("/")
        folder = path
    try:
        listing = manifest.read(path, columns, base) if _is_manifest(url) else formats.read(path, columns)
    except (BadRequest, DataError) as error:
        raise type(error)(str(error).replace(str(folder), base)) from error
    return replace(
        listing,
        source=listing.source.replace(str(folder), base),
        notes=tuple(note.replace(str(folder), base) for note in listing.notes),
        train=_renamed(listing.train, folder, base),
        test=_renamed(listing.test, folder, base),
    )


def _is_manifest(url: str) -> bool:
    return PurePosixPath(url).suffix.lower() in manifest.SUFFIXES


def _is_file(url: str) -> bool:
    return _is_manifest(url) or PurePosixPath(url).suffix.lower() == ".tar"


def _renamed(rows: list[Row], folder: Path, base: str) -> list[Row]:
    return [(_image(image, folder, base), label) for image, label in rows]


def _image(image: ImageSource, folder: Path, base: str) -> ImageSource:
    """An image named by where it is in the bucket."""
    if isinstance(image, ImageFile) and image.url is None and image.path.is_relative_to(folder):
        return replace(image, url=f"{base}/{image.path.relative_to(folder).as_posix()}")
    if isinstance(image, EncodedImage):
        return replace(image, name=image.name.replace(str(folder), base))
    return image
