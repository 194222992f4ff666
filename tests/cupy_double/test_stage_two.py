"""Stage two on the stand-in for CuPy, by the command line: every method, head and score, the second of two GPUs."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from head2toe.pipeline import main
from head2toe.probe.options import HEADS, METHODS
from head2toe.select.options import RECIPES, SCORES

Words = list[str]


@pytest.fixture
def task(image_folder: Path) -> Words:
    """A task and its options; its features are extracted, which takes no GPU."""
    words = [str(image_folder), "--backbone", "test_resnet", "--weights", "random", "--input-size", "32"]
    words += ["--target-size", "16", "--taps", "layer1.*,layer2.*,layer4.*,pre_logits", "--folds", "2"]
    head2toe("extract", *words)
    return words


def head2toe(*words: str) -> Any:
    """Run a command; return its document."""
    result = CliRunner().invoke(main, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def accuracies(document: Any) -> dict[str, tuple[float, float]]:
    """Of each method: on held-out rows, and on the test."""
    return {
        method["name"]: (method["cv"]["accuracy"]["mean"], method["test"]["accuracy"]["value"])
        for method in document["methods"]
    }


def calls_of(cupy: ModuleType, *words: str) -> tuple[Any, Any]:
    """Run a command; return its document, and what was asked of the GPU."""
    with cupy._counting.region() as used:
        document = head2toe(*words)
    return document, used


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_selection_is_that_of_the_cpu(cupy_double: ModuleType, task: Words, recipe: str) -> None:
    ours, used = calls_of(cupy_double, "select", *task, "--recipe", recipe, "--device", "cuda", "--output", "gpu")
    reference = head2toe("select", *task, "--recipe", recipe, "--device", "cpu", "--output", "cpu")
    assert used.library > 0
    for one, other in zip(rankings(ours), rankings(reference), strict=True):
        assert one.shape == other.shape
        pairs = zip(one[0], other[0], strict=True)  # at the first λ, where nothing is iterated
        assert min(len(np.intersect1d(a[:20], b[:20])) for a, b in pairs) >= 18
    for one, other in zip(ours["selections"], reference["selections"], strict=True):
        assert [point["converged"] for point in one["path"]] == [point["converged"] for point in other["path"]]
        assert [point["ratio"] for point in one["path"]] == [point["ratio"] for point in other["path"]]


def rankings(document: Any) -> list[np.ndarray]:
    return [np.load(entry["file"])["rankings"] for entry in document["selections"]]


@pytest.mark.parametrize("score", SCORES)
def test_every_score_is_computed(cupy_double: ModuleType, task: Words, score: str) -> None:
    ours, used = calls_of(cupy_double, "select", *task, "--score", score, "--device", "cuda")
    assert used.library > 0
    assert all(len(np.unique(ranking[0, 0])) == ranking.shape[2] for ranking in rankings(ours))


def test_every_method_gives_what_it_gives_on_the_cpu(cupy_double: ModuleType, task: Words) -> None:
    words = ["run", *task, "--methods", ",".join(METHODS)]
    ours, used = calls_of(cupy_double, *words, "--device", "cuda", "--output", "gpu", "--save-model", "model")
    reference = head2toe(*words, "--device", "cpu", "--output", "cpu")
    assert used.library > 0
    assert ours["key"] != reference["key"], "what one device chose is not recalled for the other"
    assert list(accuracies(ours)) == list(METHODS)
    for name, (cv, test) in accuracies(reference).items():
        assert accuracies(ours)[name] == pytest.approx((cv, test), abs=0.07), name  # one image of 15, say
    photos = Path(task[0]) / "test"
    predicted = CliRunner().invoke(main, ["predict", "model", str(photos), "--device", "cpu"], catch_exceptions=False)
    assert predicted.exit_code == 0
    assert len(predicted.stdout.splitlines()) == 15 + 1


@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_trained(cupy_double: ModuleType, task: Words, head: str) -> None:
    words = ["probe", *task, "--methods", "linear", "--head", head]
    ours, used = calls_of(cupy_double, *words, "--device", "cuda")
    assert used.library > 0
    assert set(accuracies(ours)) == {"linear"}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_second_of_two_gpus(
    cupy_double: ModuleType, task: Words, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread begins on the first GPU, whichever its parent computes on."""
    monkeypatch.setitem(cupy_double._device.settings, "devices", 2)
    monkeypatch.setattr("head2toe.select.compute.threads.blas_threads", lambda: threads)
    ours, used = calls_of(cupy_double, "probe", *task, "--methods", "linear,l21", "--device", "cuda:1")
    assert used.library > 0
    assert len(ours["methods"]) == 2


def test_there_is_no_third_of_two_gpus(cupy_double: ModuleType, task: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cupy_double._device.settings, "devices", 2)
    result = CliRunner().invoke(main, ["select", *task, "--device", "cuda:2"])
    assert result.exit_code == 2
    assert "CuPy sees 2 GPUs" in result.stderr


@pytest.mark.usefixtures("cupy_double")
def test_features_that_are_missing_need_torch_s_gpu(image_folder: Path, flags: Words) -> None:
    result = CliRunner().invoke(main, ["select", str(image_folder), *flags, "--device", "cuda"])
    assert result.exit_code == 2
    assert "torch sees 0 CUDA devices" in result.stderr


def test_memory_that_runs_out_is_one_line(
    cupy_double: ModuleType, task: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cupy_double._device.settings, "memory", 10_000)
    result = CliRunner().invoke(main, ["select", *task, "--device", "cuda"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the GPU's memory ran out (Out of memory allocating")
    assert "--device-memory" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_error_of_cuda_is_one_line(cupy_double: ModuleType, task: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise cupy_double.cuda.runtime.CUDARuntimeError(700)

    monkeypatch.setattr("head2toe.select.compute.device_memory.DeviceMemory.chunks", fails)
    result = CliRunner().invoke(main, ["select", *task, "--device", "cuda"])
    assert result.exit_code == 1
    assert result.stderr == "Error: the GPU failed (cudaError 700): see `head2toe doctor`, or take --device cpu\n"


@pytest.mark.usefixtures("cupy_double")
def test_a_share_of_memory_is_a_share(task: Words) -> None:
    result = CliRunner().invoke(main, ["select", *task, "--device-memory", "80"])
    assert result.exit_code == 2
    assert "from 0 to 1" in result.stderr


@pytest.mark.usefixtures("cupy_double")
def test_what_a_gpu_finds_has_names_of_its_own(task: Words, tmp_path: Path) -> None:
    """Selections, outcomes and the result: a GPU adds up in another order, and may choose otherwise."""
    kept, keys = [], []
    for device in ("cpu", "cuda"):
        words = ["--methods", "linear,head2toe", "--output", str(tmp_path / "out"), "--device", device]
        keys.append(head2toe("run", *task, *words)["key"])
        kept.append({file.relative_to(tmp_path) for file in tmp_path.glob("out/**/*.npz")})
    of_cpu, both = kept
    assert any(file.parent.name == "selections" for file in of_cpu)
    assert any("-linear-" in file.name for file in of_cpu)
    assert of_cpu < both
    assert len(both) == 2 * len(of_cpu), "none of the CPU's is recalled on the GPU"
    assert keys[0] != keys[1]
