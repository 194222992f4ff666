"""Folders of images, and images, that can't be used."""

import os
from pathlib import Path

from head2toe.tests.bad_inputs.bad_input import BadInput, both, cut, photo, remove, write

GIT_LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\nshowpage\n"
FIRST = "photos/train/cat/0.png"


def no_image(content: str | bytes) -> object:
    """Put other content into the first photo."""
    return write(FIRST, content)


def pipe(here: Path) -> None:
    """Make a named pipe."""
    os.mkfifo(here / "pipe")


def dangling(here: Path) -> None:
    """Make a link to nothing."""
    (here / "link.png").symlink_to("nothing.png")


FOLDERS = (
    BadInput(
        "an empty folder",
        "run empty …",
        1,
        (
            "no task in empty: expected train800.txt, val200.txt and test.txt (VTAB-1k), train/<class>/* "
            "with or without val/ and test/ or <class>/* alone (ImageFolder), *.tar (WebDataset), a folder "
            "saved by Hugging Face datasets or one of its Parquet files, or the path of a manifest (.csv, "
            ".tsv, .parquet)"
        ),
        both(write("empty/x"), remove("empty/x")),
    ),
    BadInput(
        "a file that is no task",
        "run notes.txt …",
        1,
        (
            "can't read a task from the file notes.txt: expected train800.txt, val200.txt and test.txt "
            "(VTAB-1k), train/<class>/* with or without val/ and test/ or <class>/* alone (ImageFolder), "
            "*.tar (WebDataset), a folder saved by Hugging Face datasets or one of its Parquet files, or the "
            "path of a manifest (.csv, .tsv, .parquet)"
        ),
        write("notes.txt", "hello"),
    ),
    BadInput(
        "a named pipe", "run pipe …", 1, "can't read a task from pipe, which is neither a file nor a folder", pipe
    ),
    BadInput(
        "a folder of photos without classes",
        "run flat …",
        1,
        (
            "no task in flat: the images in flat are in no class folders: make one for each class, or a manifest "
            "(path,label)"
        ),
        photo("flat/1.png", "flat/2.png"),
    ),
    BadInput(
        "class folders that lie deeper",
        "run above …",
        1,
        "no task in above: the class folders are in above/photos: pass its path",
        photo("above/photos/train/cat/1.png", "above/photos/train/dog/1.png"),
    ),
    BadInput(
        "folders of other names than train and test",
        "run above …",
        1,
        (
            "no task in above: class folders are in above/seg_test, above/seg_train: pass the path of one; or name the "
            "one to train on above/train, and the one to judge by above/test"
        ),
        photo(*(f"above/seg_{split}/{name}/1.png" for split in ("train", "test") for name in ("cat", "dog"))),
    ),
    BadInput(
        "a folder `train` in `train`",
        "run above …",
        1,
        "above/train/train is the only class folder, and holds folders of images: move them up to above/train",
        photo("above/train/train/cat/1.png", "above/train/train/dog/1.png"),
    ),
    BadInput(
        "one class only",
        "run photos …",
        1,
        "task photos: training images of 1 class; there must be two or more",
        remove("photos/*/dog"),
    ),
    BadInput(
        "a class of one photo",
        "run photos …",
        1,
        (
            "class 'bird' has 1 image in photos/train/bird: cross-validation needs two or more; add images "
            "or remove the folder"
        ),
        photo("photos/train/bird/1.png"),
    ),
    BadInput(
        "a class of one photo that can be read",
        "run photos …",
        1,
        (
            "class 'bird' has 1 image in photos/train/bird: cross-validation needs two or more; add images "
            "or remove the folder; 1 file of photos is left out (.mov 1)"
        ),
        both(photo("photos/train/bird/1.png"), write("photos/train/bird/2.mov", "film")),
    ),
    BadInput(
        "a class without photos",
        "run photos …",
        1,
        (
            "class 'bird' has 0 images in photos/train/bird: cross-validation needs two or more; add images "
            "or remove the folder; 1 file of photos is left out (.txt 1)"
        ),
        write("photos/train/bird/notes.txt"),
    ),
    BadInput(
        "a class that only the test has",
        "run photos …",
        1,
        (
            "class 'bird' in photos/test has no folder in photos/train: add one with training images, or move "
            "photos/test/bird away (head2toe predict takes images without labels)"
        ),
        photo("photos/test/bird/1.png"),
    ),
    BadInput(
        "a test folder without photos",
        "run photos …",
        1,
        "no test images in photos/test: expected photos/test/<class>/<image>, or no folder test",
        both(remove("photos/test/*/*"), remove("photos/test/*")),
    ),
    BadInput(
        "a test folder of empty classes",
        "run photos …",
        1,
        "no test images in photos/test: expected photos/test/<class>/<image>, or no folder test",
        remove("photos/test/*/*.png"),
    ),
    BadInput(
        "a test folder of another name",
        "run photos …",
        1,
        (
            "photos/holdback beside train holds folders of classes (cat, dog), but its name is none of a "
            "split: rename it test (looked at once) or val (to choose settings by), or move it away"
        ),
        both(remove("photos/test"), photo("photos/holdback/cat/1.png", "photos/holdback/dog/1.png")),
    ),
    BadInput(
        "two test folders",
        "run photos …",
        1,
        "photos/test and photos/test2017 are both named like the test split: rename or remove one of them",
        photo("photos/test2017/cat/1.png"),
    ),
    BadInput(
        "a test folder among the class folders",
        "run photos/all …",
        1,
        (
            "photos/all/test stands among class folders and holds folders of the same classes (cat, dog): "
            "put the class folders beside it into photos/all/train"
        ),
        photo(*(f"photos/all/{folder}/{i}.png" for folder in ("cat", "dog", "test/cat", "test/dog") for i in range(3))),
    ),
    BadInput(
        "two photos of each class and no test",
        "run few …",
        1,
        "task few: no test images (ImageFolder few), and too few of a class to hold some out",
        photo(*(f"few/{name}/{i}.png" for name in "ab" for i in range(2))),
    ),
)

