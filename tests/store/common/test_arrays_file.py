"""Arrays and a header come back from their file bit for bit, or the file is refused in one line."""

import copy
import errno
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head2toe.store.common.arrays_file import read_arrays, write_arrays
from head2toe.store.common.errors import BadRequest, DataError, StoreError

TOY = {"x": np.arange(6, dtype=np.int32).reshape(2, 3), "model.coef": np.ones((2, 0), np.float16)}

DIRECTORY = b"PK\x01\x02"  # what its entries begin with


def read(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with read_arrays(file, "a toy", "make another") as (header, arrays):
        return header, arrays


def refused(file: Path) -> str:
    """Why it is, in the words of the cause."""
    with pytest.raises(DataError) as error:
        read(file)
    message = str(error.value)
    assert message.startswith(f"{file} is not a toy (")
    assert message.endswith("): make another")
    assert "\n" not in message
    assert len(message) > len(f"{file} is not a toy (): make another")
    return message


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        (a[name].dtype, a[name].shape, a[name].tobytes()) == (b[name].dtype, b[name].shape, b[name].tobytes())
        for name in a
    )


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A whole file."""
    write_arrays(tmp_path / "toy.npz", {"a": 1}, **TOY)
    return tmp_path / "toy.npz"


@pytest.mark.parametrize("dtype", ["?", "i1", "<i8", ">i4", "<u2", "<f2", "<f4", ">f8", "<c16", "<U3", "S2", "M8[s]"])
@pytest.mark.parametrize("shape", [(), (0, 3), (4,), (2, 3, 2)])
def test_arrays_come_back_bit_for_bit(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    arrays = {"x": np.random.default_rng(0).integers(0, 99, shape).astype(dtype), "file.y": np.array([np.nan, -0.0])}
    write_arrays(tmp_path / "new" / "folder" / "f.npz", {}, **arrays)
    header, read_back = read(tmp_path / "new" / "folder" / "f.npz")
    assert header == {}
    assert same(read_back, arrays)


def test_the_order_in_memory_is_kept(tmp_path: Path) -> None:
    write_arrays(tmp_path / "f.npz", {}, x=np.asfortranarray(TOY["x"]))
    assert read(tmp_path / "f.npz")[1]["x"].flags.f_contiguous


def test_the_header_comes_back_as_json(tmp_path: Path) -> None:
    given = {"λ": 0.1, "gap": math.inf, "none": None, "deep": {"t": (1, 2)}, "scalars": [np.float32(0.5), np.int64(3)]}
    write_arrays(tmp_path / "f.npz", given | {"loss": math.nan})
    header, arrays = read(tmp_path / "f.npz")
    assert math.isnan(header.pop("loss"))
    assert header == given | {"deep": {"t": [1, 2]}, "scalars": [0.5, 3]}
    assert not arrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_npz_with_a_header_is_read(save: Any, tmp_path: Path) -> None:
    """So files of before are: what matters is the arrays' names."""
    save(tmp_path / "f.npz", **TOY, header=np.array(json.dumps({"a": 1})))
    header, arrays = read(tmp_path / "f.npz")
    assert (header, same(arrays, TOY)) == ({"a": 1}, True)


def test_a_part_of_a_file_is_refused(toy: Path) -> None:
    whole = toy.read_bytes()
    for size in range(len(whole)):
        toy.write_bytes(whole[:size])
        refused(toy)


def test_a_damaged_byte_is_noticed_if_it_matters(toy: Path) -> None:
    whole, noticed = toy.read_bytes(), 0
    with zipfile.ZipFile(toy) as members:
        least = sum(member.compress_size for member in members.infolist())
    for i in range(whole.index(DIRECTORY)):  # all members, and what precedes each
        toy.write_bytes(whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :])
        try:
            header, arrays = read(toy)
        except DataError:
            noticed += 1
        else:
            assert (header, same(arrays, TOY)) == ({"a": 1}, True)
    assert noticed >= least


def test_a_damaged_shape_cuts_no_array_short(tmp_path: Path) -> None:
    file = tmp_path / "f.npz"
    write_arrays(file, {}, x=np.zeros((9000, 10)))
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"(9000, 10)", b"(1000, 10)"))
    assert "Bad CRC-32" in refused(file)


def npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def in_directory(place: int, value: int) -> bytes:
    """A file with another byte where its directory describes the first member."""
    content = npz(header=np.array("{}"))
    place += content.index(DIRECTORY)
    return content[:place] + bytes([value]) + content[place + 1 :]


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "File is not a zip file"),
        (b"no zip\nat all", "File is not a zip file"),
        (npy(TOY["x"]), "File is not a zip file"),
        (npz(**TOY), "no 'header'"),
        (npz(header=np.array("{")), "Expecting property name"),
        (npz(header=np.array("[1]")), "its header is no JSON object"),
        (npz(header=np.array(1.5)), "its header is no JSON object"),
        (npz(header=np.array("{}"), x=np.array([{}])), "Object arrays cannot be loaded"),
        (in_directory(6, 99), "zip file version 9.9"),
        (in_directory(8, 1), "is encrypted"),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "f.npz").write_bytes(content)
    assert why in refused(tmp_path / "f.npz")


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "f.npz")
    assert "Is a directory" in refused(tmp_path)


def test_what_the_block_misses_is_the_file_s_fault_and_nothing_else_is(toy: Path) -> None:
    for miss in (lambda h, _: h["b"], lambda _, a: a["y"], lambda h, a: a["x"][h["a"] + 1], lambda h, _: tuple(h["a"])):
        with (
            pytest.raises(DataError, match=r"is not a toy \(.+\): make another"),
            read_arrays(toy, "a toy", "make another") as content,
        ):
            miss(*content)  # type: ignore[no-untyped-call]
    for error in (BadRequest("other"), ZeroDivisionError(), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, read_arrays(toy, "a toy", "make another"):
            raise error
        assert raised.value is error


@pytest.mark.parametrize(
    ("error", "says"),
    [(KeyboardInterrupt(), "^$"), (OSError(errno.ENOSPC, "full"), r"toy\.npz: no space left .* folder with --output")],
)
def test_a_write_that_fails_leaves_the_file_that_was_there(
    error: BaseException, says: str, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise error

    before = toy.read_bytes()
    for step in ("os.fsync", "pathlib.Path.replace"):
        with monkeypatch.context() as patched:
            patched.setattr(step, failing)
            with pytest.raises((KeyboardInterrupt, StoreError), match=says):
                write_arrays(toy, {"a": 2}, x=np.zeros(9))
        assert toy.read_bytes() == before
        assert [file.name for file in toy.parent.iterdir()] == [toy.name], "nothing half-written is left about"


def npy(header: str, content: bytes = b"") -> bytes:
    """An array's file with any header."""
    padded = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"), "an array of shape"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes(4)), "an array of shape"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }", bytes(4)), "an array of shape"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes(5)), "an array of shape"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes(3)), "an array of shape"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n"), ""),
        (npy("[1, 2"), ""),
    ],
)
def test_an_array_that_is_not_its_bytes_is_refused(content: bytes, says: str, toy: Path) -> None:
    with zipfile.ZipFile(toy, "a") as members:
        members.writestr("forged.npy", content)
    assert says in refused(toy)


def test_a_small_file_never_stands_for_much_memory(toy: Path) -> None:
    """Packed zeros, and members that lie upon each other."""
    whole = toy.read_bytes()
    with zipfile.ZipFile(toy, "a", zipfile.ZIP_DEFLATED) as members:
        zeros = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 22},), }}", bytes(1 << 22))
        members.writestr("zeros.npy", zeros)
    assert "larger than such a file can hold" in refused(toy)
    toy.write_bytes(whole)
    with zipfile.ZipFile(toy, "a") as members:
        original = members.getinfo("x.npy")
        for number in range(20):
            twin = copy.copy(original)
            twin.filename = f"y{number}.npy"
            members.filelist.append(twin)
        members._didModify = True  # type: ignore[attr-defined]
    assert "larger than such a file can hold" in refused(toy)
    toy.write_bytes(whole)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(toy, "a") as members:
        members.writestr("x.npy", members.read("x.npy"))
    assert "one name" in refused(toy)
