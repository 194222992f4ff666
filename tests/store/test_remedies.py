"""Nothing that goes wrong is a dead end: it is named, hides no other store, and the command that is named works.

Every remedy is typed as it stands, in a shell whose HEAD2TOE_STORE is another root or the same.
"""

import errno
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from head2toe.pipeline import main
from head2toe.store.common.errors import Refused, StoreError
from head2toe.store.format.damage import ENVIRONMENT
from head2toe.store.management import maintenance
from head2toe.store.management.maintenance import collect, entries, remove
from head2toe.store.management.verify import verify
from head2toe.store.reading.feature_store import FeatureStore

Harm = Callable[[Path], Any]


def edit(**changes: Any) -> Harm:
    """Change fields of the spec, and leave its checksum out."""

    def harm(path: Path) -> None:
        content = json.loads((path / "spec.json").read_text()) | changes
        content.pop("crc32c")
        (path / "spec.json").write_text(json.dumps(content))

    return harm


def replace(name: str, text: str) -> Harm:
    return lambda path: (path / name).write_text(text)


def special(name: str, make: Callable[[Path], Any]) -> Harm:
    """Put something in a file's place that is no file."""

    def harm(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return harm


def edit_commit(**changes: Any) -> Harm:
    def harm(path: Path) -> None:
        file = path / "commit" / "0.json"
        content = json.loads(file.read_text()) | changes
        content.pop("crc32c")
        file.write_text(json.dumps(content))

    return harm


HARMS: dict[str, Harm] = {
    "no spec": lambda path: (path / "spec.json").unlink(),
    "nothing but a data folder": lambda path: [(path / name).unlink() for name in ("spec.json", "images.txt")],
    "an empty spec": replace("spec.json", ""),
    "nested JSON": replace("spec.json", "[" * 100_000),
    "nested identity": edit(identity={"dtype": "float32", "x": json.loads("[" * 500 + "]" * 500)}),
    "no rows in a block": edit(rows_per_block=0),
    "fewer than none": edit(rows_per_block=-5),
    "rows beyond sense": edit(rows_per_block=2**70),
    "rows that are true": edit(rows_per_block=True),
    "an unknown format": edit(format="exec"),
    "widths beyond sense": edit(layers=[{"name": "a", "width": 2**70}]),
    "a layer without a name": edit(layers=[{"width": 3}]),
    "layers that are text": edit(layers="abc"),
    "an identity that is none": edit(identity=[1]),
    "an identity of no number": edit(identity={"dtype": "float32", "x": float("nan")}),
    "an identity of half a character": edit(identity={"dtype": "float32", "x": "\ud800"}),
    "provenance that is none": edit(provenance={"versions": [1]}),
    "no images": replace("images.txt", ""),
    "images are a pipe": special("images.txt", os.mkfifo),
    "images never end": special("images.txt", lambda file: file.symlink_to("/dev/zero")),
    "the spec is a pipe": special("spec.json", os.mkfifo),
    "the spec never ends": special("spec.json", lambda file: file.symlink_to("/dev/zero")),
    "no list of images": lambda path: (path / "images.txt").unlink(),
    "images are a folder": special("images.txt", os.mkdir),
    "images are a link to nowhere": special("images.txt", lambda file: file.symlink_to("/nowhere/at/all")),
    "images are a link to themselves": special("images.txt", lambda file: file.symlink_to(file.name)),
    "the spec is a folder": special("spec.json", os.mkdir),
    "the spec is a link to nowhere": special("spec.json", lambda file: file.symlink_to("/nowhere/at/all")),
    "a record is a folder": special("commit/0.json", os.mkdir),
    "a record is a pipe": special("commit/0.json", os.mkfifo),
    "a record never ends": special("commit/1.json", lambda file: file.symlink_to("/dev/zero")),
    "a record of nothing": replace("commit/0.json", "{}"),
    "a record of senseless sizes": edit_commit(files=[["x", 2**62, 0]]),
    "a record of a file outside": edit_commit(files=[["../x", 0, 0]]),
    "a record of infinite sizes": edit_commit(files=[["x", float("inf"), 0]]),
    "a missing record": lambda path: (path / "commit" / "2.json").unlink(),
    "complete.json is damaged": replace("complete.json", "{"),
}


def data_file(path: Path) -> Path:
    return next(file for file in sorted(path.rglob("*")) if file.name in ("c.1.0", "1.h5"))


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


HARMS |= {
    "a missing data file": lambda path: data_file(path).unlink(),
    "a data file cut short": lambda path: os.truncate(data_file(path), 7),
    "a data file that is a folder": lambda path: special(str(data_file(path)), os.mkdir)(path),
    "a data file that leads to itself": lambda path: special(str(data_file(path)), lambda at: at.symlink_to(at))(path),
    "complete.json is a folder": special("complete.json", os.mkdir),
    "a data file that is a pipe": lambda path: pipe(data_file(path)),
    "other bytes in a data file": lambda path: data_file(path).write_bytes(b"x" * data_file(path).stat().st_size),
}


def typed(command: str) -> Result:
    words = shlex.split(command)
    assert words[0] == "head2toe"
    return CliRunner().invoke(main, words[1:])


@pytest.mark.parametrize("default", [True, False], ids=["default root", "another root"])
@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_the_remedy_works_as_it_is_typed(
    toy: SimpleNamespace, harm: Harm, default: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(toy.catalogue.root if default else tmp_path / "my other stores"))
    path, other = toy.write(10).path, toy.write(10, target_size=1).path
    images = [toy.image(i) for i in range(10)]
    harm(path)
    FeatureStore.open(other)  # is in nobody's way
    states = {entry.path: entry.state for entry in entries(toy.catalogue)}
    assert states.pop(other) == "complete"
    for command in (["ls"], ["gc"], ["gc", "--dry-run", "--older-than", "9"], ["verify"]):
        result = CliRunner().invoke(main, ["store", *command, "--store", str(toy.catalogue.root)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert command == ["verify"] or result.exit_code == 0

    def use() -> FeatureStore:
        found = toy.catalogue.find(toy.identity(), images)
        if found is None:
            writer = toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4)
            toy.fill(writer)
            found = writer.seal()
        found.columns(np.arange(27))
        return found

    message = ""
    try:
        use()
    except StoreError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        commands = re.findall(r"`(head2toe [^`]+)`", message)
        assert commands, message
        for command in commands:
            result = typed(command)
            assert result.exit_code == (1 if " verify " in command else 0), result.output
            assert "Error" not in result.output
    expected = np.concatenate(list(toy.features(images).values()), axis=1)
    np.testing.assert_array_equal(use().columns(np.arange(27)).T, expected)
    assert not verify(path).faults or harm is HARMS["complete.json is damaged"]


def test_other_messages_that_name_a_command(toy: SimpleNamespace, tmp_path: Path) -> None:
    root = ["--store", str(toy.catalogue.root)]
    path = toy.write(4).path
    run = CliRunner().invoke
    messages = [
        run(main, ["store", "info", "zz", *root]).output,
        run(main, ["store", "rm", str(tmp_path), *root]).output,
        run(main, ["store", "import", str(tmp_path), *root]).output,
    ]
    assert run(main, ["store", "export", str(path), str(tmp_path / "a")]).exit_code == 0
    messages.append(run(main, ["store", "import", str(tmp_path / "a"), *root]).output)
    for message in messages:
        for command in re.findall(r"`(head2toe [^`]+)`", message):
            assert command == "head2toe store export" or typed(command).exit_code == 0, command
    assert not path.exists()  # the last remedy said so
    assert run(main, ["store", "import", str(tmp_path / "a"), *root]).exit_code == 0


def test_what_is_left_of_a_copy_is_collected_once_it_is_old(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = toy.write(10).path, toy.write(6).path
    (path / "spec.json").unlink()
    assert collect(toy.catalogue).leftovers == 0  # it may be being copied
    monkeypatch.setattr(maintenance, "_YOUNG", -1.0)
    nbytes = maintenance.folder_bytes(path)
    assert collect(toy.catalogue, dry_run=True).leftovers == collect(toy.catalogue).leftovers == nbytes
    assert list(toy.catalogue.paths()) == [other]


def test_gc_by_size_takes_damaged_stores_too(toy: SimpleNamespace) -> None:
    path = toy.write(10).path
    (path / "spec.json").write_text("{")
    assert [entry.path for entry, _ in collect(toy.catalogue, max_bytes=0).removed] == [path]


def test_a_linked_store(toy: SimpleNamespace, tmp_path: Path) -> None:
    path = toy.write(10).path
    elsewhere = tmp_path / "a colleague's" / path.name
    elsewhere.parent.mkdir()
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    (entry,) = entries(toy.catalogue)
    assert (entry.state, entry.nbytes) == ("complete", 0)
    assert str(elsewhere) in entry.note
    assert remove(path) == 0
    assert not path.is_symlink()
    assert FeatureStore.open(elsewhere).n_rows == 10
    path.symlink_to(elsewhere)
    collect(toy.catalogue, max_bytes=0)
    assert FeatureStore.open(elsewhere).n_rows == 10
    path.symlink_to(elsewhere) if not path.is_symlink() else None
    shutil.rmtree(elsewhere)
    (entry,) = entries(toy.catalogue)
    assert entry.state == "damaged"
    with pytest.raises(StoreError, match=r"link to nothing.*store rm") as error:
        toy.write(10)
    assert typed(re.findall(r"`(head2toe [^`]+)`", str(error.value))[0]).exit_code == 0
    assert toy.write(10).n_rows == 10
    assert list(toy.catalogue.root.glob("tmp.*")) == []


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EACCES])
def test_rm_where_the_root_is_another_file_system(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = toy.write(10).path
    rename = Path.rename

    def refuse_above(source: Path, target: Path) -> Path:
        if Path(target).parent != source.parent:
            raise OSError(code, os.strerror(code))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", refuse_above)
    assert remove(path) > 0
    assert list(path.parent.iterdir()) == []


def refuse_to_open(patch: pytest.MonkeyPatch, file: Path, code: int) -> None:
    """Let the operating system refuse to open one file."""

    def refusing(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(opened: Any, *arguments: Any, **options: Any) -> Any:
            if str(opened) == str(file):
                raise OSError(code, os.strerror(code), str(file))
            return original(opened, *arguments, **options)

        return call

    for module in (Path, os):
        patch.setattr(module, "open", refusing(module.open))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", ["data", "commit/0.json", "complete.json"])
def test_what_cannot_be_read_just_now_is_no_damage(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, code: int, name: str
) -> None:
    path = toy.write(10).path
    file = data_file(path) if name == "data" else path / name
    before = {one: one.read_bytes() for one in path.rglob("*") if one.is_file() and one.parent.name != "lock"}
    with monkeypatch.context() as patch:
        refuse_to_open(patch, file, code)
        verification = verify(path, repair=True)
    assert [(fault.file, fault.unreadable) for fault in verification.faults] == [(file, True)]
    assert (verification.repaired, verification.bad_blocks) == (False, ())
    assert {one: one.read_bytes() for one in before} == before
    assert FeatureStore.open(path).n_rows == 10


@pytest.mark.parametrize("name", ["spec.json", "images.txt", "commit/0.json"])
def test_a_store_that_cannot_be_read_just_now_is_listed_as_that(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path, other = toy.write(10).path, toy.write(6).path
    refuse_to_open(monkeypatch, path / name, errno.EACCES)
    assert {entry.path: entry.state for entry in entries(toy.catalogue)} == {path: "unreadable", other: "complete"}
    with pytest.raises(Refused):
        FeatureStore.open(path)
