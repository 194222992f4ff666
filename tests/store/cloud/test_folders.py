"""Tasks in a bucket: folders, shards and manifests there are read as the same files here are, and fetched once."""

import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from head2toe.extract.images.sources import ImageFile
from head2toe.extract.tasks.registry import load_task
from head2toe.extract.tasks.task import Task
from head2toe.store.cloud import bucket as bucket_module
from head2toe.store.cloud import folders, objects
from head2toe.store.cloud.bucket import Bucket
from head2toe.store.cloud.refusals import BucketError
from head2toe.store.common.errors import DataError
from head2toe.tests.commands import call
from head2toe.tests.store.cloud.server import SECRET, Fault, Flaky, every_service
from head2toe.tests.store.cloud.test_commands import SMALL


def put(bucket: Bucket, root: Path) -> str:
    """Put a folder's files into the bucket, and return the URL of the folder there."""
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        bucket.upload(f"{root.name}/{file.relative_to(root).as_posix()}", file)
    return f"{bucket.url}/{root.name}"


def shards(image_folder: Path) -> Path:
    """The striped images in three shards, two of training images, with the names of their classes."""
    folder = image_folder.parent / "shards"
    folder.mkdir()
    (folder / "classes.txt").write_text("slant\ndown\nacross\n")
    for name, pattern in (("train-0", "train/*/0*.png"), ("train-1", "train/*/1*.png"), ("test-0", "test/*/*.png")):
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for i, file in enumerate(sorted(image_folder.glob(pattern))):
                label = image_folder.parent / "label"
                label.write_text(file.parent.name)
                tar.add(file, f"{i}.png")
                tar.add(label, f"{i}.cls")
    return folder


def content(task: Task) -> tuple[object, ...]:
    """All that a task's features and folds depend on."""
    return [image.digest() for image in task.images], task.labels.tolist(), task.classes, task.folds.tolist()


def gets(server: Flaky, part: str) -> int:
    """How many objects were fetched of those whose names have a part."""
    return sum(method == "GET" and part in path for method, path, _ in server.log)


@every_service
def test_a_folder_of_images_is_the_task_that_it_is_here(image_folder: Path, bucket: Bucket) -> None:
    url = put(bucket, image_folder)
    here, there = load_task(str(image_folder)), load_task(f"{url}/")
    assert content(there) == content(here)
    assert (there.name, here.name) == ("stripes", "stripes")
    assert there.images[0].name == f"{url}/train/across/00.png"
    assert there.source == here.source.replace(str(image_folder), url)


def test_a_store_of_files_serves_the_same_images_in_a_bucket(image_folder: Path, bucket: Bucket, server: Flaky) -> None:
    url = put(bucket, shards(image_folder))
    server.faults += [Fault("cut", "GET", "tar", 2), Fault("fail", "HEAD", "tar", 2, status=503, code="SlowDown")]
    first = call("extract", image_folder, *SMALL)
    second = call("extract", url, *SMALL)
    assert (first.exit_code, second.exit_code) == (0, 0), second.output
    assert "nothing to extract: the store holds all images" in second.stdout
    assert SECRET not in second.output


def test_shards_are_read_in_a_folder_and_alone(image_folder: Path, bucket: Bucket, server: Flaky) -> None:
    folder = shards(image_folder)
    url = put(bucket, folder)
    here, there = load_task(str(folder)), load_task(url)
    assert content(there) == content(here)
    assert there.classes == ("slant", "down", "across")
    assert there.images[0].name == f"{url}/train-0.tar:0.png"
    server.log.clear()
    alone = load_task(f"{url}/train-0.tar")
    assert content(alone) == content(load_task(str(folder / "train-0.tar")))
    assert alone.name == "train-0"
    assert gets(server, ".tar") == 0  # the folder's are here already


