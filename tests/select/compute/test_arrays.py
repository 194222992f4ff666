"""Which device is taken: a GPU that computes, or the CPU with a word why; and what is wrong in one line."""

import sys

import numpy as np
import pytest
from head2toe.select import doctor
from head2toe.select.compute.arrays import announced, namespace
from head2toe.store.common.errors import BadRequest, DeviceError, MissingExtra, OutOfMemory, device_error


def missing_library(*_, **__):
    raise ImportError("libcusolver.so.11: cannot open shared object file\nand more")


def test_a_gpu_that_computes_is_taken(cupy_double, capsys):
    assert cupy_double.__version__.endswith("(double)")
    for device in ("auto", "cuda", "cuda:0"):
        arrays = announced(namespace(device))
        assert arrays.name == "cuda:0"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("function", ["linalg.solve", "matmul", "exp"])
def test_one_that_does_not_is_left_alone_with_a_word(cupy_double, monkeypatch, capsys, function):
    """An import may succeed and a device be there, and still a library be missing that is loaded at its first use."""
    import array_api_compat.cupy as xp

    module, _, name = function.rpartition(".")
    if name == "matmul":
        monkeypatch.setattr(cupy_double.ndarray, "__matmul__", missing_library)
    else:
        monkeypatch.setattr(xp.linalg if module else xp, name, missing_library)
    assert announced(namespace("auto")).name == "cpu"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "computing on the CPU: cuda:0 can't compute (libcusolver.so.11: cannot open shared object file)" in said
    with pytest.raises(DeviceError, match=r"can't compute.*cuda12 or cuda13.*--device cpu"):
        namespace("cuda")


@pytest.mark.usefixtures("cupy_double")
def test_a_wrong_product_is_noticed(monkeypatch):
    import array_api_compat.cupy as xp

    monkeypatch.setattr(xp.linalg, "solve", lambda _, b: b)
    with pytest.raises(DeviceError, match="is not undone"):
        namespace("cuda")


@pytest.mark.usefixtures("cupy_double")
def test_tf32_is_refused_as_no_result_would_say_it(monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    with pytest.raises(DeviceError, match="unset CUPY_TF32"):
        namespace("cuda")
    fallen_back = namespace("auto")
    assert fallen_back.name == "cpu"
    assert "unset CUPY_TF32" in fallen_back.note
    monkeypatch.setenv("CUPY_TF32", "0")
    assert namespace("cuda").name == "cuda:0"


def test_without_a_gpu_or_cupy(cupy_double, monkeypatch, capsys):
    monkeypatch.setitem(cupy_double._device.settings, "devices", 0)
    assert announced(namespace("auto")).name == "cpu"
    with pytest.raises(BadRequest, match="CuPy sees 0 GPUs"):
        namespace("cuda")
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert announced(namespace("auto")).name == "cpu"
    with pytest.raises(MissingExtra, match="needs CuPy"):
        namespace("cuda:1")
    assert capsys.readouterr().err == ""


def test_errors_of_cupy_have_a_remedy(cupy_double):
    memory = device_error(cupy_double.cuda.memory.OutOfMemoryError("Out of memory allocating 5 bytes"))
    assert isinstance(memory, OutOfMemory)
    assert "--device-memory" in str(memory)
    failed = device_error(cupy_double.cuda.runtime.CUDARuntimeError(700))
    assert isinstance(failed, DeviceError)
    assert "--device cpu" in str(failed)
    assert device_error(MemoryError()) is device_error(RuntimeError("out of memory")) is None


def test_numpy_s_arrays_have_no_memory_of_a_device():
    arrays = namespace("cpu")
    assert arrays.memory is None
    host = np.ones(3)
    assert arrays.put(host) is host


VERSIONS = {
    "PyTorch's index": ({"torch": "2.9.0+cu130"}, 13, "'head2toe[cuda13]'"),
    "PyPI, CUDA 12": ({"torch": "2.9.0", "nvidia-cuda-runtime-cu12": "12.8.90"}, 12, "'head2toe[cuda12]'"),
    "PyPI, CUDA 13": ({"torch": "2.10.0", "nvidia-cuda-runtime": "13.0.48"}, 13, "'head2toe[cuda13]'"),
    "for the CPU": ({"torch": "2.9.0+cpu"}, None, "'head2toe[cuda12]' or 'head2toe[cuda13]'"),
}


@pytest.mark.parametrize(("installed", "cuda", "extra"), VERSIONS.values(), ids=VERSIONS)
def test_the_extra_is_that_of_torch(monkeypatch, installed, cuda, extra):
    monkeypatch.setattr(doctor, "_version", lambda name: installed.get(name, ""))
    assert doctor.torch_cuda() == cuda
    assert doctor.wanted_extra().startswith(extra)


def test_doctor_on_a_gpu(cupy_double, monkeypatch):
    versions = {"torch": "2.9.0+cu130", "cupy-cuda13x": "14.2.0"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, ""))
    assert doctor.cupy_check().state == "ok"
    versions["cupy-cuda12x"] = "14.2.0"
    assert doctor.cupy_check().state == "FAIL"
    assert "pip uninstall cupy-cuda12x cupy-cuda13x" in doctor.cupy_check().remedy
    del versions["cupy-cuda13x"]
    check = doctor.cupy_check()
    assert check.state == "note"
    assert "by CUDA 12; torch comes with CUDA 13" in check.text
    monkeypatch.setitem(cupy_double._device.settings, "devices", 0)
    assert "sees 0 GPUs" in doctor.cupy_check().text
