"""A disk that is really full, and one that is really read-only: small file systems in a namespace of their own."""

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


@pytest.mark.parametrize("format", ["zarr", "hdf5"])
@pytest.mark.parametrize(("script", "message"), [(FULL, "no space left on its disk"), (READ_ONLY, "is read-only")])
def test_on_a_real_file_system(tmp_path: Path, format: str, script: str, message: str) -> None:
    program = (COMMON + script).format(tests=str(Path(__file__).parent), root=str(tmp_path), format=format)
    process = run_with_small_disk([sys.executable, "-c", program], tmp_path, size="1M")
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("\n") == 1
    assert message in process.stdout
    assert "--store" in process.stdout