IMAGES = (
    BadInput(
        "an empty file",
        "extract photos …",
        1,
        ("can't read image photos/train/cat/0.png (the file is empty): mend or remove it, or pass --on-error skip"),
        no_image(""),
    ),
    BadInput(
        "text in a `.png`",
        "extract photos …",
        1,
        "can't read image photos/train/cat/0.png (not an image): mend or remove it, or pass --on-error skip",
        no_image("hello, world\n"),
    ),
    BadInput(
        "a photo that was cut short",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (image file is truncated): mend or remove it, or pass "
            "--on-error skip"
        ),
        cut(FIRST, 400),
    ),
    BadInput(
        "a page of HTML (a download that failed)",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (not an image, but a web page): mend or remove it, or "
            "pass --on-error skip"
        ),
        no_image("<!DOCTYPE html><html>404</html>"),
    ),
    BadInput(
        "a PDF",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (not an image, but a PDF document): mend or remove it, "
            "or pass --on-error skip"
        ),
        no_image("%PDF-1.4 ..."),
    ),
    BadInput(
        "PostScript",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (not an image, but PostScript, which is a program): "
            "mend or remove it, or pass --on-error skip"
        ),
        no_image(EPS),
    ),
    BadInput(
        "an SVG",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (not an image, but an SVG drawing): mend or remove it, "
            "or pass --on-error skip"
        ),
        no_image('<svg xmlns="http://www.w3.org/2000/svg"/>'),
    ),
    BadInput(
        "a film",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (not an image, but a film): mend or remove it, or pass "
            "--on-error skip"
        ),
        no_image(b"\0\0\x01\xb3" + bytes(40)),
    ),
    BadInput(
        "HDF5",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (not an image, but HDF5): mend or remove it, or pass "
            "--on-error skip"
        ),
        no_image(b"\x89HDF\r\n\x1a\n"),
    ),
    BadInput(
        "a pointer of git lfs",
        "extract photos …",
        1,
        (
            "can't read image photos/train/cat/0.png (not an image, but a Git LFS pointer instead of the "
            "file: git lfs pull): mend or remove it, or pass --on-error skip"
        ),
        no_image(GIT_LFS),
    ),
    BadInput(
        "a link to nothing",
        "predict model link.png",
        2,
        "no image 'link.png': expected a file, a folder with images, a glob pattern, or -",
        dangling,
    ),
    BadInput(
        "more pixels than `--max-pixels`",
        "extract photos … --max-pixels 500",
        1,
        (
            "can't read image photos/train/cat/0.png (24 x 24 pixels; the limit is 0.0005 million, which "
            "--max-pixels changes): mend or remove it, or pass --on-error skip"
        ),
        remove("stores"),
    ),
    BadInput(
        "a photo to predict that is text",
        "predict model hello.png -o out.csv",
        1,
        "can't read image hello.png (not an image): mend or remove it, or pass --on-error skip",
        write("hello.png", "hello"),
    ),
)
