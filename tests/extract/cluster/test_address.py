"""The word after --cluster, and the blocks that a cluster shares."""

from pathlib import Path

import pytest
from head2toe.extract.cluster.address import Address, rows_per_block
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.key import default_rows_per_block


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("local:0", "give a number of processes from 1"),
        ("local:x", "give a number of processes from 1"),
        ("local:", "give a number of processes from 1"),
        ("tcp://", "give the host and the port"),
        ("tcp://host", "give the host and the port"),
        ("dask", "is none of local:N"),
        ("missing.yaml", "not a YAML file that can be read"),
    ],
)
def test_nonsense_is_refused_in_one_line(word: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as raised:
        Address.of(word)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: [", "not a YAML file that can be read"),
        ("- 1", "its field cluster names a class"),
        ("cluster: os.system", "its field cluster names a class"),
        ("cluster: dask_jobqueue.SLURMCluster\nworkers: 0", "its field workers is a number from 1"),
    ],
)
def test_a_file_that_describes_no_cluster_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BadRequest, match=message) as raised:
        Address.of("c.yaml")
    assert "\n" not in str(raised.value)


def test_a_file_says_what_is_started(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("cluster: dask_jobqueue.SLURMCluster\nworkers: 8\ncores: 4\nmemory: 16GB\n")
    address = Address.of("c.yaml")
    assert (address.kind, address.workers) == ("dask_jobqueue.SLURMCluster", 8)
    assert address.settings == {"cores": 4, "memory": "16GB"}
    assert Address.of("local:2").processes == 2
    assert Address.of("tcp://host:8786").scheduler == "tcp://host:8786"


@pytest.mark.parametrize("n", [1, 32, 33, 1000, 2049, 10**6])
def test_few_images_are_blocks_enough_to_share(n: int) -> None:
    rows = rows_per_block(n, "float16")
    most = default_rows_per_block("float16", n)
    assert rows <= most
    assert rows == most or (rows % 32 == 0 and (-(-n // rows) <= 64))
