"""Tables of images and labels that can't be used."""

from pathlib import Path

from head2toe.tests.bad_inputs.bad_input import BadInput, Make, both, photo, write

LINES = [
    f"photos/{split}/{name}/{i}.png,{name},{split}"
    for split, n in (("train", 6), ("test", 3))
    for name in ("cat", "dog")
    for i in range(n)
]


def table(first: str | None = None, header: str = "path,label,split", extra: str = "", name: str = "t.csv") -> Make:
    """A table of the photos with another first row, another header, or one more cell a row."""
    lines = [*([] if first is None else [first]), *LINES[0 if first is None else 1 :]]
    return write(name, "\n".join([header, *(line + extra for line in lines)]) + "\n")


def each(header: str, cell: str) -> Make:
    """A table with one more column; `cell` is a pattern over the row's number."""
    rows = [f"{line},{cell.format(i % 2)}" for i, line in enumerate(LINES)]
    return write("t.csv", "\n".join([f"path,label,split,{header}", *rows]) + "\n")


def parquet(column: object) -> Make:
    """A Parquet table whose labels are these."""

    def make(here: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        paths = [line.split(",")[0] for line in LINES[:4]]
        parquet.write_table(pyarrow.table({"path": paths, "label": column}), here / "t.parquet")

    return make


ROWS = (
    BadInput(
        "an empty table",
        "run t.csv …",
        1,
        (
            "no column 'path' in t.csv (there are none): expected path,label and, if you like, split, fold, "
            "group; --path-column and --label-column name others"
        ),
        write("t.csv"),
    ),
    BadInput(
        "a header and no rows", "run t.csv …", 1, "the manifest t.csv has no rows", write("t.csv", "path,label\n")
    ),
    BadInput(
        "no column of labels",
        "run t.csv …",
        1,
        (
            "no column 'label' in t.csv (there are path, kind, split): expected path,label and, if you like, "
            "split, fold, group; --path-column and --label-column name others"
        ),
        table(header="path,kind,split"),
    ),
    BadInput(
        "no column of paths",
        "run t.csv …",
        1,
        (
            "no column 'path' in t.csv (there are where, label, split): expected path,label and, if you "
            "like, split, fold, group; --path-column and --label-column name others"
        ),
        table(header="where,label,split"),
    ),
    BadInput(
        "a column that `--label-column` does not find",
        "run t.csv --label-column sort …",
        1,
        (
            "no column 'sort' in t.csv (there are path, label, split): expected path,label and, if you like, "
            "split, fold, group; --path-column and --label-column name others"
        ),
        table(),
    ),
    BadInput(
        "two columns that could be the label",
        "run t.csv …",
        1,
        "several columns of t.csv could be the label (class, category): --label-column names it",
        table(header="path,class,split,category", extra=",x", first=None),
    ),
    BadInput(
        "two columns of one name",
        "run t.csv …",
        1,
        "t.csv has several columns 'label': rename all but one",
        table(header="path,label,label"),
    ),
    BadInput(
        "a comma in a label without quotes",
        "run t.csv …",
        1,
        (
            "t.csv, row 1: 4 cells, but the header has 3: put a cell with the delimiter in it between quotes "
            "(found: photos/train/cat/0.png, cat, wild, train)"
        ),
        table("photos/train/cat/0.png,cat, wild,train"),
    ),
    BadInput(
        "an empty label",
        "run t.csv …",
        1,
        "t.csv, row 1: no label: fill it in or remove the row",
        table("photos/train/cat/0.png,,train"),
    ),
    BadInput(
        "`nan` as a label",
        "run t.csv …",
        1,
        "t.csv, row 1: no label (nan): fill it in or remove the row",
        table("photos/train/cat/0.png,nan,train"),
    ),
    BadInput(
        "a label of 2000 characters",
        "run t.csv …",
        1,
        "row 1 of t.csv: a label of 2,000 characters is no class name (500 are the most)",
        table(f"photos/train/cat/0.png,{'x' * 2000},train"),
    ),
    BadInput("an empty path", "run t.csv …", 1, "t.csv, row 1: no path", table(",cat,train")),
    BadInput(
        "a path to nothing",
        "run t.csv …",
        1,
        "t.csv, row 1: no such image: photos/train/cat/gone.png",
        table("photos/train/cat/gone.png,cat,train"),
    ),
    BadInput(
        "a path without its folder",
        "run t.csv …",
        1,
        (
            "t.csv, row 1: no such image: cat/0.png; there is photos/0.png: paths are relative to the folder of the "
            "table"
        ),
        both(photo("photos/0.png"), table("cat/0.png,cat,train")),
    ),
    BadInput(
        "an address on the web",
        "run t.csv …",
        1,
        ("t.csv, row 1: https://example.org/1.jpg is on the web: fetch the images, and write the paths of their files"),
        table("https://example.org/1.jpg,cat,train"),
    ),
    BadInput(
        "a workbook of Excel",
        "run t.xlsx …",
        1,
        "can't read a task from t.xlsx, which is a workbook: save its table as CSV (UTF-8)",
        write("t.xlsx", b"PK\3\4"),
    ),
    BadInput(
        "a table as JSON",
        "run t.jsonl …",
        1,
        "can't read a task from t.jsonl, which is JSON: write a manifest of it (.csv with path,label)",
        write("t.jsonl", '{"path": "1.jpg", "label": "cat"}'),
    ),
    BadInput(
        "a packed table",
        "run t.csv.gz …",
        1,
        "can't read t.csv.gz, which is compressed (gzip): unpack it",
        write("t.csv.gz", b"\x1f\x8b\x08"),
    ),
    BadInput(
        "a table that is a pointer of git lfs",
        "run t.parquet …",
        1,
        "can't read t.parquet, which is a Git LFS pointer instead of the file: git lfs pull",
        write("t.parquet", "version https://git-lfs.github.com/spec/v1\n"),
    ),
    BadInput(
        "a path to a folder",
        "run t.csv …",
        1,
        "t.csv, row 1: no such image: photos/train/cat",
        table("photos/train/cat,cat,train"),
    ),
    BadInput(
        "a path on a drive of Windows",
        "run t.csv …",
        1,
        (
            "t.csv, row 1: no such image: C:\\photos\\0.png: a path on a drive of Windows: write paths "
            "relative to the folder of the table, …"
        ),
        table(r"C:\photos\0.png,cat,train"),
    ),
    BadInput(
        "a path of 5000 characters",
        "run t.csv …",
        1,
        "t.csv, row 1: no such image: …",
        table(f"{'x' * 5000},cat,train"),
    ),
    BadInput(
        "an unknown split",
        "run t.csv …",
        1,
        "t.csv, row 1: split 'tets' is none of train, training, val, valid, validation, dev, test, testing",
        table("photos/train/cat/0.png,cat,tets"),
    ),
    BadInput(
        "a class of one photo",
        "run t.csv …",
        1,
        (
            "class 'Cat' has 1 training image in manifest t.csv: cross-validation needs two or more; add "
            "images, or remove this one"
        ),
        table("photos/train/cat/0.png,Cat,train"),
    ),
    BadInput(
        "a code page of Windows",
        "run t.csv …",
        1,
        (
            "can't read the manifest t.csv: line 2 is not UTF-8; it may be in a code page of Windows: save "
            "it as UTF-8 (Excel: CSV UTF-8), or convert it with iconv -f WINDOWS-1252 -t UTF-8"
        ),
        write("t.csv", "path,label\nx.png,Käse\n".encode("cp1252")),
    ),
    BadInput(
        "a group in training and test",
        "run t.csv …",
        1,
        "group 'one' in t.csv has training and test rows: a group must be on one side",
        each("group", "one"),
    ),
    BadInput(
        "two groups in five folds",
        "run t.csv --folds 5 …",
        1,
        "2 groups of training images: 5 folds need 5 groups; --folds auto takes fewer",
        write(
            "t.csv",
            "\n".join(
                ["path,label,split,group", *(f"{line},{line.rsplit(',')[2]}{i % 2}" for i, line in enumerate(LINES))]
            ),
        ),
    ),
    BadInput(
        "one group and no test",
        "run t.csv …",
        1,
        (
            "1 group of images in manifest t.csv, of which one would be held out as the test, and two folds "
            "need two more: give it more groups, or no column group"
        ),
        write("t.csv", "\n".join(["path,label,group", *(f"{line.rpartition(',')[0]},g" for line in LINES)])),
    ),
    BadInput(
        "a column `fold` of one value",
        "run t.csv …",
        1,
        "the column fold in t.csv has one value: cross-validation needs two or more",
        each("fold", "1"),
    ),
    BadInput(
        "a gap in the column `fold`",
        "run t.csv …",
        1,
        "t.csv, row 1: no fold, but other rows have one",
        write(
            "t.csv", "\n".join(["path,label,split,fold", *(f"{line},{i % 3 or ''}" for i, line in enumerate(LINES))])
        ),
    ),
    BadInput(
        "a `.parquet` that is none",
        "run t.parquet …",
        1,
        "can't read the manifest t.parquet: …",
        write("t.parquet", "PAR1 no more"),
    ),
    BadInput(
        "lists as labels in Parquet",
        "run t.parquet …",
        1,
        (
            "the column 'label' in t.parquet is of type …: several labels of one image are not supported; "
            "--label-column names another column"
        ),
        parquet([["cat"], ["cat"], ["dog"], ["dog"]]),
    ),
    BadInput(
        "no label in a row of Parquet",
        "run t.parquet …",
        1,
        "t.parquet, row 2: no label: fill it in or remove the row",
        parquet(["cat", None, "dog", "dog"]),
    ),
)