def test_a_manifest_names_images_beside_it(image_folder: Path, bucket: Bucket, server: Flaky) -> None:
    lines = [f"train/{c}/0{i}.png,{c},{i % 3}" for c in ("across", "down") for i in range(4)]
    (image_folder / "few.csv").write_text("\n".join(["path,label,fold", *lines]))
    (image_folder / "classes.txt").write_text("down\nacross\n")
    url = put(bucket, image_folder)
    here, there = load_task(str(image_folder / "few.csv")), load_task(f"{url}/few.csv")
    assert content(there) == content(here)
    assert there.classes == ("down", "across")
    assert there.images[0].name == f"{url}/train/across/00.png"
    assert gets(server, ".png") == 8


def test_a_task_file_points_into_a_bucket(image_folder: Path, bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"path: {put(bucket, image_folder)}\nclasses: [slant, down, across]\n")
    task = load_task(str(file))
    assert (task.name, task.classes, task.n_train) == ("mine", ("slant", "down", "across"), 36)


def test_what_is_here_is_not_fetched_again_unless_it_was_replaced(
    image_folder: Path, bucket: Bucket, server: Flaky
) -> None:
    url = put(bucket, image_folder)
    before = load_task(url)
    assert gets(server, ".png") == 51
    server.log.clear()
    assert content(load_task(url)) == content(before)
    assert [(method, path.partition("?")[0]) for method, path, _ in server.log] == [
        ("GET", f"/{bucket.url[5:].split('/')[0]}")
    ]
    bucket.upload("stripes/train/across/00.png", image_folder / "train/down/00.png")
    bucket.remove("stripes/train/slant/11.png")
    after = load_task(url)
    assert gets(server, ".png") == 1
    assert after.n_train == 35
    assert after.images[0].digest() == ImageFile(image_folder / "train/down/00.png").digest()


def test_an_empty_object_that_stands_for_a_folder_is_no_file(
    image_folder: Path, bucket: Bucket, tmp_path: Path
) -> None:
    url = put(bucket, image_folder)
    (tmp_path / "empty").touch()
    bucket.upload("stripes/train/down", tmp_path / "empty")
    assert content(load_task(url)) == content(load_task(str(image_folder)))


@every_service
def test_large_objects_come_in_pieces_and_a_mixture_is_refused(
    image_folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "CHUNK", 20_000)
    monkeypatch.setattr(objects, "CHUNK", 20_000)
    folder = shards(image_folder)
    url = put(bucket, folder)
    assert load_task(f"{url}/train-0.tar").images[0].digest()
    versions = iter([("first", str((folder / "test-0.tar").stat().st_size)), None, None, ("second", "1")])
    monkeypatch.setattr(Bucket, "version", lambda *_: next(versions))
    with pytest.raises(BucketError, match=f"^{url}/test-0.tar: not what it should be: it was replaced or removed"):
        load_task(f"{url}/test-0.tar")


def test_two_processes_make_one_copy(image_folder: Path, bucket: Bucket, tmp_path: Path) -> None:
    url = put(bucket, image_folder)
    with ThreadPoolExecutor(4) as pool:
        copies = set(pool.map(folders.copied_folder, [url] * 4))
    assert len(copies) == 1
    assert [path.name for path in (tmp_path / "cache/folders").iterdir()] == [copies.pop().name[:2]]


def test_where_there_are_no_links_files_are_copied(
    image_folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    assert content(load_task(put(bucket, image_folder))) == content(load_task(str(image_folder)))


@every_service
def test_errors_name_what_is_in_the_bucket(image_folder: Path, bucket: Bucket) -> None:
    (image_folder / "train/down/00.png").write_bytes(b"no image")
    url = put(bucket, image_folder)
    result = call("extract", url, *SMALL)
    assert result.exit_code == 1
    assert f"{url}/train/down/00.png" in result.stderr
    with pytest.raises(DataError, match=f"no task in {url}/train/down: the images in {url}/train/down are in no"):
        load_task(f"{url}/train/down")
    with pytest.raises(DataError, match=f"^{url}/trains: there is nothing below it: look at the name and the region"):
        load_task(f"{url}/trains")
    with pytest.raises(DataError, match=f"^{url}/few.csv: no such object, or no such bucket"):
        load_task(f"{url}/few.csv")
