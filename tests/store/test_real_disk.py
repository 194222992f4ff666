"""A disk that is really full, and one that is really read-only: small file systems in a namespace of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from head2toe.tests.store.small_disk import run_with_small_disk

COMMON = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from conftest import LAYERS, features_of, fill, identity_of, image
from head2toe.store.management.catalogue import Catalogue
from head2toe.store.reading.design_matrix import DesignMatrix
from head2toe.store.common.errors import StoreError
from head2toe.store.format.layer_index import LayerIndex
root = Path({root!r})
"""
FULL = """
from head2toe.store.management import catalogue
catalogue.require_space = lambda *_: None  # as if somebody else filled the disk meanwhile
wide = LayerIndex(("a", "b"), (300, 200))
images = [image(i) for i in range(600)]
writer = Catalogue(root).writer(identity_of(), images, wide, format={format!r}, rows_per_block=64)
try:
    fill(writer, lambda some: features_of(some, wide), batch=64)
except StoreError as error:
    print(error)
pending = len(writer.pending())
assert 0 < pending < 10, pending
assert not list(root.rglob("*.partial"))
"""
READ_ONLY = """
images = [image(i) for i in range(10)]
writer = Catalogue(root).writer(identity_of(), images, LAYERS, format={format!r}, rows_per_block=4)
fill(writer)
writer.seal()
del writer
assert os.system(f"mount -o remount,ro {{root}}") == 0
store = Catalogue(root).find(identity_of(), images)
assert (DesignMatrix.of([store], images).columns([3])[0] == features_of(images)["stem"][:, 3]).all()
try:
    Catalogue(root).writer(identity_of(), [image(99)], LAYERS)
except StoreError as error:
    print(error)
"""
LIMITED = """
import resource
wide = LayerIndex(("a", "b"), (300, 200))
images = [image(i) for i in range(100)]
for number, size in enumerate({sizes}):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    below = root / str(number)
    try:
        writer = Catalogue(below).writer(identity_of(), images, wide, format={format!r}, rows_per_block=64)
        fill(writer, lambda some: features_of(some, wide), batch=64)
        writer.seal()
    except StoreError as error:
        print(size, error)
    writer = None
    assert not [*below.rglob("*.partial"), *below.glob("tmp.*")], size
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer = Catalogue(below).writer(identity_of(), images, wide, format={format!r}, rows_per_block=64)
    fill(writer, lambda some: features_of(some, wide), batch=64)
    writer.seal()
    writer = None
    assert Catalogue(below).find(identity_of(), images) is not None
"""


@pytest.mark.parametrize("format", ["zarr", "hdf5"])
@pytest.mark.parametrize(("script", "message"), [(FULL, "no space left on its disk"), (READ_ONLY, "is read-only")])
def test_on_a_real_file_system(tmp_path: Path, format: str, script: str, message: str) -> None:
    program = (COMMON + script).format(tests=str(Path(__file__).parent), root=str(tmp_path), format=format)
    process = run_with_small_disk([sys.executable, "-c", program], tmp_path, size="1M")
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("\n") == 1
    assert message in process.stdout
    assert "--store" in process.stdout


@pytest.mark.parametrize("format", ["zarr", "hdf5"])
def test_a_write_that_fails_anywhere_is_one_line_and_the_same_again_works(tmp_path: Path, format: str) -> None:
    """A limit on the size of files stops writers anywhere, the HDF5 library among them, also as it closes one."""
    sizes = [100, 1000, *range(3000, 72_000, 4000), 1 << 30]
    program = (COMMON + LIMITED).format(
        tests=str(Path(__file__).parent), root=str(tmp_path), format=format, sizes=sizes
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert 5 < len(lines) < len(sizes), process.stdout
    assert all("larger than allowed here" in line and "--store" in line for line in lines), process.stdout
